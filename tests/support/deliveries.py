"""Bring DAGs, plugins and their repository to a host, as a user who changes them does."""

import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.cli import ROOT, Deployment, Run
from tests.support.hosts import Host
from tests.support.rest import Airflow
from tests.support.waiting import until

HOME = "/var/lib/airflow"
MANY = 2000
DELIVER = "DAGs | Deliver "
BROKEN = "from airflow import DAG\n\n\ndef nothing():\n    import no_such_module\n\n\nnothing()\n"
WHY = "No module named '?no_such_module"
PLUGIN = """
from airflow.plugins_manager import AirflowPlugin

class Delivered(AirflowPlugin):
    name = "delivered_by_{}"
"""
USES_PLUGIN = """
from datetime import datetime
from airflow import DAG
from delivered import Delivered

dag = DAG("uses_plugin", start_date=datetime(2024, 1, 1), schedule=None, description=Delivered.name)
"""
DAG_OF_REPOSITORY = """
from datetime import datetime
from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator
from words import SAID

dag = DAG("of_repository", start_date=datetime(2024, 1, 1), schedule=None)
BashOperator(task_id="say", bash_command="echo {} " + SAID, dag=dag)
"""
# A server of git on the host itself: a bare repository of a user who gets in by one key.
SERVER = """
set -e
apt-get install -y -qq git >/dev/null 2>&1
useradd --create-home --shell /usr/bin/git-shell git
runuser -u git -- git init -q --bare /home/git/dags.git
runuser -u git -- git -C /home/git/dags.git symbolic-ref HEAD refs/heads/main
ssh-keygen -q -t ed25519 -N '' -f /root/deploy-key
install -d -m 700 -o git /home/git/.ssh
install -m 600 -o git /root/deploy-key.pub /home/git/.ssh/authorized_keys
git config --global safe.directory '*'
git config --global user.email somebody@example.com
git config --global user.name Somebody
git clone -q /home/git/dags.git /root/work 2>/dev/null
cd /root/work && git checkout -q -b main
"""
COMMIT = """
set -e
cd /root/work && mkdir -p team && cat > team/of_repository.py
echo 'SAID = "by the words"' > team/words.py
git add -A && git commit -q --allow-empty -m change && git push -q origin HEAD 2>/dev/null
git rev-parse HEAD
"""


def folder_with(deployment: Deployment, path: Path) -> tuple[Path, Deployment]:
    """Copy the folder of DAGs, to change it."""
    folder = shutil.copytree(ROOT / "files/dags", path / "dags")
    return folder, replace(deployment, data={**deployment.data, "airflow_dags": str(folder)})


def check_many_files(deployment: Deployment, host: Host, path: Path) -> None:
    """One changed file and thousands of new ones: as many commands, private, and gone again."""
    folder, deployment = folder_with(deployment, path)
    (folder / "one.txt").write_text("one")
    one = deployment.show("-y", "-vv").commands
    for number in range(MANY):
        file = folder / f"part{number % 20}" / f"module {number}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"NUMBER = {number}\n" * 100)
    plan = deployment.dry()
    begin = time.monotonic()
    run = deployment.show("-y", "-vv")
    print(f"{MANY} files took {time.monotonic() - begin:.1f} s")
    assert plan.planned == [f"{DELIVER}{folder}"]
    assert (run.commands, _modes(host, "f")) == (one, [f"{MANY} 640 root:airflow"])
    assert _modes(host, "d") == ["20 755 root:airflow"]
    assert host.ssh(f"cat '{HOME}/dags/part3/module 3.py'").stdout == "NUMBER = 3\n" * 100
    assert deployment.dry().planned == []
    (folder / "part3/module 3.py").write_text("NUMBER = 4\n")
    shown = deployment.show("--dry", "--diff").output
    assert "Will modify" in shown
    assert re.search(r"^ +-NUMBER = 3$(?s:.*)^ +\+NUMBER = 4$", shown, re.MULTILINE)
    host.ssh(f"echo mine > {HOME}/dags/part3/mine.txt")
    for part in folder.glob("part*"):
        shutil.rmtree(part)
    (folder / "one.txt").unlink()
    gone = deployment.show("-y", "-vv")
    assert gone.commands == one
    assert _modes(host, "f") == []
    assert host.ssh(f"cat {HOME}/dags/part3/mine.txt; rm -r {HOME}/dags/part*").stdout == "mine\n"
    assert host.ssh(f"ls -d {HOME}/dags.*").stdout == f"{HOME}/dags.delivered\n"


