"""Commands of all kinds, from their receipt to their end: slash, menus, prefix, hybrids both ways."""

from __future__ import annotations

import dataclasses
import time
import typing
from typing import Any, ClassVar, Final

from discord.ext import commands

from argus_exporter.catalogue import OTHER
from argus_exporter.discordpy.outcomes import RULES, Rules, decisive, outcome_of, unwrap
from argus_exporter.discordpy.parts import Part
from argus_exporter.discordpy.prefix import PrefixCommands
from argus_exporter.discordpy.registered import Registered
from argus_exporter.discordpy.subjects import shard_of
from argus_exporter.discordpy.tree import TreeCommands

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from argus_exporter.discordpy.interactions import Receipt
    from argus_exporter.discordpy.view import ClientView


@dataclasses.dataclass(slots=True)
class CommandEnd:
    """A command that ended.

    :ivar command: its qualified name, such as ``group sub command``; ``other`` if there is no such command.
    :ivar type: one of :data:`argus_exporter.catalogue.COMMAND_TYPES`; a hybrid's as it was used.
    :ivar outcome: one of :data:`argus_exporter.catalogue.OUTCOMES`.
    :ivar seconds: from the receipt of the interaction or message to the end; nan where that is not known.
    :ivar error: the cause under discord.py's wrappers.
    :ivar receipt: that of the interaction; None for prefix commands.
    :ivar shard: over which it came; known where there is an error.
    """

    command: str
    type: str
    outcome: str
    seconds: float
    error: BaseException | None
    receipt: Receipt | None
    shard: str = ""


class CommandListener:
    """Who wants to hear of commands overrides what it wants. What it raises is caught and counted."""

    def began(self, kind: str) -> None:
        """A command of this type begins."""

    def ended(self, end: CommandEnd) -> None:
        """It ended, however it did; once for each that began."""


_BEGAN: Final = CommandListener.began
_ENDED: Final = CommandListener.ended


@dataclasses.dataclass(slots=True)
class Run:
    """A command that runs.

    :ivar received: when its interaction or message was received, by ``time.perf_counter``.
    :ivar error: what discord.py has told the error handlers.
    :ivar completed: whether discord.py has said that it completed.
    :ivar subject: its interaction or context.
    """

    kind: str
    received: float
    receipt: Receipt | None = None
    error: BaseException | None = None
    completed: bool = False
    subject: object = None


class Commands(Part[CommandListener]):
    """Follows each command, however it was called, and holds nothing of it after its end.

    :ivar rules: the outcomes by exception class.
    :ivar entered: are called where a command begins, in its own task, with its interaction or context.
    :ivar runs: the commands that run, by ``id()`` of the interaction or context, which its task keeps alive; who sees
        one end takes it out.
    :ivar active: whether it is parked, and so sees all; what is still in place before and after that does nothing.
    """

    noun: ClassVar[str] = "commands"

    def __init__(self, view: ClientView) -> None:
        super().__init__(view)
        self.rules: Rules = RULES
        self.entered: list[Callable[[object, Run], None]] = []
        self.runs: dict[int, Run] = {}
        self.active = False
        self._tree = TreeCommands(self)
        self._prefix = PrefixCommands(self)
        self._registered = Registered()

    @property
    def degraded(self) -> bool:
        """Whether app commands are seen by the public way only."""
        return self._tree.degraded

    def open(self, state: Any) -> None:
        """Hook the command tree, if there is one yet, and the bot's prefix commands."""
        self._tree.open(state)
        if isinstance(self.view.client, commands.bot.BotBase):
            self._prefix.open(self.view.client, getattr(state, "parsers", {}))

    def park(self) -> None:
        """Follow the commands that begin from now on; of the errors of some discord.py tells without a listener."""
        self.active = True
        self._tree.park()
        if isinstance(self.view.client, commands.bot.BotBase):
            self.view.on("command_error", self._erred)
            self.view.on("command_completion", self._completed)

    def close(self) -> None:
        """Give everything back; commands that run now are not told of any more."""
        self.active = False
        self.runs.clear()
        self._tree.close()
        self._prefix.close()
        super().close()

    def running(self) -> int:
        """How many commands run now."""
        return len(self.runs)

    def registered(self) -> Mapping[str, frozenset[str]]:
        """Qualified names of the commands there are, by type; the same object as long as nothing is known to change."""
        self._tree.check()
        client = self.view.client
        return self._registered.look(self._tree.tree, client if isinstance(client, commands.bot.BotBase) else None)

    # ------------------------------------------------------------------------------------- one command

    def begin(self, subject: object, kind: str, received: float, receipt: Receipt | None = None) -> None:
        """A command begins, called by an interaction or a context; a call within its own call is no other."""
        if self.active and id(subject) not in self.runs:
            self.runs[id(subject)] = run = Run(kind, received, receipt, subject=subject)
            if self.listeners.ears[_BEGAN]:  # mostly nobody wants to hear
                self.tell(CommandListener.began, kind)
            for entered in self.entered:
                self.view.guard("errors", entered, subject, run)

    def fail(self, subject: object, error: BaseException) -> None:
        """discord.py tells of a command's error."""
        run = self.runs.get(id(subject))
        if run is not None:
            run.error = error

    def end(self, run: Run, command: str | None, raised: BaseException | None, silent: str) -> str:
        """Tell of a command's end.

        :param command: its qualified name, if there is one.
        :param raised: what came out of the call.
        :param silent: the outcome where there is no exception.
        :returns: the outcome.
        """
        seconds = time.perf_counter() - run.received
        outcome, cause, shard = silent, None, ""
        if raised is not None or run.error is not None:
            error = decisive(run.error, raised, self.rules)
            outcome, cause = outcome_of(error, self.rules), unwrap(error)
            shard = shard_of(self.view, "", (run.subject,))
        name = OTHER if command is None or outcome == "not_found" else command
        end = CommandEnd(name, run.kind, outcome, seconds, cause, run.receipt, shard)
        for call in self.listeners.ears[_ENDED]:
            try:
                call(end)
            except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
                self.view.note_error(self.noun, error)
        return outcome

    def _erred(self, ctx: Any, error: BaseException) -> None:
        if ctx.interaction is None:
            self.fail(ctx, error)
        else:
            self._tree.fail(ctx.interaction, error)

    def _completed(self, ctx: Any) -> None:
        run = self.runs.get(id(ctx))
        if run is not None:
            run.completed = True
