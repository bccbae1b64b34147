"""Settings: the only reader of inventory data, frozen, and refusing what it does not know."""

from __future__ import annotations

import ast
import base64
import ipaddress
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.error import HTTPError
from urllib.request import urlopen

from packaging.specifiers import SpecifierSet
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)
from pyinfra.api import Host
from pyinfra.api.exceptions import DeployError

from . import certificates, cfg_names, declared, locks, releases, secrets, sensitive, urls
from .addresses import bracketed
from .bundle import Bundle
from .resources import resource
from .wheelhouse import Wheelhouse

PREFIXES = (
    *("airflow_", "python_", "postgresql_", "rabbitmq_", "redis_"),
    *("pgbouncer_", "proxy_", "firewall_", "monitoring_"),
)
ENVIRONMENT = "/opt/airflow"
"""Where environments, helpers and the ``current`` link live on a host."""
CONFIGURATION = "/etc/airflow"
"""Where the environment and secrets files live on a host."""
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"
"""The authorities that a host believes by itself."""
FORMER = f"{CONFIGURATION}/secrets.env.former"
"""The secrets that a host had before, until it is verified."""
LOGS = "/var/log/airflow"
BACKUPS = "/var/backups/airflow"


def own_queue(worker: str) -> str:
    """Name the queue from which one worker alone takes tasks."""
    return f"verify.{worker}"


class SettingsError(DeployError):
    """A setting can't be used; the message is one sentence that names it and the mend."""


def _as_list(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _as_secret(value: Any) -> Any:
    """Take pyinfra's HiddenValue as well as text."""
    return value.unmask() if hasattr(value, "unmask") else value


def _scalar(value: Any) -> Any:
    """Take what can stand in one line of airflow.cfg; a hidden value stays hidden."""
    if hasattr(value, "unmask"):
        return SecretStr(str(value.unmask()))
    if isinstance(value, bool | int | float | str | SecretStr):
        return value
    raise ValueError("give a text, a number, True or False")


def _without_login(value: str) -> str:
    if re.search("://[^/?#]*@", value) or urls.split(value) is None:
        raise ValueError("it has a login, which others could read, or a wrong port: leave it out")
    return value


def _without_password(value: str) -> str:
    if re.search("://[^/]*:[^/]*@", value):
        raise ValueError("it has a login: leave that out, see airflow_remote_logs_connection")
    return value


def _absolute(value: str) -> str:
    if not value.startswith("/") or value != value.rstrip("/") or any(c in value for c in " '\"$%"):
        raise ValueError("give an absolute path without spaces, quotes, $, % or a slash at its end")
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("give an address, or a network such as 10.0.0.0/8") from None
    return value


def _fernet_key(value: SecretStr) -> SecretStr:
    for key in value.get_secret_value().split(","):
        try:
            size = len(base64.urlsafe_b64decode(key))
        except ValueError:
            size = 0
        if size != 32:
            raise ValueError("give 32 bytes in URL-safe base64, or two such keys with a comma")
    return value


def _as_lines(value: Any) -> Any:
    lines = value.splitlines() if isinstance(value, str) else value
    if isinstance(lines, (list, tuple)) and all(isinstance(line, str) for line in lines):
        return tuple(line.strip() for line in lines if line.strip())
    return lines


def _subfolder(value: str) -> str:
    if value.startswith("/") or value.endswith("/") or ".." in value.split("/"):
        raise ValueError("give a path in the repository, without .. and without a slash around it")
    return value


SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Name = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
Queue = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
Words = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
Queues = Annotated[tuple[Queue, ...], BeforeValidator(_as_list), Field(min_length=1)]
Lines = Annotated[tuple[str, ...], BeforeValidator(_as_lines)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
FernetKey = Annotated[SecretStr, BeforeValidator(_as_secret), AfterValidator(_fernet_key)]
Listen = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:*, -]+$")]
Network = Annotated[str, AfterValidator(_network)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_as_list)]
Secret = Annotated[SecretStr, BeforeValidator(_as_secret)]
Kind = Literal["roles", "users", "pools", "connections", "variables"]
Scalar = Annotated[bool | int | float | str | SecretStr, BeforeValidator(_scalar)]
NodeName = Annotated[str, Field(pattern=r"^[a-z0-9_]+@[A-Za-z0-9_.-]+$")]
WebUrl = Annotated[
    str, Field(pattern=r"^https?://[^\s'\"$%]+[^\s'\"$%/]$"), AfterValidator(_without_login)
]
RemoteLogs = Annotated[
    str, Field(pattern=r"^[a-z0-9]+://[^\s'\"$%]*[^\s'\"$%/]$"), AfterValidator(_without_password)
]
Connection = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,250}$")]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,253}$")]

Revision = Annotated[str, Field(pattern=r"^([A-Za-z0-9_][A-Za-z0-9_./+-]*)?$")]
Subfolder = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]*$"), AfterValidator(_subfolder)]


def _is_there(path: Path) -> bool:
    # Of a text that is too long for a name, Path.exists raises an error that quotes it.
    with suppress(OSError, ValueError):
        return path.exists()
    return False


def _content(address: str) -> str:
    """Read a file or an URL; SettingsError when that fails."""
    try:
        if "://" not in address:
            return Path(address).read_text()
        with urlopen(address, timeout=30) as answer:
            return str(answer.read().decode())
    except (OSError, ValueError, HTTPException) as error:
        why = _why(error)
    raise SettingsError(f"airflow_constraints can't be read: {why}")


def _why(error: Exception) -> str:
    """Say why a file or a URL can't be read, without naming it."""
    if isinstance(error, HTTPError):
        return f"its server answers {error.code}"
    cause = getattr(error, "reason", error)
    return getattr(cause, "strerror", None) or "it is neither a file nor a URL that answers"


class Topology(BaseModel):
    """What a host has to know of the inventory."""

    model_config = ConfigDict(frozen=True)

    name: str = "localhost"
    """How the hosts of the inventory call this one."""
    address: str = "localhost"
    """Where they reach it."""
    components: frozenset[str] = frozenset()
    """What this host runs."""
    servers: frozenset[str] = frozenset()
    """Database and brokers that hosts of the inventory run."""
    hosts: tuple[str, ...] = ()
    """Addresses of the other hosts that run Airflow."""
    database_hosts: tuple[str, ...] = ()
    """Those of them that may use the metadata database."""
    direct_hosts: tuple[str, ...] = ()
    """Those of them that PostgreSQL itself lets in."""
    pooled: bool = False
    """Whether PgBouncer stands before PostgreSQL."""
    web_hosts: tuple[str, ...] = ()
    """Addresses of the hosts that serve the web UI, this one included."""
    web_clients: tuple[str, ...] = ()
    """Addresses of the other hosts that call it where a proxy stands before it."""
    proxies: tuple[str, ...] = ()
    """Addresses of the hosts that run a proxy, this one included."""
    proxy_names: tuple[str, ...] = ()
    """Names and addresses by which people know the proxies."""
    proxy_url: str = ""
    """URL of the first proxy; empty without any."""
    web_here: bool = True
    """Whether every web UI is on this host."""
    database_here: bool = True
    """Whether this host makes the schema and the login, once for all."""
    workers: tuple[str, ...] = ()
    """Names of the hosts with a Celery worker."""
    queues: tuple[str, ...] = ()
    """Every queue that one of them takes tasks from."""
    statsd: str | None = None
    """Where Airflow on this host sends its metrics, if anywhere."""
    names: tuple[str, ...] = ()
    """Lines of /etc/hosts for the hosts whose name in the inventory is no address."""
    database: str = ""
    """Address of the host that runs the database; empty where that is none of the inventory's."""
    known: tuple[str, ...] = ()
    """Every name and address by which the inventory knows its hosts."""


