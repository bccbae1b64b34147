"""Call the deploy that verifies, and read its table."""

import re
from dataclasses import dataclass, replace

from tests.support.cli import Deployment, Run


@dataclass(frozen=True)
class Verified:
    """What it said."""

    run: Run

    @property
    def rows(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Give (check, host) -> (ok, FAIL or note, what was seen)."""
        pattern = r"^ +(ok|FAIL|note) +(\S.*?)  +(\S+) +(.*)$"
        found = re.findall(pattern, self.run.output, re.MULTILINE)
        return {(check, host): (mark, saw) for mark, check, host, saw in found}

    @property
    def wrong(self) -> set[str]:
        """Name the checks that do not hold; the exit code has to say so too."""
        wrong = {check for (check, _), (mark, _) in self.rows.items() if mark == "FAIL"}
        assert self.rows, self.run.output
        assert (self.run.code != 0) == bool(wrong), self.run.output
        return wrong


def verify(deployment: Deployment) -> Verified:
    """Verify as a user does."""
    return Verified(replace(deployment, deploy="tasks.deploy_verify").show("-y"))
