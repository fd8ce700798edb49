"""The bot of the scripted session: everything that discord.py lets a bot have, with a handler for each behaviour."""

from __future__ import annotations

import asyncio
import io
import re
import typing
from collections import Counter
from typing import Any, Final

import discord
from discord import app_commands
from discord.ext import commands, tasks

from tests.clients import NoWait, until
from tests.session.script import BEHAVIOURS, GROUPED, HYBRID, MENUS

if typing.TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Subject = discord.Interaction[Any] | commands.Context[Any]

ONCE_AN_HOUR: Final = (1, 3600.0)


class Bot(NoWait, commands.AutoShardedBot):
    """Does what the script says.

    :ivar hanging: the tasks of handlers that wait to be cancelled.
    :ivar heard: interactions and messages of people that were dispatched.
    :ivar ran: how often its listeners ran, by event; each listener counts itself.
    :ivar patience: seconds for which its modals wait; None for ever.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(
            "!",
            intents=discord.Intents.all(),
            guild_ready_timeout=0.05,
            max_ratelimit_timeout=30.0,
            owner_id=1,
            tree_cls=Tree,
            **options,
        )
        self.hanging: list[asyncio.Task[Any]] = []
        self.heard = 0
        self.ran: Counter[str] = Counter()
        self.barred: set[int] = set()
        self.cursed: set[int] = set()
        self.patience: float | None = None
        self.before_connecting: Callable[[], Awaitable[object]] | None = None

    async def setup_hook(self) -> None:
        add_commands(self)
        self.add_dynamic_items(Dynamic)
        self.add_view(Board(Button("nameless")))
        if self.before_connecting is not None:
            await self.before_connecting()
        await self.add_cog(Clockwork())
        await self.add_cog(Handling())
        await self.add_cog(Listeners(self))
        await self.tree.sync()

    async def on_message(self, message: discord.Message, /) -> None:
        self.ran["message"] += 1
        await super().on_message(message)

    async def on_command_error(self, ctx: commands.Context[Any], error: commands.CommandError, /) -> None:  # type: ignore[override]
        self.ran["command_error"] += 1
        await super().on_command_error(ctx, error)

    async def behave(self, name: str, subject: Subject) -> None:
        """Do what a behaviour is: see the script's table."""
        await _DOING.get(name, _answer)(self, subject)


class Tree(app_commands.CommandTree[Bot]):
    async def interaction_check(self, interaction: discord.Interaction[Bot], /) -> bool:
        if interaction.user.id in interaction.client.cursed:
            raise ArithmeticError
        return interaction.user.id not in interaction.client.barred


# ---------------------------------------------------------------------------------------------- behaviours


async def _answer(bot: Bot, subject: Subject) -> None:
    if isinstance(subject, commands.Context):
        await subject.send(f"answer {subject.message.id}")
    else:
        await subject.response.send_message("answer")


async def _defer(bot: Bot, subject: Subject) -> None:
    assert isinstance(subject, discord.Interaction)
    await subject.response.defer()
    followup = await subject.followup.send("later", wait=True)
    await followup.edit(content="edited")
    await followup.delete()


async def _slow(bot: Bot, subject: Subject) -> None:
    await asyncio.sleep(0.03)
    await _answer(bot, subject)


async def _silent(bot: Bot, subject: Subject) -> None:
    pass


async def _crash(bot: Bot, subject: Subject) -> None:
    raise RuntimeError


async def _regret(bot: Bot, subject: Subject) -> None:
    await _answer(bot, subject)
    raise ZeroDivisionError


async def _sleepy(bot: Bot, subject: Subject) -> None:
    async with asyncio.timeout(0):
        await asyncio.sleep(1)


async def _twice(bot: Bot, subject: Subject) -> None:
    await _answer(bot, subject)
    await _answer(bot, subject)


async def _send(bot: Bot, subject: Subject) -> None:
    await text_channel(bot).send("from a handler")


async def _hang(bot: Bot, subject: Subject) -> None:
    task = asyncio.current_task()
    assert task is not None
    bot.hanging.append(task)
    await asyncio.get_running_loop().create_future()


_DOING: Final[dict[str, Callable[[Bot, Subject], Awaitable[None]]]] = {
    "defer": _defer,
    "slow": _slow,
    "silent": _silent,
    "crash": _crash,
    "regret": _regret,
    "sleepy": _sleepy,
    "twice": _twice,
    "forbidden": _send,
    "down": _send,
    "banned": _send,
    "limited": _send,
    "lost": _send,
    "cancelled": _hang,
}
"""What is not here answers."""


def text_channel(bot: Bot, number: int = 0) -> discord.TextChannel:
    return min(bot.guilds, key=lambda guild: guild.id).text_channels[number]


# ---------------------------------------------------------------------------------------------- commands