def _modes(host: Host, kind: str) -> list[str]:
    find = f"find {HOME}/dags/part* ! -name mine.txt -type {kind} -printf '%m %u:%g\\n'"
    lines = host.ssh(f"{find} 2>/dev/null | sort | uniq -c").stdout.splitlines()
    return [line.strip() for line in lines]


def check_broken_files(deployment: Deployment, host: Host, path: Path) -> None:
    """A file that does not import is refused with its traceback, or told and delivered."""
    folder, deployment = folder_with(deployment, path)
    file = folder / "example_three_tasks.py"
    whole = file.read_text()
    (folder / "new.txt").write_text("new")
    file.write_text(BROKEN)
    refused = deployment.show("-y", airflow_dags_check="refuse")
    assert refused.code != 0
    _has_traceback(refused)
    assert "DAG files don't import, so none was replaced" in refused.output
    on_host = f"cat {HOME}/dags/example_three_tasks.py"
    assert host.ssh(on_host).stdout == whole
    listed = host.ssh(f"ls -d {HOME}/dags.* {HOME}/dags/new.txt", check=False).stdout
    assert listed == f"{HOME}/dags.delivered\n"

    told = deployment.show("-y")
    assert told.code == 0, told.output
    _has_traceback(told)
    assert host.ssh(on_host).stdout == BROKEN
    assert "does not import" not in deployment.show("-y").output  # nothing has changed

    file.write_text(whole)
    (folder / "new.txt").unlink()
    mended = deployment.run(airflow_dags_check="refuse")
    assert mended.changed == ["DAGs | Import the new DAG files", f"{DELIVER}{folder}"]
    assert deployment.dry(airflow_dags_check="refuse").planned == []
    assert host.ssh(on_host).stdout == whole


def _has_traceback(run: Run) -> None:
    assert f"{HOME}/dags/example_three_tasks.py does not import" in run.output
    said = run.output.partition("does not import")[2]
    assert "Traceback" in said
    assert re.search(r'dags/example_three_tasks.py", line 8', said)
    assert re.search(WHY, said)


def check_plugins(deployment: Deployment, host: Host, path: Path) -> None:
    """A changed plugin restarts the processes that have read the old one, and DAGs import it."""
    folder, changed = folder_with(deployment, path)
    (path / "plugins").mkdir()
    file = path / "plugins/delivered.py"
    data = {"airflow_plugins": str(file.parent), "airflow_dags_check": "refuse"}
    changed = replace(changed, data={**changed.data, **data})
    file.write_text(PLUGIN.format("us"))
    (folder / "uses_plugin.py").write_text(USES_PLUGIN)
    plan, run = changed.dry(), changed.run()
    assert plan.planned == run.changed
    assert plan.planned[:4] == [
        "DAGs | Import the new DAG files",
        f"{DELIVER}{file.parent}",
        f"{DELIVER}{folder}",
        "Services | Run airflow-api-server.service",
    ]
    assert changed.dry().planned == []
    assert "delivered_by_us" in host.ssh("airflow plugins").stdout

    file.write_text("")
    refused = changed.show("-y")
    assert refused.code != 0
    assert f"{HOME}/dags/uses_plugin.py does not import" in refused.output
    assert "cannot import name 'Delivered' from 'delivered'" in refused.output
    assert "delivered_by_us" in host.ssh(f"cat {HOME}/plugins/delivered.py").stdout
    assert host.ssh(f"ls {HOME}").stdout.count(".check") == 0
    host.ssh(f"rm {HOME}/plugins/delivered.py")
    deployment.run()


