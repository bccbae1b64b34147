"""Let a setup.py of 2017 find the function that pip lost with release 10.

This module runs before the environment's packages can be imported, so it waits for `import pip`.
"""

import sys


class Pip(object):
    """Imports pip once, and adds what is missing."""

    def find_module(self, name, path=None):
        # `python -m pip` looks here too, and wants more of a loader.
        return self if name == "pip" and sys.argv[0].endswith("setup.py") else None

    def load_module(self, name):
        sys.meta_path.remove(self)
        import pip

        pip.get_installed_distributions = lambda: []
        return pip


sys.meta_path.insert(0, Pip())
