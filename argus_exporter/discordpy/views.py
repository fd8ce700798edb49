"""How the handlers of views, modals and dynamic items end.

discord.py catches what they raise inside of ``_scheduled_task`` and tells nobody but the user's own ``on_error``. Views
are the user's objects, so the function is replaced on discord.py's classes, once for all exporters of a process. It is
called with a stand-in for the view and for the item: discord.py's function asks it for ``callback`` and ``on_error``
and so says what it does, while the user's objects are left as they are and are what the user's code gets to see.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
import functools
import logging
import typing
from typing import Any, Final

import discord

from argus_exporter.discordpy.outcomes import outcome_of
from argus_exporter.discordpy.patches import Patches

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from argus_exporter.discordpy.interactions import Interactions, Receipt
    from argus_exporter.discordpy.outcomes import Rules

    Call = Callable[..., Coroutine[Any, Any, Any]]
    Watch = Callable[..., Coroutine[Any, Any, Any]]

_METHOD: Final = "_scheduled_task"
_DYNAMIC: Final = "schedule_dynamic_item_call"

_log: Final = logging.getLogger(__name__)


class Shared:
    """A method of a class, replaced once for all who watch it, each for a client of their own.

    :ivar watches: what is called in its place, by the ``id()`` of the client, which it keeps alive; first with what it
        stands for.
    """

    def __init__(self, owner: type, original: Call) -> None:
        self.watches: dict[int, Watch] = {}
        self._owner = owner
        self._original = original
        self._ours = self._make()
        setattr(owner, _METHOD, self._ours)

    def _make(self) -> Call:
        original, watches = self._original, self.watches

        @functools.wraps(original)
        async def scheduled_task(*arguments: Any, **named: Any) -> Any:
            found: list[Any] = [each for each in arguments if isinstance(each, discord.Interaction)]
            watch = watches.get(id(found[0].client)) if found else None
            if watch is None:
                return await original(*arguments, **named)
            return await watch(original, *found, *arguments, **named)

        scheduled_task.argus_exporter = self  # type: ignore[attr-defined]
        return scheduled_task

    def leave(self, client: discord.Client) -> None:
        """Watch a client no longer; the last one gives the method back if it is still ours."""
        self.watches.pop(id(client), None)
        if not self.watches and vars(self._owner)[_METHOD] is self._ours:
            setattr(self._owner, _METHOD, self._original)


def shared(kind: type) -> Shared | None:
    """What watches a class's handlers; None where discord.py has no such method."""
    owner = next((base for base in kind.__mro__ if _METHOD in vars(base)), None)
    if owner is None:
        return None
    current = vars(owner)[_METHOD]
    there: Shared | None = getattr(current, "argus_exporter", None)
    return there or Shared(owner, current)


class Course:
    """What was seen of a handler: whether there is one, whether it was reached, what was raised on the way."""

    def __init__(self, *, found: bool) -> None:
        self.found = found
        self._reached = False
        self.error: BaseException | None = None

    def outcome(self, rules: Rules) -> str:
        """How it ended; rejected where a check has kept it from being reached."""
        return outcome_of(self.error, rules) if self.error or self._reached else "rejected"

    def fail(self, error: BaseException) -> None:
        """Note what was raised; the first is the cause of what comes after it."""
        self.error = self.error or error

    def reaching(self, callback: Call) -> Call:
        """Note that discord.py has asked for the handler."""
        self._reached = True
        return callback

    def handling(self, on_error: Callable[..., Any]) -> Callable[..., Any]:
        """Note the error that the user's own handler of errors is told, and tell it with the objects that it knows."""

        def told(interaction: object, error: BaseException, *more: object) -> Any:
            self.fail(error)
            return on_error(interaction, error, *map(_real, more))

        return told

    def spy(self, item: Any, interaction: object, leaving: contextlib.ExitStack) -> None:
        """Note when an item is called for this interaction."""
        attributes: dict[str, Any] = item.__dict__
        spied: Spied = getattr(attributes.get("callback"), "argus_exporter", None) or Spied(item)
        spied.courses[id(interaction)] = self
        leaving.callback(spied.leave, interaction)

    def failing(self, call: Call) -> Call:
        """Note what is raised where discord.py itself only logs it."""

        async def called(*arguments: Any) -> Any:
            self.found = True
            try:
                return await call(*arguments)
            except BaseException as error:
                self.fail(error)
                raise

        return called


