"""An Airflow that somebody has set up by hand, as walkthroughs show it, to guard against damage.

``make`` turns a bare host into one; a login ``ubuntu`` has it in its home.
"""

import base64
import json
import re
import secrets
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import requests

from tasks.catalog import locks
from tests.support.cli import ROOT
from tests.support.hosts import Host
from tests.support.waiting import until

KINDS = {"mart": "postgres", "lake": "http", "mail": "smtp"}
"""Connection -> its kind."""
VARIABLES = ("token", "webhook")
HOME = "/home/ubuntu/airflow"
DAG = "example_three_tasks"
Settings = dict[str, dict[str, str]]
"""Section -> option -> value, of an airflow.cfg."""

SERVERS = """
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --no-install-recommends python3-venv postgresql rabbitmq-server $packages >&2
useradd --create-home --shell /bin/bash ubuntu
echo 'ubuntu ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/90-cloud-init-users
cd /etc/postgresql/*/main
sed -i "s/^#listen_addresses = 'localhost'/listen_addresses = '*'/" postgresql.conf
echo 'host all all 0.0.0.0/0 md5' >> pg_hba.conf
systemctl restart postgresql
runuser -u postgres -- psql -q <<END
CREATE DATABASE airflow;
CREATE ROLE airflow LOGIN PASSWORD '$password';
GRANT ALL PRIVILEGES ON DATABASE airflow TO airflow;
ALTER ROLE airflow SUPERUSER;
ALTER ROLE airflow CREATEDB;
END
"""
SITE = """\
server {
    listen 80 default_server;
    location / {
        proxy_pass http://127.0.0.1:8080;
        proxy_set_header Host $http_host;
    }
}
"""
CRONTAB = """\
AIRFLOW_HOME=/home/ubuntu/airflow
# it hangs now and then
*/3 * * * * ~/venv/bin/airflow jobs check --job-type SchedulerJob >/dev/null 2>&1 || \
sudo systemctl restart airflow-scheduler
30 3 * * * ~/venv/bin/airflow db clean --clean-before-timestamp $(date -d -90days +\\%F) --yes
"""
SHOP = """
set -eu
runuser -u postgres -- psql -q <<END
CREATE ROLE shop LOGIN PASSWORD '$shop';
CREATE DATABASE shop OWNER shop;
END
cat > /etc/systemd/system/shop.service <<END
[Unit]
After=postgresql.service
[Service]
User=nobody
Environment=PGPASSWORD=$shop
ExecStart=/bin/sh -c 'while sleep 1; do echo "SELECT 1;"; done | psql -h 127.0.0.1 -U shop shop'
StandardOutput=null
Restart=always
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable -q --now shop
"""
ENVIRONMENT = """
set -eu
python3 -m venv ~ubuntu/venv
cd ~ubuntu
venv/bin/pip -q --disable-pip-version-check install uv==0.10.10
cat > requirements.txt <<END
$pins
END
export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt UV_LINK_MODE=copy
venv/bin/uv -q pip install --python venv --no-deps -r requirements.txt
mkdir airflow airflow/dags
echo 'export AIRFLOW_HOME=~/airflow PATH=~/venv/bin:$PATH' >> .profile
echo 'export GUNICORN_CMD_ARGS=--no-control-socket' >> .profile
chown -R ubuntu: .
"""
WAITING = """
from kombu import Connection
with Connection("amqp://guest:guest@localhost:5672//") as connection:
    queue = connection.SimpleQueue("invoices")
    for number in range(3):
        queue.put({"invoice": number})
"""
OBJECTS = """
import json, sys
from airflow.models import Connection, Pool, Variable
from airflow.settings import Session
newer = {"include_deferred": False} if hasattr(Pool, "include_deferred") else {}
objects = json.loads(sys.argv[1])
session = Session()
session.add_all(Connection(**row) for row in objects["connections"])
session.add_all(Variable(key, val) for key, val in objects["variables"].items())
session.add_all(Pool(**row, **newer) for row in objects["pools"])
session.commit()
"""
# Without its control socket gunicorn 25.1 has one thread: else a worker may hang from its fork on.
UNIT = """\
[Unit]
Description=Airflow {name}
After=network.target postgresql.service rabbitmq-server.service

[Service]
Environment=AIRFLOW_HOME={home}
Environment=GUNICORN_CMD_ARGS=--no-control-socket
Environment=PATH=/home/ubuntu/venv/bin:/usr/local/bin:/usr/bin:/bin
User=ubuntu
Group=ubuntu
ExecStart=/home/ubuntu/venv/bin/airflow {command}
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
"""
WEBSERVER_CONFIG = """\
from flask_appbuilder.const import AUTH_DB

# the ops team's, do not edit
AUTH_TYPE = AUTH_DB
APP_THEME = "slate.css"
"""
ROWS = {
    "alembic_version": "version_num",
    "dag": "dag_id, is_paused, fileloc, to_jsonb(t) -> 'is_active', to_jsonb(t) -> 'is_stale'",
    "dag_run": "dag_id, run_id, state, start_date, end_date",
    "connection": "t",
    "variable": "t",
    "slot_pool": "t",
    "ab_user": "username, password, email, active",
    "ab_user_role": "t",
}
"""Table -> what makes up its rows, without what a running Airflow writes."""
POSTGRESQL = """
SELECT 'role', oid, rolname, rolsuper, rolcreatedb, rolcreaterole, rolcanlogin, rolconnlimit,
    rolpassword FROM pg_authid WHERE rolname !~ '^pg_' ORDER BY rolname;
SELECT 'member', roleid::regrole, member::regrole FROM pg_auth_members ORDER BY 2, 3;
SELECT 'database', datname, datdba::regrole, datconnlimit, datacl FROM pg_database ORDER BY 2;
SELECT 'schema', nspname, nspowner::regrole, nspacl FROM pg_namespace
    WHERE nspname !~ '^pg_(toast|temp)' ORDER BY 2;
SELECT 'tables', relowner::regrole, count(*), md5(string_agg(relname, ' ' ORDER BY relname))
    FROM pg_class WHERE relnamespace = 'public'::regnamespace GROUP BY relowner ORDER BY 2;
SELECT 'setting', name, setting, sourcefile FROM pg_settings
    WHERE source = 'configuration file' ORDER BY name;
SELECT 'setting of', setdatabase, setrole, setconfig FROM pg_db_role_setting ORDER BY 2, 3;
SELECT 'client', usename, pid, backend_start FROM pg_stat_activity
    WHERE usename NOT IN ('airflow', 'postgres') ORDER BY pid;
"""
SNAPSHOT = """
cd /
echo '=== files'
getent passwd ubuntu
find /etc/postgresql /etc/rabbitmq /etc/nginx /etc/cron* /etc/systemd/system /etc/sudoers.d \\
    /var/spool/cron /var/lib/postgresql/*/main/postgresql.auto.conf \\
    /var/lib/rabbitmq/.erlang.cookie ~ubuntu/.profile ~ubuntu/*.sh ~ubuntu/airflow \\
    \\( -name logs -o -name __pycache__ -o -name '*.pid' -o -name '*.log' -o -name '*.out' \\
    -o -name '*.err' \\) -prune -o ! -type d -print0 2>/dev/null | sort -z > /run/foreign-files
xargs -0 stat -c '%A %U:%G %N' < /run/foreign-files
xargs -0 sha256sum < /run/foreign-files
rm /run/foreign-files
find ~ubuntu/venv -name __pycache__ -prune -o ! -type d -printf '%m %u %s %p\\n' | sort | sha256sum
echo '=== postgresql'
runuser -u postgres -- psql airflow -XqAt <<< "$postgresql"
echo '=== rows'
runuser -u postgres -- psql airflow -XqAt <<< "$rows"
echo '=== rabbitmq'
rabbitmqctl -q export_definitions - --format json && echo
rabbitmqctl -q --no-table-headers list_queues name durable messages
echo '=== systemd'
systemctl show 'airflow*' 'postgresql*' epmd.service rabbitmq-server.service nginx.service \\
    cron.service shop.service --timestamp=us \\
    -p Id,ActiveState,UnitFileState,ActiveEnterTimestampMonotonic
echo '=== processes'
ps -u ubuntu -o ppid=,pid=,comm= | while read -r parent pid name; do
    test "$parent" != 1 || test "$name" = systemd || \\
        echo $name $pid since $(sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f20)
done
echo '=== firewall'
! nft list ruleset
"""
KEPT = ("users", "vhosts", "permissions", "policies", "parameters", "topic_permissions")
"""What counts of RabbitMQ's definitions: a running worker makes queues of its own."""


