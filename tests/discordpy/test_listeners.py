"""Listeners seen through ``_run_event``, and through ``on_error`` where there is none."""

from __future__ import annotations

import asyncio
import contextlib
import typing
from typing import Any

import discord
import pytest

from argus_exporter.discordpy import ClientView, EventListener
from argus_exporter.instruments import HistogramCell
from examples.discord_simulator import Simulator
from tests.clients import KINDS, PlainBot, logged_in, until

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Told(EventListener):
    def __init__(self) -> None:
        self.all: list[Any] = []
        self.errors: list[BaseException] = []
        self.raising = False

    def ran(self, event: str, seconds: float) -> None:
        assert seconds >= 0
        self.all.append(event)

    def failed(self, event: str, error: BaseException, arguments: tuple[Any, ...]) -> None:
        self.all.append((event, repr(error), arguments))
        if self.raising:
            raise SystemError


@contextlib.asynccontextmanager
async def following(client: discord.Client) -> AsyncIterator[tuple[ClientView, Told]]:
    told = Told()
    view = ClientView(client, lambda _, error: told.errors.append(error))
    view.event_listeners.listeners.append(told)
    async with Simulator(guilds=1, shards=client.shard_count or 1) as sim:
        view.open()
        async with logged_in(client, sim, len(list(view.shard_ids()))):
            view.park()
            await until(lambda: "on_ready" in told.all or not hasattr(client, "on_ready"))
            told.all.clear()
            yield view, told
            await view.close()


def furnish(client: discord.Client) -> list[Any]:
    handled: list[Any] = []

    @client.event
    async def on_poke(*arguments: object, **named: object) -> None:
        raise LookupError(named.get("word", "-"))

    @client.event
    async def on_error(event: str, *arguments: object, **named: object) -> None:
        handled.append((event, arguments, named))

    return handled


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
async def test_the_listeners_of_every_kind_of_client_are_followed_and_their_errors_handled(kind: Any) -> None:
    client = kind.make()
    handled = furnish(client)
    async with following(client) as (view, told):
        client.dispatch("poke", 1, word="w")
        await until(lambda: handled)
        assert told.all == [("on_poke", "LookupError('w')", (1,)), "on_poke"]
        assert handled == [("on_poke", (1,), {"word": "w"})]
        assert not view.event_listeners.degraded
    assert "_run_event" not in vars(client)
    assert told.errors == []


async def test_a_listener_gets_what_discord_py_hands_over_and_the_task_s_name_stays() -> None:
    bot, got = PlainBot(), []

    @bot.listen()
    async def on_poke(*arguments: object, **named: object) -> None:
        task = asyncio.current_task()
        got.append((arguments, named, task.get_name() if task else ""))

    async with following(bot) as (_, told):
        tasks = len(asyncio.all_tasks())
        bot.dispatch("poke", 1, 2, listener=3, event=4)
        assert len(asyncio.all_tasks()) == tasks + 1
        await until(lambda: told.all == ["on_poke"])
        assert got == [((1, 2), {"listener": 3, "event": 4}, "discord.py: on_poke")]


