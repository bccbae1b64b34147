from collections.abc import Iterator
from secrets import token_hex

import docker
import pytest

from tests.support.hosts import LABEL, Host, Network

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network(f"test-hosts-{token_hex(3)}") as network:
        yield network


@pytest.fixture(scope="module")
def host(network: Network) -> Host:
    return network.host("main", distribution="bookworm")


def test_a_host_answers_over_ssh_with_systemd_running(host: Host) -> None:
    assert host.ssh("cat /proc/1/comm; hostname").stdout.split() == ["systemd", "main"]
    assert host.ssh("systemctl is-active ssh").stdout.strip() == "active"


def test_a_host_is_bare(host: Host) -> None:
    assert host.ssh("command -v python3 curl", check=False).stdout == ""


def test_a_command_reads_its_input(host: Host) -> None:
    assert host.ssh("cat", input="a line\n").stdout == "a line\n"


def test_hosts_of_one_network_reach_each_other(network: Network, host: Host) -> None:
    other = network.host("other", distribution="trixie", memory="512m", memswap="1g")
    banner = host.ssh(f"exec 3<>/dev/tcp/{other.address}/22; head -c 4 <&3")
    assert banner.stdout == "SSH-"


def test_a_restart_keeps_the_address(host: Host) -> None:
    address = host.address
    boot = host.ssh("stat -c %Y /proc/1").stdout
    host.restart()
    assert host.address == address
    assert address in host.ssh("hostname -I").stdout.split()
    assert host.ssh("stat -c %Y /proc/1").stdout > boot


def test_nothing_is_left_behind() -> None:
    name = f"test-hosts-{token_hex(3)}"
    with Network(name) as network:
        known_hosts = network.host("main", distribution="bookworm").known_hosts
    client = docker.from_env()
    mine = {"label": f"{LABEL}={name}"}
    assert not client.containers.list(all=True, filters=mine)
    assert not client.networks.list(filters=mine)
    assert not known_hosts.exists()


def test_a_new_network_replaces_one_of_the_same_name() -> None:
    name = f"test-hosts-{token_hex(3)}"
    Network(name).create()
    with Network(name) as network:
        assert len(network.client.networks.list(names=[name])) == 1
