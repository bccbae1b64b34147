"""A host that seems far away: a proxy on loopback that delays what it passes on, and counts."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.hosts import Host


@dataclass
class Line:
    """The way to a host."""

    port: int
    delay: float
    """Seconds that a round trip takes longer."""
    round_trips: int = 0
    _asked: dict[int, bool] = field(default_factory=dict)

    def passes(self, connection: int, *, asks: bool) -> None:
        """Count what one side says after it has heard the other, as a round trip's begin."""
        if asks and not self._asked.get(connection):
            self.round_trips += 1
        self._asked[connection] = asks


@contextmanager
def far(host: Host, delay: float) -> Iterator[Line]:
    """Lend a line to the host's sshd over which a round trip takes ``delay`` seconds longer."""
    server = socket.create_server(("127.0.0.1", 0))
    line = Line(server.getsockname()[1], delay)
    threading.Thread(target=_accept, args=(server, host, line), daemon=True).start()
    yield line
    server.close()


def data(host: Host, line: Line, folder: Path) -> dict[str, Any]:
    """Return pyinfra's data of a host behind a line."""
    known = folder / "known_hosts.far"
    known.write_text(known_hosts(host, line))
    return {
        "ssh_hostname": "127.0.0.1",
        "ssh_port": line.port,
        "ssh_known_hosts_file": str(known),
        "airflow_address": host.address,
    }


def known_hosts(host: Host, line: Line) -> str:
    """Return the host's keys, as those of the line's near end."""
    keys = Path(host.data["ssh_known_hosts_file"]).read_text()
    return keys.replace(host.address, f"[127.0.0.1]:{line.port}")


def _accept(server: socket.socket, host: Host, line: Line) -> None:
    with suppress(OSError):
        while True:
            near, _ = server.accept()
            there = socket.create_connection((host.address, 22))
            for each in (near, there):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, target, asks in ((near, there, True), (there, near, False)):
                arguments = (source, target, line, id(near), asks)
                threading.Thread(target=_pump, args=arguments, daemon=True).start()


def _pump(
    source: socket.socket, target: socket.socket, line: Line, connection: int, asks: bool
) -> None:
    with suppress(OSError):
        while chunk := source.recv(1 << 20):
            line.passes(connection, asks=asks)
            time.sleep(line.delay / 2)
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
