"""How handlers of views, modals and dynamic items end, and that the user's objects do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import gc
import logging
import re
import typing
import weakref
from typing import Any

import discord
import pytest

from argus_exporter.cog import ClientExporter
from argus_exporter.discordpy import InteractionListener, Receipt
from argus_exporter.settings import Settings
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, logged_in, until

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Used = discord.Interaction[Any]

OWNERS: Any = [
    next(base for base in kind.__mro__ if "_scheduled_task" in vars(base))
    for kind in (discord.ui.View, discord.ui.Modal)
]
PLAIN = [vars(owner)["_scheduled_task"] for owner in OWNERS]


@pytest.fixture(autouse=True)
def _given_back() -> typing.Iterator[None]:
    yield
    assert [vars(owner)["_scheduled_task"] for owner in OWNERS] == PLAIN


class Ends(InteractionListener):
    """The ends that were told, and the receipts."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, str]] = []
        self.received_types: list[str] = []

    def received(self, receipt: Receipt) -> None:
        self.received_types.append(receipt.type)

    def ended(self, receipt: Receipt, outcome: str) -> None:
        self.outcomes.append((receipt.type, outcome))


@dataclasses.dataclass
class World:
    sim: Simulator
    bot: PlainBot
    exporter: ClientExporter
    ends: Ends

    async def show(self, view: discord.ui.View) -> discord.Message:
        return await self.bot.guilds[0].text_channels[0].send("Click!", view=view)

    async def click(self, view: discord.ui.View, custom_id: str = "click") -> list[tuple[str, str]]:
        """Click once, and wait for what is told of it."""
        before = len(self.ends.outcomes)
        guild = int(self.bot.shard_id or 0)
        await self.sim.component((await self.show(view)).id, custom_id, guild=guild)
        await until(lambda: len(self.ends.outcomes) > before)
        return self.ends.outcomes[before:]


def exported(bot: discord.Client) -> tuple[ClientExporter, Ends]:
    exporter, ends = ClientExporter(bot, Settings(port="off")), Ends()
    exporter._view.interactions.listeners[:] = [ends]
    exporter.open()
    return exporter, ends


@contextlib.asynccontextmanager
async def watched(sim: Simulator | None = None, **options: Any) -> AsyncIterator[World]:
    """A bot that is followed, on a simulator of its own or on one that others use too."""
    async with contextlib.AsyncExitStack() as stack:
        sim = sim or await stack.enter_async_context(Simulator(guilds=1))
        bot, shards = PlainBot(**options), len(sim.sessions)
        exporter, ends = exported(bot)
        stack.push_async_callback(exporter._view.close)
        await stack.enter_async_context(logged_in(bot, sim, shards + 1))
        yield World(sim, bot, exporter, ends)
        assert sum(cell.value for cell in exporter._errors.cells.values()) == 0


class Clicked(discord.ui.View):
    """A view that notes what its own code gets to see."""

    def __init__(
        self, fails: BaseException | None = None, *, lets: object = True, timeout: float | None = None
    ) -> None:
        super().__init__(timeout=timeout)
        self.fails, self.lets = fails, lets
        self.seen: list[object] = []

    async def interaction_check(self, interaction: Used, /) -> bool:
        if isinstance(self.lets, Exception):
            raise self.lets
        return bool(self.lets)

    @discord.ui.button(label="Click", custom_id="click")
    async def click(self, interaction: Used, button: Any) -> None:
        self.seen += [self, button]
        await interaction.response.defer()
        if self.fails:
            raise self.fails


class Handling(Clicked):
    """A view with a handler of errors."""

    async def on_error(self, interaction: Used, error: Exception, item: Any, /) -> None:
        self.seen += [error, item]
        if self.lets == "handler fails":
            raise KeyError


# ------------------------------------------------------------------------------------------------ views


async def test_a_click_ends_as_its_callback_does() -> None:
    async with watched() as world:
        view = Clicked()
        assert await world.click(view) == [("component", "ok")]
        assert view.seen == [view, view.children[0]]
        assert not {"on_error", "callback"} & vars(view).keys()