def add_commands(bot: Bot) -> None:
    """All of them; how many there are of each kind, the expectation counts by itself."""
    for name in BEHAVIOURS:
        bot.tree.add_command(_app_command(name))
        if not BEHAVIOURS[name].only_interactions:
            bot.add_command(commands.Command(_prefix(name), name=name))
    for name in MENUS:
        bot.tree.context_menu(name=f"user {name}")(_on_user(name))
        bot.tree.context_menu(name=f"message {name}")(_on_message(name))
    for name in HYBRID:
        bot.add_command(commands.HybridCommand(_prefix(name), name=f"hy-{name}", description="-"))
    admin, user = app_commands.Group(name="admin", description="-"), app_commands.Group(name="user", description="-")
    admin.add_command(user)
    for name in GROUPED:
        user.add_command(_app_command(name))
    guarded = Guarded(name="guarded", description="-")
    guarded.add_command(_app_command("sub"))
    for group in (admin, guarded):
        bot.tree.add_command(group)
    for add in (_add_odd_slash, _add_odd_prefix, _add_odd_hybrids):
        add(bot)


def _app_command(name: str) -> app_commands.Command[Any, ..., Any]:
    async def callback(interaction: discord.Interaction[Bot]) -> None:
        await interaction.client.behave(name, interaction)

    return app_commands.Command(name=name, description="-", callback=callback)


def _prefix(name: str) -> Callable[[commands.Context[Bot]], Awaitable[None]]:
    async def callback(ctx: commands.Context[Bot]) -> None:
        await ctx.bot.behave(name, ctx)

    return callback


def _on_user(name: str) -> Any:
    async def callback(interaction: discord.Interaction[Bot], target: discord.Member) -> None:
        await interaction.client.behave(name, interaction)

    return callback


def _on_message(name: str) -> Any:
    async def callback(interaction: discord.Interaction[Bot], target: discord.Message) -> None:
        await interaction.client.behave(name, interaction)

    return callback


class Guarded(app_commands.Group):
    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        return False


class Number(app_commands.Transformer):
    async def transform(self, interaction: discord.Interaction[Any], value: Any, /) -> int:
        return int(value)


class Picky(commands.Converter[str]):
    async def convert(self, ctx: commands.Context[Any], argument: str) -> str:
        raise commands.BadArgument


class Careless(commands.Converter[float]):
    async def convert(self, ctx: commands.Context[Any], argument: str) -> float:
        return 1 / 0


def _add_odd_slash(bot: Bot) -> None:  # noqa: C901 - a list
    tree = bot.tree

    @tree.command(description="-")
    async def typed(interaction: discord.Interaction[Bot], number: app_commands.Transform[int, Number]) -> None:
        raise AssertionError

    @tree.command(description="-")
    @app_commands.check(lambda _: False)
    async def checked(interaction: discord.Interaction[Bot]) -> None:
        raise AssertionError

    @tree.command(description="-")
    @app_commands.checks.has_permissions(administrator=True)
    async def permitted(interaction: discord.Interaction[Bot]) -> None:
        raise AssertionError

    @tree.command(description="-")
    @app_commands.checks.cooldown(*ONCE_AN_HOUR)
    async def cooled(interaction: discord.Interaction[Bot]) -> None:
        await _answer(bot, interaction)

    @tree.command(description="-")
    async def handled(interaction: discord.Interaction[Bot]) -> None:
        raise KeyError

    @handled.error
    async def apologise(interaction: discord.Interaction[Bot], error: Exception) -> None:
        await _answer(bot, interaction)

    @tree.command(description="-")
    async def worse(interaction: discord.Interaction[Bot]) -> None:
        raise KeyError

    @worse.error
    async def make_worse(interaction: discord.Interaction[Bot], error: Exception) -> None:
        raise LookupError

    @tree.command(description="-")
    async def ask(interaction: discord.Interaction[Bot], modal: str) -> None:
        await interaction.response.send_modal(Asking(modal, bot.patience))
        await interaction.followup.send("shown")

    @tree.command(description="-")
    async def suggest(interaction: discord.Interaction[Bot], word: str) -> None:
        raise AssertionError

    @suggest.autocomplete("word")
    async def words(interaction: discord.Interaction[Bot], current: str) -> list[app_commands.Choice[str]]:
        if current == "crash":
            raise RuntimeError
        return [app_commands.Choice(name="a word", value="a word")]