@dataclass(frozen=True)
class Line:
    """What differs between the lines of releases."""

    python: str
    extras: tuple[str, ...]
    components: Mapping[str, str]
    """Unit -> Airflow's command."""
    migrate: str
    health: str
    database: str
    """The section of airflow.cfg with the database."""
    settings: Settings


_WEB = {"webserver": "webserver", "scheduler": "scheduler"}
_WORKER = {"worker": "celery worker -c 4"}
_WEB_2 = {"workers": "1", "secret_key": "{secret_key}"}
_FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
LINES = {
    "2.11.2": Line(
        python="3.11",
        extras=("celery", "postgres"),
        components=_WEB | _WORKER,
        migrate="db migrate",
        health="health",
        database="database",
        settings={"webserver": _WEB_2},
    ),
    "3.3.2": Line(
        python="3.11",
        extras=("celery", "fab", "postgres"),
        components={
            "api-server": "api-server",
            "scheduler": "scheduler",
            "dag-processor": "dag-processor",
            **_WORKER,
        },
        migrate="db migrate",
        health="api/v2/monitor/health",
        database="database",
        settings={
            "api": _WEB_2,
            "api_auth": {"jwt_secret": "{jwt_secret}"},
            "core": {"auth_manager": _FAB},
        },
    ),
}


