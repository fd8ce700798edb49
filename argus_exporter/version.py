"""The version of this package, stated once: pyproject.toml takes it from here.

To ask what is installed (``importlib.metadata``) would make the import of all of it a quarter longer.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
