"""What pyinfra lacks. Every operation reads the state by a fact and yields only what differs."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from pyinfra import host, logger, state
from pyinfra.api import FileUploadCommand, QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta
from pyinfra.facts.files import FileContents, Link
from pyinfra.operations import files

from . import locks
from .facts import (
    PROBE,
    PSQL,
    AccessRulesStale,
    Cluster,
    Clusters,
    FileDigest,
    FirewallTable,
    FolderDigests,
    OwnName,
    ProbeAnswer,
    PythonEnvironment,
    RabbitmqDefinitions,
    RabbitmqNodes,
    Sql,
    UnitState,
    shell,
)
from .installers import Pip, Uv, pip
from .passwords import rabbitmq_hash, rabbitmq_matches, scram_matches, scram_verifier

Commands = Generator[str | StringCommand | FileUploadCommand, None, None]


def _will_have_changed(operations: Iterable[OperationMeta]) -> bool:
    """Tell in a plan whether ``operations`` will change, and in a run whether they did."""
    return any(op.did_change() if op.is_complete() else op.will_change for op in operations)


def _can_not_be_asked(answer: object) -> bool:
    """Tell a plan that a server is down: what it would say is then taken to be right.

    Starting it stands in the plan, and the run asks again.
    """
    return answer in (None, "unknown") and not state.is_executing


@operation()
def barrier() -> Commands:
    """Hold every host here until all have come this far: pyinfra orders hosts by depth."""
    host.noop("every host is here")
    yield from ()


@operation()
def text_file(
    path: str, text: str, *, user: str = "root", group: str = "root", mode: str = "644"
) -> Commands:
    """Write a file, shown in a diff also when its folder is still to be made."""
    yield from files.put._inner(
        src=StringIO(text), dest=path, user=user, group=group, mode=mode, create_remote_dir=False
    )


@operation()
def secret_file(
    path: str, text: str, *, user: str = "root", group: str = "root", mode: str = "600"
) -> Commands:
    """Write a file that no one else ever sees: on standard input, private from its first byte."""
    have = host.get_fact(FileDigest, path=path)
    if have is None or have.sha256 != _digest(text):
        if state.config.DIFF:
            host.log(f"Will write {path} (its contents are secret)", logger.info)
        new = QuoteString(f"{path}.new")
        yield StringCommand(
            "umask 077 && cat >", new, "&& chown", f"{user}:{group}", new,
            "&& chmod", mode, new, "&& mv -fT", new, QuoteString(path),
            _stdin=text.removesuffix("\n"),
        )  # fmt: skip
    elif (have.user, have.group, have.mode) != (user, group, mode):
        file = QuoteString(path)
        yield StringCommand("chmod", mode, file, "&& chown", f"{user}:{group}", file)
    else:
        host.noop(f"{path} is as it should be")


@operation()
def link(path: str, target: str) -> Commands:
    """Point a symbolic link elsewhere in one step, so that it is never missing."""
    found = host.get_fact(Link, path=path)
    if found and found["link_target"] == target:
        host.noop(f"{path} points to {target}")
        return
    new = QuoteString(f"{path}.new")
    yield StringCommand("ln -sfn", QuoteString(target), new, "&& mv -fT", new, QuoteString(path))


@operation()
def host_names(lines: Sequence[str]) -> Commands:
    """Let the hosts find each other by name, also without DNS."""
    have = host.get_fact(FileContents, path="/etc/hosts") or []
    wanted = with_block(have, lines) if lines else without_block(have)
    if wanted == have:
        host.noop("/etc/hosts names every host")
        return
    yield from text_file._inner(path="/etc/hosts", text="\n".join(wanted) + "\n")


@operation()
def own_name() -> Commands:
    """Make the host's own name resolvable, as Airflow and RabbitMQ expect it."""
    answer = host.get_fact(OwnName)
    if len(answer) > 1:
        host.noop(f"{answer[0]} resolves")
        return
    yield 'printf "127.0.1.1\\t%s\\n" "$(hostname)" >> /etc/hosts'


