"""The version of this package, stated once: pyproject.toml takes it from here.

To ask what is installed (``importlib.metadata``) would take a seventh of the time that it takes to import all of it.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
