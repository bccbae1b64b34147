"""Measure what pyinfra's everyday runs cost, beside Ansible's on the same hosts."""

import argparse
import base64
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from tests.support.far import Line, far, known_hosts
from tests.support.host_image import KEY, say
from tests.support.hosts import Host, Network

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
EVERY = 0.25
"""Seconds between two looks at the memory."""
DELAY = 0.05
"""Seconds of a round trip to a host that is far away."""
UNITS = "/etc/systemd/system"
QUESTIONS = {
    "airflow-api-server": [
        "web", "http://127.0.0.1:8080/api/v2/monitor/health", "http://127.0.0.1:8080/execution/health",
    ],
    "airflow-scheduler": ["heartbeat", "SchedulerJob", "/run/airflow-scheduler/started"],
    "airflow-triggerer": ["heartbeat", "TriggererJob", "/run/airflow-triggerer/started"],
    "airflow-dag-processor": ["heartbeat", "DagProcessorJob", "/run/airflow-dag-processor/started"],
    "airflow-worker": ["worker", "default"],
}  # fmt: skip
"""Unit -> what its health is known by."""
FILES = (
    "/etc/hosts /etc/airflow/* /var/lib/airflow/airflow.cfg /opt/airflow/lib/*.py"
    " /opt/airflow/bin/* /usr/local/bin/airflow"
)
FIREWALL = f"/etc/airflow-firewall.nft {UNITS}/airflow-firewall.service"
SERVERS = (
    "/etc/postgresql/15/main/conf.d/50-airflow.conf",
    "/etc/postgresql/15/main/pg_hba.conf",
    "/etc/rabbitmq/rabbitmq.conf",
    "/etc/rabbitmq/rabbitmq-env.conf",
    f"{UNITS}/epmd.socket.d/loopback.conf",
)
FOLDERS = (
    "/var/lib/airflow", "/var/lib/airflow/dags", "/var/lib/airflow/plugins", "/var/log/airflow",
    "/opt/airflow", "/opt/airflow/bin", "/opt/airflow/lib", "/etc/airflow",
)  # fmt: skip
HEAD = """\
| hosts | run | commands per host | Ansible | CPU s | Ansible | ratio | wall s | Ansible | ratio | MiB | Ansible | ratio |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""  # noqa: E501
ANSIBLE = """
[defaults]
host_key_checking = True
inventory = inventory.json
forks = {hosts}
[ssh_connection]
pipelining = True
ssh_args = -o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile={known_hosts}
"""


@dataclass(frozen=True)
class Cost:
    """What one run cost the controller."""

    cpu: float
    """Seconds, of its children too."""
    wall: float
    """Seconds."""
    memory: float
    """MiB at most, shared pages counted once."""
    output: str


@dataclass(frozen=True)
class Tool:
    """pyinfra or Ansible, with the hosts that it is given."""

    command: list[str]
    environment: dict[str, str]
    folder: Path

    def run(self, *options: str) -> Cost:
        """Run it to its end, and say what that cost."""
        with tempfile.TemporaryFile("w+") as output:
            started = time.monotonic()
            process = subprocess.Popen(
                [*self.command, *options],
                cwd=self.folder,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            memory = max(_memory(psutil.Process(process.pid)))
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - started
            output.seek(0)
            said = output.read()
        if status:
            sys.exit(f"{said}\n{self.command[0]} has failed")
        return Cost(usage.ru_utime + usage.ru_stime, wall, memory, said)


def far_away(ours: Tool, theirs: Tool, line: Line, host: Host) -> tuple[Tool, Tool]:
    """Give both tools for the same host at the other end of a line."""
    folder = theirs.folder / "far"
    folder.mkdir()
    known = folder / "known_hosts"
    known.write_text(known_hosts(host, line))
    inventory = json.loads((theirs.folder / "inventory.json").read_text())
    inventory["all"]["hosts"]["host1"] |= {"ansible_host": "127.0.0.1", "ansible_port": line.port}
    (folder / "inventory.json").write_text(json.dumps(inventory))
    (folder / "ansible.cfg").write_text(ANSIBLE.format(hosts=1, known_hosts=known))
    environment = {"BENCHMARK_PORT": str(line.port), "BENCHMARK_KNOWN_HOSTS": str(known)}
    return (
        replace(ours, environment=ours.environment | environment),
        replace(theirs, folder=folder),
    )


def _memory(process: psutil.Process) -> Iterator[float]:
    """Look at the memory of a process and its children until it ends."""
    yield 0
    while process.status() != psutil.STATUS_ZOMBIE:
        try:
            family = [process, *process.children(recursive=True)]
            yield sum(member.memory_full_info().pss for member in family) / 2**20
        except psutil.Error:
            continue
        time.sleep(EVERY)


def pyinfra(hosts: list[Host], folder: Path) -> Tool:
    """Give pyinfra for the hosts."""
    known = folder / "known_hosts"
    known.write_text("".join(host.known_hosts.read_text() for host in hosts))
    environment = {
        "BENCHMARK_HOSTS": ",".join(host.address for host in hosts),
        "BENCHMARK_KEY": str(KEY),
        "BENCHMARK_KNOWN_HOSTS": str(known),
        "BENCHMARK_SECRETS": str(folder / "secrets.json"),
    }
    command = [str(BIN / "pyinfra"), "benchmarks/inventory.py", "deploy.py"]
    return Tool(command, environment, ROOT)


def ansible(hosts: list[Host], folder: Path) -> Tool:
    """Give Ansible for the hosts, with a copy of what pyinfra has made of them."""
    every = {
        f"host{number}": _variables(host, folder / f"host{number}", number == 1, len(hosts) > 1)
        for number, host in enumerate(hosts, start=1)
    }
    inventory = {"all": {"hosts": every, "children": {"first": {"hosts": {"host1": {}}}}}}
    (folder / "inventory.json").write_text(json.dumps(inventory))
    known = folder / "known_hosts"
    (folder / "ansible.cfg").write_text(ANSIBLE.format(hosts=len(hosts), known_hosts=known))
    command = [str(BIN / "ansible-playbook"), str(ROOT / "benchmarks/playbook.yml")]
    return Tool(command, {"ANSIBLE_NOCOLOR": "1"}, folder)


def _variables(host: Host, folder: Path, first: bool, firewall: bool) -> dict[str, Any]:
    """Give a host's variables, and copy its files to ``folder``."""
    units = list(QUESTIONS) if first else ["airflow-worker"]
    files = host.exec(f"ls -d {FILES} {FIREWALL if firewall else ''}").stdout.split()
    _copy(host, [*files, *(f"{UNITS}/{unit}.service" for unit in units)], folder)
    dags = host.exec("ls -d /var/lib/airflow/dags/*.py").stdout.split()
    _copy(host, [*dags, *(SERVERS if first else ())], folder)
    frozen = host.exec("/opt/airflow/bootstrap/bin/uv pip freeze -q --python /opt/airflow/current")
    return {
        "ansible_host": host.address,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(KEY),
        "ansible_python_interpreter": "/usr/bin/python3",
        "files_of": str(folder),
        "frozen_before": frozen.stdout.strip(),
        "folders": _entries(host, FOLDERS),
        "files": _entries(host, files),
        "dags": _entries(host, dags),
        "units": units,
        "firewall": firewall,
        "questions": [json.dumps(QUESTIONS[unit]) for unit in units],
    }


