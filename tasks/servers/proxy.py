"""The web edge: nginx in front of the web hosts, with TLS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyinfra import host
from pyinfra.api import FactBase, QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta

from ..addresses import bracketed, reachable
from ..before.guard import guard_alone
from ..catalog.servers import PROXY
from ..deploys import deploy
from ..host.files import File, Folder, place
from ..host.found import Paths
from ..host.look import Beyond, Look, look
from ..host.packages import AptPackages, debs_here, packages
from ..host.rows import Row, row
from ..host.steps import Commands, will_have_changed
from ..host.units import Units, Watched, running
from ..resources import template
from ..run import executing
from ..settings import Settings, certificates
from ..settings.places import PROXY_SITE

FOLDER = "/etc/airflow-proxy"
CERTIFICATE = f"{FOLDER}/certificate.pem"
KEY = f"{FOLDER}/key.pem"
_SITES = "/etc/nginx/sites-enabled"
# nginx says itself when it was started, but not when it has read its files anew.
_PID = "/run/nginx.pid"
_FILES = (CERTIFICATE, KEY, PROXY_SITE)
# The folder tells of a site that has been taken away.
_WATCHED = Watched(PROXY.unit, _PID, (*_FILES, _SITES))
_RELOAD = f"nginx -q -t && systemctl reload nginx && touch {_PID}"
_ANSWERS_WITHIN = 60


@deploy("Proxy")
def deploy_proxy(settings: Settings | None = None) -> None:
    """Run nginx in front of the web hosts, with TLS, and wait until Airflow answers through it."""
    settings = Settings.of(host, settings)
    if PROXY.group not in settings.topology.components:
        return
    guard_alone(settings, PROXY.group)
    installed = packages(name="Install nginx", packages=PROXY.packages, debs=debs_here(settings))
    files = _files(settings)
    place({FOLDER: Folder(), **files})
    welcome = welcome_page_absent(name="Remove Debian's welcome page", installed=installed)
    ran = running(
        name="Run nginx",
        watched=_WATCHED,
        texts={path: file.text for path, file in files.items()},
        changed=[welcome],
        reload=_RELOAD,
    )
    answering(name="Wait until Airflow answers through the proxy", url=url(settings), changed=[ran])


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `deploy_proxy` ask."""
    yield Look.of(AptPackages, packages=PROXY.packages)
    yield Look.of(Paths, paths=(FOLDER, *_FILES))
    yield Look.of(WelcomePage)
    yield Look.of(Units, watched=(_WATCHED,))


def _files(settings: Settings) -> dict[str, File]:
    certificate, key = pair(settings)
    return {
        CERTIFICATE: File(certificate, unmarked=True),
        KEY: File(key, mode="600", secret=True, unmarked=True),
        PROXY_SITE: File(site(settings)),
    }


def url(settings: Settings) -> str:
    """Return a URL of this host's proxy that answers 200 once Airflow works."""
    return f"https://127.0.0.1:{settings.proxy_port}{settings.release.health_paths[0]}"


def site(settings: Settings) -> str:
    """Return nginx's configuration."""
    hsts = settings.proxy_hsts_days if settings.proxy_certificate else 0
    return template(
        "nginx-airflow.conf",
        settings=settings,
        servers=servers(settings),
        names=[bracketed(name) for name in settings.topology.proxy_names],
        certificate=CERTIFICATE,
        key=KEY,
        hsts_seconds=hsts * 86400,
    )


def servers(settings: Settings) -> list[str]:
    """Return the web hosts as nginx reaches them: an address with a port each."""
    topology = settings.topology
    here = topology.address if settings.release.web in settings.airflow_components else None
    return [
        f"{reachable(settings.airflow_web_host) if each == here else bracketed(each)}"
        f":{settings.airflow_web_port}"
        for each in topology.web_hosts
    ]


def pair(settings: Settings) -> tuple[str, str]:
    """Return certificate and key in PEM: the given ones, or those of our own CA."""
    certificate, key = settings.proxy_certificate, settings.proxy_certificate_key
    if not (certificate and key):
        folder = certificates.folder(settings.secrets_file(host))
        certificate, key = certificates.issued(folder, PROXY.group, settings.topology.proxy_names)
    return certificate.read_text(), key.read_text()


@operation()
def welcome_page_absent(installed: OperationMeta) -> Commands:
    """Remove the page that comes with nginx on our port, unless somebody changed it."""
    if not will_have_changed([installed]) and not look(WelcomePage):
        host.noop("it is not there")
        return
    yield f"if {WELCOME_PAGE}; then rm {WELCOME}; fi"


@operation()
def answering(url: str, *, changed: Iterable[OperationMeta]) -> Commands:
    """Wait until Airflow answers through the proxy, and fail when it does not in time."""
    if not will_have_changed(changed) and (
        not executing() or look(ProxyStatus, url=url, within=_ANSWERS_WITHIN) == "200"
    ):
        host.noop("Airflow answers through the proxy")
        return
    yield StringCommand(
        'status="$(', ProxyStatus().command(url, _ANSWERS_WITHIN), ')"; test "$status" = 200 ||'
        ' { echo "Airflow does not answer through the proxy, which returns $status" >&2; false; }',
    )  # fmt: skip


def checks(settings: Settings) -> Iterator[Row]:
    """Ask Airflow through it."""
    status = look(ProxyStatus, url=url(settings))
    yield row("proxy", status == "200", "Airflow answers" if status == "200" else status)


@operation()
def absent(settings: Settings) -> Commands:
    """Remove our site, and stop nginx where it has no other."""
    if not look(Paths, paths=(PROXY_SITE, FOLDER)):
        host.noop("there is no proxy")
        return
    yield (
        f"rm -rf {PROXY_SITE} {FOLDER};"
        f" if find /etc/nginx/conf.d {_SITES} -mindepth 1 2>/dev/null | grep -q .;"
        " then systemctl try-reload-or-restart nginx; else systemctl disable -q --now nginx; fi"
    )


class WelcomePage(FactBase[bool]):
    """Whether nginx shows the page that Debian's package came with, as nobody has changed it."""

    default = bool

    def command(self) -> str:
        return f"{WELCOME_PAGE} && echo yes || true"

    def process(self, output: list[str]) -> bool:
        return output == ["yes"]


WELCOME = "/etc/nginx/sites-enabled/default"
WELCOME_PAGE = (
    f"test -L {WELCOME} && dpkg-query -W -f '${{Conffiles}}' nginx-common 2>/dev/null"
    f' | grep -qF "$(md5sum <{WELCOME} | cut -c-32)"'
)
"""The command that finds it."""


class ProxyStatus(Beyond, FactBase[str]):
    """What ``url`` of this host's proxy answers: 200 within so many seconds, or the last status."""

    default = str

    def command(self, url: str, within: int = 0) -> StringCommand:
        return StringCommand(
            f"end=$(($(date +%s) + {within})); while :; do",
            "status=$(curl -sk -m 30 -o /dev/null -w '%{http_code}'", QuoteString(url), ");",
            'test "$status" = 200 && break; test $(date +%s) -lt $end || break; sleep 1; done;',
            'echo "$status"',
        )  # fmt: skip

    def process(self, output: list[str]) -> str:
        return "".join(output)
