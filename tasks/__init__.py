"""Deploy functions that turn plain Debian and Ubuntu hosts into a production Apache Airflow.

In a checkout::

    from tasks import deploy_stack

In another project, once ``pyinfra-airflow`` is installed::

    from pyinfra_airflow.tasks import deploy_postgresql

Each function takes ``settings``, by default what the inventory says of the host.
"""

from .airflow.dags import deploy_dags
from .airflow.database import deploy_database
from .airflow.external import deploy_foreign
from .airflow.housekeeping import deploy_housekeeping
from .airflow.objects import deploy_objects
from .airflow.python import deploy_python
from .airflow.reports import deploy_reports
from .airflow.services import deploy_services
from .airflow.tools import deploy_airflow
from .day_two.backup import deploy_backup
from .day_two.drain import deploy_drain
from .day_two.fetch import deploy_secrets_fetch
from .day_two.keys import deploy_fernet_key_rotation
from .day_two.uninstall import deploy_uninstall
from .day_two.upgrade import deploy_rollback
from .day_two.verify import deploy_verify
from .host.system import deploy_system
from .restore import deploy_restore
from .servers.firewall import deploy_firewall
from .servers.monitoring import deploy_monitoring
from .servers.pgbouncer import deploy_pgbouncer
from .servers.postgresql import deploy_postgresql
from .servers.proxy import deploy_proxy
from .servers.rabbitmq import deploy_rabbitmq
from .servers.redis import deploy_redis
from .settings import Settings, SettingsError
from .settings.preflight import check_settings_first
from .stack import deploy_stack

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
