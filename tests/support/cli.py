"""Run pyinfra as a user does, and read what it says."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.hosts import Host

ROOT = Path(__file__).resolve().parents[2]
PYINFRA = Path(sys.executable).with_name("pyinfra")


@dataclass
class Run:
    """What one call of pyinfra did."""

    code: int
    output: str
    """Everything that it printed."""
    report: dict[str, Any] = field(default_factory=dict)
    """The JSON of --json, where it came to that."""

    @property
    def planned(self) -> list[str]:
        """Names of the operations that a dry run announces, conditional ones included."""
        assert self.code == 0, self.output
        return [
            step["name"]
            for step in self.report["plan"]
            if step["hosts_with_change"] or step["hosts_with_conditional_change"]
        ]

    @property
    def steps(self) -> list[str]:
        """Names of all operations that a dry run lists."""
        return [step["name"] for step in self.report["plan"]]

    @property
    def commands(self) -> int:
        """Count the remote commands of a run with -vv, but for the one that holds the host."""
        assert self.code == 0, self.output
        return sum(">>> " in line for line in self.output.splitlines())

    @property
    def changed(self) -> list[str]:
        """Names of the operations that a run carried out."""
        assert self.code == 0, self.output
        operations = self.report["results"]["operations"]
        return [operation["name"] for operation in operations if operation["success"]]


@dataclass
class Deployment:
    """An inventory, and what a user would set for it on the command line."""

    inventory: str
    data: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)
    deploy: str = "deploy.py"
    cwd: Path = ROOT
    pyinfra: Path = PYINFRA

    def dry(self, **data: Any) -> Run:
        """Plan."""
        return self._call("--dry", "--json", **data)

    def run(self, **data: Any) -> Run:
        """Deploy."""
        return self._call("-y", "--json", **data)

    def show(self, *options: str, **data: Any) -> Run:
        """Call pyinfra with the output that a person reads."""
        return self._call(*options, **data)

    def start(self) -> "subprocess.Popen[str]":
        """Start a deploy, and leave it running."""
        pairs = [f"--data={key}={_text(value)}" for key, value in self.data.items()]
        return subprocess.Popen(
            [str(self.pyinfra), "-y", *pairs, self.inventory, self.deploy],
            cwd=self.cwd,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _call(self, *options: str, **data: Any) -> Run:
        pairs = [f"--data={key}={_text(value)}" for key, value in (self.data | data).items()]
        done = subprocess.run(
            [str(self.pyinfra), *options, *pairs, self.inventory, self.deploy],
            cwd=self.cwd,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        report = json.loads(done.stdout) if "--json" in options and done.stdout else {}
        return Run(done.returncode, done.stdout + done.stderr, report)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def sudo_user(host: Host, password: str | None = None) -> dict[str, Any]:
    """Make a user who may use sudo, as cloud images have one, and give pyinfra's data for it."""
    host.exec(
        "useradd --create-home --shell /bin/bash debian"
        " && cp -r /root/.ssh /home/debian/ && chown -R debian: /home/debian/.ssh"
        f" && echo 'debian ALL=(ALL) {'' if password else 'NOPASSWD:'} ALL' > /etc/sudoers.d/debian"
    )
    if password is None:
        return host.data | {"ssh_user": "debian"}
    host.exec(f"echo 'debian:{password}' | chpasswd")
    return host.data | {"ssh_user": "debian", "_sudo_password": password}


def sudo_users(hosts: dict[str, Host], folder: Path) -> dict[str, str]:
    """Give the data with which pyinfra reaches all of the hosts."""
    data = [sudo_user(host) for host in hosts.values()]
    known = folder / "known_hosts"
    known.write_text("".join(Path(d["ssh_known_hosts_file"]).read_text() for d in data))
    return {
        "ssh_user": "debian",
        "ssh_key": data[0]["ssh_key"],
        "ssh_known_hosts_file": str(known),
        "ssh_strict_host_key_checking": "yes",
    }
