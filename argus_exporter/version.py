"""The version of this package, stated once, in pyproject.toml."""

from __future__ import annotations

from importlib import metadata
from typing import Final


def _installed() -> str:
    try:
        return metadata.version("argus_exporter")
    except metadata.PackageNotFoundError:  # a copy that was put beside the bot without being installed
        return "0+unknown"


VERSION: Final = _installed()
