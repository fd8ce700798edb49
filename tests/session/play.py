"""Plays the script, step by step, on a real bot that is logged in to the simulator."""

from __future__ import annotations

import asyncio
import gc
import typing
from typing import Final

from tests.clients import until
from tests.session.bot import Asker, Bot, post_boards
from tests.session.script import BARRED, CURSED, DIRECT, Call, Happening, Step, Trouble, Use

if typing.TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from examples.discord_simulator import Simulator
    from examples.discord_simulator.interactions import Interaction

_TASKS: Final = ("CommandTree-invoker", "discord-ui-", "discord.py: ")
"""How discord.py names the tasks in which the bot's handlers and listeners run."""


class Player:
    """Plays the steps one by one, each to its end.

    :ivar used: the interactions, as the simulator knows them, by step.
    """

    def __init__(self, sim: Simulator, bot: Bot) -> None:
        self.sim = sim
        self.bot = bot
        self.used: list[tuple[Use, Interaction]] = []
        self._boards: dict[str, int] = {}
        self._heard = 0
        self._play: dict[type[Step], Callable[..., Awaitable[None]]] = {
            Use: self._use,
            Call: self._call,
            Trouble: self._trouble,
            Happening: self._happen,
        }

    async def play(self, steps: typing.Iterable[Step]) -> None:
        """Play all of it, and stop when the bot has nothing left to do."""
        self.bot.barred |= self._users(BARRED)
        self.bot.cursed |= self._users(CURSED)
        self._boards = await post_boards(self.bot)
        for step in steps:
            await self._play[type(step)](step)
        await self.quiet()
        gc.collect()  # asyncio tells of exceptions that nobody has retrieved when their tasks go

    def _users(self, member: int) -> set[int]:
        return {int(guild.member(member)["user"]["id"]) for guild in self.sim.world.guilds.values()}

    async def quiet(self) -> None:
        """Wait until everything that was sent has come, and no handler runs."""
        await until(lambda: self.bot.heard >= self._heard and not any(map(is_handler, asyncio.all_tasks())))

    def _plan(self, step: Use | Call) -> None:
        for route, answer in step.plan:
            self.sim.answer_next(route, answer())

    async def _use(self, use: Use) -> None:
        self._plan(use)
        self._heard += 1
        self.sim.stage.interactions.late = use.late
        made = await getattr(self, f"_{use.how}")(use)
        self.sim.stage.interactions.late = 0.0
        if use.how != "prefix":
            self.used.append((use, made))
        if use.hangs:
            await until(lambda: self.bot.hanging)
            self.bot.hanging.pop().cancel()
        await self.quiet()

    async def _slash(self, use: Use) -> Interaction:
        guild = None if use.guild == DIRECT else use.guild
        return await self.sim.slash(use.name, dict(use.options), guild=guild, member=use.member)

    async def _autocomplete(self, use: Use) -> Interaction:
        options = dict(use.options)
        return await self.sim.autocomplete(use.name, next(iter(options)), options, guild=use.guild, member=use.member)

    async def _user(self, use: Use) -> Interaction:
        return await self.sim.user_menu(use.name, guild=use.guild, member=use.member)

    async def _message(self, use: Use) -> Interaction:
        message = self.sim.stage.messages.get(self._boards["answer"])
        assert message is not None
        return await self.sim.message_menu(use.name, message, guild=use.guild, member=use.member)

    async def _component(self, use: Use) -> Interaction:
        values = dict(use.options).get("values", ())
        # the boards hang in the first guild
        return await self.sim.component(self._boards[use.name], use.name, values, guild=0, member=use.member)

    async def _modal(self, use: Use) -> Interaction:
        return await self.sim.modal(use.name, {"text": "typed"}, guild=use.guild, member=use.member)

    async def _prefix(self, use: Use) -> None:
        await self.sim.message(f"!{use.name}", guild=use.guild, member=use.member)

    async def _call(self, call: Call) -> None:
        self._plan(call)
        raised = ""
        try:
            await getattr(Asker(self.bot), call.name)()
        except Exception as error:  # noqa: BLE001 - it is compared
            raised = type(error).__name__
        assert raised == call.error, call
        await self.quiet()

    async def _trouble(self, trouble: Trouble) -> None:
        before = self._sessions(trouble.shard)
        what, *code = trouble.what.split()
        await getattr(self, f"_{what}")(trouble.shard, *map(int, code))
        await until(lambda: self._sessions(trouble.shard) > before)
        await self.sim.wait_for_shards(len(self.bot.shards))
        await until(self._all_guilds_are_back)

    def _sessions(self, shard_id: int) -> int:
        session = self.sim.gateway.sessions.by_shard.get(shard_id)
        return 0 if session is None else session.identifies + session.resumes

    def _all_guilds_are_back(self) -> bool:
        return all(not guild.unavailable for guild in self.bot.guilds) and self.bot.is_ready()

    async def _reconnect(self, shard_id: int) -> None:
        await self.sim.reconnect(shard_id)

    async def _invalidate(self, shard_id: int) -> None:
        await self.sim.invalidate(shard_id)

    async def _close(self, shard_id: int, code: int) -> None:
        await self.sim.close_shard(shard_id, code)

    async def _drop(self, shard_id: int) -> None:
        await self.sim.drop_shard(shard_id)

    async def _happen(self, happening: Happening) -> None:
        await self.sim.event(happening.event, **dict(happening.fields))
        await self.quiet()


def is_handler(task: asyncio.Task[object]) -> bool:
    """Whether the bot does something in it for somebody."""
    return task.get_name().startswith(_TASKS)