_TLS_FILES = [
    f"{server}_{file}"
    for server in releases.SERVERS
    for file in ("ca", "certificate", "certificate_key")
] + ["proxy_certificate", "proxy_certificate_key"]


class Settings(BaseModel):
    """Everything that the deploy functions need to know of one host."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True
    )

    airflow_version: str = releases.DEFAULT
    """Release of Airflow to install."""
    airflow_extras: Words = ()
    """Airflow's extras beside those that the stack needs, as a list or one text with commas."""
    airflow_lock: Path | None = None
    """Lock file on the controller instead of the shipped one: everything pinned with `==`."""
    airflow_constraints: Annotated[str, AfterValidator(_without_login)] | None = None
    """URL or file of constraints instead of a lock, such as Airflow's official ones."""
    airflow_wheelhouse: Secret | None = None
    """Folder on the controller, or URL of a page of links, with all packages: no index is asked."""
    airflow_bundle: Path | None = None
    """Folder on the controller that `scripts/bundle` has filled: no index or mirror is asked."""
    airflow_home: AbsolutePath = "/var/lib/airflow"
    """AIRFLOW_HOME on the hosts."""
    airflow_dags: Path | None = None
    """Folder of DAGs on the controller, delivered to `dags` in AIRFLOW_HOME."""
    airflow_dags_check: Literal["report", "refuse"] = "report"
    """What becomes of DAG files that don't import: told, or `refuse`d before they are used."""
    airflow_dags_repository: str | None = None
    """git repository of DAGs by https, ssh or file: `repository` in the folder of DAGs."""
    airflow_dags_revision: Revision = ""
    """Branch, tag or whole commit of the repository; default: what its HEAD is."""
    airflow_dags_subfolder: Subfolder = ""
    """Folder of the repository that has the DAGs; default: all of it."""
    airflow_dags_interval: Annotated[int, Field(ge=0, le=604800)] = 0
    """Seconds between two looks of a host for new commits; 0: a deploy alone brings them."""
    airflow_dags_deploy_key: Secret | None = None
    """Private key that opens the repository by ssh, as text."""
    airflow_dags_known_hosts: Lines = ()
    """Lines of `known_hosts` for the repository's server by ssh, as a list or one text."""
    airflow_plugins: Path | None = None
    """Folder of plugins on the controller, delivered to `plugins` in AIRFLOW_HOME."""
    airflow_requirements: Lines = ()
    """What DAGs need beside the lock, as pip's requirements: `["pandas==2.2.3"]`."""
    airflow_config: dict[str, dict[str, Scalar]] = Field(default_factory=dict)
    """Any section and key of airflow.cfg: `{"core": {"parallelism": 8}}`; wins over ours."""
    airflow_address: HostName | None = None
    """Address that the other hosts reach this one at; default: `ssh_hostname` or its name."""
    airflow_web_host: HostName = "0.0.0.0"
    """Address that the web UI listens on; behind a proxy no more than the inventory needs."""
    airflow_web_port: Port = 8080
    """Port of the web UI."""
    airflow_api_url: WebUrl | None = None
    """URL of the web UI towards the workers, from Airflow 3 on; default: the first web host's."""
    airflow_web_workers: Annotated[int, Field(ge=1, le=64)] | None = None
    """Processes that answer the web UI's requests; default: 2, or 1 where memory is short."""
    airflow_base_url: WebUrl | None = None
    """URL of the web UI in links; default: the first proxy's, else the first web host's."""
    airflow_worker_concurrency: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Tasks that a worker runs at a time (`-c`); default: what memory and cores hold, up to 16."""
    airflow_worker_memory: Annotated[int, Field(ge=64)] | None = None
    """MiB that a worker may take with its tasks; default: what the host's others leave."""
    airflow_swap: Annotated[int, Field(ge=0, le=65536)] | None = None
    """MiB of the swap file that is made; default: what the components need beyond the memory."""
    airflow_default_queue: Queue = "default"
    """Queue of the tasks that name none; the same on every host."""
    airflow_worker_queues: Queues = ("default",)
    """Queues that the worker takes tasks from (`-q`)."""
    airflow_worker_log_port: Port = 8793
    """Port from which a worker serves its tasks' logs to the web UI."""
    airflow_triggerer_log_port: Port = 8794
    """Port from which the triggerer serves its logs to the web UI."""
    airflow_worker_stop_timeout: Annotated[int, Field(ge=1, le=604800)] = 600
    """Seconds that a stopping worker may take to finish its running tasks."""
    airflow_drain_timeout: Annotated[int, Field(ge=0, le=604800)] = 3600
    """Seconds that `deploy_drain` waits for running tasks before it names those that remain."""
    airflow_nightly_at: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "03:30"
    """When a host backs up and cleans up, by its clock."""
    airflow_backup_keep: Annotated[int, Field(ge=0, le=1000)] = 7
    """Nightly backups that are kept in /var/backups/airflow; 0 for none."""
    airflow_backup_folder: Path | None = None
    """Where `deploy_backup` fetches to; default: `.backups` beside the inventory."""
    airflow_restore: Path | None = None
    """Backup on the controller that `deploy_restore` brings back."""
    airflow_restore_over: bool = False
    """Consent to replace the data of an Airflow that has some; they are backed up first."""
    airflow_restore_paused: bool = True
    """Whether DAGs from a backup of other hosts are paused, since those may still run them."""
    airflow_adopt: bool = False
    """Consent to use files, units, servers and a database that another Airflow has left there."""
    airflow_uninstall_data: bool = False
    """Consent of `deploy_uninstall` to remove databases, DAGs, logs and keys; backups stay."""
    airflow_log_days: Annotated[int, Field(ge=1, le=36500)] | None = None
    """Days that tasks' logs are kept; default: for ever."""
    airflow_scheduler_log_days: Annotated[int, Field(ge=1, le=36500)] = 14
    """Days that the logs of reading DAG files are kept."""
    airflow_journal_size: Annotated[int, Field(ge=16, le=1048576)] | None = None
    """MiB that the journal may take on a host with Airflow; default: as the host has it."""
    airflow_remote_logs: RemoteLogs | None = None
    """URL that tasks' logs are copied to and read from: `s3://BUCKET/PATH`, `gs://`, `wasb://`."""
    airflow_remote_logs_connection: Connection | None = None
    """Airflow's connection with the login there; default: what the hosts themselves may do."""
    airflow_metadata_days: Annotated[int, Field(ge=1, le=36500)] | None = None
    """Days that runs are kept in the database, with all that belongs to them; default: for ever."""
    airflow_report_email: Words = ()
    """Who gets a mail when a task or a unit fails, by the server of airflow_config's `smtp`."""
    airflow_report_webhook: Secret | None = None
    """URL, such as Slack's, that gets the same as JSON: `{"text": ...}`."""
    airflow_report_command: Secret | None = None
    """Shell command that gets it on standard input, and its subject in AIRFLOW_REPORT_SUBJECT."""
    airflow_report_interval: Annotated[int, Field(ge=0, le=604800)] = 3600
    """Seconds between two messages of one DAG or unit; the next one counts those between."""
    airflow_flower_host: HostName = "127.0.0.1"
    """Address that flower listens on; it asks for the administrator's login."""
    airflow_flower_port: Port = 5555
    """Port of flower."""
    airflow_health_port: Port | None = None
    """Port, at the web UI's address, that tells load balancers of this host; default: none."""
    airflow_hardening: bool = True
    """Whether the units are sandboxed; tasks that need sudo or /home want it off."""
    airflow_admin_user: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]{1,64}$")] = "admin"
    """Login name of the web UI's administrator."""
    airflow_admin_email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] = "admin@localhost"
    """E-mail address of the administrator."""
    airflow_admin_password: Secret | None = None
    """Password of the administrator; generated."""
    airflow_fernet_key: FernetKey | None = None
    """Key that Airflow encrypts connections with; generated once, never changed by a run."""
    airflow_secret_key: Secret | None = None
    """Key that signs the web UI's sessions and requests for logs; generated."""
    airflow_jwt_secret: Secret | None = None
    """Key that signs the tokens of the API, from Airflow 3 on; generated."""
    airflow_connections: Secret | None = None
    """Connections: id -> URI or fields. This and the next four may be the path of a JSON file."""
    airflow_variables: Secret | None = None
    """Variables: name -> text, or what becomes JSON."""
    airflow_pools: Secret | None = None
    """Pools: name -> slots, or a mapping with `slots`, `description` and `include_deferred`."""
    airflow_users: Secret | None = None
    """Logins: name -> `email`, `first_name`, `last_name`, `password` and `roles`."""
    airflow_roles: Secret | None = None
    """Roles: name -> list of permissions such as `can_read on DAGs`."""
    airflow_remove_objects: Annotated[tuple[Kind, ...], BeforeValidator(_as_list)] = ()
    """Kinds of them, such as `pools`, of which all that is not declared is removed."""
    airflow_webserver_config: Path | None = None
    """The web server's webserver_config.py on the controller, for LDAP or OAuth."""
    airflow_secrets_file: Path | None = None
    """File of the generated secrets; default: `.secrets/<inventory>.json` beside the inventory."""

    monitoring_allow: Annotated[tuple[Network, ...], BeforeValidator(_as_list)] = ()
    """Addresses or networks of Prometheus servers; default: metrics stay on loopback."""
    monitoring_statsd_port: Port = 8125
    """UDP port to which Airflow sends its metrics."""
    monitoring_airflow_port: Port = 9103
    """Port of Airflow's metrics."""
    monitoring_postgresql_port: Port = 9187
    """Port of PostgreSQL's metrics."""
    monitoring_rabbitmq_port: Port = 15692
    """Port of RabbitMQ's metrics."""

    python_index_url: Secret | None = None
    """Package index instead of pip's own; may hold a login, and is not shown."""
    python_extra_index_url: Secret | None = None
    """A further package index."""
    python_proxy: Secret | None = None
    """HTTP proxy towards the package index."""

    postgresql_host: HostName | None = None
    """Address of the database; default: the host of group `postgresql`, loopback on itself."""
    postgresql_port: Port = 5432
    """Port of the database."""
    postgresql_url: Secret | None = None
    """`postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=...` of a server that is not ours."""
    postgresql_admin_url: Secret | None = None
    """The same with a login that may make the roles and databases that are missing there."""
    postgresql_sslmode: SslMode | None = None
    """libpq's word; default: `verify-full` with `postgresql_tls`, else libpq's own, `prefer`."""
    postgresql_tls: bool = False
    """Whether connections are encrypted and the server's name checked; our own serves it then."""
    postgresql_ca: Path | None = None
    """CA file that vouches for the server; default: our own CA, or those that the host believes."""
    postgresql_certificate: Path | None = None
    """Certificate of our own server, with its chain; default: one of our own CA."""
    postgresql_certificate_key: Path | None = None
    """Its key."""
    postgresql_listen_addresses: Listen | None = None
    """What it listens on; default: loopback, and the host's address when other hosts need it."""
    postgresql_shared_buffers: Annotated[int, Field(ge=16)] | None = None
    """MiB of its buffers; default: a quarter of the memory of a host of its own, else a 16th."""
    postgresql_database: Name = "airflow"
    """Database of Airflow."""
    postgresql_user: Name = "airflow"
    """Role that owns the database."""
    postgresql_password: Secret | None = None
    """Password of the role; generated."""
    postgresql_results_database: Name = "airflow_results"
    """Database of the tasks' results, where a release keeps them apart (Airflow 3)."""
    postgresql_results_user: Name = "airflow_results"
    """Role that owns that database."""
    postgresql_results_password: Secret | None = None
    """Password of that role; generated."""
    postgresql_allow: Networks = ()
    """Addresses or networks that may use the database, beside the inventory's Airflow hosts."""
    postgresql_auth: Literal["scram-sha-256", "trust"] = "scram-sha-256"
    """How pg_hba lets those addresses in; `trust` wants `postgresql_allow_insecure`."""
    postgresql_superuser: bool = False
    """Whether the role is a superuser; wants `postgresql_allow_insecure`."""
    postgresql_allow_insecure: bool = False
    """Consent to `trust`, a superuser role, `*` and networks that hold the whole internet."""

    pgbouncer_port: Port = 6432
    """Port of PgBouncer, where a group `pgbouncer` asks for it."""
    pgbouncer_pool_size: Annotated[int, Field(ge=1, le=45)] = 20
    """Connections that it opens to each database; PostgreSQL takes 100 for all."""
    pgbouncer_max_clients: Annotated[int, Field(ge=10, le=50_000)] = 500
    """Connections that it takes from Airflow, at most 50,000."""

    rabbitmq_host: HostName | None = None
    """Address of the broker; default: the host of group `rabbitmq`, loopback on itself."""
    rabbitmq_port: Port = 5672
    """Port of the broker; with `rabbitmq_tls` the default is 5671."""
    rabbitmq_url: Secret | None = None
    """`amqp://USER:PASSWORD@HOST:PORT/VHOST` of a broker that is not ours, or `amqps://`."""
    rabbitmq_admin_url: Secret | None = None
    """`https://USER:PASSWORD@HOST:15671` of its management, to make what is missing there."""
    rabbitmq_tls: bool = False
    """Whether connections are encrypted and the server's name checked; our own serves it then."""
    rabbitmq_ca: Path | None = None
    """CA file that vouches for the broker; default: our own CA, or those that the host believes."""
    rabbitmq_certificate: Path | None = None
    """Certificate of our own broker, with its chain; default: one of our own CA."""
    rabbitmq_certificate_key: Path | None = None
    """Its key."""
    rabbitmq_bind_address: HostName | None = None
    """What it listens on; default: loopback, or the host's address when other hosts need it."""
    rabbitmq_allow: Networks = ()
    """Addresses or networks that may use the broker, beside the inventory's Airflow hosts."""
    rabbitmq_memory_limit: Annotated[int, Field(ge=128)] | None = None
    """MiB from which it takes no messages; default: 2/5 of its own host's memory, else an 8th."""
    rabbitmq_vhost: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "airflow"
    """Virtual host of Airflow."""
    rabbitmq_user: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "airflow"
    """User of Airflow at the broker."""
    rabbitmq_password: Secret | None = None
    """Password of that user; generated."""
    rabbitmq_consumer_timeout: Annotated[int, Field(ge=60, le=31622400)] = 604800
    """Seconds that the longest task may run; RabbitMQ's own default takes it back after 1,800."""
    rabbitmq_node_name: NodeName = "rabbit@localhost"
    """Name of the Erlang node; at localhost its ports stay on loopback. Its data is tied to it."""

    redis_host: HostName | None = None
    """Address of Redis as the broker; default: the host of group `redis`, loopback on itself."""
    redis_port: Port = 6379
    """Port of Redis."""
    redis_url: Secret | None = None
    """`redis://:PASSWORD@HOST:PORT/DATABASE` of a Redis that is not ours, or `rediss://`."""
    redis_password: Secret | None = None
    """Password of Redis; generated."""
    redis_database: Annotated[int, Field(ge=0, le=10000)] = 0
    """Number of the database in Redis."""
    redis_allow: Annotated[tuple[Network, ...], BeforeValidator(_as_list)] = ()
    """Addresses or networks that may use Redis, beside the inventory's Airflow hosts."""
    redis_visibility_timeout: Annotated[int, Field(ge=60, le=31622400)] = 604800
    """Seconds that the longest task may run; Redis gives it to another worker afterwards."""
    redis_tls: bool = False
    """Whether connections are encrypted and the server's name checked; our own serves it then."""
    redis_ca: Path | None = None
    """CA file that vouches for Redis; default: our own CA, or those that the host believes."""
    redis_certificate: Path | None = None
    """Certificate of our own Redis, with its chain; default: one of our own CA."""
    redis_certificate_key: Path | None = None
    """Its key."""
    proxy_server_name: HostName | None = None
    """Name of the web UI in links and in a certificate of ours; default: the address."""
    proxy_port: Port = 443
    """Port of the proxy."""
    proxy_http_port: Annotated[int, Field(ge=0, le=65535, strict=True)] = 80
    """Port that sends people on to `proxy_port`; 0 for none."""
    proxy_certificate: Path | None = None
    """PEM file on the controller, the chain behind the certificate; default: one of our own CA."""
    proxy_certificate_key: Path | None = None
    """PEM file on the controller with the certificate's key."""
    proxy_hsts_days: Annotated[int, Field(ge=0, le=3650)] = 365
    """Days that browsers insist on TLS (HSTS), with a certificate of yours; 0 for none."""

    firewall: bool = False
    """Whether hosts close all ports but those that the inventory needs, and SSH."""
    firewall_allow_ssh: Networks = ()
    """Addresses or networks that may use SSH then; default: everybody."""
    firewall_allow: dict[Annotated[int, Field(ge=1, le=65535)], Networks] = Field(
        default_factory=dict
    )
    """Further TCP ports that are open then, and to whom: `{9100: ["10.0.0.0/8"]}`."""

    topology: Topology = Topology()
    """What follows from the inventory. Not set by hand."""

    @field_validator("airflow_version")
    @classmethod
    def _known_release(cls, value: str) -> str:
        releases.find(value)
        return value

    @field_validator(
        "airflow_dags", "airflow_plugins", "airflow_lock", "airflow_restore", *_TLS_FILES
    )
    @classmethod
    def _exists(cls, value: Path | None) -> Path | None:
        if value is not None and not _is_there(value):
            raise ValueError("there is no such file or folder on this machine")
        return value

    @field_validator("airflow_secrets_file", "airflow_backup_folder")
    @classmethod
    def _printable(cls, value: Path | None) -> Path | None:
        if value is not None and not str(value).isprintable():
            raise ValueError("give a path without line breaks and characters that can't be seen")
        return value

    @field_validator(
        "airflow_connections",
        "airflow_variables",
        "airflow_pools",
        "airflow_users",
        "airflow_roles",
        mode="before",
    )
    @classmethod
    def _declared(cls, value: Any, info: ValidationInfo) -> Any:
        kind = str(info.field_name).removeprefix("airflow_")
        return None if value is None else declared.read(kind, value)

    @field_validator("airflow_webserver_config")
    @classmethod
    def _is_python(cls, value: Path | None) -> Path | None:
        try:
            ast.parse(value.read_text(encoding="utf-8") if value else "")
        except SyntaxError as error:
            raise ValueError(f"line {error.lineno}: {error.msg}") from None
        except OSError as error:
            raise ValueError(f"it can't be read: {error.strerror}") from None
        return value

    @field_validator("airflow_wheelhouse")
    @classmethod
    def _there(cls, value: SecretStr | None) -> SecretStr | None:
        folder = Wheelhouse(value.get_secret_value()).folder if value else None
        if folder and not (_is_there(folder) and folder.is_dir()):
            raise ValueError(
                "there is no such folder on this machine: make it with scripts/wheelhouse"
            )
        return value

    @field_validator("airflow_config")
    @classmethod
    def _hidden(cls, value: dict[str, dict[str, Scalar]]) -> dict[str, dict[str, Scalar]]:
        """Hide what looks like a secret, from here on wherever it is shown."""
        if sentence := cfg_names.unusable(value):
            raise ValueError(sentence)
        return {
            section: {
                key: SecretStr(cfg_names.text(content))
                if sensitive.looks_secret(section, key, content)
                else content
                for key, content in keys.items()
            }
            for section, keys in value.items()
        }

    @model_validator(mode="after")
    def _possible(self) -> Settings:
        checks = (
            self._lock,
            self._extras,
            self._given_lock,
            self._bundled,
            self._requirements,
            self._repository,
            self._wheels,
            self._servers,
            self._certificates,
            self._consent,
            self._secrets,
            self._passwords,
            self._derived_keys,
            self._lost_keys,
            self._mail_server,
            self._webhook,
            self._urls,
            self._admin_urls,
            self._objects,
            self._webserver_config,
            self._remote_logs,
            self._scrapers,
            self._database_ports,
            self._web_ports,
        )
        for sentence in (check() for check in checks):
            if sentence:
                raise ValueError(sentence)
        return self

    @property
    def release(self) -> releases.Release:
        """The release table's row."""
        return releases.find(self.airflow_version)

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras that the stack needs and those that were asked for."""
        metrics = ("statsd",) if self.topology.statsd else ()
        return tuple(dict.fromkeys((*self.release.needed_extras, *metrics, *self.airflow_extras)))

    @property
    def wheelhouse(self) -> Wheelhouse | None:
        """Where packages come from instead of a package index, if from anywhere."""
        place = self.secret("airflow_wheelhouse")
        if self.bundle:
            place = str(self.bundle.wheels)
        return Wheelhouse(place) if place else None

    @property
    def bundle(self) -> Bundle | None:
        """Where packages come from instead of an index and a mirror, if from anywhere."""
        return Bundle(self.airflow_bundle) if self.airflow_bundle else None

    @property
    def airflow_components(self) -> tuple[releases.Component, ...]:
        """The processes of Airflow that run on this host."""
        here = tuple(c for c in self.release.components if c.name in self.topology.components)
        return (*here, releases.HEALTH) if here and self.airflow_health_port else here

    @property
    def declared(self) -> dict[str, dict[str, Any]]:
        """What is declared: kind -> name -> content, in the order in which they need each other."""
        texts = {kind: self.secret(f"airflow_{kind}") for kind in declared.KINDS}
        return {kind: json.loads(text) for kind, text in texts.items() if text}

    @property
    def reads_dags(self) -> bool:
        """Whether a component of this host needs the DAG files."""
        return any(component.reads_dags for component in self.airflow_components)

    @property
    def dags_link(self) -> str:
        """Where Airflow sees the DAGs of the repository."""
        return f"{self.airflow_home}/dags/repository"

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues of this host's worker: its own one is for a task that proves it works."""
        return (*self.airflow_worker_queues, own_queue(self.topology.name))

    @property
    def proxy_ports(self) -> tuple[int, ...]:
        """The ports that a proxy listens on."""
        return (self.proxy_port, *((self.proxy_http_port,) if self.proxy_http_port else ()))

    @property
    def withheld(self) -> frozenset[str]:
        """Meanings of the secrets that no component of this host may have."""
        every = [component.withheld for component in self.airflow_components]
        return frozenset.intersection(*every) if every else frozenset()

    def wanted(self, python: str) -> locks.Wanted:
        """Say what the environment for ``python`` is to hold."""
        release = self.release
        if self.airflow_constraints:
            airflow = f"{release.package}[{','.join(self.extras)}]=={release.version}"
            requirement = "\n".join((airflow, *sorted(self.airflow_requirements)))
            return locks.Wanted(release.seeds, requirement, _content(self.airflow_constraints))
        pins = self._pins(python)
        constraints = locks.render(pins) if self.airflow_requirements else ""
        return locks.Wanted(pins, "\n".join(sorted(self.airflow_requirements)), constraints)

    def _pins(self, python: str) -> dict[str, str]:
        path = self.airflow_lock or resource(self.release.lock(python))
        return {**locks.parse(path.read_text(), self.extras), **self.release.seeds}

    def contradiction(self, python: str) -> str | None:
        """Say which of the requirements the lock for ``python`` contradicts."""
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

    def _lock(self) -> str | None:
        given = self.airflow_lock or self.airflow_constraints
        if given or releases.is_shipped(self.airflow_version):
            return None
        return (
            f"airflow_version {self.airflow_version} has no lock here: give airflow_lock, "
            f"or take one of {', '.join(release.version for release in releases.RELEASES)}"
        )

    def _extras(self) -> str | None:
        unknown = releases.unknown_extra(self.release, self.airflow_extras)
        return unknown and f"airflow_extras: {unknown}"

    def _given_lock(self) -> str | None:
        if self.airflow_lock is None:
            return None
        try:
            pins = locks.parse(self.airflow_lock.read_text(), self.extras)
        except (OSError, locks.LockError) as error:
            return f"airflow_lock {self.airflow_lock} can't be used: {error}"
        release = self.release
        ranges = {
            release.package: SpecifierSet(f"=={release.version}"),
            "celery": release.celery,
            **({"statsd": SpecifierSet(">=3")} if self.topology.statsd else {}),
        }
        for name, fitting in ranges.items():
            if name not in pins or not fitting.contains(pins[name], prereleases=True):
                return (
                    f"airflow_lock pins {name} {pins.get(name, 'nowhere')}, but Airflow "
                    f"{release.version} wants {fitting}: mend the lock or airflow_version"
                )
        return None

    def _requirements(self) -> str | None:
        for number, line in enumerate(self.airflow_requirements, start=1):
            if sentence := locks.unusable(line):
                return f"airflow_requirements, line {number}: {sentence}"
        sentences = [self.contradiction(python) for python in self.release.pythons]
        return sentences[0] if all(sentences) else None

    def _repository(self) -> str | None:
        url = self.airflow_dags_repository
        if url is None:
            given = [name for name in _OF_REPOSITORY if getattr(self, name)]
            return f"{given[0]} does nothing without airflow_dags_repository" if given else None
        login = r"(https?|file)://[^/]*@|ssh://[^/]*:.*@"
        if re.match(login, url):
            return (
                "airflow_dags_repository holds a login, which others on the host could read: use "
                "its ssh address and airflow_dags_deploy_key"
            )
        by = re.fullmatch(r"(?:(https|ssh|file)://|[\w.-]+@[\w.-]+:)[\w.:/@~+-]+", url)
        if by is None:
            return (
                "airflow_dags_repository can't be used: give an address of git that begins "
                "with https://, ssh:// or file://, or is like git@host:path"
            )
        scheme = by.group(1) or "ssh"
        if scheme == "ssh" and not self.airflow_dags_known_hosts:
            return (
                "airflow_dags_repository by ssh needs airflow_dags_known_hosts: set it to what "
                "ssh-keyscan prints of its server, when you have compared that with its owner's"
            )
        if scheme == "ssh" and "PRIVATE KEY" not in self.secret("airflow_dags_deploy_key"):
            return (
                "airflow_dags_repository by ssh needs airflow_dags_deploy_key: set it to the text "
                "of a private key without a passphrase"
            )
        if self.airflow_dags_interval and self.airflow_dags_check == "refuse":
            return (
                "airflow_dags_interval would bring what airflow_dags_check = 'refuse' has refused: "
                "let it be 0"
            )
        if self.airflow_dags and (self.airflow_dags / "repository").exists():
            return (
                f"airflow_dags {self.airflow_dags} has an entry `repository`, which is where "
                "airflow_dags_repository is seen: rename it"
            )
        return None

    def _wheels(self) -> str | None:
        release = self.release
        return self.lacks({release.package: release.version})

    def lacks(self, pins: Mapping[str, str]) -> str | None:
        """Say which of ``pins`` the wheelhouse has not."""
        wheelhouse = self.wheelhouse
        if wheelhouse is None or not (missing := wheelhouse.missing(pins)):
            return None
        if self.bundle:
            setting, command = f"airflow_bundle {self.bundle.folder}", self._filling()
        else:
            setting = f"airflow_wheelhouse {wheelhouse.place}"
            command = shlex.join(["scripts/wheelhouse", self.airflow_version, *self._more_extras])
        return f"{setting} lacks {', '.join(missing)}: fill it with {command}"

    def _bundled(self) -> str | None:
        """Say what the bundle lacks that a host of any distribution would need."""
        if self.bundle is None:
            return None
        if self.airflow_wheelhouse:
            return "airflow_bundle has wheels, too: leave airflow_wheelhouse out"
        if not _is_there(self.bundle.wheels):
            command = self._filling(folder="FOLDER")
            return f"airflow_bundle is not a bundle on this machine: make it with {command}"
        found = [self.lacks_debs(each) for each in releases.fitting(self.release)]
        return min((sentence or "" for sentence in found), key=len) or None

    def lacks_debs(self, distribution: str) -> str | None:
        """Say what the bundle has not for a host of ``distribution``."""
        packages = releases.apt_packages(self.release, self.extras, distribution)
        missing = self.bundle.missing(distribution, packages) if self.bundle else []
        if not missing:
            return None
        return (
            f"airflow_bundle {self.airflow_bundle} lacks {', '.join(missing)} for {distribution}: "
            f"fill it with {self._filling(distribution)}"
        )

    def _filling(self, distribution: str | None = None, *, folder: str = "") -> str:
        """Give the command that fills the bundle, for a distribution that would do or this one."""
        distribution = distribution or releases.fitting(self.release)[0]
        words = ["--release", self.airflow_version, "--distribution", distribution]
        folder = folder or str(self.airflow_bundle)
        return shlex.join(["scripts/bundle", folder, *words, *self._more_extras])

    @property
    def _more_extras(self) -> list[str]:
        """The options for the extras that not every stack of the release needs."""
        more = [extra for extra in self.extras if extra not in self.release.needed_extras]
        return [word for extra in more for word in ("--extra", extra)]

    def _servers(self) -> str | None:
        for part in ("postgresql", self.broker) if self.airflow_components else ():
            self.server(part)
        return None

    def _certificates(self) -> str | None:
        for server in (*releases.SERVERS, releases.PROXY):
            names = f"{server}_certificate", f"{server}_certificate_key"
            certificate, key = (getattr(self, name) for name in names)
            if (certificate is None) != (key is None):
                return f"{names[0]} and {names[1]} go together: give both or neither"
            if certificate and (why := certificates.unfit(certificate, key)):
                return f"{names[0]} can't be used: {why}"
        return None

    def _secrets(self) -> str | None:
        for name in secrets.GENERATORS:
            if getattr(self, name) is not None and secrets.is_guessed(self.secret(name)):
                return (
                    f"{name} is empty or one that everybody knows: give another, "
                    "or leave it out to have one generated"
                )
        return None

    def _consent(self) -> str | None:
        if self.postgresql_allow_insecure:
            return None
        opened = {
            "postgresql_auth = 'trust'": self.postgresql_auth == "trust",
            "postgresql_superuser = True": self.postgresql_superuser,
            "postgresql_listen_addresses = '*'": "*" in (self.postgresql_listen_addresses or ""),
            "postgresql_allow with the whole internet": any(
                ipaddress.ip_network(network, strict=False).prefixlen == 0
                for network in self.postgresql_allow
            ),
        }
        for what, wanted in opened.items():
            if wanted:
                return f"{what} opens the database: postgresql_allow_insecure = True consents to it"
        return None

    def _passwords(self) -> str | None:
        for name in secrets.GENERATORS:
            if not self.secret(name).isprintable():
                return f"{name} has a line break or another character that can't be seen"
        if not self.release.plain_passwords:
            return None
        for name in ("postgresql_password", "rabbitmq_password"):
            if not re.fullmatch(r"[A-Za-z0-9_-]*", self.secret(name)):
                return (
                    f"{name} has a character that Airflow {self.airflow_version} can't read in a "
                    "URL: use letters, digits, _ and -"
                )
        return None

    def _derived_keys(self) -> str | None:
        keys = self.release.keys
        for name, setting in _SET_ELSEWHERE.items():
            section, key = keys.get(name, ("", ""))
            if key in self.airflow_config.get(section, {}):
                return f"airflow_config sets [{section}] {key}: set {setting} instead"
        return None

    def _lost_keys(self) -> str | None:
        sentence = cfg_names.lost(self.airflow_config, python_2=not self.release.escapes_percent)
        return sentence and f"airflow_config: {sentence}"

    def _mail_server(self) -> str | None:
        if self.airflow_report_email and "smtp_host" not in self.airflow_config.get("smtp", {}):
            return (
                "airflow_report_email needs a mail server: set airflow_config = "
                '{"smtp": {"smtp_host": ..., "smtp_mail_from": ...}}'
            )
        return None

    def _webhook(self) -> str | None:
        url = self.secret("airflow_report_webhook")
        if url and not url.startswith(("https://", "http://")):
            return "airflow_report_webhook is no URL: give one that begins with https://"
        return None

    def _urls(self) -> str | None:
        for name in _URLS:
            if urls.split(self.secret(name)) is None:
                return f"{name} is not a URL: give {urls.FORM}"
        return None

    def _admin_urls(self) -> str | None:
        for server, schemes in _ADMIN_SCHEMES.items():
            name = f"{server}_admin_url"
            url = urls.split(self.secret(name))
            given = url and url.scheme in schemes and url.hostname and url.password
            if self.secret(name) and not given:
                return f"{name} can't be used: give {schemes[0]}://USER:PASSWORD@HOST:PORT"
        return None

    def _objects(self) -> str | None:
        for kind in declared.KINDS:
            if text := self.secret(f"airflow_{kind}"):
                administrator = self.airflow_admin_user
                sentence = declared.unusable(kind, text, self.release, administrator)
                if sentence:
                    return f"airflow_{kind}: {sentence}"
            elif kind in self.airflow_remove_objects:
                return (
                    f"airflow_remove_objects would remove all {kind}: set airflow_{kind} to those"
                    " that stay, if only to {}"
                )
        return None

    def _webserver_config(self) -> str | None:
        if self.airflow_webserver_config is None:
            return None
        if "webserver_config.py" in self.release.lacks:
            return (
                f"airflow_webserver_config: Airflow {self.airflow_version} knows no"
                " webserver_config.py: leave it out"
            )
        if "webserver_config.py's database" in self.release.lacks:
            text = self.airflow_webserver_config.read_text(encoding="utf-8")
            if "SQLALCHEMY_DATABASE_URI" not in text:
                return (
                    f"airflow_webserver_config: the web server of Airflow {self.airflow_version}"
                    ' knows its database from there only: add "from airflow.configuration import'
                    " conf\" and \"SQLALCHEMY_DATABASE_URI = conf.get('core', 'SQL_ALCHEMY_CONN')\""
                )
        for section in ("fab", "webserver"):
            if "config_file" in self.airflow_config.get(section, {}):
                return (
                    f"airflow_config sets [{section}] config_file: set airflow_webserver_config"
                    " instead"
                )
        return None

    def _remote_logs(self) -> str | None:
        url, release = self.airflow_remote_logs, self.release
        if url is None:
            return self.airflow_remote_logs_connection and (
                "airflow_remote_logs_connection is set without airflow_remote_logs: set that too"
            )
        extras = release.remote_logs.get(url.partition("://")[0], ())
        if extras and not set(extras).isdisjoint(self.extras):
            return None
        if extras:
            return f"airflow_remote_logs needs {' or '.join(extras)} in airflow_extras"
        known = ", ".join(f"{scheme}://" for scheme in release.remote_logs)
        return f"airflow_remote_logs can't be used: Airflow {release.version} knows {known}"

    def _scrapers(self) -> str | None:
        if any(ipaddress.ip_network(n, strict=False).prefixlen == 0 for n in self.monitoring_allow):
            return "monitoring_allow with the whole internet: name the Prometheus servers instead"
        return None

    def _database_ports(self) -> str | None:
        if self.topology.pooled and self.pgbouncer_port == self.postgresql_port:
            return (
                f"port {self.pgbouncer_port} is asked for twice: give pgbouncer_port and"
                " postgresql_port their own"
            )
        return None

    def _web_ports(self) -> str | None:
        here = self.topology.components
        taken = [self.airflow_web_port] if self.release.web.name in here else []
        for port in self.proxy_ports if releases.PROXY in here else ():
            if port in taken:
                return (
                    f"port {port} is asked for twice on {self.topology.name}: give each of "
                    "proxy_port, proxy_http_port and airflow_web_port its own"
                )
            taken.append(port)
        return None

    def check_placed(self, name: str) -> None:
        """Raise SettingsError if the inventory gives the host ``name`` nothing to do."""
        if not self.topology.components:
            raise SettingsError(
                f"host {name} is in no component's group: put it in one or more of "
                f"{', '.join((*releases.GROUPS, *releases.EXPORTERS))}"
            )

    def secret(self, name: str) -> str:
        """Give a secret in plain text; one that is not set is empty."""
        value: SecretStr | None = getattr(self, name)
        return value.get_secret_value() if value else ""

    @property
    def broker(self) -> str:
        """The broker that Airflow uses: ``rabbitmq`` or ``redis``."""
        return "redis" if self.redis_host else "rabbitmq"

    @property
    def foreign(self) -> tuple[str, ...]:
        """Those of the database and the broker that no host of the inventory runs."""
        used = ("postgresql", self.broker) if self.airflow_components else ()
        return tuple(server for server in used if server not in self.topology.servers)

    @property
    def database_port(self) -> int:
        """The port at which Airflow reaches its database."""
        return self.pgbouncer_port if self.topology.pooled else self.postgresql_port

    @property
    def sslmode(self) -> str | None:
        """libpq's word for how connections to the database are secured, if it is not its own."""
        return self.postgresql_sslmode or ("verify-full" if self.postgresql_tls else None)

    def ca_path(self, server: str) -> str:
        """Give the file of a host with the authorities that vouch for ``server``."""
        given = getattr(self, f"{server}_ca")
        return f"{CONFIGURATION}/{server}-ca.crt" if given else SYSTEM_CA

    def server(self, part: str) -> str:
        """Give the address of one of the servers; SettingsError when none is known."""
        address: str | None = getattr(self, f"{part}_host")
        if address is None:
            raise SettingsError(
                f"no host runs {part}: put one in the group {part}, or set {part}_host"
            )
        return address

    @classmethod
    def of(cls, host: Host, settings: Settings | None = None) -> Settings:
        """Complete ``settings``, or else the data of ``host``, by the inventory and the secrets.

        SettingsError says in one sentence what is wrong.
        """
        if settings and all(getattr(settings, name) for name in secrets.GENERATORS):
            return settings
        given = _given(settings) if settings else _ours(host.data.dict())
        given = {**given, **_from_urls(host, given)}
        checked = _checked(given)
        merged = {**_from_inventory(host, checked), **given}
        hidden = {name: checked.secret(name) for name in secrets.GENERATORS if name in given}
        return _checked({**merged, **_all_secrets(hidden, checked.secrets_file(host))})

    def secrets_file(self, host: Host) -> Path:
        """Give the file of the generated secrets."""
        return self.airflow_secrets_file or secrets.default_file(host.groups)


