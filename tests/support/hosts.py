"""Throwaway hosts: containers with systemd as process 1 and sshd, reached over SSH."""

import ipaddress
import itertools
import os
import subprocess
import time
import zlib
from dataclasses import dataclass
from typing import Any

import docker
from docker.models.containers import Container

from tests.support import host_image
from tests.support.host_image import CACHE, KEY, say

LABEL = "pyinfra-airflow.network"
DISTRIBUTION = "pyinfra-airflow.distribution"
_PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "alone")
TESTS = f"pyinfra-airflow-test-{zlib.crc32(__file__.encode()):08x}-{_PROCESS}"
"""The network of the tests of this process: those of another one, or checkout, have theirs."""
UP_WITHIN = 120
# The kernel swaps for the whole machine, also to a file of a host that is gone; and what is there
# has to fit into the host's memory.
SWAP_OFF = """
test -e /var/swap/airflow || exit 0
systemctl stop 'airflow-*.service' postgresql rabbitmq-server
swapoff /var/swap/airflow
"""
LOAD_DOWNLOADS = "cp /var/cache/apt/shared/*.deb /var/cache/apt/archives/ 2>/dev/null || true"
# The move makes a package appear whole, also for the other hosts that start just then.
SAVE_DOWNLOADS = """
cd /var/cache/apt/archives
for deb in *.deb; do
    shared=/var/cache/apt/shared/$deb
    test -e "$shared" || { cp "$deb" "$shared.$HOSTNAME" && mv "$shared.$HOSTNAME" "$shared"; }
done
"""