async def test_what_one_who_listens_raises_the_bot_does_not_notice() -> None:
    bot = PlainBot()
    handled = furnish(bot)
    async with following(bot) as (view, told):
        told.raising = True
        view.event_listeners.entered = [lambda *_: 1 // 0]
        bot.dispatch("poke")
        await until(lambda: handled)
        assert [type(error) for error in told.errors] == [ZeroDivisionError, SystemError]


async def test_it_is_entered_in_the_task_of_the_listener_before_it() -> None:
    bot, order = PlainBot(), []

    @bot.listen()
    async def on_poke(word: str) -> None:
        order.append((asyncio.current_task(), word))

    async with following(bot) as (view, _):
        view.event_listeners.entered = [lambda event, arguments: order.append((asyncio.current_task(), event))]
        bot.dispatch("poke", "w")
        await until(lambda: len(order) == 2)
        assert [each for _, each in order] == ["on_poke", "w"]
        assert order[0][0] is order[1][0] is not asyncio.current_task()


async def test_nobody_is_told_after_the_close_and_what_wraps_ours_stays() -> None:
    bot = PlainBot()
    handled = furnish(bot)
    async with following(bot) as (view, told):
        ours: Any = bot._run_event

        def around(*arguments: Any) -> Any:
            return ours(*arguments)

        bot._run_event = around  # type: ignore[method-assign,assignment]
        view.event_listeners.durations["on_poke"] = cell = HistogramCell((1.0,))
        bot.dispatch("poke")
        await until(lambda: cell.counts == [1, 0])
        assert "on_poke" not in told.all
        told.all.clear()
        handled.clear()
        await view.close()
        bot.dispatch("poke")
        await until(lambda: handled)
        assert bot._run_event is around
        assert (told.all, cell.counts) == ([], [1, 0])


class Own(PlainBot):
    """Runs its listeners in a way of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[str] = []

    async def _run_event(self, coro: Any, event_name: str, *args: Any, **kwargs: Any) -> None:
        self.runs.append(event_name)
        await super()._run_event(coro, event_name, *args, **kwargs)  # type: ignore[misc]


async def test_a_way_of_the_users_own_to_run_listeners_is_called_through() -> None:
    bot = Own()
    furnish(bot)
    async with following(bot) as (_, told):
        bot.dispatch("poke")
        await until(lambda: len(told.all) == 2)
        assert [each if isinstance(each, str) else each[0] for each in told.all] == ["on_poke", "on_poke"]
    assert bot.runs == ["on_poke"]


@pytest.mark.parametrize("make", [PlainBot, Own])
async def test_a_listener_that_is_cancelled_is_timed_and_is_no_error(make: Callable[[], PlainBot]) -> None:
    bot, tasks = make(), list[Any]()

    @bot.listen()
    async def on_wait() -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(3600)

    async with following(bot) as (_, told):
        bot.dispatch("wait")
        await until(lambda: tasks)
        tasks[0].cancel()
        await until(tasks[0].done)
        assert told.all == ["on_wait"]
        assert not tasks[0].cancelled()  # discord.py takes it


async def test_a_handler_of_errors_that_is_cancelled_ends_as_ever() -> None:
    bot, tasks = PlainBot(), list[Any]()

    @bot.event
    async def on_error(event: str, *arguments: object) -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(3600)

    @bot.listen()
    async def on_poke() -> None:
        raise LookupError

    async with following(bot) as (_, told):
        bot.dispatch("poke")
        await until(lambda: tasks)
        tasks[0].cancel()
        await until(tasks[0].done)
        assert not tasks[0].cancelled()
        assert told.all[-1] == "on_poke"


async def test_nothing_is_replaced_where_nobody_listens() -> None:
    bot = PlainBot()
    view = ClientView(bot, lambda *_: None)
    view.open()
    assert "_run_event" not in vars(bot)
    await view.close()


def without_run_event(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "gone":
        monkeypatch.setattr(PlainBot, "_run_event", None)
        return

    def schedule(self: Any, coro: Any, name: str, *arguments: Any) -> Any:
        return self.loop.create_task(type(self).run_in_another_way(self, coro, name, *arguments))

    monkeypatch.setattr(PlainBot, "run_in_another_way", discord.Client._run_event, raising=False)
    monkeypatch.setattr(discord.Client, "_schedule_event", schedule)


@pytest.mark.parametrize("how", ["gone", "not used"])
async def test_without_run_event_on_error_tells_also_one_that_the_user_sets_later(
    monkeypatch: pytest.MonkeyPatch, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    bot, told = PlainBot(), Told()
    view = ClientView(bot, lambda _, error: told.errors.append(error))
    view.event_listeners.listeners.append(told)
    with monkeypatch.context() as patch:
        without_run_event(patch, how)
        view.open()
        assert view.event_listeners.degraded
        assert "has no Client._run_event" in caplog.text
        if how == "not used":
            handled = furnish(bot)
            for _ in range(3):
                view.event_listeners.check()
            await discord.Client._run_event(bot, bot.on_poke, "on_poke", 1)  # type: ignore[attr-defined]
            assert told.all == [("on_poke", "LookupError('-')", (1,))]
            assert handled == [("on_poke", (1,), {})]
            await view.close()
            assert bot.on_error.__name__ == "on_error"
            await discord.Client._run_event(bot, bot.on_poke, "on_poke", 2)  # type: ignore[attr-defined]
            assert len(handled) == 2
            assert len(told.all) == 1
    await view.close()


async def test_without_run_event_the_default_on_error_is_given_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bot, told = PlainBot(), Told()
    view = ClientView(bot, lambda _, error: told.errors.append(error))
    view.event_listeners.listeners.append(told)
    with monkeypatch.context() as patch:
        without_run_event(patch, "gone")
        view.open()
    await bot.on_error("on_poke")
    assert told.all == []
    with contextlib.suppress(LookupError):
        try:
            {}["no such key"]
        finally:
            await bot.on_error("on_poke", 1)
    assert told.all == [("on_poke", "KeyError('no such key')", (1,))]
    assert "Ignoring exception in on_poke" in caplog.text
    await view.close()
    assert "on_error" not in vars(bot)


def test_discord_py_schedules_listeners_as_we_know_it() -> None:
    assert "_run_event" in discord.Client._schedule_event.__code__.co_names
