"""Say which keys of airflow.cfg this environment's Airflow does not know.

They come on standard input, as a JSON list of [section, key]. Sections that it does not know are
somebody's own, and let be.
"""

from __future__ import print_function

import difflib
import json
import sys


def known():
    """Return section -> keys, with the providers' own, and (section, key) -> its older names."""
    from airflow import configuration

    conf = configuration.conf
    older = getattr(conf, "deprecated_options", {})
    described = getattr(conf, "configuration_description", None)
    if described is None:  # Airflow 1.10 has its own in a file only
        defaults = configuration.default_config_yaml()
        described = {
            each["name"]: {"options": [option["name"] for option in each["options"]]}
            for each in defaults
        }
    return {name: list(each["options"] or ()) for name, each in described.items()}, older


def why_not(section, key, sections, older):
    new = [name for name, old in older.items() if tuple(old[:2]) == (section, key)]
    if new:
        return "it has become [{}] {}".format(*new[0])
    if section in sections and key not in sections[section]:
        near = difflib.get_close_matches(key, sections[section], n=1)
        return "did you mean {}?".format(near[0]) if near else "this release has no such key"
    return None


def main():
    sections, older = known()
    for section, key in json.load(sys.stdin):
        reason = why_not(section, key, sections, older)
        if reason:
            sys.exit("airflow_config sets [{}] {}: {}".format(section, key, reason))


if __name__ == "__main__":
    main()