_URLS = (
    *("airflow_wheelhouse", "airflow_report_webhook"),
    *("python_index_url", "python_extra_index_url", "python_proxy"),
)
_ADMIN_SCHEMES = {"postgresql": ("postgresql", "postgres"), "rabbitmq": ("https", "http")}
_OF_REPOSITORY = (
    "airflow_dags_revision",
    "airflow_dags_subfolder",
    "airflow_dags_interval",
    "airflow_dags_deploy_key",
    "airflow_dags_known_hosts",
)
# What airflow_config must not set, since other parts follow the same setting.
_SET_ELSEWHERE = {
    "home": "airflow_home",
    "dags": "airflow_home",
    "plugins": "airflow_home",
    "database_url": "the postgresql_ settings",
    "broker_url": "the rabbitmq_ or redis_ settings",
    "result_backend": "the postgresql_ settings",
    "fernet_key": "airflow_fernet_key",
    "secret_key": "airflow_secret_key",
    "web_host": "airflow_web_host",
    "web_port": "airflow_web_port",
    "worker_concurrency": "airflow_worker_concurrency",
    "worker_log_port": "airflow_worker_log_port",
}
DERIVED = {"topology"}


def _given(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.model_fields_set}


def _all_secrets(given: Mapping[str, str], file: Path) -> dict[str, str]:
    try:
        return secrets.complete(given, file)
    except OSError as error:
        why = error.strerror
    raise SettingsError(f"airflow_secrets_file can't be used: {why}: give another place for it")


