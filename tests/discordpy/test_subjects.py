"""Where an event belongs, from what discord.py hands over."""

from __future__ import annotations

import typing
from typing import Any

import discord
import pytest

from argus_exporter.discordpy import ClientView, command_of, shard_of, user_id_of
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, ShardedBot, logged_in, until

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Heard(ShardedBot):
    """Keeps the arguments of each event's last dispatch."""

    def __init__(self) -> None:
        super().__init__(shard_count=3)
        self.heard: dict[str, tuple[Any, ...]] = {}

    def dispatch(self, event_name: str, /, *arguments: Any, **named: Any) -> None:
        self.heard[event_name] = arguments
        super().dispatch(event_name, *arguments, **named)


@pytest.fixture
async def world() -> AsyncIterator[tuple[Heard, ClientView, Simulator]]:
    async with Simulator(guilds=9, shards=3) as sim:
        bot = Heard()
        async with logged_in(bot, sim, 3):
            yield bot, ClientView(bot, lambda *_: None), sim


async def heard(bot: Heard, event: str) -> tuple[Any, ...]:
    await until(lambda: event in bot.heard)
    return bot.heard[event]


async def test_an_event_is_of_the_shard_of_its_guild(world: tuple[Heard, ClientView, Simulator]) -> None:
    bot, view, sim = world
    for guild in bot.guilds:
        bot.heard.clear()
        await sim.message("hello", guild=guild.id)
        message = await heard(bot, "message")
        shard = str(guild.shard_id)
        assert shard_of(view, "on_message", message) == shard
        assert shard_of(view, "on_guild_join", (guild,)) == shard
        assert shard_of(view, "on_member_join", tuple(guild.members[:1])) == shard
        assert shard_of(view, "on_raw", ("first", discord.RawTypingEvent({**_typing(guild.id)}))) == shard
        context = await bot.get_context(message[0])
        assert shard_of(view, "on_command_error", (context, LookupError())) == shard
    assert {guild.shard_id for guild in bot.guilds} == {0, 1, 2}


def _typing(guild_id: int) -> Any:
    return {"channel_id": "1", "user_id": "2", "timestamp": 0, "guild_id": str(guild_id)}


async def test_an_event_without_a_guild_has_no_shard_and_direct_messages_have_the_first(
    world: tuple[Heard, ClientView, Simulator],
) -> None:
    bot, view, sim = world
    assert shard_of(view, "on_ready", ()) == ""
    assert shard_of(view, "on_user_update", (bot.users[0], bot.users[0])) == ""
    assert shard_of(view, "on_shard_resumed", (2,)) == "2"
    await sim.message("hello", guild=None)
    assert shard_of(view, "on_message", await heard(bot, "message")) == "0"


def test_a_client_that_has_one_shard_has_it_always() -> None:
    for bot, shard in ((PlainBot(), "0"), (PlainBot(shard_id=3, shard_count=16), "3")):
        assert shard_of(ClientView(bot, lambda *_: None), "on_ready", ()) == shard


async def test_a_user_is_the_author_the_user_of_an_interaction_or_the_member(
    world: tuple[Heard, ClientView, Simulator],
) -> None:
    bot, _, sim = world

    @bot.tree.command(description="-")
    async def ping(interaction: discord.Interaction) -> None: ...

    await sim.message("hello")
    (message,) = await heard(bot, "message")
    assert user_id_of((message,)) == str(message.author.id)
    await sim.slash("ping")
    (interaction,) = await heard(bot, "interaction")
    assert user_id_of((interaction,)) == str(interaction.user.id)
    member = bot.guilds[0].members[0]
    assert user_id_of(("x", member)) == str(member.id)
    assert user_id_of((bot.guilds[0], 5)) == user_id_of(()) == ""
    assert command_of(interaction) == "ping"
    assert command_of(await bot.get_context(message)) == ""


class Row:
    """What bots keep in their databases and hand to events of their own."""

    def __init__(self, guild_id: object) -> None:
        self.guild_id = guild_id


class Lost:
    """Says nothing of its guild."""

    @property
    def guild(self) -> object:
        raise RuntimeError


async def test_arguments_of_the_bots_own_events_may_answer_with_anything(
    world: tuple[Heard, ClientView, Simulator],
) -> None:
    bot, view, _ = world
    guild = bot.guilds[1]
    assert shard_of(view, "on_poke", (Row(str(guild.id)),)) == ""
    assert shard_of(view, "on_poke", (Row(str(guild.id)), guild)) == str(guild.shard_id)
    assert shard_of(view, "on_poke", (Lost(),)) == ""
    assert shard_of(view, "on_shard_report", ()) == ""
    assert shard_of(view, "on_shard_report", ("what somebody has typed",)) == ""
