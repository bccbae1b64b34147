"""Checks before the first change: the survey of every host, and what it forbids."""