def _ours(data: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the settings out of an inventory's data and refuse what looks like one but is none."""
    known = set(Settings.model_fields) - DERIVED
    for key in data:
        if key.startswith(PREFIXES) and key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "see the table of settings in the README"
            raise SettingsError(f"unknown setting {key}: {hint}")
    return {key: data[key] for key in data if key in known and data[key] is not None}


def _checked(values: Mapping[str, Any]) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        sentence = _sentence(error)
    # Not while that is handled: its error has the values, and would be this one's context.
    raise SettingsError(sentence)


def _sentence(error: ValidationError) -> str:
    """Say the first thing that pydantic found in one sentence, without what may be a secret."""
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return first["msg"].removeprefix("Value error, ")
    name = str(first["loc"][0])
    value = "" if is_secret(name) else sensitive.shown(first["input"])
    refusal = f"{name} can't be {value}" if value else name
    return f"{refusal}: {sensitive.refusal(error, first['loc'][1:])}"


@cache
def _alone(name: str) -> Any:
    """Return a model of one setting."""
    field: Any = Settings.model_fields[name]
    return create_model("Setting", value=(field.annotation, field))


def _of_host(host: Host, name: str) -> Any:
    """Return one setting of any host, checked as its own run checks it."""
    given = host.data.get(name)
    try:
        return _alone(name).model_validate({} if given is None else {"value": given}).value
    except ValidationError as error:
        why = sensitive.refusal(error, error.errors()[0]["loc"][1:])
    raise SettingsError(f"{name} of host {host.name}: {why}")


def is_secret(name: str) -> bool:
    """Tell whether a setting is not to be shown; airflow_config may have secrets among others."""
    return "Secret" in str(Settings.model_fields[name].annotation)


def _from_urls(host: Host, given: Mapping[str, Any]) -> dict[str, Any]:
    """Take the URLs of servers apart into the settings that they stand for."""
    found: dict[str, Any] = {}
    for server in releases.SERVERS:
        name = f"{server}_url"
        if given.get(name) is None:
            continue
        if _members(host, [server]):
            raise SettingsError(
                f"{name} names a server, and the inventory has a host in {server}: leave one out"
            )
        url = _as_secret(given[name])
        url = url.get_secret_value() if isinstance(url, SecretStr) else url
        if not isinstance(url, str):
            raise SettingsError(f"{name} is not a text: give a URL")
        try:
            parts = urls.parts(server, url)
        except ValueError as error:
            raise SettingsError(f"{name} can't be used: {error}") from None
        both = [part for part in parts if given.get(part) is not None and part != name]
        if both:
            raise SettingsError(f"{name} says {both[0]} too: leave {both[0]} out")
        found.update(parts)
    return found


def _from_inventory(host: Host, checked: Settings) -> dict[str, Any]:
    """Derive from the inventory what a host has to know of the others.

    Hosts are compared by name: ``host`` is pyinfra's stand-in for the one being deployed.
    """
    release = checked.release
    alone = (*releases.SERVERS, releases.PGBOUNCER, releases.PROXY, *releases.EXPORTERS)
    members = {name: _members(host, [name]) for name in alone}
    members |= {c.name: _members(host, c.groups) for c in release.components}
    _check_complete(release, members)
    _check_broker(checked, members)
    topology = _topology(host, release, members)
    return {
        **_servers(host, members),
        **_tls(host, checked, members),
        **_web_host(release, topology),
        "topology": topology,
    }


def _web_host(release: releases.Release, topology: Topology) -> dict[str, str]:
    """Say where the web UI listens behind a proxy; without one the default stands."""
    if not topology.proxies or release.web.name not in topology.components:
        return {}
    return {"airflow_web_host": topology.address if topology.web_clients else "127.0.0.1"}


Members = Mapping[str, list[Host]]


def _members(host: Host, groups: Iterable[str]) -> list[Host]:
    found = (host.inventory.get_group(group, default=[]) for group in groups)
    return list(dict.fromkeys(member for group in found for member in group))


def _topology(host: Host, release: releases.Release, members: Members) -> Topology:
    _check_exporters(members)
    _check_pgbouncer(members)
    _check_queues(host, members["worker"])
    everyone = list(dict.fromkeys(member for hosts in members.values() for member in hosts))
    components = {
        member.name: [c for c in release.components if _among(member, members[c.name])]
        for member in everyone
    }
    airflow = [member for member in everyone if components[member.name]]
    others = [member for member in airflow if member.name != host.name]
    with_database = [
        member
        for member in airflow
        if any("database_url" not in c.withheld for c in components[member.name])
    ]
    web, proxies = members[release.web.name], members[releases.PROXY]
    calling = members["worker"] if "execution_url" in release.keys else []
    clients = [member for member in everyone if _among(member, (*proxies, *calling))]
    migrating = (members["scheduler"] or with_database)[:1]
    pooled = bool(members[releases.PGBOUNCER])
    return Topology(
        name=_hostname(host),
        address=_address(host),
        components=frozenset(name for name, hosts in members.items() if _among(host, hosts)),
        servers=frozenset(name for name in releases.SERVERS if members[name]),
        hosts=tuple(map(_address, others)),
        database_hosts=tuple(_address(m) for m in others if _among(m, with_database)),
        direct_hosts=tuple(_address(m) for m in others if not pooled or _among(m, migrating)),
        pooled=pooled,
        web_hosts=tuple(map(_address, web)),
        web_clients=tuple(_address(member) for member in clients if member.name != host.name),
        proxies=tuple(map(_address, proxies)),
        proxy_names=tuple(dict.fromkeys(name for proxy in proxies for name in _names(proxy))),
        proxy_url=_proxy_url(proxies[0]) if proxies else "",
        web_here=[member.name for member in web] == [host.name],
        database_here=_among(host, migrating),
        workers=tuple(map(_hostname, members["worker"])),
        queues=_queues(members["worker"]),
        statsd=_statsd(host, members["statsd_exporter"], airflow),
        names=tuple(f"{_address(m)} {m.name}" for m in everyone if _hostname(m) != _address(m)),
        database="".join(map(_address, members["postgresql"][:1])),
        known=tuple(dict.fromkeys(n for m in everyone for n in (_hostname(m), _address(m)))),
    )


def _names(proxy: Host) -> list[str]:
    """Give the names by which people know a proxy, the one in links first."""
    return list(filter(None, (_of_host(proxy, "proxy_server_name"), _address(proxy))))


def _proxy_url(proxy: Host) -> str:
    port = _of_host(proxy, "proxy_port")
    return f"https://{bracketed(_names(proxy)[0])}{'' if port == 443 else f':{port}'}"


def _check_complete(release: releases.Release, members: Members) -> None:
    if members[releases.PROXY] and not members[release.web.name]:
        raise SettingsError(
            f"a proxy does nothing without a {release.web.description}: put a host in the group "
            f"{release.web.groups[0]}"
        )
    if any(members[component.name] for component in release.components):
        for component in release.components:
            if component.required and not members[component.name]:
                raise SettingsError(
                    f"Airflow {release.version} does nothing without a {component.description}: "
                    f"put a host in the group {component.groups[0]}"
                )


def _check_broker(checked: Settings, members: Members) -> None:
    """Refuse two brokers, and one that the release can't use as it is asked for."""
    release = checked.release
    if not any(members[component.name] for component in release.components):
        return
    used = {name: members[name] or getattr(checked, f"{name}_host") for name in releases.BROKERS}
    if all(used.values()):
        raise SettingsError(
            "there are two brokers, RabbitMQ and Redis: leave the rabbitmq or the redis part out"
        )
    if used["redis"] and not release.redis_url:
        raise SettingsError(
            f"Airflow {release.version} can't use Redis here: use RabbitMQ, in the group rabbitmq"
        )
    for name, there in used.items():
        if there and getattr(checked, f"{name}_tls") and not release.broker_tls:
            raise SettingsError(
                f"Airflow {release.version} can't check its broker's certificate: "
                f"leave {name}_tls out"
            )


def _check_pgbouncer(members: Members) -> None:
    """Refuse a PgBouncer that does not stand beside our own database."""
    for member in members[releases.PGBOUNCER]:
        if not _among(member, members["postgresql"]):
            raise SettingsError(
                f"group pgbouncer has {member.name}, which does not run postgresql: put that host"
                " in it, or leave it out where the database is not ours"
            )


def _check_exporters(members: Members) -> None:
    """Refuse an exporter that would not reach what it is about."""
    if len(members["statsd_exporter"]) > 1:
        raise SettingsError("group statsd_exporter has more than one host; leave one in it")
    for part in releases.SERVERS:
        for member in members.get(f"{part}_exporter", ()):
            if not _among(member, members[part]):
                raise SettingsError(
                    f"group {part}_exporter has {member.name}, which does not run {part}: the"
                    f" exporter reads from its own host, so put that of group {part} in it"
                )


def _statsd(host: Host, exporters: Sequence[Host], airflow: Sequence[Host]) -> str | None:
    """Give the address that takes metrics: loopback where nobody else sends any."""
    if not exporters:
        return None
    alone = [member.name for member in airflow] in ([], [exporters[0].name])
    return "127.0.0.1" if alone else _address(exporters[0])


def _check_queues(host: Host, workers: Sequence[Host]) -> None:
    """Refuse a default queue that no worker takes tasks from: they would wait for ever."""
    default = _of_host(host, "airflow_default_queue")
    if workers and default not in _queues(workers):
        raise SettingsError(
            "no worker takes tasks from airflow_default_queue: add it to the "
            "airflow_worker_queues of one"
        )


def _queues(workers: Sequence[Host]) -> tuple[str, ...]:
    found = (_of_host(worker, "airflow_worker_queues") for worker in workers)
    return tuple(sorted({queue for queues in found for queue in queues}))


def _tls(host: Host, checked: Settings, members: Members) -> dict[str, Any]:
    """Give port, CA and certificate of the servers that speak TLS, as far as they are not given."""
    found: dict[str, Any] = {"rabbitmq_port": 5671} if checked.rabbitmq_tls else {}
    folder = certificates.folder(checked.secrets_file(host))
    for server in releases.SERVERS:
        ours = members[server] and getattr(checked, f"{server}_tls")
        if not ours or getattr(checked, f"{server}_certificate"):
            continue
        found[f"{server}_ca"] = certificates.authority(folder).certificate
        if _among(host, members[server]):
            addresses = (_address(host), host.name, "localhost", "127.0.0.1", "::1")
            pair = certificates.issued(folder, _hostname(host), addresses)
            found[f"{server}_certificate"], found[f"{server}_certificate_key"] = pair
    return found


def _servers(host: Host, members: Members) -> dict[str, str]:
    found = {}
    for name in releases.SERVERS:
        hosts = members[name]
        if len(hosts) > 1:
            raise SettingsError(f"group {name} has {len(hosts)} hosts; leave one in it")
        if hosts:
            found[f"{name}_host"] = "127.0.0.1" if _among(host, hosts) else _address(hosts[0])
    return found


def _among(host: Host, hosts: Iterable[Host]) -> bool:
    return host.name in [member.name for member in hosts]


def _address(host: Host) -> str:
    given = _of_host(host, "airflow_address")
    return str(given or host.data.get("ssh_hostname") or host.name)


def _hostname(host: Host) -> str:
    """Give the inventory's name of a host where it can be a host's name, else its address."""
    try:
        ipaddress.ip_address(host.name)
    except ValueError:
        if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", host.name):
            return host.name
    return _address(host)
