"""What holds for every test."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Callable
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


class OnUvloop:
    """Runs the tests on uvloop."""

    def pytest_asyncio_loop_factories(self) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
        return {"uvloop": importlib.import_module("uvloop").new_event_loop}


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("TESTS_LOOP") == "uvloop":
        config.pluginmanager.register(OnUvloop())


def _package() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "argus_exporter"}
