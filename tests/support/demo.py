"""Deploy Airflow to a throwaway host as a user would, and run a DAG there."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.host_image import KEY, say
from tests.support.hosts import Host, Network

ROOT = Path(__file__).resolve().parents[2]
PYINFRA = Path(sys.executable).with_name("pyinfra")
SECRETS = ROOT / "inventories/.secrets"
DISTRIBUTIONS = {
    "3.3.2": "bookworm",
    "2.11.2": "bookworm",
    "1.10.15": "bullseye",
    "1.8.2": "bullseye",
}
DAG = "example_three_tasks"
RUNS_WITHIN = 600


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--release", choices=DISTRIBUTIONS, default="3.3.2")
    parser.add_argument("--name", help="tells several demos apart")
    parser.add_argument("--down", action="store_true", help="remove the demo host")
    arguments = parser.parse_args()
    suffix = f"-{arguments.name}" if arguments.name else ""
    network = Network(f"demo{suffix}")
    network.remove()
    # A name of its own: another inventory's secrets must not be removed.
    secrets = SECRETS / f"demo{suffix}.json"
    secrets.unlink(missing_ok=True)
    if arguments.down:
        say("the demo host is removed")
        return
    network.create()
    host = network.host("demo", distribution=DISTRIBUTIONS[arguments.release])
    deploy(host, arguments.release, secrets)
    run_dag(host, arguments.release)
    password = json.loads(secrets.read_text())["airflow_admin_password"]
    option = f" --name {arguments.name}" if arguments.name else ""
    print(f"""
Airflow {arguments.release} has run the DAG {DAG}.

  web UI    http://{host.address}:8080
  login     admin
  password  {password}
  remove    scripts/demo{option} --down
""")


def deploy(host: Host, release: str, secrets: Path) -> None:
    """Run pyinfra with the demo's inventory."""
    say(f"deploying Airflow {release} to {host.address}")
    environment = {
        "DEMO_ADDRESS": host.address,
        "DEMO_KEY": str(KEY),
        "DEMO_RELEASE": release,
    }
    data = f"--data=airflow_secrets_file={secrets}"
    deployment = subprocess.run(
        [PYINFRA, "-y", data, "inventories/demo.py", "deploy.py"],
        cwd=ROOT,
        env=os.environ | environment,
    )
    if deployment.returncode:
        sys.exit("the deployment has failed; 'scripts/demo --down' removes the host")


def run_dag(host: Host, release: str) -> None:
    """Trigger the example DAG and wait until its run has succeeded."""
    deadline = time.monotonic() + RUNS_WITHIN
    say(f"waiting until the scheduler knows {DAG}")
    wait_for(deadline, lambda: query(host, f"select 1 from dag where dag_id = '{DAG}'") == "1")
    say(f"triggering {DAG}")
    unpause, trigger = ("unpause", "trigger_dag")
    if not release.startswith("1."):
        unpause, trigger = ("dags unpause", "dags trigger")
    host.ssh(f"airflow {unpause} {DAG} && airflow {trigger} {DAG}")
    wait_for(deadline, lambda: has_succeeded(host))


def has_succeeded(host: Host) -> bool:
    run = f"select state from dag_run where dag_id = '{DAG}' order by id desc limit 1"
    tasks = f"select task_id, state from task_instance where dag_id = '{DAG}' order by 1"
    state = query(host, run)
    say(f"{DAG} is {state or 'not started'}: {', '.join(query(host, tasks).splitlines())}")
    if state == "failed":
        sys.exit(f"{DAG} has failed; 'scripts/demo --down' removes the host")
    return state == "success"


def wait_for(deadline: float, condition: Callable[[], bool]) -> None:
    """Wait until the condition holds, or exit at the deadline."""
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"{DAG} has not run within {RUNS_WITHIN} s")
        time.sleep(5)


def query(host: Host, sql: str) -> str:
    """Return what Airflow's database on the host answers."""
    command = "cd / && sudo -u postgres psql airflow -At -F ' '"
    return host.ssh(command, input=sql).stdout.strip()


if __name__ == "__main__":
    main()
