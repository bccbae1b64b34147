"""Files of somebody else's are kept, and no diff shows a secret."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.airflow import configuration, reports, repository, services, tools
from tasks.host import masks
from tasks.host.files import REPLACED, File, foreign
from tasks.host.found import MARK, Found, Paths, VariableDigests
from tasks.resources import template
from tasks.servers import monitoring, pgbouncer, rabbitmq, redis
from tasks.servers.postgresql import RIGHTS, rights_changed
from tests.support import made_up
from tests.support.cli import Deployment, sudo_user
from tests.support.hosts import Host, Network

FOUND = Found("root", "root", "644", sha256="x")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("fernet_key = abc", "fernet_key = ***"),
        ("AIRFLOW__CORE__FERNET_KEY=\"a b\"", "AIRFLOW__CORE__FERNET_KEY=***"),
        ("default_pass = it's mine", "default_pass = ***"),
        ("smtp_passwd: x", "smtp_passwd: ***"),
        ('{"token": "a\\"b", "user": "c"}', '{"token": ***, "user": "c"}'),
        ('{"kwargs": {"a": "b"}, "c": 1}', '{"kwargs": ***'),
        ("conn = postgresql+psycopg2://me:p@ss@db/x", "conn = postgresql+psycopg2://***@db/x"),
        ("//nas /mnt cifs username=a,password=b 0 0", "//nas /mnt cifs username=a,password=***"),
        ("dsn = x", "dsn = ***"),
        ("ssl_key = /etc/ssl/mine.key", "ssl_key = /etc/ssl/mine.key"),
        ("ssl_key_file = key.pem", "ssl_key_file = key.pem"),
        ("password_encryption = 'scram-sha-256'", "password_encryption = 'scram-sha-256'"),
        ("url = http://db:8080/x", "url = http://db:8080/x"),
        ("monkey business", "monkey business"),
        ("plain = the given value", "plain = the *** value"),
    ],
)  # fmt: skip
def test_a_diff_masks_what_its_name_or_its_place_tells(line: str, shown: str) -> None:
    assert masks.masked(line, ["given", "x"]) == [shown]


def test_lines_below_the_name_of_a_secret_are_masked() -> None:
    text = "fernet_key =\n    one\n    two\nplain = 3\nsecret_key = a\n  b\n[next]\n"
    shown = ["fernet_key =", "    ***", "    ***", "plain = 3", "secret_key = ***", "  ***"]
    assert masks.masked(text) == [*shown, "[next]"]


def test_the_variables_of_a_secret_file_are_compared_by_digests(tmp_path: Path) -> None:
    have, wanted = 'SAME="1"\nKEY="old\nBASE64=x"\nGONE="3"', 'SAME="1"\nKEY="new"\nMORE="4"\n'
    path = tmp_path / "secrets.env"
    path.write_text(f"{have}\nnot='a variable of ours'\n")
    found = _asked(VariableDigests().command(str(path)).get_raw_value(), "salt\n")
    assert not any(secret in found for secret in ("old", "BASE64", "variable"))
    digests = VariableDigests().process(found.splitlines())
    assert digests["SAME"] == masks.salted("salt", 'SAME="1"')
    ours = {name: masks.salted("salt", text) for name, text in masks.variables(wanted).items()}
    said = "changes KEY; adds MORE; removes GONE"
    assert masks.difference(digests, ours) == said
    assert _asked(VariableDigests().command(str(tmp_path / "none")).get_raw_value(), "s\n") == ""


def test_a_host_says_which_files_have_our_mark(tmp_path: Path) -> None:
    (tmp_path / "ours").write_text("# Managed by pyinfra-airflow.\n")
    (tmp_path / "theirs").write_text("# of the host pyinfra-airflow-1\n")
    (tmp_path / "link").symlink_to("ours")
    (tmp_path / "folder").mkdir()
    paths = tuple(str(tmp_path / name) for name in ("ours", "theirs", "link", "folder", "none"))
    found = Paths().process(_asked(Paths().command(paths).get_raw_value()).splitlines())
    assert [found[path].ours for path in paths[:4]] == [True, False, True, False]
    assert paths[4] not in found


def _asked(command: str, text: str = "") -> str:
    done = subprocess.run(["sh", "-c", command], input=text, capture_output=True, text=True)
    assert done.returncode == 0
    return done.stdout


@pytest.mark.parametrize(
    ("path", "wanted", "have", "expected"),
    [
        ("/etc/rabbitmq/rabbitmq.conf", File(""), FOUND, True),
        ("/etc/rabbitmq/rabbitmq.conf", File(""), None, False),
        ("/etc/rabbitmq/rabbitmq.conf", File(""), Found("a", "a", "644", ours=True), False),
        ("/etc/rabbitmq/airflow.key", File("", unmarked=True), FOUND, False),
        ("/opt/airflow/lib/airflow_probe.py", File(""), FOUND, False),
        ("/opt/airflow-mine/x", File(""), FOUND, True),
        ("/etc/airflow/secrets.env", File(""), FOUND, False),
    ],
)
def test_what_is_foreign(path: str, wanted: File, have: Found | None, expected: bool) -> None:
    assert foreign(path, wanted, have) is expected


def test_every_file_of_ours_can_be_told_from_others(tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text("AUTH_TYPE = 1\n")
    settings = made_up.settings(
        tmp_path / "s",
        airflow_webserver_config=config,
        airflow_dags_repository="https://example.org/dags.git",
        airflow_dags_interval=60,
        redis_password="x",
    )
    files = {
        **configuration.configuration(settings),
        **tools.tools(settings),
        **rabbitmq.configuration(settings),
        **redis.configuration(settings),
        **pgbouncer.configuration(settings),
        **reports.reporter(settings),
        **repository.files(settings),
        **{path: File(text) for path, text in monitoring.texts(settings).items()},
        "/x.service": File(services.unit_text(settings, settings.release.web)),
        "/x.conf": File(template("journald.conf", mebibytes=1)),
    }
    unknown = [
        path
        for path, file in files.items()
        if isinstance(file, File) and MARK not in file.text and foreign(path, file, FOUND)
    ]
    assert unknown == []


def test_what_a_role_gains_and_loses_is_said() -> None:
    flags = {right: right == "rolcanlogin" for right in RIGHTS}
    assert rights_changed(flags, flags) == []
    have = {right: right in ("rolsuper", "rolcreatedb") for right in RIGHTS}
    assert rights_changed(have, flags) == ["gains LOGIN", "loses SUPERUSER, CREATEDB"]


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


@pytest.mark.docker
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


@pytest.mark.docker
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


@pytest.mark.docker
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


@pytest.mark.docker
def test_a_folder_in_the_place_of_a_file_is_refused(stack: Stack) -> None:
    stack.host.ssh(f"mv {BROKER} {BROKER}.away && mkdir {BROKER}")
    for options in ("--dry", "-y"):
        refused = stack.deployment.show(options)
        assert refused.code != 0
        assert f"{BROKER} is a folder, but must be a file: move it away" in refused.output
    stack.host.ssh(f"rmdir {BROKER} && mv {BROKER}.away {BROKER}")


@pytest.mark.docker
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
