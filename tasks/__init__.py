"""Deploy functions that turn plain Debian and Ubuntu hosts into a production Apache Airflow.

In a checkout::

    from tasks import deploy_stack

In another project, once ``pyinfra-airflow`` is installed::

    from pyinfra_airflow.tasks import deploy_postgresql

Each function takes ``settings``, by default what the inventory says of the host.
"""

from .airflow import deploy_airflow, deploy_database, deploy_services
from .backup import deploy_backup
from .dags import deploy_dags
from .drain import deploy_drain
from .fetch import deploy_secrets_fetch
from .firewall import deploy_firewall
from .foreign import deploy_foreign
from .housekeeping import deploy_housekeeping
from .keys import deploy_fernet_key_rotation
from .monitoring import deploy_monitoring
from .objects import deploy_objects
from .pgbouncer import deploy_pgbouncer
from .postgresql import deploy_postgresql
from .proxy import deploy_proxy
from .python import deploy_python
from .rabbitmq import deploy_rabbitmq
from .redis import deploy_redis
from .reports import deploy_reports
from .restore import deploy_restore
from .settings import Settings, SettingsError
from .settings.preflight import check_settings_first
from .stack import deploy_stack
from .system import deploy_system
from .uninstall import deploy_uninstall
from .upgrade import deploy_rollback
from .verify import deploy_verify

__all__ = [
    "Settings",
    "SettingsError",
    "check_settings_first",
    "deploy_airflow",
    "deploy_backup",
    "deploy_dags",
    "deploy_database",
    "deploy_drain",
    "deploy_fernet_key_rotation",
    "deploy_firewall",
    "deploy_foreign",
    "deploy_housekeeping",
    "deploy_monitoring",
    "deploy_objects",
    "deploy_pgbouncer",
    "deploy_postgresql",
    "deploy_proxy",
    "deploy_python",
    "deploy_rabbitmq",
    "deploy_redis",
    "deploy_reports",
    "deploy_restore",
    "deploy_rollback",
    "deploy_secrets_fetch",
    "deploy_services",
    "deploy_stack",
    "deploy_system",
    "deploy_uninstall",
    "deploy_verify",
]