@dataclass(frozen=True)
class Handmade:
    """A host with a hand-made Airflow."""

    host: Host
    release: str
    secrets: dict[str, str] = field(repr=False)
    """What no output of ours may show."""
    executor: str
    daemons: bool
    """Whether its owner starts it, in place of systemd."""

    @property
    def line(self) -> Line:
        """Return what is special about its release."""
        return LINES[self.release]

    @property
    def components(self) -> dict[str, str]:
        """Return what runs of it: name -> Airflow's command."""
        celery = self.executor == "CeleryExecutor"
        return {n: c for n, c in self.line.components.items() if celery or n != "worker"}

    @property
    def url(self) -> str:
        """Return the address of its web UI."""
        return f"http://{self.host.address}:8080"

    def leaked(self, text: str) -> list[str]:
        """Name the secrets that a text shows, also by an address or a file that quotes them."""
        parts = {name: word.rpartition("@")[2].strip("=") for name, word in self.secrets.items()}
        return [name for name, part in parts.items() if part in text]

    def airflow(self, command: str) -> str:
        """Call its own command line, as its owner does."""
        return _as_owner(self.host, f"airflow {command}")

    def start(self) -> None:
        """Start it after the host has started, where it does not do so by itself; and wait."""
        if self.daemons:
            _as_owner(self.host, "./start-airflow.sh")
        until(self._healthy, 300, f"the hand-made Airflow on {self.host.address} is up")

    def snapshot(self) -> dict[str, list[str]]:
        """Return all that is foreign to us, comparable: nothing was touched if it is equal."""
        variables = {"postgresql": POSTGRESQL, "rows": _rows()}
        text = _script(self.host, SNAPSHOT, **variables)
        parts = {part: body.splitlines() for part, body in re.findall(_PART, text)}
        return parts | {
            "rabbitmq": _broker(parts["rabbitmq"]),
            "systemd": [" ".join(unit.split()) for unit in _units(parts["systemd"])],
        }

    def works(self) -> None:
        """See that it still schedules, and that every stored secret opens."""
        self.trigger()
        self.opens()

    def opens(self) -> None:
        """See that its own command line reads every stored secret."""
        file = "/tmp/connections.json"
        self.airflow(f"connections export {file} --file-format json")
        found = json.loads(self.host.ssh(f"cat {file} && rm {file}").stdout)
        for name in KINDS:
            assert found[name]["password"] == self.secrets[f"connection {name}"]
        assert self.secrets["extra"] in found["mart"]["extra"]
        for name in VARIABLES:
            assert self.airflow(f"variables get {name}").strip() == self.secrets[f"variable {name}"]

    def trigger(self) -> None:
        """Run its DAG to success."""
        run = f"by-hand-{time.time_ns()}"
        self.airflow(f"dags trigger {DAG} -r {run}")
        query = f"SELECT state FROM dag_run WHERE run_id = '{run}'"
        until(lambda: self.sql(query) in (["success"], ["failed"]), 180, f"{DAG} is done")
        assert self.sql(query) == ["success"]
        # The worker takes a task's message off only after that.
        waiting = "rabbitmqctl -q --no-table-headers list_queues name messages | grep '^default'"
        done = ("", "default\t0\n")
        until(lambda: self.host.ssh(waiting, check=False).stdout in done, 30, "the queue is empty")

    def sql(self, query: str) -> list[str]:
        """Ask its database."""
        command = "cd / && runuser -u postgres -- psql airflow -XqAt"
        return self.host.ssh(command, input=query).stdout.splitlines()

    def _healthy(self) -> bool:
        try:
            answer = requests.get(f"{self.url}/{self.line.health}", timeout=10).json()
        except (requests.RequestException, ValueError):
            return False
        return bool(answer["scheduler"]["status"] == "healthy")


