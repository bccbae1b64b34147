"""Settings: the only reader of inventory data, frozen, and refusing what it does not know."""

from .inventory import Settings
from .places import BACKUPS, CONFIGURATION, ENVIRONMENT, FORMER, LOGS, SYSTEM_CA
from .refusals import DERIVED, is_secret
from .server import Database, Server
from .topology import Topology
from .types import Scalar, SettingsError
from .workers import own_queue

__all__ = [
    "BACKUPS",
    "CONFIGURATION",
    "DERIVED",
    "ENVIRONMENT",
    "FORMER",
    "LOGS",
    "SYSTEM_CA",
    "Database",
    "Scalar",
    "Server",
    "Settings",
    "SettingsError",
    "Topology",
    "is_secret",
    "own_queue",
]
