"""Erasure: every row of a guild, or of a user, in every table."""

from __future__ import annotations

import asyncio
import typing
from typing import Final

from argus_exporter.analytics.queue import ATTEMPT_SECONDS
from argus_exporter.analytics.start import sink_of, users_of
from argus_exporter.settings import SettingError, variable_of

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.analytics.sink import Erased
    from argus_exporter.settings import Settings

PROGRESS_SECONDS: Final = 5.0
"""Between two signs of life: databases take their time."""


class Erasure:
    """What is to be erased, and where.

    :param user_id: as Discord has it; erased is what stands for it.
    :ivar url: of the database, which shows no secret.
    :raises SettingError: if no database is set, it cannot be reached with what is installed, or no user can be found
        in it.
    """

    def __init__(self, settings: Settings, guild_id: int | None, user_id: int | None) -> None:
        url = settings.database_url
        if url is None:
            msg = f"{variable_of('analytics_url')} is not set: there is no database"
            raise SettingError(msg)
        if user_id is not None:
            user_id = _stored(user_id, settings)
        self.url: Final = url
        self._guild_id: Final = guild_id
        self._user_id: Final = user_id
        self._sink: Final = sink_of(settings, url)

    async def run(self, progress: Callable[[float], None]) -> list[Erased]:
        """Erase, and tell how many rows of which tables.

        :param progress: is told now and then for how many seconds it has been going on.
        :raises Exception: what the database said.
        """
        began = asyncio.get_running_loop().time()
        erasing = asyncio.create_task(self._erase())
        while not (await asyncio.wait({erasing}, timeout=PROGRESS_SECONDS))[0]:
            progress(asyncio.get_running_loop().time() - began)
        return erasing.result()

    async def _erase(self) -> list[Erased]:
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await self._sink.open()
            return await self._sink.erase(guild_id=self._guild_id, user_id=self._user_id)
        finally:
            await self._sink.close()


def _stored(user_id: int, settings: Settings) -> int:
    users = users_of(settings)
    if not users.kept:
        msg = f"{variable_of('analytics_users')} is off: no ids of users are kept; if they were, say how"
        raise SettingError(msg)
    return users.let_through(user_id)
