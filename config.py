from pyinfra import config

from tasks import check_settings_first

config.REQUIRE_PYINFRA_VERSION = ">=3.10,<4"
config.FAIL_PERCENT = 0  # the first failed host stops the run everywhere
check_settings_first()