def make(
    host: Host,
    release: str = "2.11.2",
    *,
    executor: str = "CeleryExecutor",
    daemons: bool = False,
    nginx: bool = False,
    cron: bool = False,
    shop: bool = False,
) -> Handmade:
    """Set up an Airflow by hand on a bare host, and run its DAG once.

    As daemons (``airflow scheduler -D``) it has no units. ``nginx`` shows the web UI on port 80,
    ``cron`` has a watchdog and cleans the database at night, and ``shop`` is another application
    with a database in the same PostgreSQL, and a connection that stays open.
    """
    made = Handmade(host, release, _secrets(), executor, daemons)
    packages = " ".join(["nginx"] * nginx + ["cron"] * cron)
    _script(host, SERVERS, password=made.secrets["postgresql"], packages=packages)
    _script(host, ENVIRONMENT, pins=_pins(made.line, release))
    _configure(made)
    _fill(made)
    _surround(made, nginx=nginx, cron=cron, shop=shop)
    (_script_of_daemons if daemons else _units_of)(made)
    made.start()
    until(lambda: made.sql(f"SELECT 1 FROM dag WHERE dag_id = '{DAG}'"), 120, "the DAG is parsed")
    made.airflow(f"dags unpause {DAG}")
    made.trigger()
    return made


def _secrets() -> dict[str, str]:
    """Return new ones; some can't stand in an address or in airflow.cfg as they are."""
    variables = [f"variable {name}" for name in VARIABLES]
    names = ["postgresql", "secret_key", "jwt_secret", "smtp", "admin", "extra", "shop", *variables]
    names += [f"connection {name}" for name in KINDS]
    fernet_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    words = {name: f"{name.split()[-1]}@{secrets.token_hex(8)}" for name in names}
    return {"fernet_key": fernet_key, **words}


def _pins(line: Line, release: str) -> str:
    lock = ROOT / f"files/constraints/airflow-{release}-py{line.python}.txt"
    return locks.render(locks.parse(lock.read_text(), line.extras))


def _configure(made: Handmade) -> None:
    """Edit the airflow.cfg that Airflow has made, as people do."""
    made.airflow("config get-value core executor || airflow version")
    path = f"{HOME}/airflow.cfg"
    text = edited(made.host.ssh(f"cat {path}").stdout, _settings(made))
    _write(made.host, path, text, owner="ubuntu")
    _write(made.host, f"{HOME}/webserver_config.py", WEBSERVER_CONFIG, owner="ubuntu")
    dag = ROOT / f"files/dags/{DAG}.py"
    _write(made.host, f"{HOME}/dags/{DAG}.py", dag.read_text(), owner="ubuntu")


def _settings(made: Handmade) -> Settings:
    words = made.secrets
    database = f"airflow:{quote(words['postgresql'], '')}@localhost:5432/airflow"
    common = {
        "core": {
            "executor": made.executor,
            "fernet_key": words["fernet_key"],
            "load_examples": "False",
        },
        "celery": {
            "broker_url": "amqp://guest:guest@localhost:5672//",
            "result_backend": f"db+postgresql://{database}",
        },
        "smtp": {"smtp_host": "mail.example", "smtp_user": "ops", "smtp_password": words["smtp"]},
        made.line.database: {"sql_alchemy_conn": f"postgresql+psycopg2://{database}"},
    }
    special = {
        section: {name: value.format(**words) for name, value in options.items()}
        for section, options in made.line.settings.items()
    }
    sections = common | special
    return {name: common.get(name, {}) | special.get(name, {}) for name in sections}


def edited(text: str, settings: Settings) -> str:
    """Return an airflow.cfg with other values, each at the top of its section."""
    for section, options in settings.items():
        names = "|".join(options)
        before, header, body = text.partition(f"[{section}]\n")
        mine, *others = re.split(r"^(?=\[)", body, maxsplit=1, flags=re.MULTILINE)
        mine = re.sub(rf"^({names}) *=.*\n", "", mine, flags=re.MULTILINE)
        lines = [f"{name} = {value.replace('%', '%%')}\n" for name, value in options.items()]
        text = "".join([before, header or f"\n[{section}]\n", *lines, mine, *others])
    return text