@operation()
def running(
    unit: str,
    *,
    started: str,
    reads: Mapping[str, str | None],
    changed: Iterable[OperationMeta] = (),
) -> Commands:
    """Run ``unit``, enabled, and restarted when a file that it reads is newer than its process.

    ``started`` is a file that the start of the unit writes. ``reads`` are the files and, where a
    step before this one writes them, their texts: so a plan sees the restart that this brings.
    ``changed`` are further steps that it has to follow. File times also bring the restart that a
    broken run left undone.
    """
    have = host.get_fact(UnitState, unit=unit, started=started, reads=list(reads))
    rewritten = [
        path
        for path, text in reads.items()
        if text is not None and have.digests.get(path) != _digest(text)
    ]
    commands = []
    if not have.enabled:
        commands.append(f"systemctl enable {unit}")
    if not have.active or have.newer or rewritten or _will_have_changed(changed):
        commands.append(f"systemctl restart {unit}")
    if not commands:
        host.noop(f"{unit} runs, and nothing that it reads is newer")
        return
    yield "systemctl daemon-reload"
    yield from commands


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@operation()
def rules_loaded(unit: str, *, loading: OperationMeta) -> Commands:
    """Load the firewall's rules again after somebody has flushed them."""
    if _will_have_changed([loading]) or host.get_fact(FirewallTable):
        host.noop("the rules are loaded")
        return
    yield f"systemctl restart {unit}"


@operation()
def healthy(
    component: str, probe: Sequence[str], *, seconds: int, changed: Iterable[OperationMeta]
) -> Commands:
    """Wait until a component works, unless it does and nothing has touched it."""
    if not _will_have_changed(changed):
        answer = host.get_fact(ProbeAnswer, words=[*probe, "0"])
        if answer == "yes" or _can_not_be_asked(answer):
            host.noop(f"the {component} works")
            return
    yield StringCommand(PROBE, *map(QuoteString, probe), str(seconds))


# Python ----------------------------------------------------------------------------------------


@operation()
def bootstrap_environment(
    path: str, pins: Sequence[str], *, variables: Mapping[str, str]
) -> Commands:
    """Make a small environment of the host's own Python 3 that holds the tool for the real one."""
    wanted = locks.parse("\n".join(pins), ())
    have = host.get_fact(PythonEnvironment, path=path)
    if have and have.complete and not locks.difference(wanted, have.distributions).missing:
        host.noop(f"{path} has {', '.join(pins)}")
        return
    folder = QuoteString(path)
    yield StringCommand("rm -rf", folder, "&& python3 -m venv", folder)
    yield pip(path, variables, "install", *map(QuoteString, pins))
    yield shell("touch ", folder, "/.complete")


@operation()
def locked_environment(
    path: str,
    wanted: locks.Wanted,
    *,
    installer: Pip | Uv,
    build_aids: Mapping[str, str],
    variables: Mapping[str, str],
) -> Commands:
    """Make a Python environment that holds exactly what is wanted.

    A package of ``build_aids`` is installed last, with that folder on PYTHONPATH. An environment
    whose making was cut short is made anew; one that somebody changed is mended in place.
    """
    have = host.get_fact(PythonEnvironment, path=path)
    pins = have.frozen if have and wanted.requirement else wanted.pins
    if have and have.complete:
        difference = locks.difference(pins, have.distributions)
        if not difference:
            host.noop(f"every pin holds in {path}")
            return
        if state.config.DIFF:
            host.log(f"Will mend {path}: {difference}", logger.info)
        yield shell("rm -f ", QuoteString(f"{path}/.complete"))
    else:
        yield StringCommand("rm -rf", QuoteString(path))
        yield installer.create(path)
        difference = locks.Difference(tuple(sorted(wanted.pins)), ())
    if difference.foreign:
        yield installer.uninstall(path, difference.foreign)
    aided = [name for name in difference.missing if name in build_aids]
    plain = {name: pins[name] for name in difference.missing if name not in aided}
    yield from _install(installer, path, "requirements.txt", plain, variables)
    for name in aided:
        with_aid = {**variables, "PYTHONPATH": build_aids[name]}
        yield from _install(installer, path, f"{name}.txt", {name: pins[name]}, with_aid)
    if wanted.requirement and not (have and have.complete):
        yield from _resolve(installer, path, wanted, variables)
    yield shell("touch ", QuoteString(f"{path}/.complete"))