async def test_what_the_callback_raises_is_seen_and_is_told_the_users_own_handler_with_the_users_own_objects() -> None:
    async with watched() as world:
        error = ZeroDivisionError()
        view = Handling(error)
        assert await world.click(view) == [("component", "bot_error")]
        assert view.seen[2] is error
        assert view.seen[3] is view.children[0]


async def test_without_a_handler_of_errors_discord_py_logs_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    async with watched() as world:
        assert await world.click(Clicked(discord.app_commands.CheckFailure())) == [("component", "rejected")]
        assert "Ignoring exception in view <Clicked" in caplog.text
        assert "for item <Button style" in caplog.text


async def test_a_handler_of_errors_that_fails_itself_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with watched() as world:
        view = Handling(discord.app_commands.CheckFailure(), lets="handler fails")
        assert await world.click(view) == [("component", "rejected")]


@pytest.mark.parametrize(
    ("lets", "outcome"), [(False, "rejected"), (ZeroDivisionError(), "bot_error")], ids=["no", "raises"]
)
async def test_a_check_of_the_view_that_does_not_let_it_through_leaks_nothing(lets: Any, outcome: str) -> None:
    async with watched() as world:
        view = Clicked(lets=lets)
        assert await world.click(view) == [("component", outcome)]
        assert view.seen == []


async def test_a_check_of_the_item_that_says_no_is_seen() -> None:
    class Barred(discord.ui.Button[Any]):
        async def interaction_check(self, interaction: Used, /) -> bool:
            return False

    async with watched() as world:
        view = discord.ui.View().add_item(Barred(label="x", custom_id="barred"))
        assert await world.click(view, "barred") == [("component", "rejected")]


async def test_a_click_that_is_cancelled_is_cancelled() -> None:
    async with watched() as world:
        assert await world.click(Clicked(asyncio.CancelledError())) == [("component", "cancelled")]


async def test_each_click_of_several_at_once_ends_as_its_own() -> None:
    async with watched() as world:
        gate = asyncio.Event()

        class Slow(discord.ui.View):
            @discord.ui.button(label="a", custom_id="fails")
            async def fails(self, interaction: Used, button: Any) -> None:
                await gate.wait()
                raise ZeroDivisionError

            @discord.ui.button(label="b", custom_id="works")
            async def works(self, interaction: Used, button: Any) -> None:
                await interaction.response.defer()

        shown = await world.show(Slow())
        await world.sim.component(shown.id, "fails")
        await world.sim.component(shown.id, "works")
        await until(lambda: world.ends.outcomes == [("component", "ok")])
        gate.set()
        await until(lambda: world.ends.outcomes == [("component", "ok"), ("component", "bot_error")])


async def test_a_click_that_is_handled_for_longer_than_it_is_followed_ends_too() -> None:
    async with watched() as world:
        gate, interactions = asyncio.Event(), world.exporter._view.interactions

        class Slow(Clicked):
            async def interaction_check(self, interaction: Used, /) -> bool:
                return await gate.wait()

        await world.sim.component((await world.show(Slow())).id, "click")
        await until(lambda: world.ends.received_types)
        then = interactions.now
        interactions.now = lambda: then() + 900
        interactions.settle()
        assert not interactions._kept
        gate.set()
        await until(lambda: world.ends.outcomes == [("component", "ok")])


async def test_a_rule_of_the_users_that_fails_is_ours_to_count_and_theirs_not_to_notice() -> None:
    def broken(error: BaseException) -> str:
        raise KeyError

    async with watched() as world:
        world.exporter._view.commands.rules = {"BaseException": broken}
        view = Handling(ZeroDivisionError())
        await world.sim.component((await world.show(view)).id, "click")
        errors = world.exporter._errors.labels("interactions")
        await until(lambda: errors.value)
        assert isinstance(view.seen[2], ZeroDivisionError)
        assert world.ends.outcomes == []
        errors.value = 0


