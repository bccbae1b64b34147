"""Any Debian host: asking it, and its files, units and packages."""