def check_repository(deployment: Deployment, host: Host, airflow: Airflow) -> None:
    """A private repository by ssh: first by deploys, then by its timer, then no more."""
    host.ssh(SERVER)
    first = _commit(host, "first")
    data: dict[str, Any] = {
        "airflow_dags_repository": "git@127.0.0.1:dags.git",
        "airflow_dags_subfolder": "team",
        "airflow_dags_deploy_key": host.ssh("cat /root/deploy-key").stdout,
        "airflow_dags_known_hosts": host.ssh("ssh-keyscan 127.0.0.1 2>/dev/null").stdout,
    }
    deployment = replace(deployment, data={**deployment.data, **data})
    moved = ["DAGs | Check out git@127.0.0.1:dags.git", "DAGs | Switch to the commit"]
    plan, run = deployment.dry(), deployment.run()
    assert plan.planned == run.changed
    assert [step for step in plan.planned if step.startswith("DAGs | ")][-2:] == moved
    host.ssh("rm /var/lib/airflow-dags/git/key")
    shown = deployment.show("-y", "-vvv", "--diff")
    assert shown.code == 0, shown.output
    assert data["airflow_dags_deploy_key"].splitlines()[1] not in shown.output
    assert _used(host) == first
    assert host.ssh("stat -L -c %a:%U /var/lib/airflow-dags/git/key").stdout == "600:airflow-dags\n"
    _tasks_can_not_write(host)
    name, state = airflow.run("of_repository")
    assert state == "success"
    assert "first by the words" in airflow.log("of_repository", name, "say")

    second = _commit(host, "second")
    plan, done = deployment.dry(), deployment.run()
    assert (plan.planned, done.changed, _used(host)) == (moved, moved, second)
    host.ssh("echo >> /var/lib/airflow-dags/checkouts/current/team/words.py")
    assert deployment.run().changed == moved[:1]
    unit = "DAGs | Write /etc/systemd/system/airflow-dags.service"
    assert deployment.dry(airflow_dags_revision=first).planned == [unit, *moved]

    _commit(host, None)
    refused = deployment.show("-y", airflow_dags_check="refuse")
    assert refused.code != 0
    assert re.search(r'dags/repository/of_repository.py", line 8', refused.output)
    assert _used(host) == second
    unknown = deployment.show("-y", airflow_dags_revision="no-such-branch")
    assert "dags.git has no branch or tag no-such-branch" in unknown.output

    third = _commit(host, "third")
    every = {"airflow_dags_interval": 2}
    timed = deployment.run(**every)
    assert "DAGs | Run airflow-dags.timer" in timed.changed
    assert (_used(host), deployment.dry(**every).planned) == (third, [])
    fourth = _commit(host, "fourth")
    until(lambda: _used(host) == fourth, 30, "the fourth commit")
    host.ssh("mv /home/git/dags.git /home/git/away.git")
    until(lambda: "unit=airflow-dags" in _reports(host), 30, "a report of the timer's failure")
    host.ssh("mv /home/git/away.git /home/git/dags.git")
    assert host.ssh("systemd-analyze verify /etc/systemd/system/airflow-dags.*").stderr == ""


def check_no_repository(deployment: Deployment, host: Host) -> None:
    """What an inventory does not ask for any more is gone."""
    plan, run = deployment.dry(), deployment.run()
    assert plan.planned == run.changed
    assert "Services | Remove the clone of the DAGs" in plan.planned
    left = host.ssh(
        "ls -d /var/lib/airflow-dags /var/lib/airflow/dags/repository /opt/airflow/bin/dags-*"
        " /etc/systemd/system/airflow-dags* 2>/dev/null; getent passwd airflow-dags",
        check=False,
    )
    assert left.stdout == ""
    assert deployment.dry().planned == []


def _commit(host: Host, word: str | None) -> str:
    text = BROKEN if word is None else DAG_OF_REPOSITORY.format(word)
    return host.ssh(COMMIT, input=text).stdout.strip()


def _used(host: Host) -> str:
    return host.ssh(f"git -C {HOME}/dags/repository rev-parse HEAD").stdout.strip()


def _reports(host: Host) -> str:
    return host.ssh("journalctl -t airflow-report").stdout


def _tasks_can_not_write(host: Host) -> None:
    """What a task may do, as its user, with the files of a commit and the key."""
    as_task = "setpriv --reuid airflow --regid airflow --init-groups"
    folder = f"{HOME}/dags/repository"
    assert "SAID" in host.ssh(f"{as_task} cat {folder}/words.py").stdout
    for attempt in (f"sh -c 'echo >> {folder}/words.py'", f"touch {folder}/new.py",
                    "cat /var/lib/airflow-dags/git/key"):  # fmt: skip
        assert host.ssh(f"{as_task} {attempt}", check=False).returncode != 0
    world = host.ssh(f"setpriv --reuid nobody --clear-groups cat {folder}/words.py", check=False)
    assert world.returncode != 0