async def test_what_a_callback_raises_is_gone_with_it_and_needs_no_garbage_collector() -> None:
    class Local: ...

    locals_: list[weakref.ref[Local]] = []

    class Failing(discord.ui.View):
        @discord.ui.button(label="Click", custom_id="click")
        async def click(self, interaction: Used, button: Any) -> None:
            local = Local()
            locals_.append(weakref.ref(local))
            raise ZeroDivisionError

        async def on_error(self, interaction: Used, error: Exception, item: Any, /) -> None: ...

    async with watched() as world:
        gc.disable()
        try:
            await world.click(Failing())
            await until(lambda: locals_[0]() is None, 2)
        finally:
            gc.enable()


async def test_the_timeout_of_a_view_begins_anew_with_a_click() -> None:
    async with watched() as world:
        view: Any = Clicked(timeout=60)
        await world.show(view)
        expiry = next(name for name in vars(view) if name.endswith("__timeout_expiry"))
        before = getattr(view, expiry)
        await world.click(view)
        assert getattr(view, expiry) > before


@pytest.mark.skipif(not hasattr(discord.ui, "LayoutView"), reason="layouts came with discord.py 2.6")
@pytest.mark.parametrize(("row_lets", "outcome"), [(True, "ok"), (False, "rejected")])
async def test_an_item_of_a_layout_ends_as_its_callback_does(row_lets: bool, outcome: str) -> None:
    ui: Any = discord.ui

    class Row(ui.ActionRow):  # type: ignore[misc]
        async def interaction_check(self, interaction: Used, /) -> bool:
            return row_lets

        @ui.button(label="Click", custom_id="click")  # type: ignore[untyped-decorator]
        async def click(self, interaction: Used, button: Any) -> None:
            await interaction.response.defer()

    async with watched() as world:
        view = ui.LayoutView(timeout=None).add_item(ui.Container(Row()))
        shown: Any = await typing.cast("Any", world.bot.guilds[0].text_channels[0]).send(view=view)
        await world.sim.component(shown.id, "click")
        await until(lambda: world.ends.outcomes)
        assert world.ends.outcomes == [("component", outcome)]


# ------------------------------------------------------------------------------------------------ modals


class Asked(discord.ui.Modal, title="Asked"):
    name: discord.ui.TextInput[Any] = discord.ui.TextInput(label="Name", custom_id="name")

    def __init__(self, fails: Exception | None = None, *, lets: bool = True) -> None:
        super().__init__(custom_id="asked")
        self.fails, self.lets = fails, lets
        self.seen: list[object] = []

    async def interaction_check(self, interaction: Used, /) -> bool:
        return self.lets

    async def on_submit(self, interaction: Used, /) -> None:
        self.seen += [self, self.name.value]
        await interaction.response.defer()
        if self.fails:
            raise self.fails

    async def on_error(self, interaction: Used, error: Exception, /) -> None:
        self.seen.append(error)


async def submit(world: World, modal: discord.ui.Modal) -> list[tuple[str, str]]:
    class Asking(discord.ui.View):
        @discord.ui.button(label="Ask", custom_id="ask")
        async def ask(self, interaction: Used, button: Any) -> None:
            await interaction.response.send_modal(modal)

    assert await world.click(Asking(), "ask") == [("component", "ok")]
    await world.sim.modal("asked", {"name": "Ada"})
    await until(lambda: len(world.ends.outcomes) == 2)
    return world.ends.outcomes[1:]


async def test_a_modal_ends_as_its_submission_does() -> None:
    async with watched() as world:
        modal = Asked()
        assert await submit(world, modal) == [("modal", "ok")]
        assert modal.seen == [modal, "Ada"]
        assert modal.is_finished()


async def test_what_a_modal_raises_is_seen() -> None:
    async with watched() as world:
        error = ZeroDivisionError()
        modal = Asked(error)
        assert await submit(world, modal) == [("modal", "bot_error")]
        assert modal.seen[2] is error


async def test_a_modal_whose_check_says_no_is_rejected() -> None:
    async with watched() as world:
        modal = Asked(lets=False)
        assert await submit(world, modal) == [("modal", "rejected")]
        assert modal.seen == []


# ------------------------------------------------------------------------------------------------ dynamic items


