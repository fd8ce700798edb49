"""Voice clients of discord.py's kind and of others'."""

from __future__ import annotations

from typing import Any

import discord
import pytest

from argus_exporter.cog import attach
from argus_exporter.collectors.voice import is_playing
from argus_exporter.settings import Settings
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, logged_in, until, value

CONNECTIONS, PLAYING = "discord_voice_connections", "discord_voice_playing"


class Speaker(discord.VoiceProtocol):
    """A voice client that needs no voice server."""

    told: Any = False

    async def on_voice_state_update(self, data: Any) -> None: ...

    async def on_voice_server_update(self, data: Any) -> None: ...

    async def connect(self, **_: Any) -> None:
        await self.channel.guild.change_voice_state(channel=self.channel)  # type: ignore[attr-defined]

    async def disconnect(self, **_: Any) -> None:
        self.cleanup()

    def is_playing(self) -> Any:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told


async def test_voice_clients_are_counted_and_those_that_play() -> None:
    async with Simulator(guilds=3, members=2) as sim:
        bot = PlainBot()
        exporter = attach(bot, Settings(port="off", state_dir="off"))
        async with logged_in(bot, sim):
            metrics = exporter.instruments

            def told() -> tuple[float | None, ...]:
                exporter.sample()
                up = value(metrics, "argus_exporter_collector_up", "voice")
                return value(metrics, CONNECTIONS), value(metrics, PLAYING), up

            await until(lambda: exporter._watching)
            assert told() == (0, 0, 1)
            speakers = [await guild.voice_channels[0].connect(cls=Speaker) for guild in bot.guilds]
            assert told() == (3, 0, 1)
            speakers[0].told = speakers[2].told = True
            assert told() == (3, 2, 1)
            speakers[1].told = RuntimeError("theirs")
            assert told() == (3, None, 0)
            # one that does not say makes the sum unknown, not wrong
            speakers[1].told = None
            assert told() == (3, None, 1)
            speakers[1].told = False
            await speakers[0].disconnect()
            assert told() == (2, 1, 1)
        await exporter.close()


class Method:
    def is_playing(self) -> bool:
        return True


class Property:
    is_playing = True


class Playing:
    playing = True


class Paused:
    playing = False


@pytest.mark.parametrize(
    ("client", "told"), [(Method(), True), (Property(), True), (Playing(), True), (Paused(), False), (object(), None)]
)
def test_voice_clients_of_other_libraries_are_asked_in_their_way(client: object, told: bool | None) -> None:
    assert is_playing(client) is told
