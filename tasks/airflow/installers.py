"""The programs that make and fill Python environments: pip for the old lines, uv for the new.

Variables reach them on standard input: an index's address may hold a login.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyinfra.api import QuoteString, StringCommand

from ..settings import ENVIRONMENT

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""The host's own trust store, so that a company's certificate authority is known."""

_ALWAYS = {
    "PIP_CERT": CERTIFICATES,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_PYTHON_VERSION_WARNING": "1",
    "PIP_NO_INPUT": "1",
    "SSL_CERT_FILE": CERTIFICATES,
    "UV_LINK_MODE": "copy",
    "UV_NO_CONFIG": "1",
    "UV_PYTHON_DOWNLOADS": "never",
}


_FREE = f"$(df -h --output=avail {ENVIRONMENT} | tail -n 1)"
FROM_INDEX = (
    f'|| {{ echo "the packages could not be installed, with {_FREE} free on the disk: if the'
    " package index is out of reach, set python_index_url to a mirror, python_proxy to a proxy,"
    ' or airflow_wheelhouse to a folder of packages" >&2; false; }'
)
"""What stands behind a command that needs the package index."""


ALONE = "exec 9> /run/airflow-python.lock && flock 9 &&"
"""What stands before a command that changes an environment.

What a killed run has started goes on for a while on the host; the next run waits for it.
"""


def with_variables(variables: Mapping[str, str], *words: object) -> StringCommand:
    """Run a command with variables that stand in no argument and no log."""
    exports = "\n".join(f"export {n}={shlex.quote(v)}" for n, v in {**_ALWAYS, **variables}.items())
    return StringCommand(ALONE, 'eval "$(cat)" &&', *words, _stdin=exports)


def pip(path: str, variables: Mapping[str, str], *words: object) -> StringCommand:
    """Call the pip of the environment at ``path``."""
    return with_variables(variables, QuoteString(f"{path}/bin/python"), "-m pip --quiet", *words)


@dataclass(frozen=True)
class Pip:
    """virtualenv and pip, for Pythons that uv does not know."""

    bootstrap: str
    python: str
    seeds: Mapping[str, str]

    def create(self, path: str) -> StringCommand:
        """Create an empty environment."""
        seeds = [f"--{name}={version}" for name, version in self.seeds.items()]
        virtualenv = f"{self.bootstrap}/bin/virtualenv --quiet --no-download"
        return StringCommand(ALONE, virtualenv, "-p", self.python, *seeds, QuoteString(path))

    def install(self, path: str, variables: Mapping[str, str], lock: str) -> StringCommand:
        """Install the pins of the file ``lock`` and nothing else."""
        return pip(path, variables, "install --no-deps -r", QuoteString(lock), FROM_INDEX)

    def resolve(self, path: str, variables: Mapping[str, str], requirements: str) -> StringCommand:
        """Install what the file ``requirements`` asks for, and what that needs."""
        # The last pip for Python 2 looks for conflicts only when it is told to.
        told = self.seeds.get("pip", "").startswith("20.")
        resolver = "--use-feature=2020-resolver" if told else ""
        return pip(
            path, variables, "install", resolver, "-r", QuoteString(requirements), FROM_INDEX
        )

    def freeze(self, path: str) -> StringCommand:
        """Record what is installed."""
        return pip(path, {}, "freeze --all >", QuoteString(f"{path}/.frozen"))

    def uninstall(self, path: str, names: Sequence[str]) -> StringCommand:
        """Remove distributions."""
        return pip(path, {}, "uninstall --yes", *names)


@dataclass(frozen=True)
class Uv:
    """uv, many times faster than pip."""

    bootstrap: str
    python: str
    index: bool = True
    """Whether to ask a package index; uv knows no variable for it."""

    def create(self, path: str) -> StringCommand:
        """Create an empty environment."""
        return self._uv({}, "venv --python", self.python, QuoteString(path))

    def install(self, path: str, variables: Mapping[str, str], lock: str) -> StringCommand:
        """Install the pins of the file ``lock`` and nothing else.

        Compiled at once: the services run as a user who can't write here.
        """
        return self._install(path, variables, "--no-deps", lock)

    def resolve(self, path: str, variables: Mapping[str, str], requirements: str) -> StringCommand:
        """Install what the file ``requirements`` asks for, and what that needs."""
        return self._install(path, variables, "", requirements)

    def freeze(self, path: str) -> StringCommand:
        """Record what is installed."""
        words = ("pip freeze --python", QuoteString(path), ">", QuoteString(f"{path}/.frozen"))
        return self._uv({}, *words)

    def uninstall(self, path: str, names: Sequence[str]) -> StringCommand:
        """Remove distributions."""
        return self._uv({}, "pip uninstall --python", QuoteString(path), *names)

    def _install(
        self, path: str, variables: Mapping[str, str], options: str, requirements: str
    ) -> StringCommand:
        words = ("pip install --compile-bytecode", options, "" if self.index else "--no-index")
        files = ("--python", QuoteString(path), "-r", QuoteString(requirements))
        return self._uv(variables, *words, *files, FROM_INDEX)

    def _uv(self, variables: Mapping[str, str], *words: object) -> StringCommand:
        return with_variables(variables, f"{self.bootstrap}/bin/uv --quiet", *words)
