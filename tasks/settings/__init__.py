"""Settings: the only reader of inventory data, frozen, and refusing what it does not know."""

from .inventory import DERIVED, Settings
from .places import BACKUPS, CONFIGURATION, ENVIRONMENT, FORMER, LOGS, SYSTEM_CA
from .refusals import is_secret
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
    "Scalar",
    "Settings",
    "SettingsError",
    "Topology",
    "is_secret",
    "own_queue",
]
