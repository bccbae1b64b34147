from pyinfra import config

config.REQUIRE_PYINFRA_VERSION = ">=3.10,<4"
config.FAIL_PERCENT = 0  # the first failed host stops the run everywhere