def _add_odd_prefix(bot: Bot) -> None:  # noqa: C901 - a list
    @bot.command()
    async def need(ctx: commands.Context[Bot], number: int) -> None:
        await _answer(bot, ctx)

    @bot.command(ignore_extra=False)
    async def strict(ctx: commands.Context[Bot], number: int) -> None:
        raise AssertionError

    @bot.command()
    async def quoted(ctx: commands.Context[Bot], text: str) -> None:
        raise AssertionError

    @bot.command()
    async def converted(ctx: commands.Context[Bot], number: Careless) -> None:
        raise AssertionError

    @bot.command()
    @commands.check(lambda _: False)
    async def checked(ctx: commands.Context[Bot]) -> None:
        raise AssertionError

    @bot.command()
    @commands.has_permissions(administrator=True)
    async def permitted(ctx: commands.Context[Bot]) -> None:
        raise AssertionError

    @bot.command(enabled=False)
    async def disabled(ctx: commands.Context[Bot]) -> None:
        raise AssertionError

    @bot.command()
    @commands.is_owner()
    async def owned(ctx: commands.Context[Bot]) -> None:
        raise AssertionError

    @bot.command()
    @commands.cooldown(*ONCE_AN_HOUR, commands.BucketType.user)
    async def cooled(ctx: commands.Context[Bot]) -> None:
        await _answer(bot, ctx)

    @bot.command()
    async def handled(ctx: commands.Context[Bot]) -> None:
        raise KeyError

    @handled.error
    async def apologise(ctx: commands.Context[Bot], error: Exception) -> None:
        await _answer(bot, ctx)

    @bot.command()
    async def worse(ctx: commands.Context[Bot]) -> None:
        raise KeyError

    @worse.error
    async def make_worse(ctx: commands.Context[Bot], error: Exception) -> None:
        raise LookupError

    async def stumble(ctx: commands.Context[Bot]) -> None:
        raise ArithmeticError

    @bot.command()
    @commands.before_invoke(stumble)
    async def hooked(ctx: commands.Context[Bot]) -> None:
        raise AssertionError

    @bot.group(invoke_without_command=True)
    async def tool(ctx: commands.Context[Bot]) -> None:
        await _answer(bot, ctx)

    @tool.command()
    async def use(ctx: commands.Context[Bot]) -> None:
        await _answer(bot, ctx)


def _add_odd_hybrids(bot: Bot) -> None:
    async def never(ctx: commands.Context[Bot]) -> None:
        raise AssertionError

    async def convert(ctx: commands.Context[Bot], word: Picky) -> None:
        raise AssertionError

    bot.add_command(commands.HybridCommand(never, name="hy-checked", description="-", checks=[lambda _: False]))
    bot.add_command(commands.HybridCommand(convert, name="hy-typed", description="-"))


# ---------------------------------------------------------------------------------------------- views and modals


class Checking:
    """Keeps one member out."""

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        return interaction.user.id not in interaction.client.barred


class Button(discord.ui.Button[Any]):
    def __init__(self, name: str) -> None:
        super().__init__(label=name, custom_id=name)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        assert self.custom_id is not None
        await interaction.client.behave(self.custom_id, interaction)


class Select(discord.ui.Select[Any]):
    def __init__(self) -> None:
        super().__init__(custom_id="choose", options=[discord.SelectOption(label="one")], row=4)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.client.behave("answer", interaction)