class Dynamic(discord.ui.DynamicItem[Any], template=r"dynamic:(?P<what>\w+)"):
    made: typing.ClassVar[list[Dynamic]] = []

    def __init__(self, what: str) -> None:
        super().__init__(discord.ui.Button(label=what, custom_id=f"dynamic:{what}"))
        self.what = what

    @classmethod
    async def from_custom_id(cls, interaction: Used, item: Any, match: re.Match[str], /) -> Dynamic:
        if match["what"] == "unmade":
            raise ZeroDivisionError
        cls.made.append(cls(match["what"]))
        return cls.made[-1]

    async def interaction_check(self, interaction: Used, /) -> bool:
        return self.what != "barred"

    async def callback(self, interaction: Used) -> None:
        if self.what == "fails":
            raise ZeroDivisionError
        await interaction.response.defer()


@pytest.mark.parametrize(
    ("what", "outcome"), [("works", "ok"), ("fails", "bot_error"), ("unmade", "bot_error"), ("barred", "rejected")]
)
async def test_a_dynamic_item_ends_as_its_callback_does(
    what: str, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with watched() as world:
        Dynamic.made.clear()
        world.bot.add_dynamic_items(Dynamic)
        view = discord.ui.View(timeout=None).add_item(Dynamic(what))
        assert await world.click(view, f"dynamic:{what}") == [("component", outcome)]
        assert all("callback" not in vars(item) for item in Dynamic.made)
        assert len(Dynamic.made) == (what != "unmade")
        assert ("Ignoring exception in dynamic item" in caplog.text) == (outcome == "bot_error")
        assert "in dynamic item creation for <class" in caplog.text or what != "unmade"
    assert "schedule_dynamic_item_call" not in vars(world.bot._connection._view_store)


class Kept(discord.ui.DynamicItem[Any], template="kept"):
    """One for all clicks, which are handled at once."""

    one: typing.ClassVar[Kept | None] = None
    held: typing.ClassVar[list[asyncio.Future[None]]] = []

    def __init__(self) -> None:
        super().__init__(discord.ui.Button(label="kept", custom_id="kept"))

    @classmethod
    async def from_custom_id(cls, interaction: Used, item: Any, match: re.Match[str], /) -> Kept:
        cls.one = cls.one or cls()
        return cls.one

    async def callback(self, interaction: Used) -> None:
        self.held.append(asyncio.get_running_loop().create_future())
        await self.held[-1]


async def test_one_dynamic_item_for_many_clicks_at_once_is_called_once_for_each_and_given_back() -> None:
    async with watched() as world:
        world.bot.add_dynamic_items(Kept)
        shown = await world.show(discord.ui.View(timeout=None).add_item(Kept()))
        for _ in range(3):
            await world.sim.component(shown.id, "kept")
        await until(lambda: len(Kept.held) == 3)
        Kept.held[0].set_result(None)
        Kept.held[1].set_exception(ZeroDivisionError())
        await until(lambda: len(world.ends.outcomes) == 2)
        assert Kept.one is not None
        assert "callback" in vars(Kept.one)
        Kept.held[2].set_result(None)
        await until(lambda: len(world.ends.outcomes) == 3)
        assert [outcome for _, outcome in world.ends.outcomes] == ["ok", "bot_error", "ok"]
        assert len(Kept.held) == 3
        assert "callback" not in vars(Kept.one)


async def test_a_message_that_no_longer_has_the_item_was_handled_by_nothing() -> None:
    async with watched() as world:
        world.bot.add_dynamic_items(Dynamic)
        state: Any = world.bot._connection
        shown = await world.show(discord.ui.View(timeout=None).add_item(Dynamic("works")))
        interaction = await world.sim.component(shown.id, "dynamic:works")
        await until(lambda: world.ends.outcomes)
        again: Any = dict(interaction.payload, id=str(interaction.interaction_id + 1))
        again["message"] = {**again["message"], "components": []}
        state.parsers["INTERACTION_CREATE"](again)
        await asyncio.sleep(0.05)
        assert world.ends.received_types == ["component", "component"]
        assert world.ends.outcomes == [("component", "ok")]


# ------------------------------------------------------------------------------------------------ the classes


async def test_two_exporters_hear_of_their_own_client_alone_and_the_last_gives_back() -> None:
    async with Simulator(guilds=2, shards=2) as sim, watched(sim, shard_id=0, shard_count=2) as one:
        async with watched(sim, shard_id=1, shard_count=2) as other:
            await one.click(Clicked())
            await other.click(Clicked(ZeroDivisionError()))
            assert (one.ends.outcomes, other.ends.outcomes) == ([("component", "ok")], [("component", "bot_error")])
            shared = [vars(owner)["_scheduled_task"] for owner in OWNERS]
            await one.exporter._view.close()
            assert await other.click(Clicked()) == [("component", "ok")]
            one.exporter._view.open()
            assert [vars(owner)["_scheduled_task"] for owner in OWNERS] == shared
            await other.exporter._view.close()
            await one.click(Clicked())
            await sim.component((await other.show(view := Clicked())).id, "click", guild=1)
            await until(lambda: view.seen)
            assert (len(one.ends.outcomes), len(other.ends.outcomes)) == (2, 2)


class Equal(PlainBot):
    """Compares by value, as a dataclass does, and so has no hash."""

    __hash__: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal)


