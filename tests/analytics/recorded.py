"""A real bot whose events become rows, and the rows."""

from __future__ import annotations

import contextlib
import typing
from typing import TypeVar

from argus_exporter.analytics.events import TABLE_OF
from argus_exporter.analytics.privacy import Users
from argus_exporter.analytics.record import Recorder
from argus_exporter.discordpy import ClientView
from tests.clients import logged_in

if typing.TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    import discord

    from argus_exporter.analytics.events import Row, Values
    from examples.discord_simulator import Simulator

KEY = "sixteen characters"

_Row = TypeVar("_Row", bound="Row")


class Rows(list["Row"]):
    """What was emitted."""

    recorder: Recorder
    view: ClientView

    def take(self, table: str, given: Sequence[Values]) -> None:
        self += [TABLE_OF[table].row(*values) for values in given]

    def of(self, kind: type[_Row]) -> list[_Row]:
        return [row for row in self if isinstance(row, kind)]

    def only(self, kind: type[_Row]) -> _Row:
        (row,) = self.of(kind)
        return row


@contextlib.asynccontextmanager
async def recording(
    client: discord.Client, sim: Simulator, *words: str, shards: int = 1, users: str = "plain"
) -> AsyncGenerator[Rows]:
    """Run the client, and keep the rows of the events that these words ask for."""
    rows, errors = Rows(), list[tuple[str, BaseException]]()
    rows.view = view = ClientView(client, lambda noun, error: errors.append((noun, error)))
    rows.recorder = Recorder(view, frozenset(words), Users(users, KEY), rows.take)
    view.journal.hurry("tests", needed=True)
    rows.recorder.open()
    view.open()
    async with logged_in(client, sim, shards):
        view.park()
        rows.recorder.park()
        try:
            yield rows
        finally:
            rows.recorder.close()
            await view.close()
    assert errors == []