def _resolve(
    installer: Pip | Uv, path: str, wanted: locks.Wanted, variables: Mapping[str, str]
) -> Commands:
    """Let the installer choose versions within the constraints, and keep its choice as the lock."""
    texts = {
        f"{path}/constraints.txt": wanted.constraints,
        f"{path}/requirements.txt": f"-c {path}/constraints.txt\n{wanted.requirement}\n",
    }
    for file, text in texts.items():
        yield FileUploadCommand(StringIO(text), file, host.get_temp_filename(file))
    yield installer.resolve(path, variables, f"{path}/requirements.txt")
    yield installer.freeze(path)


def _install(
    installer: Pip | Uv,
    path: str,
    file: str,
    pins: Mapping[str, str],
    variables: Mapping[str, str],
) -> Commands:
    if pins:
        lock = f"{path}/{file}"
        yield FileUploadCommand(StringIO(locks.render(pins)), lock, host.get_temp_filename(lock))
        yield installer.install(path, variables, lock)


# PostgreSQL ------------------------------------------------------------------------------------


def main_cluster() -> Cluster | None:
    """Find the newest cluster ``main``; there is none before PostgreSQL is installed."""
    clusters = [cluster for cluster in host.get_fact(Clusters) if cluster.name == "main"]
    return clusters[-1] if clusters else None


@operation()
def cluster_settings(text: str) -> Commands:
    """Give the cluster our settings."""
    yield from _cluster_file("conf.d/50-airflow.conf", lambda have: text)


@operation()
def cluster_access(lines: Sequence[str]) -> Commands:
    """Put our lines of pg_hba.conf before anybody else's."""
    yield from _cluster_file("pg_hba.conf", lambda have: "\n".join(with_block(have, lines)) + "\n")


def _cluster_file(name: str, text: Callable[[list[str]], str]) -> Commands:
    cluster = main_cluster()
    if cluster is None:
        yield "echo 'PostgreSQL has no cluster main' >&2; false"
        return
    path = f"/etc/postgresql/{cluster.version}/main/{name}"
    have = host.get_fact(FileContents, path=path) or []
    yield from text_file._inner(
        path=path, text=text(have), user="postgres", group="postgres", mode="640"
    )


_BEGIN = "# BEGIN pyinfra-airflow"
_END = "# END pyinfra-airflow"


def with_block(lines: Sequence[str], ours: Sequence[str]) -> list[str]:
    """Put our block first, where the first match wins, and leave the rest as it is."""
    return [_BEGIN, *ours, _END, *without_block(lines)]


def without_block(lines: Sequence[str]) -> list[str]:
    """Take our block away."""
    rest = list(lines)
    if _BEGIN in rest and _END in rest:
        rest = rest[: rest.index(_BEGIN)] + rest[rest.index(_END) + 1 :]
    return rest


@operation()
def cluster_running(text: str, *, opened: OperationMeta) -> Commands:
    """Run the cluster, restarted for newer settings and reloaded for newer access rules.

    ``text`` are the settings, and ``opened`` is the step that writes the rules.
    """
    cluster = main_cluster()
    version = cluster.version if cluster else "0"
    folder = f"/etc/postgresql/{version}/main"
    unit = f"postgresql@{version}-main.service" if cluster else "postgresql.service"
    commands = list(
        running._inner(
            unit=unit,
            started=f"/var/lib/postgresql/{version}/main/postmaster.pid",
            reads={f"{folder}/conf.d/50-airflow.conf": text, f"{folder}/postgresql.conf": None},
        )
    )
    stale = host.get_fact(AccessRulesStale, path=f"{folder}/pg_hba.conf")
    if not commands and (stale or _will_have_changed([opened])):
        commands = [f"systemctl reload {unit}"]
    yield from commands


_RIGHTS = {
    "rolcanlogin": True,
    "rolsuper": False,
    "rolcreatedb": False,
    "rolcreaterole": False,
    "rolreplication": False,
    "rolbypassrls": False,
}
_KEYWORDS = {
    "rolcanlogin": "LOGIN",
    "rolsuper": "SUPERUSER",
    "rolcreatedb": "CREATEDB",
    "rolcreaterole": "CREATEROLE",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}