class Dynamic(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"dyn:(?P<name>\w+)"):
    def __init__(self, name: str) -> None:
        super().__init__(discord.ui.Button(label=name, custom_id=f"dyn:{name}"))
        self.name = name

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Dynamic:
        return cls(match["name"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.client.behave(self.name, interaction)


class Board(Checking, discord.ui.View):
    """A view of buttons, and of other items."""

    def __init__(self, *items: discord.ui.Item[Any]) -> None:
        super().__init__(timeout=None)
        for item in items:
            self.add_item(item)


class Asking(Checking, discord.ui.Modal):
    text: discord.ui.TextInput[Any] = discord.ui.TextInput(label="text", custom_id="text", required=False)

    def __init__(self, name: str, patience: float | None) -> None:
        super().__init__(title="Ask", custom_id=name, timeout=patience)

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        await interaction.client.behave(self.custom_id.removeprefix("modal ").partition("#")[0], interaction)


async def post_boards(bot: Bot) -> dict[str, int]:
    """Post the messages with components; the message of each custom id."""
    channel = text_channel(bot)
    boards = (
        Board(*map(Button, BEHAVIOURS), Select()),
        Board(*(discord.ui.Button(label=name, custom_id=f"dyn:{name}") for name in BEHAVIOURS)),
        Board(Button("stopped"), Button("listener")),
    )
    sent = [(board, await channel.send("board", view=board)) for board in boards]
    for board in boards[1:]:
        board.stop()
    return {item.custom_id: message.id for board, message in sent for item in board.children}  # type: ignore[attr-defined]


# ---------------------------------------------------------------------------------------------- listeners and loops


class Listeners(commands.Cog):
    """Listens to events; some of it fails."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot

    @commands.Cog.listener()
    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        self.bot.ran["interaction"] += 1
        self.bot.heard += 1
        if (interaction.data or {}).get("custom_id") == "listener":
            await interaction.response.send_message("heard")

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        self.bot.ran["message"] += 1
        self.bot.heard += not message.author.bot

    @commands.Cog.listener()
    async def on_typing(self, *_: object) -> None:
        self.bot.ran["typing"] += 1
        raise ValueError

    @commands.Cog.listener()
    async def on_guild_role_create(self, role: discord.Role) -> None:
        self.bot.ran["guild_role_create"] += 1
        await asyncio.sleep(0.02)


class Handling(commands.Cog):
    """Checks and handles for all of its commands."""

    def cog_check(self, ctx: commands.Context[Bot]) -> bool:  # type: ignore[override]
        return ctx.author.id not in ctx.bot.barred

    async def cog_command_error(self, ctx: commands.Context[Bot], error: Exception) -> None:  # type: ignore[override]
        await _answer(ctx.bot, ctx)

    async def cog_app_command_error(self, interaction: discord.Interaction[Bot], error: Exception) -> None:  # type: ignore[override]
        await _answer(interaction.client, interaction)

    @commands.command(name="in-cog")
    async def in_cog(self, ctx: commands.Context[Bot]) -> None:
        raise LookupError

    @app_commands.command(description="-")
    async def cogged(self, interaction: discord.Interaction[Bot]) -> None:
        raise LookupError


class Clockwork(commands.Cog):
    """Loops that have run, failed, tried again or taken too long; see the script's table."""

    async def cog_load(self) -> None:
        for loop in (self.steady, self.doomed, self.stubborn, self.slow):
            loop.start()

    async def cog_unload(self) -> None:
        self.stubborn.cancel()
        ended = self.doomed.get_task()
        if ended is not None and ended.done():
            ended.exception()  # or asyncio would complain of it at some later time, in some other test

    @tasks.loop(seconds=0.05, count=5)
    async def steady(self) -> None:
        pass

    @tasks.loop(seconds=0.05)
    async def doomed(self) -> None:
        if self.doomed.current_loop == 1:
            raise ValueError

    @tasks.loop(hours=1)
    async def stubborn(self) -> None:
        self.attempts = getattr(self, "attempts", 0) + 1
        if self.attempts < 2:
            raise OSError

    @tasks.loop(seconds=0.02, count=2)
    async def slow(self) -> None:
        await asyncio.sleep(0.05)

    @tasks.loop(minutes=1)
    async def idle(self) -> None:
        raise AssertionError


# ---------------------------------------------------------------------------------------------- by itself


class Asker:
    """What the bot asks of Discord by itself."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.channel = text_channel(bot)
        self.guild = self.channel.guild

    async def send(self) -> None:
        await self.channel.send("by itself")

    async def upload(self) -> None:
        sent = await self.channel.send("file", file=discord.File(io.BytesIO(b"content"), "a.txt"))
        assert await sent.attachments[0].read() == b"content"

    async def history(self) -> None:
        assert [message async for message in self.channel.history(limit=3)]

    async def edit_and_delete(self) -> None:
        sent = await self.channel.send("one")
        await sent.edit(content="two")
        await self.channel.fetch_message(sent.id)
        await sent.delete()

    async def react(self) -> None:
        sent = await self.channel.send("one")
        await sent.add_reaction("\N{THUMBS UP SIGN}")
        await sent.remove_reaction("\N{THUMBS UP SIGN}", self.guild.me)
        await sent.clear_reactions()

    async def pin(self) -> None:
        sent = await self.channel.send("one")
        await sent.pin()
        await sent.unpin()

    async def type(self) -> None:
        await self.channel.typing()

    async def members(self) -> None:
        await self.guild.fetch_member(self.guild.members[1].id)
        await self.guild.chunk(cache=False)

    async def roles(self) -> None:
        role = await self.guild.create_role(name="role")
        await role.edit(name="renamed")
        await role.delete()

    async def threads(self) -> None:
        await self.bot.fetch_channel(self.channel.id)

    async def own_commands(self) -> None:
        await self.bot.tree.fetch_commands()

    async def cdn(self) -> None:
        assert self.bot.user is not None
        assert await self.bot.user.display_avatar.read()

    async def hook(self) -> None:
        hook = await self.channel.create_webhook(name="hook")
        sent = await hook.send("by a webhook", wait=True)
        await sent.edit(content="edited")
        await sent.delete()
        await hook.delete()

    async def user(self) -> None:
        await self.bot.fetch_user(self.guild.members[1].id)

    async def nobody(self) -> None:
        await self.bot.fetch_user(1)

    async def nothing(self) -> None:
        await self.channel.send("")

    async def held_back(self) -> None:
        """Two requests come while a third has met the global limit."""
        first = asyncio.create_task(self.send())
        await until(lambda: not self.bot.http._global_over.is_set())
        await asyncio.gather(first, *(text_channel(self.bot, number).send("held back") for number in (1, 2)))
