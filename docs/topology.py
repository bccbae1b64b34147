"""Draw the hosts of inventories/prod.py with the ports that each of them opens, and to whom."""

from __future__ import annotations

import runpy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from pyinfra.api import Config, Host, Inventory, State

from tasks.addresses import EVERYBODY
from tasks.catalog.releases import GROUPS
from tasks.servers.firewall import allowed
from tasks.settings import Settings
from tasks.settings.endpoints import endpoints

ROOT = Path(__file__).resolve().parents[1]
ANYBODY = "everybody"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56a0d0", "#b58900", "#6a51a3", "#8c564b")
PILL, GAP, BOX = 132, 44, 108
MARGIN = 20
LEVELS = (20, 170, 400)
"""Upper edges of the boxes: who comes from outside, the hosts that call others, and the rest."""


class Row(NamedTuple):
    """A port of a host."""

    host: str
    runs: tuple[str, ...]
    """The components of the host."""
    port: int
    what: str
    clients: tuple[str, ...]
    """The hosts to which it is open."""


def rows() -> list[Row]:
    """Return every port that the example opens, SSH's apart."""
    inventory = runpy.run_path(str(ROOT / "inventories/prod.py"))
    names, data = inventory["hosts"]
    groups: dict[str, tuple[list[str], dict[str, str]]] = {
        group: (inventory[group], {}) for group in GROUPS if group in inventory
    }
    with TemporaryDirectory() as folder:
        ours = Inventory((names, {**data, "airflow_secrets_file": f"{folder}/s"}), **groups)
        State(ours, Config())
        return [row for host in ours for row in _of_host(host, ours)]


def _of_host(host: Host, inventory: Inventory) -> Iterator[Row]:
    settings = Settings.of(host)
    names = {each.data.get("ssh_hostname"): each.name for each in inventory}
    wanted = {each.port: each for each in endpoints(settings)}
    for port, addresses in sorted(allowed(settings).items()):
        clients = (ANYBODY if each in EVERYBODY else names[each] for each in addresses)
        what = wanted[port].setting.removeprefix("airflow_").removesuffix("_port")
        runs = tuple(sorted(settings.topology.components))
        yield Row(host.name, runs, port, what.replace("_", " "), tuple(dict.fromkeys(clients)))


@dataclass(frozen=True)
class Box:
    """A host, or those outside, where it is drawn."""

    name: str
    runs: tuple[str, ...]
    level: int
    x: int
    width: int

    @property
    def top(self) -> int:
        return LEVELS[self.level]

    @property
    def height(self) -> int:
        return BOX if self.runs else GAP


@dataclass(frozen=True)
class Picture:
    """Where everything is drawn."""

    rows: Sequence[Row]

    @cached_property
    def ports(self) -> Mapping[str, list[Row]]:
        """Return the ports of each host; those outside have none."""
        named = dict.fromkeys([row.host for row in self.rows])
        named |= dict.fromkeys(client for row in self.rows for client in row.clients)
        return {name: [row for row in self.rows if row.host == name] for name in named}

    @cached_property
    def levels(self) -> list[list[str]]:
        """Return the names of the boxes, a list for each level."""
        calling = {client for row in self.rows for client in row.clients}
        levels = {n: 0 if n == ANYBODY else 1 if n in calling else 2 for n in self.ports}
        return [[name for name in levels if levels[name] == level] for level in range(len(LEVELS))]

    @cached_property
    def width(self) -> int:
        """Return the width of the whole."""
        return 2 * MARGIN + max(self._length(names) for names in self.levels)

    def _length(self, names: Sequence[str]) -> int:
        return sum(self._width(name) + GAP for name in names) - GAP

    def _width(self, name: str) -> int:
        return PILL * max(len(self.ports[name]), 1) + GAP

    @cached_property
    def boxes(self) -> Mapping[str, Box]:
        """Return the boxes by name; each level is centred."""
        found = {}
        for level, names in enumerate(self.levels):
            x = (self.width - self._length(names)) // 2
            for name in names:
                runs = next((row.runs for row in self.ports[name]), ())
                found[name] = Box(name, runs, level, x, self._width(name))
                x += self._width(name) + GAP
        return found

    def place(self, row: Row) -> tuple[int, int]:
        """Return the middle of a port's upper edge."""
        box = self.boxes[row.host]
        return box.x + 8 + PILL // 2 + PILL * self.ports[row.host].index(row), box.top + 8

    def start(self, row: Row, client: str) -> tuple[int, int]:
        """Return where the line from a client to a port begins."""
        box, target = self.boxes[client], self.boxes[row.host]
        if box.level == target.level:
            return box.x + box.width - GAP // 2, box.top
        used = [each for each in self.rows if client in each.clients]
        below = [each for each in used if self.boxes[each.host].level > box.level]
        return box.x + box.width * (below.index(row) + 1) // (len(below) + 1), box.top + box.height