class Spied:
    """A dynamic item. It is made for one interaction, or the bot keeps one for all, used many times at once.

    :ivar courses: by the ``id()`` of the interaction that it is used by.
    """

    def __init__(self, item: Any) -> None:
        self.courses: dict[int, Course] = {}
        self._patches = Patches()
        original, courses = item.callback, self.courses

        def callback(interaction: object) -> Any:
            course = courses.get(id(interaction))
            return (original if course is None else course.reaching(course.failing(original)))(interaction)

        callback.argus_exporter = self  # type: ignore[attr-defined]
        self._patches.set(item, "callback", callback)

    def leave(self, interaction: object) -> None:
        """It has ended; with the last one the item is given back."""
        self.courses.pop(id(interaction), None)
        if not self.courses:
            self._patches.close()


class StandIn:
    """Stands for an object, and lets those know who want to know what it is asked for."""

    def __init__(self, real: Any, spies: Mapping[str, Callable[[Any], Any]]) -> None:
        self.__dict__.update(_argus_real=real, _argus_spies=spies)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._argus_real, name)
        spy = self._argus_spies.get(name)
        return value if spy is None else spy(value)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._argus_real, name, value)

    def __repr__(self) -> str:
        return repr(self._argus_real)

    def _class(self) -> Any:
        return self._argus_real.__class__

    # what it stands for is what isinstance and super are to see
    __class__: Any = property(_class)


def _real(one: Any) -> Any:
    return one._argus_real if type(one) is StandIn else one


class Handlers:
    """Tells :class:`~argus_exporter.discordpy.interactions.Interactions` how views, modals and dynamic items end."""

    def __init__(self, interactions: Interactions) -> None:
        self._interactions = interactions
        self._shared: list[Shared] = []
        self._patches = Patches()

    def open(self, state: Any) -> bool:
        """Begin to watch; False where something of it is not there."""
        self._shared = [each for kind in (discord.ui.View, discord.ui.Modal) if (each := shared(kind)) is not None]
        for each in self._shared:
            each.watches[id(self._interactions.view.client)] = self._watch
        store = getattr(state, "_view_store", None)
        call = getattr(store, _DYNAMIC, None)
        if call is not None:
            self._patches.set(store, _DYNAMIC, self._watching_dynamic(call))
        seen = bool(self._shared) and call is not None
        if not seen:
            _log.warning("discord.py %s has no %s: views are not all seen to end", discord.__version__, _METHOD)
        return seen

    def close(self) -> None:
        """Give everything back."""
        for each in self._shared:
            each.leave(self._interactions.view.client)
        self._patches.close()

    async def _watch(
        self, original: Call, interaction: discord.Interaction[Any], handler: Any, *arguments: Any, **named: Any
    ) -> Any:
        """Call a view's function with an item, or a modal's with what was submitted."""
        course = Course(found=True)
        watched = StandIn(handler, {"on_submit": course.reaching, "on_error": course.handling})
        item = {"callback": course.reaching}
        given = [StandIn(each, item) if isinstance(each, discord.ui.Item) else each for each in arguments]
        return await self._follow(course, interaction, original(watched, *given, **named))

    def _watching_dynamic(self, original: Call) -> Call:
        async def call(kind: int, factory: Any, interaction: discord.Interaction[Any], *more: Any) -> Any:
            course, leaving = Course(found=False), contextlib.ExitStack()

            async def from_custom_id(*arguments: Any) -> Any:
                item = await course.failing(factory.from_custom_id)(*arguments)
                self._interactions.view.guard("interactions", course.spy, item, interaction, leaving)
                return item

            watched = StandIn(factory, {"from_custom_id": lambda _: from_custom_id})
            with leaving:
                return await self._follow(course, interaction, original(kind, watched, interaction, *more))

        return call

    async def _follow(
        self, course: Course, interaction: discord.Interaction[Any], running: Coroutine[Any, Any, Any]
    ) -> Any:
        receipt = self._interactions.receipt_of(interaction.id)  # at the end it may be too old to be found
        try:
            return await running
        except BaseException as error:
            course.fail(error)
            raise
        finally:
            self._interactions.view.guard("interactions", self._ended, course, interaction.id, receipt)
            course.error = None  # it holds the frames that hold this

    def _ended(self, course: Course, interaction_id: int, receipt: Receipt | None) -> None:
        if course.found:
            outcome = course.outcome(self._interactions.view.commands.rules)
            self._interactions.end(interaction_id, outcome, receipt, course.error)
