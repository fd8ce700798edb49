"""From the settings to a database, and what records into it. Imported only where analytics is on."""

from __future__ import annotations

import asyncio
import importlib
import typing
from typing import Final
from urllib.parse import urlsplit

from argus_exporter.analytics.events import TABLES
from argus_exporter.analytics.privacy import Users
from argus_exporter.analytics.queue import Limits, Queue
from argus_exporter.analytics.record import Recorder
from argus_exporter.analytics.sink import Place
from argus_exporter.settings import SettingError, variable_of

if typing.TYPE_CHECKING:
    from argus_exporter.analytics.sink import Sink
    from argus_exporter.discordpy import ClientView
    from argus_exporter.instruments import Instruments
    from argus_exporter.settings import Secret, Settings

_SINKS: Final = {
    "clickhouse": ("clickhouse", "ClickHouse"),
    "clickhouses": ("clickhouse", "ClickHouse"),
    "postgresql": ("postgres", "Postgres"),
}
"""By the URL's scheme: the module, which is the extra's name too, and the class."""

PERSONAL: Final = frozenset({"users", "members"})
"""Tables that are about persons and nothing else: kept only where users' ids stay as they are."""


def sink_of(settings: Settings, url: Secret) -> Sink:
    """The database of the settings.

    :raises SettingError: if what talks to it is not installed.
    """
    module, name = _SINKS[urlsplit(url.reveal()).scheme]
    try:
        make = getattr(importlib.import_module(f"argus_exporter.analytics.{module}"), name)
    except ImportError:
        msg = f'{variable_of("analytics_url")}={url!r} needs pip install "argus_exporter[{module}]"'
        raise SettingError(msg) from None
    place = Place(
        url.reveal(),
        settings.bot,
        settings.cluster,
        settings.analytics_retention_days,
        settings.analytics_async_insert,
    )
    sink: Sink = make(place)
    return sink


def users_of(settings: Settings) -> Users:
    """What lets users' ids through.

    :raises SettingError: if there is no key for hashing them.
    """
    key = settings.analytics_key
    if settings.analytics_users == "hash" and key is None:
        names = variable_of("analytics_users"), variable_of("analytics_key")
        msg = "{}='hash' is not allowed: {} is not set".format(*names)
        raise SettingError(msg)
    return Users(settings.analytics_users, "" if key is None else key.reveal())


def tables_of(settings: Settings) -> list[str]:
    """The names of the tables that are kept."""
    plain = settings.analytics_users == "plain"
    kept = [table.name for table in TABLES if table.event in settings.analytics_events]
    return [name for name in kept if plain or name not in PERSONAL]


class Analytics:
    """Records what the settings ask for, and has it written.

    :param url: of the database.
    :raises SettingError: if settings that are right one by one do not go together, or a package is not installed.
    """

    def __init__(
        self,
        settings: Settings,
        url: Secret,
        instruments: Instruments,
        view: ClientView,
    ) -> None:
        users = users_of(settings)
        limits = Limits(
            settings.analytics_queue_rows,
            settings.analytics_queue_bytes,
            settings.analytics_batch_rows,
            settings.analytics_batch_seconds,
        )
        self._guard: Final = view.guard
        self._settle: Final = view.interactions.settle
        self._pause: Final = settings.analytics_batch_seconds
        self._turn: asyncio.TimerHandle | None = None
        self.queue: Final = Queue(sink_of(settings, url), limits, instruments, url, tables_of(settings))
        self._recorder: Final = Recorder(view, settings.analytics_events, users, self.queue.put)

    def open(self) -> None:
        """Listen, before the view opens."""
        self._guard("analytics", self._recorder.open)

    def start(self) -> None:
        """Begin to write. On the running loop; returns at once."""
        self.queue.start()
        self._turn = asyncio.get_running_loop().call_later(self._pause, self._account)

    def _account(self) -> None:
        """Have accounted for what is noted, which otherwise waits until somebody asks for the page."""
        self._guard("analytics", self._settle)
        self._turn = asyncio.get_running_loop().call_later(self._pause, self._account)

    def park(self) -> None:
        """Listen to what needs the client's login."""
        self._guard("analytics", self._recorder.park)

    def sample(self) -> None:
        """Bring the gauges up to date."""
        self.queue.sample()

    async def close(self) -> None:
        """Record what is followed still, listen no more, and write what waits within 5 s."""
        if self._turn is not None:
            self._turn.cancel()
        self._guard("analytics", self._recorder.close)
        await self.queue.close()