class Host:
    """One running container."""

    def __init__(self, container: Container, address: str) -> None:
        self.container = container
        self.address = address
        self.known_hosts = CACHE / f"known_hosts.{container.name}"

    @property
    def data(self) -> dict[str, Any]:
        """Return the host data with which pyinfra connects."""
        return {
            "ssh_hostname": self.address,
            "ssh_user": "root",
            "ssh_key": str(KEY),
            "ssh_known_hosts_file": str(self.known_hosts),
            "ssh_strict_host_key_checking": "yes",
        }

    def ssh(
        self,
        command: str,
        *,
        check: bool = True,
        input: str | None = None,
        timeout: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root over SSH."""
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.known_hosts,
        }
        flags = [f"-o{name}={value}" for name, value in options.items()]
        result = subprocess.run(
            ["ssh", "-F", "none", "-i", str(KEY), *flags, f"root@{self.address}", command],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            **({"stdin": subprocess.DEVNULL} if input is None else {"input": input}),
        )
        return _checked(result) if check else result

    def exec(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as root past SSH."""
        code, (out, err) = self.container.exec_run(["bash", "-c", command], demux=True)
        result = subprocess.CompletedProcess(
            command, code, (out or b"").decode(), (err or b"").decode()
        )
        return _checked(result) if check else result

    def restart(self) -> None:
        """Reboot the host and wait until it is up again."""
        self.container.restart(timeout=60)
        self.wait()

    def wait(self) -> None:
        """Wait until sshd answers and systemd has started everything."""
        deadline = time.monotonic() + UP_WITHIN
        while time.monotonic() < deadline:
            self._learn_key()
            state = self.ssh("systemctl is-system-running --wait", check=False, timeout=UP_WITHIN)
            if state.stdout.strip() in ("running", "degraded"):
                return
            time.sleep(0.3)
        raise TimeoutError(f"{self.container.name} is not up: {state.stdout}{state.stderr}")

    def _learn_key(self) -> None:
        key = self.exec("cat /etc/ssh/ssh_host_ed25519_key.pub", check=False).stdout
        self.known_hosts.write_text(f"{self.address} {key}")


@dataclass(frozen=True)
class Image:
    """What a host was when it was kept; it goes with the network."""

    id: str
    hostname: str
    distribution: str


class Network:
    """Hosts on a network of their own, of which nothing is left after the context.

    From an ``internal`` one there is no way out, and its hosts have nothing of what was fetched.
    """

    def __init__(self, name: str, *, internal: bool = False) -> None:
        self.name = name
        self.internal = internal
        self.client = docker.from_env(timeout=600)
        self.numbers = itertools.count(2)  # the first address is the gateway's

    def __enter__(self) -> "Network":
        self.create()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def create(self) -> None:
        """Create the network, in place of one that is left of the same name."""
        self.remove()
        # Docker picks a free subnet, but allows fixed addresses only where it was asked for one.
        with host_image.alone():
            picked = self._create_network()
            picked.reload()
            self.subnet = picked.attrs["IPAM"]["Config"][0]["Subnet"]
            picked.remove()
            self._create_network(docker.types.IPAMConfig(pool_configs=[{"Subnet": self.subnet}]))

    def remove(self) -> None:
        """Remove the hosts and the network of this name, whoever has created them."""
        mine = {"label": f"{LABEL}={self.name}"}
        for container in self.client.containers.list(all=True, filters=mine):
            _remove(container)
        for network in self.client.networks.list(filters=mine):
            network.remove()
        for image in self.client.images.list(filters=mine):
            self.client.images.remove(image.id, force=True)

    @property
    def gateway(self) -> str:
        """Where the hosts reach this machine."""
        return str(ipaddress.ip_network(self.subnet)[1])

    def drop(self, host: Host) -> None:
        """Remove one host, which no test needs any more."""
        _remove(host.container)

    def keep(self, host: Host) -> Image:
        """Shut a host down for good, and keep it as an image that others start from."""
        host.exec(SAVE_DOWNLOADS)
        host.exec("apt-get clean")
        host.container.stop(timeout=60)
        config = host.container.attrs["Config"]
        image = host.container.commit()
        self.drop(host)
        return Image(image.id, config["Hostname"], config["Labels"][DISTRIBUTION])

    def copy(self, image: Image, name: str) -> Host:
        """Start a host from an image, with the host name it had: RabbitMQ's node is named by it."""
        return self._start(name, image.id, image.distribution, hostname=image.hostname)

    def host(
        self,
        name: str,
        *,
        distribution: str,
        memory: str | None = None,
        memswap: str | None = None,
    ) -> Host:
        """Start a bare host and wait until it is up."""
        image = host_image.build(self.client, distribution)
        return self._start(
            name, image, distribution, hostname=name, mem_limit=memory, memswap_limit=memswap
        )

    def _start(self, name: str, image: str, distribution: str, **options: Any) -> Host:
        address = str(ipaddress.ip_network(self.subnet)[next(self.numbers)])
        endpoint = self.client.api.create_endpoint_config(ipv4_address=address)
        say(f"host {name} ({distribution}, {address}): starting")
        container = self.client.containers.run(
            image,
            name=f"{self.name}-{name}",
            labels={LABEL: self.name, DISTRIBUTION: distribution},
            network=self.name,
            networking_config={self.name: endpoint},
            # Else a host with room enough may fill the swap file of the one that needs it.
            mem_swappiness=None if options.get("mem_limit") else 0,
            detach=True,
            environment={"container": "docker"},
            # What systemd needs: nearly as much as --privileged, which not every machine allows.
            cap_add=["ALL"],
            cap_drop=["SYS_RESOURCE"],
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            cgroupns="host",
            tmpfs={"/run": "", "/run/lock": ""},
            volumes=[
                "/sys/fs/cgroup:/sys/fs/cgroup:rw",
                "/var/swap",  # a layer of the image can't hold a swap file
                *([] if self.internal else _fetched(distribution)),
            ],
            **options,
        )
        host = Host(container, address)
        host.exec(LOAD_DOWNLOADS)
        host.wait()
        return host

    def _create_network(self, ipam: Any = None) -> Any:
        return self.client.networks.create(
            self.name,
            driver="bridge",
            ipam=ipam,
            labels={LABEL: self.name},
            internal=self.internal,
        )


def _fetched(distribution: str) -> list[str]:
    """Give the folders in which the hosts share what they have fetched."""
    return [
        f"{CACHE}/pip:/root/.cache/pip",
        f"{CACHE}/uv:/root/.cache/uv",
        f"{CACHE}/apt/{distribution}:/var/cache/apt/shared",
    ]


def _remove(container: Container) -> None:
    container.reload()
    if container.status == "running":
        container.exec_run(["bash", "-c", SAVE_DOWNLOADS])
        container.exec_run(["bash", "-c", SWAP_OFF])
    container.remove(force=True, v=True)
    (CACHE / f"known_hosts.{container.name}").unlink(missing_ok=True)


def _checked(result: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Raise if the command has failed, after printing what it said."""
    if result.returncode:
        print(result.stdout, result.stderr, sep="\n", flush=True)
        result.check_returncode()
    return result
