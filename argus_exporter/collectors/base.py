"""What a collector is."""

from __future__ import annotations

import abc
import re
import typing
from typing import ClassVar, Final

from argus_exporter.catalogue import OTHER
from argus_exporter.discordpy.outcomes import RULES

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from argus_exporter.discordpy import ClientView, Loops
    from argus_exporter.discordpy.outcomes import Rules
    from argus_exporter.instruments import CounterFamily, Instruments, Key
    from argus_exporter.settings import Settings


def _report_to_nobody(error: BaseException, context: Mapping[str, str]) -> None:
    """Where there is no error log."""


def _tell_nobody(noun: str, error: BaseException) -> None:
    """Where nobody counts what was caught."""


def _add(family: CounterFamily, key: Key) -> None:
    """Where there is one thread."""
    family.labels(*key).inc()


class Context(typing.NamedTuple):
    """What a collector is given.

    :param client: the discord.py client as seen through :mod:`argus_exporter.discordpy`; None in manual mode.
    :param loops: the ``discord.ext.tasks`` loops, which manual mode has too; None where nobody asks for them.
    :param report: takes an exception of the bot's, with what is known of where it came from, to the error log.
    :param errors: takes what was caught of the collector's own, with its noun, from any thread.
    :param add: adds 1 to a series of a counter, from any thread.
    :param rules: the outcomes by exception class, the user's own included.
    """

    instruments: Instruments
    settings: Settings
    client: ClientView | None = None
    report: Callable[[BaseException, Mapping[str, str]], None] = _report_to_nobody
    loops: Loops | None = None
    errors: Callable[[str, BaseException], None] = _tell_nobody
    add: Callable[[CounterFamily, Key], None] = _add
    rules: Rules = RULES


_ID: Final = re.compile(r"[0-9]{5}")


def word(name: str) -> str:
    """A name that programmers give, as a label's value; ``other`` if it looks as if it had an id in it."""
    return OTHER if _ID.search(name) else name


class Collector(abc.ABC):
    """One noun: it asks for its cells when it is made, and holds nothing else until it is started.

    Whoever runs it guards ``start``, ``sample`` and ``close``: what they raise is logged and counted, and the bot does
    not notice.
    """

    noun: ClassVar[str]
    """The group in the catalogue, the name in ``ARGUS_DISABLE`` and in the label ``collector``."""

    @abc.abstractmethod
    def __init__(self, context: Context) -> None:
        """Ask for the cells."""

    @property
    def degraded(self) -> bool:
        """Whether it had to fall back and sees less than it should."""
        return False

    def start(self) -> None:  # noqa: B027 - most need no more than their cells
        """Begin to watch. Runs on the event loop's thread, the loop running."""

    def sample(self) -> None:  # noqa: B027
        """Bring the gauges up to date: once a scrape or push, O(shards), on the event loop's thread."""

    async def close(self) -> None:  # noqa: B027
        """Give back everything that ``start`` took. Called once for each start, also for one that raised."""