def drawing() -> str:
    """Return the picture as SVG."""
    picture = Picture(rows())
    height = LEVELS[-1] + BOX + 50
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", role="img")
    root.set("viewBox", f"0 0 {picture.width} {height}")
    root.set("font-family", "sans-serif")
    SubElement(root, "title").text = "Hosts, their ports and who may use them"
    SubElement(root, "rect", width="100%", height="100%", fill="#ffffff")
    for number, row in enumerate(picture.rows):
        for client in row.clients:
            _line(root, picture, row, client, COLOURS[number % len(COLOURS)])
    for box in picture.boxes.values():
        _box(root, box)
    for number, row in enumerate(picture.rows):
        _port(root, row, picture.place(row), COLOURS[number % len(COLOURS)])
    said = "With firewall = True every other port is closed, except SSH's on every host."
    _text(root, MARGIN, height - 18, said, 13)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _line(root: Element, picture: Picture, row: Row, client: str, colour: str) -> None:
    (x, y), (to_x, to_y) = picture.start(row, client), picture.place(row)
    bend = -30 - abs(to_x - x) // 12 if to_y - y < MARGIN else (to_y - y) // 2
    curve = f"M {x} {y} C {x} {y + bend}, {to_x} {to_y - abs(bend)}, {to_x} {to_y}"
    SubElement(root, "path", {"d": curve, "fill": "none", "stroke": colour, "stroke-width": "2"})


def _box(root: Element, box: Box) -> None:
    size = {"x": str(box.x), "y": str(box.top), "width": str(box.width), "height": str(box.height)}
    SubElement(root, "rect", size, rx="8", fill="#f3f5f8", stroke="#5b6675")
    _text(
        root,
        box.x + 12,
        box.top + box.height - (34 if box.runs else 16),
        box.name,
        17,
        **{"font-weight": "bold"},
    )
    half = (len(box.runs) + 1) // 2 if len(box.runs) * 90 > box.width else len(box.runs)
    for number, part in enumerate((box.runs[:half], box.runs[half:])):
        _text(root, box.x + 12, box.top + 90 + 13 * number, ", ".join(part), 12)


def _port(root: Element, row: Row, place: tuple[int, int], colour: str) -> None:
    x, y = place[0] - PILL // 2 + 4, place[1]
    size = {"x": str(x), "y": str(y), "width": str(PILL - 8), "height": "40"}
    SubElement(root, "rect", size, rx="6", fill="#ffffff", stroke=colour)
    _text(root, x + 8, y + 17, str(row.port), 14, **{"font-weight": "bold"})
    _text(root, x + 8, y + 33, row.what, 12)


def _text(root: Element, x: int, y: int, text: str, size: int, **style: str) -> None:
    place = {"x": str(x), "y": str(y), "font-size": str(size), "fill": "#1f2933"}
    SubElement(root, "text", place | style).text = text