async def test_two_clients_that_are_equal_and_have_no_hash_are_two() -> None:
    async with Simulator(guilds=2, shards=2) as sim, contextlib.AsyncExitStack() as stack:
        ends = []
        for shard_id in (0, 1):
            bot = Equal(shard_id=shard_id, shard_count=2)
            exporter, each = exported(bot)
            stack.push_async_callback(exporter._view.close)
            await stack.enter_async_context(logged_in(bot, sim, shard_id + 1))
            world = World(sim, bot, exporter, each)
            assert await world.click(Clicked()) == [("component", "ok")]
            ends.append(each.outcomes)
        assert ends == [[("component", "ok")], [("component", "ok")]]


async def test_what_somebody_wrapped_over_ours_is_theirs_and_is_not_wrapped_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with watched() as world:
        owner, ours = OWNERS[0], vars(OWNERS[0])["_scheduled_task"]
        calls: list[object] = []

        @functools.wraps(ours)
        async def theirs(view: Any, *arguments: Any) -> None:
            calls.append(view)
            await ours(view, *arguments)

        owner._scheduled_task = theirs
        await world.click(Clicked())
        await world.exporter._view.close()
        assert vars(owner)["_scheduled_task"] is theirs
        world.exporter._view.open()
        assert vars(owner)["_scheduled_task"] is theirs
        await world.click(Clicked())
        assert len(calls) == 2
        owner._scheduled_task = ours


async def test_who_wrapped_it_before_us_sees_the_view_as_a_view() -> None:
    owner, plain = OWNERS[0], PLAIN[0]
    seen: list[object] = []

    async def before(view: Any, item: Any, interaction: Any) -> None:
        seen.extend((isinstance(view, Clicked), isinstance(item, discord.ui.Button), repr(view)[:8], view.seen))
        view.seen = [1]
        assert super(discord.ui.View, view) is not None
        await plain(view, item, interaction)

    owner._scheduled_task = before
    try:
        async with watched() as world:
            view = Clicked()
            assert await world.click(view) == [("component", "ok")]
            assert seen == [True, True, "<Clicked", []]
            assert view.seen[0] == 1
    finally:
        owner._scheduled_task = plain


async def test_without_the_method_the_ends_are_not_known_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with monkeypatch.context() as patch:
        for owner in OWNERS:
            patch.delattr(owner, "_scheduled_task")
        exporter, _ = exported(PlainBot())
        exporter._view.wire.hooked = True
        assert exporter._view.interactions.degraded
        await exporter._view.close()
    assert "has no _scheduled_task" in caplog.text


async def test_without_a_store_of_views_the_others_are_followed() -> None:
    bot = PlainBot()
    bot._connection._view_store = None  # type: ignore[assignment]
    exporter, _ = exported(bot)
    exporter._view.wire.hooked = True
    assert exporter._view.interactions.degraded
    assert [vars(owner)["_scheduled_task"] for owner in OWNERS] != PLAIN
    await exporter._view.close()
