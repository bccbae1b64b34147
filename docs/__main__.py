"""Write those parts of the documentation that follow from the code."""

from docs import tables, topology

PICTURE = topology.ROOT / "docs/topology.svg"
SETTINGS = topology.ROOT / "docs/settings.md"

if __name__ == "__main__":
    PICTURE.write_text(topology.drawing())
    SETTINGS.write_text(tables.refreshed(SETTINGS.read_text()))
