"""Files of somebody else's are kept, and no diff shows a secret."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tasks.host.files import REPLACED
from tests.support.cli import Deployment, sudo_user
from tests.support.hosts import Host, Network

pytestmark = pytest.mark.docker

INVENTORY = "hosts = [{name!r}]\npostgresql = rabbitmq = scheduler = worker = webserver = hosts\n"

DEPLOY = """
from tasks import deploy_airflow, deploy_postgresql, deploy_rabbitmq, deploy_system

deploy_system()
deploy_postgresql()
deploy_rabbitmq()
deploy_airflow()
"""

BROKER = "/etc/rabbitmq/rabbitmq.conf"

CFG = "/var/lib/airflow/airflow.cfg"

COMMAND = "/usr/local/bin/airflow"

FOREIGN = f"""
set -e
mkdir -p /etc/rabbitmq /var/lib/airflow
echo 'default_pass = s3cret-broker' > {BROKER}
cat > {CFG} <<'END'
[core]
fernet_key = s3cret-fernet
sql_alchemy_conn = postgresql://me:s3cret-database@localhost/mine
END
echo '#!s3cret-script' > /root/script
ln -s /root/script {COMMAND}
"""


@dataclass
class Stack:
    """A host with somebody's files, and the deployment to it."""

    host: Host
    deployment: Deployment

    def kept(self) -> dict[str, str]:
        """Return what was kept: path -> text."""
        listed = self.host.ssh(f"cd {REPLACED} 2>/dev/null && find . -type f", check=False).stdout
        texts = {name: self.host.ssh(f"cat {REPLACED}/{name}").stdout for name in listed.split()}
        return {"/" + name.split("/", 2)[2]: text for name, text in texts.items()}


@pytest.fixture(scope="module")
def stack(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    host = network.host("files", distribution="bookworm")
    host.ssh("bash", input=FOREIGN)
    folder = tmp_path_factory.mktemp("files")
    (folder / "flow.py").write_text(INVENTORY.format(name=host.address))
    (folder / "deploy.py").write_text(DEPLOY)
    data: dict[str, Any] = {**sudo_user(host), "_sudo": True, "airflow_version": "2.11.2"}
    data["airflow_adopt"] = True
    deployment = Deployment(str(folder / "flow.py"), data, deploy=str(folder / "deploy.py"))
    yield Stack(host, deployment)
    network.drop(host)


def test_foreign_files_are_kept_and_not_shown(stack: Stack) -> None:
    plan = stack.deployment.show("--dry", "--diff").output
    assert stack.kept() == {}
    run = stack.deployment.show("-y", "--diff", "-vvv")
    assert run.code == 0, run.output
    for path in (BROKER, CFG, COMMAND):
        assert f"would keep the current {path} in {REPLACED}/" in plan
        assert f"kept the previous {path} in {REPLACED}/" in run.output
        assert f"{path}: replaces a file that this package did not write" in plan
    assert "s3cret" not in plan + run.output
    kept = stack.kept()
    assert kept[BROKER] == "default_pass = s3cret-broker\n"
    assert "fernet_key = s3cret-fernet" in kept[CFG]
    assert kept[COMMAND] == "#!s3cret-script\n"
    assert "local   all             postgres" in kept["/etc/postgresql/15/main/pg_hba.conf"]
    assert stack.host.ssh("cat /root/script").stdout == "#!s3cret-script\n"
    modes = stack.host.ssh(f"find {REPLACED} -printf '%u:%g %m %y\\n' | sort -u").stdout
    assert modes == "root:root 600 f\nroot:root 700 d\n"


def test_files_of_ours_are_neither_kept_nor_told_with_their_secrets(stack: Stack) -> None:
    before = stack.kept()
    assert stack.deployment.dry().planned == []
    stack.host.ssh(
        f"echo 'password = s3cret-a' >> {BROKER};"
        f" echo 'x = amqp://me:s3cret-b@h/x' >> {CFG};"
        " sed -i 's/^FLOWER_BASIC_AUTH=.*/OTHER=\"s3cret-c\"/' /etc/airflow/secrets.env"
    )
    for options in (("--dry", "--diff", "-vvv"), ("-y", "--diff", "-vvv")):
        shown = stack.deployment.show(*options).output
        assert "s3cret" not in shown
        assert "- password = ***" in shown
        assert "- x = amqp://***@h/x" in shown
        assert "/etc/airflow/secrets.env: adds FLOWER_BASIC_AUTH; removes OTHER" in shown
    assert stack.kept() == before
    assert stack.deployment.dry().planned == []


def test_a_full_disk_is_told_and_nothing_is_overwritten(stack: Stack) -> None:
    theirs = "# mine\n" * 20_000
    stack.host.ssh(f"cat > {BROKER}", input=theirs)
    stack.host.ssh(f"mount -t tmpfs -o size=32k,mode=700 full {REPLACED}")
    run = stack.deployment.show("-y")
    assert run.code != 0
    assert "No space left on device" in run.output
    assert f"kept the previous {BROKER}" not in run.output
    assert stack.host.ssh(f"cat {BROKER}").stdout == theirs
    stack.host.ssh(f"umount {REPLACED}")
    assert stack.deployment.run().changed
    assert theirs in stack.host.ssh(f"cat {REPLACED}/*{BROKER}").stdout


def test_a_folder_in_the_place_of_a_file_is_refused(stack: Stack) -> None:
    stack.host.ssh(f"mv {BROKER} {BROKER}.away && mkdir {BROKER}")
    for options in ("--dry", "-y"):
        refused = stack.deployment.show(options)
        assert refused.code != 0
        assert f"{BROKER} is a folder, but must be a file: move it away" in refused.output
    stack.host.ssh(f"rmdir {BROKER} && mv {BROKER}.away {BROKER}")


def test_what_exists_is_changed_and_the_plan_says_how(stack: Stack) -> None:
    psql = "cd / && runuser -u postgres -- psql -q"
    stack.host.ssh(
        psql,
        input="ALTER ROLE airflow SUPERUSER CREATEDB; ALTER DATABASE airflow OWNER TO postgres",
    )
    stack.host.ssh("rabbitmqctl -q set_user_tags airflow administrator </dev/null")
    stack.host.ssh("rabbitmqctl -q change_password airflow other </dev/null")
    said = stack.deployment.show("--dry").output
    assert "role airflow: loses SUPERUSER, CREATEDB\n" in said
    assert "database airflow: owner: postgres -> airflow\n" in said
    assert "broker user airflow: password; loses the tags administrator\n" in said
    plan, run = stack.deployment.dry(), stack.deployment.run()
    steps = [
        "PostgreSQL | Change the role airflow",
        "PostgreSQL | Change the database airflow",
        "RabbitMQ | Change the user airflow with its virtual host",
    ]
    assert (plan.planned, run.changed) == (steps, steps)
    stack.host.ssh(psql, input="ALTER DATABASE airflow RENAME TO other")
    steps = ["PostgreSQL | Create the database airflow"]
    plan, run = stack.deployment.dry(), stack.deployment.run()
    assert (plan.planned, run.changed) == (steps, steps)
