"""The image of a bare Debian host: systemd and sshd, and no more."""

import ast
import fcntl
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import docker.errors
import requests

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pyinfra-airflow"
KEY = CACHE / "id_ed25519"

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
CA_PACKAGED = Path("/usr/share/ca-certificates")
PULL_TIMEOUT = 20

PACKAGES = (
    "ca-certificates dbus iproute2 libpam-systemd openssh-server procps sudo systemd systemd-sysv"
)

# The host keys are made at the first start, so that no two hosts share them.
DOCKERFILE = f"""
FROM {{base}}
RUN rm -f /usr/sbin/policy-rc.d /etc/apt/apt.conf.d/docker-clean \\
 && apt-get update \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {PACKAGES} \\
 && rm -f /etc/ssh/ssh_host_* /var/cache/apt/archives/*.deb \\
 && systemctl mask console-getty.service getty.target systemd-firstboot.service
COPY files /
RUN update-ca-certificates && chmod 700 /root/.ssh && systemctl enable own-hosts.service
STOPSIGNAL SIGRTMIN+3
CMD ["/sbin/init"]
"""

# Docker lays its own /etc/hosts over the host's at each start: a deploy's lines would be lost.
OWN_HOSTS = """\
[Unit]
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
ExecStart=-/bin/umount /etc/hosts
ExecStart=/bin/sh -c "test -s /etc/hosts || printf '127.0.0.1\\tlocalhost\\n' > /etc/hosts"

[Install]
WantedBy=sysinit.target
"""
SSH_DROP_IN = """\
[Service]
ExecStartPre=
ExecStartPre=/usr/bin/ssh-keygen -A
ExecStartPre=/usr/sbin/sshd -t
"""


def say(text: str) -> None:
    """Print a progress line at once."""
    print(f"--> {text}", flush=True)


@contextmanager
def alone() -> Iterator[None]:
    """Keep other processes of the tests waiting."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(client: docker.DockerClient, distribution: str) -> str:
    """Bring the host image up to date, and return its name."""
    with alone():
        return _build(client, distribution)


def _build(client: docker.DockerClient, distribution: str) -> str:
    files = {
        "etc/default/locale": "LANG=C.UTF-8\n",
        "etc/environment": _proxies(),
        "etc/pip.conf": _pip_conf(),
        "etc/systemd/system/own-hosts.service": OWN_HOSTS,
        "etc/systemd/system/ssh.service.d/host-keys.conf": SSH_DROP_IN,
        "root/.ssh/authorized_keys": _public_key(),
    }
    for number, certificate in enumerate(_extra_certificates()):
        files[f"usr/local/share/ca-certificates/machine-{number}.crt"] = certificate
    context = {"Dockerfile": DOCKERFILE.format(base=_base(client, distribution))}
    context |= {f"files/{path}": text for path, text in files.items()}

    image = f"pyinfra-airflow-host:{distribution}"
    say(f"image {image}: building what has changed")
    # The machine's own network: the bridge's MTU need not suit it.
    client.images.build(
        fileobj=_tar(context), custom_context=True, tag=image, network_mode="host", rm=True
    )
    return image


def _base(client: docker.DockerClient, distribution: str) -> str:
    """Return the name of a minimal Debian image: one that is here, pulled or bootstrapped."""
    official, bootstrapped = f"debian:{distribution}", f"pyinfra-airflow-base:{distribution}"
    for image in (bootstrapped, official):
        if client.images.list(image):
            return image
    say(f"image {official}: pulling")
    try:
        docker.from_env(timeout=PULL_TIMEOUT).images.pull(official)
        return official
    except (docker.errors.APIError, requests.RequestException) as error:
        say(f"no container registry answers ({error}): bootstrapping {distribution}")
        _bootstrap(client, distribution, bootstrapped)
        return bootstrapped


def _bootstrap(client: docker.DockerClient, distribution: str, image: str) -> None:
    sources = list(_sources(distribution))
    if not sources:
        raise RuntimeError(f"none of this machine's apt archives has Debian {distribution}")
    with tempfile.TemporaryDirectory() as folder:
        archive = str(Path(folder) / "base.tar")
        command = ["mmdebstrap", "--variant=minbase", distribution, archive, "-"]
        subprocess.run(command, input="\n".join(sources), text=True, check=True)
        repository, tag = image.split(":")
        client.api.import_image_from_file(archive, repository=repository, tag=tag)


def _sources(distribution: str) -> Iterator[str]:
    """Yield apt's source lines for a distribution, from the archives which this machine uses.

    A suite whose Release file can't be had is left out: archives drop those of old distributions.
    """
    own = _codename()
    for uri, suite in _machine_archives():
        if re.fullmatch(rf"{own}(-updates|-security)?", suite):
            suite = suite.replace(own, distribution)
            if _answers(f"{uri.rstrip('/')}/dists/{suite}/InRelease"):
                yield f"deb [signed-by={KEYRING}] {uri} {suite} main"


def _codename() -> str:
    release = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=(\S+)", release, re.MULTILINE)
    if not found:
        raise RuntimeError("a host image can be bootstrapped on Debian only")
    return found[1]


def _machine_archives() -> Iterator[tuple[str, str]]:
    """Yield the URI and suite of each archive that has a component 'main'."""
    folder = Path("/etc/apt/sources.list.d")
    for path in [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list"))]:
        text = path.read_text() if path.exists() else ""
        for uri, suite in re.findall(
            r"^deb\s+(?:\[.*?\]\s+)?(\S+)\s+(\S+)\s.*\bmain\b", text, re.MULTILINE
        ):
            yield uri, suite
    for path in sorted(folder.glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            fields = dict(re.findall(r"^(\w[\w-]*):\s*(.*)", stanza, re.MULTILINE))
            if "main" in fields.get("Components", "").split():
                for uri in fields["URIs"].split():
                    for suite in fields["Suites"].split():
                        yield uri, suite


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30):
            return True
    except (urllib.error.URLError, TimeoutError):
        say(f"left out, as it does not answer: {url}")
        return False


def _extra_certificates() -> list[str]:
    """Return the certificates which this machine trusts besides those that Debian packages."""
    packaged = {path.read_text().strip() for path in CA_PACKAGED.rglob("*.crt")}
    bundle = CA_BUNDLE.read_text() if CA_BUNDLE.exists() else ""
    found = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", bundle, re.S)
    return [certificate + "\n" for certificate in found if certificate not in packaged]


def _pip_conf() -> str:
    """Return this machine's pip settings as far as they make sense on another host."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    settings = {}
    for scope in ("global", "user", "site", ":env:"):
        for key, value in re.findall(rf"^{scope}\.(\S+?)=(.*)", output, re.MULTILINE):
            settings[key] = str(ast.literal_eval(value))
    for key in ("index-url", "extra-index-url"):
        urls = [url for url in settings.get(key, "").split() if url.startswith("http")]
        settings[key] = " ".join(urls)
    wanted = ("index-url", "extra-index-url", "proxy", "timeout", "default-timeout")
    lines = [f"{key} = {settings[key]}" for key in wanted if settings.get(key)]
    return "\n".join(["[global]", *lines, ""])


def _proxies() -> str:
    names = ("http_proxy", "https_proxy", "no_proxy")
    variables = [*names, *map(str.upper, names)]
    return "".join(f"{name}={os.environ[name]}\n" for name in variables if name in os.environ)


def _public_key() -> str:
    if not KEY.exists():
        KEY.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(KEY)], check=True)
    return KEY.with_suffix(".pub").read_text()


def _tar(files: dict[str, str]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, text in files.items():
            data = text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    stream.seek(0)
    return stream