@operation()
def role(role: str, password: str, *, superuser: bool = False) -> Commands:
    """Bring a role to a login with this password and no other rights, demotion included."""
    flags = {**_RIGHTS, "rolsuper": superuser}
    rows = host.get_fact(
        Sql,
        query=f"SELECT {', '.join(flags)}, split_part(rolpassword, '$', 2) AS salt,"
        " encode(sha256(rolpassword::bytea), 'hex') AS digest"
        f" FROM pg_authid WHERE rolname = '{role}'",
    )
    have = rows[0] if rows else {}
    same = all(have.get(flag) == value for flag, value in flags.items())
    if same and scram_matches(have["salt"], have["digest"], password):
        host.noop(f"role {role} is as it should be")
        return
    if _can_not_be_asked(rows):
        host.noop("PostgreSQL does not answer")
        return
    words = " ".join(("" if flags[flag] else "NO") + _KEYWORDS[flag] for flag in flags)
    verb = "ALTER" if have else "CREATE"
    yield _sql(f"{verb} ROLE \"{role}\" {words} PASSWORD '{scram_verifier(password)}';")


@operation()
def database(database: str, owner: str) -> Commands:
    """Make a database in UTF8, or give an existing one to its owner."""
    rows = host.get_fact(
        Sql,
        query="SELECT pg_get_userbyid(datdba) AS owner, pg_encoding_to_char(encoding) AS encoding"
        f" FROM pg_database WHERE datname = '{database}'",
    )
    if _can_not_be_asked(rows):
        host.noop("PostgreSQL does not answer")
    elif not rows:
        yield _sql(
            f'CREATE DATABASE "{database}" OWNER "{owner}" ENCODING \'UTF8\' TEMPLATE template0;'
        )
    elif rows[0]["encoding"] != "UTF8":
        yield f"echo 'database {database} has encoding {rows[0]['encoding']}, not UTF8' >&2; false"
    elif rows[0]["owner"] != owner:
        yield _sql(f'ALTER DATABASE "{database}" OWNER TO "{owner}";')
    else:
        host.noop(f"database {database} is as it should be")


def _sql(statement: str) -> StringCommand:
    return StringCommand(PSQL, "-f -", _stdin=statement)


# RabbitMQ --------------------------------------------------------------------------------------


@operation()
def node_name_kept(wanted: str) -> Commands:
    """Fail where another node has its data here: under a new name it would look empty."""
    others = [name for name in host.get_fact(RabbitmqNodes) if name != wanted]
    if others and wanted not in host.get_fact(RabbitmqNodes):
        yield (
            f"echo 'this host has a RabbitMQ node {others[0]} with data: set rabbitmq_node_name ="
            f' "{others[0]}" to use it\' >&2; false'
        )
        return
    host.noop(f"no node but {wanted} has data here")


@operation()
def broker_user(user: str, password: str, vhost: str) -> Commands:
    """Give a user its virtual host and all permissions there, and no tags.

    By a file of definitions: rabbitmqctl 4 waits for ever for a password on standard input.
    """
    have = host.get_fact(RabbitmqDefinitions)
    if _can_not_be_asked(have):
        host.noop("RabbitMQ does not answer")
        return
    have = have or {}
    found = next((known for known in have.get("users", ()) if known["name"] == user), None)
    same = found and not found["tags"] and rabbitmq_matches(found["password_hash"], password)
    permission = {"user": user, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}
    vhosts = [known["name"] for known in have.get("vhosts", ())]
    if same and vhost in vhosts and permission in have.get("permissions", ()):
        host.noop(f"broker user {user} is as it should be")
        return
    yield _import_definitions(
        {
            "vhosts": [] if vhost in vhosts else [{"name": vhost}],
            "users": [
                {
                    "name": user,
                    "password_hash": rabbitmq_hash(password),
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": "",
                }
            ],
            "permissions": [permission],
        }
    )


