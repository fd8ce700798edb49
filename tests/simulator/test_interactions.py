"""Interactions, run by a real command tree and real views."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import discord
import pytest
from discord import app_commands

from examples.discord_simulator import QUICK, Simulator
from examples.discord_simulator.interactions import Interaction
from tests.simulator.bots import Bot, connected, until


class Shop(discord.ui.View):
    """One of everything that can be clicked."""

    def __init__(self) -> None:
        super().__init__(timeout=None)
        self.chosen: list[Any] = []

    async def _note(self, interaction: discord.Interaction, chosen: list[Any]) -> None:
        self.chosen.append(chosen)
        await interaction.response.edit_message(content="thanks")

    @discord.ui.button(label="Buy", custom_id="buy")
    async def buy(self, interaction: discord.Interaction, _: Any) -> None:
        await self._note(interaction, ["bought"])

    @discord.ui.select(custom_id="text", options=[discord.SelectOption(label="a"), discord.SelectOption(label="b")])
    async def text(self, interaction: discord.Interaction, select: Any) -> None:
        await self._note(interaction, select.values)

    @discord.ui.select(cls=discord.ui.UserSelect, custom_id="user")
    async def user(self, interaction: discord.Interaction, select: Any) -> None:
        await self._note(interaction, select.values)

    @discord.ui.select(cls=discord.ui.RoleSelect, custom_id="role")
    async def role(self, interaction: discord.Interaction, select: Any) -> None:
        await self._note(interaction, select.values)

    @discord.ui.select(cls=discord.ui.ChannelSelect, custom_id="channel")
    async def channel(self, interaction: discord.Interaction, select: Any) -> None:
        await self._note(interaction, select.values)


class More(discord.ui.View):
    """The select that has no room in the shop."""

    chosen: list[Any]

    @discord.ui.select(cls=discord.ui.MentionableSelect, custom_id="either", max_values=2)
    async def either(self, interaction: discord.Interaction, select: Any) -> None:
        self.chosen = select.values
        await interaction.response.defer()


class Form(discord.ui.Modal, title="Form"):
    """A modal with one field."""

    name: Any = discord.ui.TextInput(label="Name", custom_id="name")
    got = ""

    async def on_submit(self, interaction: discord.Interaction) -> None:
        Form.got = self.name.value
        await interaction.response.send_message(f"hello {self.name.value}")


class Commands:
    """The commands under test, and what they were called with."""

    def __init__(self, tree: app_commands.CommandTree[Any]) -> None:
        self.got: dict[str, Any] = {}
        self.shop = Shop()
        self.more = More()
        self.errors: list[Exception] = []
        self._simple(tree)
        self._answers(tree)
        self._menus(tree)

        @tree.error
        async def _(_: discord.Interaction, error: app_commands.AppCommandError) -> None:
            self.errors.append(error)

    def _simple(self, tree: app_commands.CommandTree[Any]) -> None:
        @tree.command(description="-")
        async def everything(
            interaction: discord.Interaction,
            text: str,
            whole: int,
            real: float,
            flag: bool,
            user: discord.Member,
            channel: discord.TextChannel,
            role: discord.Role,
            either: discord.Member | discord.Role,
            file: discord.Attachment,
        ) -> None:
            self.got = {**interaction.namespace.__dict__}
            await interaction.response.send_message("ok")

        group = app_commands.Group(name="config", description="-")
        inner = app_commands.Group(name="log", description="-", parent=group)

        @group.command(name="set", description="-")
        async def set_(interaction: discord.Interaction, key: str) -> None:
            self.got["set"] = key
            await interaction.response.send_message("ok")

        @inner.command(name="level", description="-")
        async def level(interaction: discord.Interaction, value: int) -> None:
            self.got["level"] = value
            await interaction.response.send_message("ok")

        @level.autocomplete("value")
        async def _(interaction: discord.Interaction, current: str) -> list[app_commands.Choice[int]]:
            self.got["typed"] = current
            return [app_commands.Choice(name="one", value=1)]

        tree.add_command(group)

    def _answers(self, tree: app_commands.CommandTree[Any]) -> None:
        @tree.command(description="-")
        async def shop(interaction: discord.Interaction) -> None:
            await interaction.response.send_message("shop", view=self.shop)

        @tree.command(description="-")
        async def more(interaction: discord.Interaction) -> None:
            await interaction.response.send_message("more", view=self.more)

        @tree.command(description="-")
        async def form(interaction: discord.Interaction) -> None:
            await interaction.response.send_modal(Form(custom_id="form"))

        @tree.command(description="-")
        async def slow(interaction: discord.Interaction) -> None:
            await interaction.response.defer(thinking=True, ephemeral=True)
            await interaction.edit_original_response(content="done")
            sent = await interaction.followup.send("and more", wait=True)
            await sent.edit(content="and more still")
            self.got["original"] = await interaction.original_response()
            await sent.delete()
            await interaction.delete_original_response()

        @tree.command(description="-")
        async def twice(interaction: discord.Interaction) -> None:
            token, interaction_id = interaction.token, interaction.id
            await interaction.response.send_message("one")
            from discord.webhook.async_ import async_context, interaction_message_response_params

            params = interaction_message_response_params(type=4, content="two")
            adapter = async_context.get()
            session = interaction._session
            await adapter.create_interaction_response(interaction_id, token, session=session, params=params)

    def _menus(self, tree: app_commands.CommandTree[Any]) -> None:
        @tree.context_menu(name="Look at")
        async def look(interaction: discord.Interaction, member: discord.Member) -> None:
            self.got["member"] = member
            await interaction.response.send_message("ok", ephemeral=True)

        @tree.context_menu(name="Quote")
        async def quote(interaction: discord.Interaction, message: discord.Message) -> None:
            self.got["message"] = message
            await interaction.response.send_message("ok")


@pytest.fixture
async def bot(sim: Simulator) -> AsyncIterator[Bot]:
    async with connected(sim) as bot:
        yield bot


@pytest.fixture
async def commands(bot: Bot) -> Commands:
    commands = Commands(bot.tree)
    await bot.tree.sync()
    return commands


async def answered(sim: Simulator, interaction: Interaction) -> Interaction:
    await until(lambda: interaction.response is not None, sim)
    return interaction


async def test_a_command_gets_every_kind_of_option(sim: Simulator, bot: Bot, commands: Commands) -> None:
    guild = sim.world.guild(0)
    ids = {
        "user": guild.member(2)["user"]["id"],
        "channel": guild.channel(1)["id"],
        "role": guild.role(0)["id"],
        "either": guild.role(1)["id"],
        "file": "1234567890",
    }
    plain = {"text": "x", "whole": 3, "real": 1.5, "flag": True}
    made = await answered(sim, await sim.slash("everything", plain | ids))
    assert (made.response, made.response_data["content"]) == (4, "ok")
    got = commands.got
    assert (got["text"], got["whole"], got["real"], got["flag"]) == ("x", 3, 1.5, True)
    assert isinstance(got["user"], discord.Member)
    assert isinstance(got["role"], discord.Role)
    assert isinstance(got["either"], discord.Role)
    assert isinstance(got["file"], discord.Attachment)
    assert got["channel"].resolve() == bot.get_channel(int(ids["channel"]))
    assert not commands.errors


async def test_subcommands_of_groups_and_of_groups_in_groups(sim: Simulator, commands: Commands) -> None:
    await answered(sim, await sim.slash("config set", {"key": "k"}))
    await answered(sim, await sim.slash("config log level", {"value": 3}))
    assert commands.got == {"set": "k", "level": 3}


async def test_autocomplete_knows_what_is_being_typed(sim: Simulator, commands: Commands) -> None:
    made = await answered(sim, await sim.autocomplete("config log level", "value", {"value": "1"}))
    assert commands.got["typed"] == "1"
    assert made.response == 8
    assert made.response_data["choices"] == [{"name": "one", "value": 1}]


async def test_user_and_message_menus_get_their_targets(sim: Simulator, commands: Commands) -> None:
    await answered(sim, await sim.user_menu("Look at", target=2))
    assert commands.got["member"].id == int(sim.world.guild(0).member(2)["user"]["id"])
    message = await sim.message("quote me")
    await answered(sim, await sim.message_menu("Quote", message))
    assert commands.got["message"].content == "quote me"


async def test_a_button_and_every_select_reach_the_view(sim: Simulator, commands: Commands) -> None:
    shown = (await answered(sim, await sim.slash("shop"))).original
    assert shown is not None
    guild = sim.world.guild(0)
    user, role, channel = guild.member(1)["user"]["id"], guild.role(0)["id"], guild.channel(1)["id"]
    for custom_id, values in (("buy", []), ("text", ["b"]), ("user", [user]), ("role", [role]), ("channel", [channel])):
        await answered(sim, await sim.component(shown, custom_id, values))
    bought, text, [member], [a_role], [a_channel] = commands.shop.chosen
    assert (bought, text) == (["bought"], ["b"])
    assert isinstance(member, discord.Member)
    assert isinstance(a_role, discord.Role)
    assert a_channel.id == int(channel)
    assert sim.stage.messages.get(shown)["content"] == "thanks"  # type: ignore[index]


async def test_a_mentionable_select_takes_users_and_roles_at_once(sim: Simulator, commands: Commands) -> None:
    shown = (await answered(sim, await sim.slash("more"))).original
    assert shown is not None
    guild = sim.world.guild(0)
    values = [guild.member(1)["user"]["id"], guild.role(0)["id"]]
    made = await answered(sim, await sim.component(shown, None, values))
    assert made.response == 6
    assert {type(one) for one in commands.more.chosen} == {discord.Member, discord.Role}


async def test_a_component_that_is_not_there_is_an_error(sim: Simulator, commands: Commands) -> None:
    shown = (await answered(sim, await sim.slash("shop"))).original
    assert shown is not None
    with pytest.raises(LookupError, match="no component 'sell'"):
        await sim.component(shown, "sell")


async def test_a_modal_comes_back_in_the_shape_it_was_shown(sim: Simulator, commands: Commands) -> None:
    made = await answered(sim, await sim.slash("form"))
    assert made.response == 9
    submitted = await answered(sim, await sim.modal("form", {"name": "Ada"}))
    assert submitted.response_data["content"] == "hello Ada"
    assert Form.got == "Ada"


async def test_deferring_editing_and_following_up(sim: Simulator, commands: Commands) -> None:
    made = await answered(sim, await sim.slash("slow"))
    original = made.original
    assert made.response == 5
    assert original is not None
    await until(lambda: sim.stage.messages.get(original) is None, sim)
    assert commands.got["original"].content == "done"
    assert not commands.errors
    assert len(made.followups) == 1
    assert sim.stage.messages.get(made.followups[0]) is None


async def test_an_ephemeral_answer_is_not_told_to_the_gateway(sim: Simulator, bot: Bot, commands: Commands) -> None:
    await answered(sim, await sim.user_menu("Look at"))
    await answered(sim, await sim.slash("shop"))
    await until(lambda: bot.events["MESSAGE_CREATE"] == 1, sim)
    assert bot.last("message").content == "shop"


async def test_a_second_answer_is_refused_with_40060(sim: Simulator, commands: Commands) -> None:
    await sim.slash("twice")
    await until(lambda: commands.errors, sim)
    error = commands.errors[0].original  # type: ignore[attr-defined]
    assert isinstance(error, discord.HTTPException)
    assert (error.status, error.code) == (400, 40060)


async def test_an_answer_after_the_deadline_is_refused_with_10062() -> None:
    async with Simulator(guilds=1, limits=replace(QUICK, interaction_deadline=0.0)) as sim, connected(sim) as bot:
        commands = Commands(bot.tree)
        await bot.tree.sync()
        await sim.slash("shop")
        await until(lambda: commands.errors, sim)
        error = commands.errors[0].original  # type: ignore[attr-defined]
        assert isinstance(error, discord.NotFound)
        assert error.code == 10062


async def test_a_token_that_has_died_takes_no_follow_up() -> None:
    async with Simulator(guilds=1, limits=replace(QUICK, interaction_lifetime=0.0)) as sim, connected(sim) as bot:
        commands = Commands(bot.tree)
        await bot.tree.sync()
        await sim.slash("slow")
        await until(lambda: commands.errors, sim)
        assert commands.errors[0].original.status == 404  # type: ignore[attr-defined]


async def test_a_command_works_in_direct_messages(sim: Simulator, bot: Bot, commands: Commands) -> None:
    made = await answered(sim, await sim.slash("config set", {"key": "dm"}, guild=None))
    assert commands.got["set"] == "dm"
    assert bot.last("interaction").guild is None
    assert isinstance(bot.last("interaction").user, discord.User)
    assert made.payload["context"] == 1


async def test_a_guilds_own_command_is_found_before_the_global_one(sim: Simulator, bot: Bot) -> None:
    guild = discord.Object(sim.guild_ids[0])

    @bot.tree.command(name="here", description="-", guild=guild)
    async def _(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("here")

    [synced] = await bot.tree.sync(guild=guild)
    made = await answered(sim, await sim.slash("here", guild=0))
    assert made.response_data["content"] == "here"
    assert made.payload["data"]["guild_id"] == str(guild.id)
    assert made.payload["data"]["id"] == str(synced.id)


async def test_commands_are_synced_fetched_edited_and_deleted(sim: Simulator, bot: Bot, commands: Commands) -> None:
    synced = await bot.tree.sync()
    assert {command.name for command in synced} == {command.name for command in bot.tree.get_commands()} | {
        command.name for kind in (2, 3) for command in bot.tree.get_commands(type=discord.AppCommandType(kind))
    }
    assert [command.id for command in await bot.tree.fetch_commands()] == [command.id for command in synced]
    one = await bot.tree.fetch_command(synced[0].id)
    assert (await one.edit(description="changed")).description == "changed"
    await one.delete()
    with pytest.raises(discord.NotFound):
        await bot.tree.fetch_command(one.id)


async def test_an_interaction_carries_the_present_time(sim: Simulator, bot: Bot, commands: Commands) -> None:
    made = await sim.slash("shop")
    await until(lambda: "interaction" in bot.told, sim)
    assert abs((discord.utils.utcnow() - bot.last("interaction").created_at).total_seconds()) < 1
    assert bot.last("interaction").id == made.interaction_id


async def test_an_unknown_command_only_fails_in_the_bot(
    sim: Simulator, bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        made = await sim.slash("nowhere")
        await until(lambda: "interaction" in bot.told, sim)
    assert made.response is None


@pytest.mark.skipif(not hasattr(discord.ui, "LayoutView"), reason="layouts came with discord.py 2.6")
async def test_a_button_in_a_layout_reaches_its_callback(sim: Simulator, bot: Bot) -> None:
    pressed: list[str] = []

    class Button(discord.ui.Button[Any]):
        async def callback(self, interaction: discord.Interaction) -> None:
            pressed.append(str(self.custom_id))
            await interaction.response.defer()

    view = discord.ui.LayoutView(timeout=None)
    section = discord.ui.Section("text", accessory=Button(label="x", custom_id="beside"))
    view.add_item(discord.ui.Container(section, discord.ui.ActionRow(Button(label="y", custom_id="below"))))
    channel = bot.get_channel(int(sim.world.guild(0).channel(0)["id"]))
    sent = await channel.send(view=view)  # type: ignore[union-attr]
    for custom_id in ("beside", "below"):
        await answered(sim, await sim.component(sent.id, custom_id))
    assert pressed == ["beside", "below"]


@pytest.mark.skipif(not hasattr(discord.ui, "Label"), reason="labels came with discord.py 2.6")
async def test_a_modal_of_labels_comes_back_with_text_and_choices(sim: Simulator, bot: Bot) -> None:
    got: list[Any] = []

    class Labelled(discord.ui.Modal, title="Labelled"):
        intro = discord.ui.TextDisplay("read this")
        name: Any = discord.ui.Label(text="Name", component=discord.ui.TextInput(custom_id="name"))
        who: Any = discord.ui.Label(text="Who", component=discord.ui.UserSelect(custom_id="who"))

        async def on_submit(self, interaction: discord.Interaction) -> None:
            got.extend([self.name.component.value, *self.who.component.values])
            await interaction.response.send_message("ok")

    @bot.tree.command(name="labelled", description="-")
    async def _(interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Labelled(custom_id="labelled"))

    await answered(sim, await sim.slash("labelled"))
    user = sim.world.guild(0).member(2)["user"]["id"]
    await answered(sim, await sim.modal("labelled", {"name": "Ada", "who": [user]}))
    assert got[0] == "Ada"
    assert got[1].id == int(user)