def _fill(made: Handmade) -> None:
    """Make the schema, a login and what people keep in Airflow; and a queue of somebody else."""
    words = made.secrets
    made.airflow(made.line.migrate)
    person = "--firstname Ann --lastname Other --email ann@example.com --role Admin"
    made.airflow(f"users create --username admin --password {words['admin']} {person}")
    objects = shlex.quote(json.dumps(_objects(words)))
    _as_owner(made.host, f"python -c {shlex.quote(OBJECTS)} {objects}")
    _as_owner(made.host, f"python -c {shlex.quote(WAITING)}")


def _objects(words: Mapping[str, str]) -> dict[str, object]:
    extra = json.dumps({"sslmode": "require", "token": words["extra"]})
    return {
        "connections": [
            {
                "conn_id": name,
                "conn_type": kind,
                "host": f"{name}.example",
                "login": "etl",
                "password": words[f"connection {name}"],
                "extra": extra if name == "mart" else None,
            }
            for name, kind in KINDS.items()
        ],
        "variables": {name: words[f"variable {name}"] for name in VARIABLES},
        "pools": [
            {"pool": "narrow", "slots": 2, "description": ""},
            {"pool": "wide", "slots": 32, "description": "for all"},
        ],
    }


def _surround(made: Handmade, *, nginx: bool, cron: bool, shop: bool) -> None:
    if nginx:
        _write(made.host, "/etc/nginx/sites-available/default", SITE)
        made.host.ssh("systemctl reload nginx")
    if cron:
        made.host.ssh("crontab -u ubuntu -", input=CRONTAB)
    if shop:
        _script(made.host, SHOP, shop=made.secrets["shop"])


def _units_of(made: Handmade) -> None:
    for name, command in made.components.items():
        unit = UNIT.format(name=name, command=command, home=HOME)
        _write(made.host, f"/etc/systemd/system/airflow-{name}.service", unit)
    units = " ".join(f"airflow-{name}" for name in made.components)
    made.host.ssh(f"systemctl daemon-reload && systemctl enable --now {units}")


def _script_of_daemons(made: Handmade) -> None:
    lines = ["#!/bin/sh -e", "rm -f ~/airflow/airflow-*.pid"]
    lines += [f"airflow {command} -D" for command in made.components.values()]
    _write(made.host, "/home/ubuntu/start-airflow.sh", "\n".join(lines) + "\n", owner="ubuntu")
    made.host.ssh("chmod 755 /home/ubuntu/start-airflow.sh")


def _write(host: Host, path: str, text: str, owner: str = "root") -> None:
    host.ssh(f"cat > {path} && chown {owner}: {path}", input=text)


def _script(host: Host, script: str, **variables: str) -> str:
    """Run a script as root; nothing in it reads the script itself from standard input."""
    exports = "".join(f"export {name}={shlex.quote(text)}\n" for name, text in variables.items())
    return host.ssh("bash", input=f"{exports}main() {{\n{script}\n}}\nmain </dev/null\n").stdout


def _as_owner(host: Host, command: str) -> str:
    return host.ssh(f"runuser -l ubuntu -c {shlex.quote(command)}").stdout


_PART = re.compile(r"^=== (\w+)\n(.*?)(?=^=== |\Z)", re.MULTILINE | re.DOTALL)


def _rows() -> str:
    return "".join(
        f"SELECT '{table}', count(*), md5(string_agg(r, ' ' ORDER BY r))"
        f" FROM (SELECT ({columns})::text r FROM {table} t) rows;\n"
        for table, columns in ROWS.items()
    )


def _broker(lines: list[str]) -> list[str]:
    """Leave out the queues that a running worker makes for itself."""
    definitions = [json.loads(line) for line in lines if line.startswith("{")]
    rows = [(kind, row) for kept in definitions for kind in KEPT for row in kept[kind]]
    named = [f"{kind} {json.dumps(row, sort_keys=True)}" for kind, row in rows]
    return sorted([*named, *(line for line in lines if "\ttrue\t" in line)])


def _units(lines: list[str]) -> list[str]:
    return sorted("\n".join(lines).split("\n\n"))
