"""Prefix commands: their end is that of ``Bot.invoke``, which is public, and their receipt that of the message."""

from __future__ import annotations

import time
import typing
from collections import deque
from typing import Any, Final

from argus_exporter.discordpy.outcomes import OK
from argus_exporter.discordpy.runs import Run

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.discordpy.commands import Commands

STAMPS: Final = 1024
"""Of how many messages the receipt is kept; a command that begins later than that counts from where it begins."""

_MESSAGES: Final = ("MESSAGE_CREATE", "MESSAGE_UPDATE")
"""Dispatches that bring a message in; bots may take the edited one for a command, too."""


class PrefixCommands:
    """Hooks ``Bot.invoke`` on the instance, and notes when messages come."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._guard = commands.view.guard
        self._stamps: deque[tuple[str, float]] = deque(maxlen=STAMPS)
        self._parsers: dict[str, Callable[[Any], Any]] = {}
        self._stamping: list[tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = []

    def open(self, bot: Any, parsers: dict[str, Callable[[Any], Any]]) -> None:
        """Hook the bot; without parsers, commands count from their invocation."""
        self._commands.patches.set(bot, "invoke", self._invoking(bot.invoke))
        self._parsers = parsers
        for event in _MESSAGES:
            if event in parsers:
                parser = parsers[event]
                parsers[event] = wrapper = self._noting(parser)
                self._stamping.append((event, wrapper, parser))

    def close(self) -> None:
        """Give the parsers back."""
        for event, wrapper, parser in self._stamping:
            if self._parsers.get(event) is wrapper:
                self._parsers[event] = parser
        self._stamping.clear()

    def _noting(self, parser: Callable[[Any], Any]) -> Callable[[Any], Any]:
        note, now = self._stamps.append, time.perf_counter

        def parse(data: Any) -> Any:
            try:  # noqa: SIM105 - contextlib costs, and this is done for each message
                note((data["id"], now()))
            except (KeyError, TypeError):
                pass  # discord.py cannot read it either, and says so
            return parser(data)

        return parse

    def _invoking(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def invoke(ctx: Any, /, *more: Any, **named: Any) -> Any:
            invoking = original(ctx, *more, **named)
            # most messages are no commands, and a hybrid that is used as a slash command is seen as that
            if (ctx.command is None and not ctx.invoked_with) or ctx.interaction is not None:
                return invoking
            return self._following(ctx, invoking)

        return invoke

    async def _following(self, ctx: Any, invoking: Any) -> Any:
        self._guard("commands", self._begin, ctx)
        try:
            result = await invoking
        except BaseException as error:
            self._guard("commands", self._end, ctx, error)
            raise
        self._guard("commands", self._end, ctx)
        return result

    def _begin(self, ctx: Any) -> None:
        now, message_id = time.perf_counter(), str(ctx.message.id)
        received = next((at for each, at in reversed(self._stamps) if each == message_id), now)
        run = Run(id(ctx), ctx, received)
        run.type = "prefix"
        self._commands.begin(run)

    def _end(self, ctx: Any, raised: BaseException | None = None) -> None:
        run = self._commands.runs.pop(id(ctx), None)
        if run is None:
            return
        # discord.py swallows the cancellation of a command; an invoke of the user's own may have let nobody in
        completed = "cancelled" if ctx.command_failed else OK
        name = None if ctx.command is None else ctx.command.qualified_name
        self._commands.end(run, name, raised, completed if run.completed else "rejected", time.perf_counter())
        self._commands.view.journal.settle()  # what was piled up of it; there may be no notes for long
