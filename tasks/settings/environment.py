"""What the Python environment holds in addition to the lock."""

from __future__ import annotations

from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from ..catalog import locks
from ..resources import resource
from .packages import Packages
from .types import Lines, SettingsError


class Environment(Packages):
    """What the Python environment holds in addition to the lock."""

    airflow_requirements: Lines = ()
    """What DAGs need in addition to the lock, as pip requirements: `["pandas==2.2.3"]`."""

    def wanted(self, python: str) -> locks.Wanted:
        """Return what the environment for ``python`` is to hold."""
        release = self.release
        if self.airflow_constraints:
            airflow = f"{release.package}[{','.join(self.extras)}]=={release.version}"
            requirement = "\n".join((airflow, *sorted(self.airflow_requirements)))
            return locks.Wanted(release.seeds, requirement, _content(self.airflow_constraints))
        pins = self._pins(python)
        constraints = locks.render(pins) if self.airflow_requirements else ""
        return locks.Wanted(pins, "\n".join(sorted(self.airflow_requirements)), constraints)

    def contradiction(self, python: str) -> str | None:
        """Return which of the requirements the lock for ``python`` contradicts."""
        if self.airflow_constraints or not self.airflow_requirements:
            return None  # what constraints contradict, pip or uv finds out
        pins = self._pins(python)
        for line in self.airflow_requirements:
            if name := locks.contradicted(line, pins):
                return (
                    f"airflow_requirements has {line}, but the lock of Airflow "
                    f"{self.airflow_version} pins {name} {pins[name]}: allow that, or give another "
                    "airflow_lock"
                )
        return None

    def _pins(self, python: str) -> dict[str, str]:
        path = self.airflow_lock or resource(self.release.lock(python))
        return {**locks.parse(path.read_text(), self.extras), **self.release.seeds}


def _unfit_requirements(environment: Environment) -> str | None:
    for number, line in enumerate(environment.airflow_requirements, start=1):
        if sentence := locks.unusable(line):
            return f"airflow_requirements, line {number}: {sentence}"
    sentences = [environment.contradiction(python) for python in environment.release.pythons]
    return sentences[0] if all(sentences) else None


def _content(address: str) -> str:
    """Read a file or a URL; SettingsError when that fails."""
    try:
        if "://" not in address:
            return Path(address).read_text()
        with urlopen(address, timeout=30) as answer:
            return str(answer.read().decode())
    except (OSError, ValueError, HTTPException) as error:
        why = _why(error)
    raise SettingsError(f"airflow_constraints can't be read: {why}")


def _why(error: Exception) -> str:
    """Return why a file or a URL can't be read, without naming it."""
    if isinstance(error, HTTPError):
        return f"its server answers {error.code}"
    cause = getattr(error, "reason", error)
    return getattr(cause, "strerror", None) or "it is neither a file nor a URL that answers"


CHECKS = (_unfit_requirements,)
