"""Commands of all kinds, from their receipt to their end: slash, menus, prefix, hybrids both ways."""

from __future__ import annotations

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

    from argus_exporter.discordpy.runs import Run
    from argus_exporter.discordpy.view import ClientView


class CommandListener:
    """Who wants to hear of commands overrides what it wants. What it raises is caught and counted."""

    def ended(self, run: Run) -> None:
        """It ended, however it did."""


_ENDED: Final = CommandListener.ended


class Commands(Part[CommandListener]):
    """Follows each command, however it was called, and holds nothing of it after its end.

    :ivar rules: the outcomes by exception class.
    :ivar entered: are called where a command begins, in its own task, with its interaction or context.
    :ivar runs: the commands that run, by their keys; who sees one end takes it out.
    :ivar active: whether it is parked, and so sees all; what is still in place before and after that does nothing.
    """

    noun: ClassVar[str] = "commands"

    def __init__(self, view: ClientView) -> None:
        super().__init__(view)
        self.rules: Rules = RULES
        self.entered: list[Callable[[object, Run], None]] = []
        self.runs: dict[int, Run] = {}
        self.active = False
        self._hear_ended = self.listeners.ears[_ENDED]
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

    def begin(self, run: Run) -> None:
        """A command begins; a call within its own call is no other."""
        if self.active and run.key not in self.runs:
            self.runs[run.key] = run
            self.enter(run)

    def enter(self, run: Run) -> None:
        """Call those who want to be called in the command's own task."""
        for entered in self.entered:
            self.view.guard("errors", entered, run.subject, run)

    def fail(self, key: int, error: BaseException) -> None:
        """discord.py tells of a command's error."""
        run = self.runs.get(key)
        if run is not None:
            run.error = error

    def end(self, run: Run, command: str | None, raised: BaseException | None, silent: str, at: float) -> None:
        """Tell of a command's end.

        :param command: its qualified name, if there is one.
        :param raised: what came out of the call.
        :param silent: the outcome where there is no exception.
        :param at: when it ended, by ``time.perf_counter``.
        """
        run.command, run.outcome, run.seconds = command or OTHER, silent, at - run.began
        if raised is not None or run.error is not None:
            error = decisive(run.error, raised, self.rules)
            run.outcome, run.error = outcome_of(error, self.rules), unwrap(error)
            run.shard = shard_of(self.view, "", (run.subject,))
            if run.outcome == "not_found":
                run.command = OTHER
        for hear in self._hear_ended:
            try:
                hear(run)
            except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
                self.view.note_error(self.noun, error)

    def _erred(self, ctx: Any, error: BaseException) -> None:
        if ctx.interaction is None:
            self.fail(id(ctx), error)
        else:
            self._tree.fail(ctx.interaction, error)

    def _completed(self, ctx: Any) -> None:
        run = self.runs.get(id(ctx))
        if run is not None:
            run.completed = True
