"""The commands that there are, without a walk over them at each sample."""

from __future__ import annotations

from typing import Any

import discord
import pytest
from discord import app_commands

from argus_exporter.discordpy import ClientView
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, PlainClient
from tests.discordpy.command_bots import (
    APP_COMMANDS,
    HYBRIDS,
    PREFIX_COMMANDS,
    following,
    furnish_prefix,
    furnish_tree,
    slash,
)


async def test_what_is_registered_is_known_by_type_without_groups_of_slash_commands() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    furnish_prefix(bot)
    slash_names = {name for name, kind, *_ in APP_COMMANDS if kind == "slash"} | {"cold", "complete"}
    slash_names |= {name for name, *_ in HYBRIDS}
    slash(GuildOnly(bot.tree), "in a guild".replace(" ", "_"))
    async with Simulator() as sim, following(bot, sim):
        view = ClientView(bot, lambda *_: None)
        view.commands.open(bot._connection)
        names = view.commands.registered()
        assert names["slash"] == slash_names | {"in_a_guild"}
        assert names["user"] == names["message"] == {"Menu", "Broken menu", "Handled menu"}
        assert names["prefix"] == {name for _, name, *_ in PREFIX_COMMANDS} - {"other"} | {"redirected"}
        assert view.commands.registered() is names
        slash(bot.tree, "new")
        assert view.commands.registered()["slash"] == names["slash"] | {"new"}
        bot.tree.add_command(slash(bot.tree, "again"), guild=discord.Object(2))
        bot.tree.remove_command("again")
        assert view.commands.registered()["slash"] == names["slash"] | {"new", "again"}
        bot.tree.remove_command("Menu", type=discord.AppCommandType.user)
        assert view.commands.registered()["user"] == {"Broken menu", "Handled menu"}
        bot.remove_command("plain")
        assert view.commands.registered()["prefix"] == names["prefix"] - {"plain"}
        await view.close()


class GuildOnly:
    """The commands of one guild in a tree."""

    def __init__(self, tree: Any) -> None:
        self._tree = tree

    def add_command(self, command: Any) -> None:
        self._tree.add_command(command, guild=discord.Object(1))


async def test_what_came_within_a_group_is_known_within_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    client = PlainClient()
    tree = app_commands.CommandTree(client)
    group = app_commands.Group(name="group", description="-")
    tree.add_command(group)
    view = ClientView(client, lambda *_: None)
    view.commands.open(client._connection)
    names = view.commands.registered()
    assert names == {"slash": set(), "user": set(), "message": set(), "prefix": set()}
    slash(group, "late")
    assert view.commands.registered() is names
    view.commands._registered._walked_at -= 60
    assert view.commands.registered()["slash"] == {"group late"}
    names = view.commands.registered()
    view.commands._registered._walked_at -= 60
    assert view.commands.registered() is names
    monkeypatch.setattr("argus_exporter.discordpy.registered.WALKED", 1)
    slash(tree, "beyond")
    assert len(view.commands.registered()["slash"]) == 1
    await view.close()


async def test_without_its_tables_a_tree_tells_of_its_global_slash_commands() -> None:
    client = PlainClient()
    tree: Any = app_commands.CommandTree(client)
    slash(tree, "one")
    slash(GuildOnly(tree), "two")
    del tree._guild_commands, tree._context_menus
    view = ClientView(client, lambda *_: None)
    view.commands.open(client._connection)
    assert view.commands.registered() == {"slash": {"one"}, "user": set(), "message": set(), "prefix": set()}
    await view.close()


async def test_without_a_tree_there_are_prefix_commands_alone() -> None:
    view = ClientView(PlainClient(), lambda *_: None)
    view.commands.open(object())
    assert view.commands.registered() == {"slash": set(), "user": set(), "message": set(), "prefix": set()}
    await view.close()
