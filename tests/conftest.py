"""What holds for every test."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

_IMPORTED = pytest.StashKey[dict[str, ModuleType]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Remember the package as the tests have imported it."""
    session.config.stash[_IMPORTED] = _package()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Put back what discord.py has taken out: it forgets the modules of an extension that is unloaded.

    The next import would otherwise make a second package, whose classes are not those that the tests know.
    """
    imported = item.config.stash[_IMPORTED]
    if _package() != imported:
        for name in _package():
            del sys.modules[name]
        sys.modules.update(imported)


def _package() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "argus_exporter"}