def _copy(host: Host, paths: Iterable[str], folder: Path) -> None:
    packed = host.exec(f"tar -C / -c {' '.join(path[1:] for path in paths)} | base64").stdout
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed))) as archive:
        archive.extractall(folder, filter="data")


def _entries(host: Host, paths: Iterable[str]) -> list[dict[str, str]]:
    listed = host.exec(f"stat -c '%n %U %G 0%a' {' '.join(paths)}").stdout.splitlines()
    return [
        dict(zip(("path", "owner", "group", "mode"), line.split(), strict=True)) for line in listed
    ]


def commands(ours: Tool, theirs: Tool, hosts: int) -> list[int]:
    """Count both tools' remote commands for each host, in runs that have to change nothing."""
    mine = ours.run("-y", "-vv").output
    other = theirs.run("--diff", "-vvvv").output
    recap = other.partition("PLAY RECAP")[2]
    if recap.count("changed=0 ") != recap.count("changed="):
        sys.exit(f"{other}\nthe playbook changes what pyinfra has made")
    sent, executed = (
        round(sum(sign in line for line in said.splitlines()) / hosts)
        for said, sign in ((mine, ">>> "), (other, "SSH: EXEC"))
    )
    return [sent + 1, executed]  # the lock's is not shown


def measure(hosts: list[Host], folder: Path, repeat: int) -> Iterator[str]:
    """Give the rows of the table for these hosts."""
    ours = pyinfra(hosts, folder)
    say(f"{len(hosts)} hosts: deploying")
    ours.run("-y")
    theirs = ansible(hosts, folder)
    say(f"{len(hosts)} hosts: counting commands")
    sent = commands(ours, theirs, len(hosts))
    yield row([len(hosts), "plan", "", ""], repeat, ours, ["--dry"], theirs, ["--check"])
    yield row([len(hosts), "no change", *sent], repeat, ours, ["-y"], theirs, [])
    if len(hosts) == 1:
        with far(hosts[0], DELAY) as line:
            there = far_away(ours, theirs, line, hosts[0])
            cells = [1, f"no change, {DELAY * 1000:.0f} ms of round trip", "", ""]
            yield row(cells, repeat, there[0], ["-y"], there[1], [])
    # Ansible changes back what pyinfra has changed: its files are those of before.
    changed = ["-y", "--data", "airflow_worker_concurrency=3"]
    yield row([len(hosts), "one setting", "", ""], 1, ours, changed, theirs, [])


def row(
    cells: list[object], repeat: int, ours: Tool, our: list[str], theirs: Tool, their: list[str]
) -> str:
    """Measure one thing with both tools, and write its row with these cells before."""
    say(f"{cells[0]} hosts: {cells[1]}")
    costs = [(ours.run(*our), theirs.run(*their)) for _ in range(repeat)]
    for quantity in ("cpu", "wall", "memory"):
        mine, other = (
            statistics.median(getattr(pair[number], quantity) for pair in costs)
            for number in (0, 1)
        )
        digits = 0 if quantity == "memory" else 1
        cells += [f"{mine:.{digits}f}", f"{other:.{digits}f}", f"{other / mine:.1f}"]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Print the table that the command line asks for."""
    parser = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__)
    parser.add_argument("--hosts", default="1,4,8,16", help="how many, with commas between")
    parser.add_argument("--repeat", type=int, default=3, help="the median of so many is shown")
    given = parser.parse_args()
    wanted = [int(number) for number in given.hosts.split(",")]
    with Network("benchmark") as network, tempfile.TemporaryDirectory() as folder:
        print(HEAD, flush=True)
        hosts: list[Host] = []
        for number in wanted:
            while len(hosts) < number:
                hosts.append(network.host(f"host{len(hosts) + 1}", distribution="bookworm"))
            for line in measure(hosts, Path(folder), given.repeat):
                print(line, flush=True)


if __name__ == "__main__":
    main()