def _import_definitions(definitions: Mapping[str, Any]) -> StringCommand:
    file = "/run/airflow-definitions.json"
    return StringCommand(
        f"umask 077 && cat > {file} && chown rabbitmq {file}",
        f"&& rabbitmqctl -q import_definitions {file} </dev/null; done=$?; rm -f {file}",
        "; test $done -eq 0",
        _stdin=json.dumps(definitions),
    )


@operation()
def broker_user_absent(user: str) -> Commands:
    """Remove a broker user, such as the guest that everybody knows the password of."""
    have = host.get_fact(RabbitmqDefinitions)
    if _can_not_be_asked(have):
        host.noop("RabbitMQ does not answer")
        return
    # A broker without definitions is about to be installed, with its guest.
    if have and user not in [known["name"] for known in have.get("users", ())]:
        host.noop(f"there is no broker user {user}")
        return
    yield StringCommand("rabbitmqctl -q delete_user", QuoteString(user), "</dev/null")


# Airflow ---------------------------------------------------------------------------------------


@operation()
def schema(migrations: Mapping[str, str], *, create: str, upgrade: str) -> Commands:
    """Bring the metadata database to the release's schema, by Airflow's own commands."""
    words = [f"{table}={folder}" for table, folder in migrations.items()]
    answer = host.get_fact(ProbeAnswer, words=["schema", *words])
    if answer == "yes" or _can_not_be_asked(answer):
        host.noop("the schema is the release's")
        return
    yield f"airflow {create if answer in ('', 'none') else upgrade}"


@operation()
def login(script: str, user: str, email: str, password: str) -> Commands:
    """Give an administrator a login with this password."""
    answer = host.get_fact(ProbeAnswer, words=["login", user, email], _stdin=password)
    if answer == "yes" or _can_not_be_asked(answer):
        host.noop(f"{user} has this login")
        return
    python = PROBE.replace("airflow_probe.py", script)
    yield StringCommand(python, QuoteString(user), QuoteString(email), _stdin=password)


@operation()
def delivered_folder(source: Path, path: str, *, user: str, group: str) -> Commands:
    """Deliver a folder's files: the changed ones only, and remove only what was delivered before.

    What was delivered stands in ``path``.delivered; other files in the folder are nobody's
    business here.
    """
    local = {
        file.relative_to(source).as_posix(): file
        for file in sorted(source.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    have = host.get_fact(FolderDigests, path=path)
    manifest = f"{path}.delivered"
    before = host.get_fact(FileContents, path=manifest) or []
    gone = [name for name in before if name not in local and name in have]
    changes = [name for name, file in local.items() if have.get(name) != _sha256(file)]
    if not changes and not gone and before == list(local):
        host.noop(f"{path} has every file of {source}")
        return
    yield from _deliver(local, changes, path, have, f"{user}:{group}")
    if gone:
        yield StringCommand("cd", QuoteString(path), "&& rm -f --", *map(QuoteString, gone))
    yield from files.put._inner(
        src=StringIO("".join(f"{name}\n" for name in local)), dest=manifest, mode="644"
    )


def _deliver(
    local: Mapping[str, Path],
    changes: Sequence[str],
    path: str,
    have: Mapping[str, str],
    owner: str,
) -> Commands:
    folders = sorted({str(Path(path, name).parent) for name in changes} - {path})
    if folders:
        quoted = [QuoteString(folder) for folder in folders]
        yield StringCommand("mkdir -p", *quoted, "&& chown", owner, *quoted)
    for name in changes:
        target = f"{path}/{name}"
        if state.config.DIFF:
            _show_difference(target, local[name], known=name in have)
        yield FileUploadCommand(str(local[name]), target, host.get_temp_filename(target))
        yield StringCommand(
            "chown", owner, QuoteString(target), "&& chmod 640", QuoteString(target)
        )


def _show_difference(target: str, file: Path, *, known: bool) -> None:
    host.log(f"Will {'modify' if known else 'create'} {target}", logger.info)
    before = host.get_fact(FileContents, path=target) if known else []
    try:
        after = file.read_text().splitlines()
    except UnicodeDecodeError:
        return
    for line in difflib.unified_diff(before or [], after, lineterm="", n=2):
        logger.info("  %s", line)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
