"""Where loops are found, and that nothing of the user's is kept, changed or broken by it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import sys
import types
import typing
import weakref
from typing import Any

import discord
import pytest
from discord.ext import commands, tasks

from argus_exporter.discordpy import Followed, Loops, loops
from tests.clients import PlainBot, PlainClient, ShardedBot

if typing.TYPE_CHECKING:
    from collections.abc import Iterator


class Heard:
    """A listener that writes down what it hears."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.gone: list[str] = []
        self.ends: list[tuple[str, bool]] = []

    def found(self, followed: Followed) -> None:
        self.names.append(followed.name)

    def ended(self, followed: Followed, seconds: float, *, failed: bool) -> None:
        assert seconds >= 0
        self.ends.append((followed.name, failed))

    def lost(self, followed: Followed) -> None:
        self.gone.append(followed.name)


@contextlib.contextmanager
def following(client: Any, errors: Any = None) -> Iterator[tuple[Loops, Heard]]:
    caught: list[BaseException] = []
    ledger, heard = Loops(errors or (lambda _, error: caught.append(error))), Heard()
    ledger.client, ledger.listener = client, heard
    ledger.start()
    try:
        yield ledger, heard
    finally:
        ledger.close()
    assert caught == []


@tasks.loop(seconds=9)
async def of_this_module() -> None: ...


class Ticking(commands.Cog):
    @tasks.loop(seconds=0.001, count=2)
    async def tick(self) -> None: ...


class Derived(Ticking):
    pass


def module_with_loop(name: str, body: str = "") -> types.ModuleType:
    module = types.ModuleType(name)
    source = "from discord.ext import tasks\n@tasks.loop(seconds=0.001, count=2)\nasync def tick(): ...\n"
    exec(source + body, module.__dict__)  # noqa: S102 - an extension, without a file
    return module


@pytest.mark.parametrize("make", [PlainBot, ShardedBot])
async def test_loops_are_found_in_cogs_and_in_the_modules_of_their_classes(make: Any) -> None:
    bot = make()
    await bot.add_cog(Derived())
    with following(bot) as (_, heard):
        assert sorted(heard.names) == ["Derived.tick", f"{__name__}.of_this_module"]


async def test_a_loop_that_a_cog_makes_for_itself_is_found() -> None:
    class Making(commands.Cog):
        async def cog_load(self) -> None:
            self.made = tasks.loop(seconds=0.001, count=2)(self.tick)
            self.made.start()

        async def tick(self) -> None: ...

    bot, cog = PlainBot(), Making()
    with following(bot) as (_, heard):
        await bot.add_cog(cog)
        assert "Making.tick" in heard.names
        await asyncio.wait([cog.made.get_task()])  # type: ignore[list-item]
        assert heard.ends == [("Making.tick", False)] * 2


async def test_loops_of_extensions_are_found_when_they_come_and_let_go_when_they_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bot, module = PlainBot(), module_with_loop("an_extension", "async def setup(bot): tick.start()\n")
    found: Any = types.SimpleNamespace(loader=types.SimpleNamespace(exec_module=lambda _: None))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: found)
    monkeypatch.setattr("importlib.util.module_from_spec", lambda _: module)
    with following(bot) as (ledger, heard):
        await bot.load_extension("an_extension")
        ledger.find()
        assert heard.names == ["an_extension.tick"]
        assert inspect.unwrap(module.tick.coro) is not module.tick.coro
        await bot.unload_extension("an_extension")
        ledger.find()
        assert heard.gone == ["an_extension.tick"]
        assert inspect.unwrap(module.tick.coro) is module.tick.coro
        module.tick.cancel()


async def test_loops_of_the_main_module_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", module_with_loop("__main__"))
    with following(PlainClient()) as (_, heard):
        assert heard.names == ["__main__.tick"]


async def test_loops_of_the_clients_own_module_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "its_own", module_with_loop("its_own"))
    monkeypatch.setattr(PlainClient, "__module__", "its_own")
    with following(PlainClient()) as (_, heard):
        assert heard.names == ["its_own.tick"]


async def test_a_module_that_is_not_there_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PlainClient, "__module__", "gone")
    monkeypatch.delitem(sys.modules, "__main__")
    with following(PlainClient()) as (_, heard):
        assert heard.names == []


async def test_a_loop_that_stands_in_two_places_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bot, cog = PlainBot(), Ticking()
    cog.also = cog.tick  # type: ignore[attr-defined]
    main = types.ModuleType("__main__")
    main.imported = cog.tick  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "__main__", main)
    with following(bot) as (ledger, heard):
        await bot.add_cog(cog)
        assert heard.names.count("Ticking.tick") == 1
        ledger.watch(cog.tick, "mine")
        assert ("mine" in heard.names, heard.gone) == (True, ["Ticking.tick"])
        task = cog.tick.start()
        await task
        assert heard.ends == [("mine", False)] * 2


async def test_a_loop_that_was_overridden_by_something_else_is_none() -> None:
    class Overridden(Ticking):
        tick = None  # type: ignore[assignment]

    bot = PlainBot()
    with following(bot) as (_, heard):
        await bot.add_cog(Overridden())
        assert "Overridden.tick" not in heard.names


async def test_a_lazy_object_is_not_woken() -> None:
    class Lazy:
        @property
        def __class__(self) -> type:  # type: ignore[override]
            raise RuntimeError

    bot, cog = PlainBot(), Ticking()
    cog.lazy = Lazy()  # type: ignore[attr-defined]
    with following(bot):
        await bot.add_cog(cog)


async def test_a_client_with_cogs_of_its_own_kind_is_no_bot() -> None:
    client = PlainClient()
    client.cogs = client.extensions = client.add_cog = 7  # type: ignore[attr-defined]
    with following(client) as (_, heard):
        assert heard.names == []


async def test_a_cog_that_fails_to_load_is_forgotten_and_the_failure_is_the_users() -> None:
    class Failing(Ticking):
        async def cog_load(self) -> None:
            raise LookupError("mine")

    bot = PlainBot()
    with following(bot) as (ledger, heard):
        with pytest.raises(LookupError, match="mine"):
            await bot.add_cog(Failing())
        assert "Failing.tick" in heard.names
        assert heard.gone == []
        ledger.find()
        assert heard.gone == ["Failing.tick"]


async def test_a_cog_that_takes_long_to_load_is_followed_meanwhile() -> None:
    class Slow(Ticking):
        async def cog_load(self) -> None:
            ledger.find()
            await self.tick.start()

    bot = PlainBot()
    with following(bot) as (ledger, heard):
        await bot.add_cog(Slow())
        assert heard.ends == [("Slow.tick", False)] * 2
        ledger.find()
        assert heard.gone == []


async def test_a_cog_that_is_still_loading_when_we_close_is_not_followed() -> None:
    class Slow(Ticking):
        async def cog_load(self) -> None:
            ledger.close()

    bot, cog = PlainBot(), Slow()
    body = cog.tick.coro
    with following(bot) as (ledger, _):
        await bot.add_cog(cog)
        assert cog.tick.coro is body


async def test_adding_a_cog_is_given_its_arguments_and_is_given_back() -> None:
    bot = PlainBot()
    with following(bot):
        await bot.add_cog(Ticking())
        second = Ticking()
        await bot.add_cog(second, override=True)
        assert bot.get_cog("Ticking") is second
        assert "add_cog" in vars(bot)
    assert "add_cog" not in vars(bot)


async def test_the_body_is_given_back_exactly() -> None:
    bot, cog = PlainBot(), Ticking()
    body = cog.tick.coro
    with following(bot):
        await bot.add_cog(cog)
        ours: Any = cog.tick.coro
        assert ours is not body
        assert (ours.__name__, ours.__qualname__) == (body.__name__, body.__qualname__)
        assert inspect.iscoroutinefunction(ours)
    assert cog.tick.coro is body


async def test_what_the_body_returns_is_returned_to_who_calls_it_by_hand() -> None:
    @tasks.loop(seconds=1)
    async def seven() -> int:
        return 7

    with following(None) as (ledger, heard):
        ledger.watch(seven)
        assert await seven() == 7
        assert heard.ends == []


async def test_a_body_that_somebody_wrapped_over_ours_is_left_alone_and_counted_no_more() -> None:
    bot, cog = PlainBot(), Ticking()
    with following(bot) as (_, heard):
        await bot.add_cog(cog)
        ours: Any = cog.tick.coro

        @functools.wraps(ours)
        async def theirs(*arguments: Any) -> None:
            await ours(*arguments)

        cog.tick.coro = theirs
        await cog.tick.start()
        assert heard.ends == [("Ticking.tick", False)] * 2
    assert cog.tick.coro is theirs
    await cog.tick.start()
    assert len(heard.ends) == 2


async def test_the_body_gets_its_arguments_and_its_exception_is_the_same() -> None:
    mine = LookupError("mine")

    class Arguing(commands.Cog):
        @tasks.loop(seconds=1)
        async def tick(self, *arguments: Any, **named: Any) -> None:
            assert (arguments, named) == ((1,), {"two": 2})
            raise mine

        @tick.error
        async def quiet(self, error: BaseException) -> None:
            assert error is mine

    bot, cog = PlainBot(), Arguing()
    with following(bot) as (_, heard):
        await bot.add_cog(cog)
        task = cog.tick.start(1, two=2)
        await asyncio.wait([task])
        assert task.exception() is mine
        assert heard.ends == [("Arguing.tick", True)]


async def test_an_unloaded_cog_can_be_collected() -> None:
    class Failing(commands.Cog):
        @tasks.loop(seconds=1)
        async def tick(self) -> None:
            raise LookupError

        @tick.error
        async def quiet(self, error: BaseException) -> None: ...

    bot = PlainBot()
    with following(bot) as (ledger, heard):
        cog = Failing()
        await bot.add_cog(cog)
        await asyncio.wait([cog.tick.start()])
        cog.tick.get_task().exception()  # type: ignore[union-attr]
        ledger.watch(cog.tick)
        await bot.remove_cog("Failing")
        kept = [weakref.ref(cog), weakref.ref(cog.tick)]
        del cog
        gc.collect()
        assert [reference() for reference in kept] == [None, None]
        ledger.find()
        assert "Failing.tick" in heard.gone


async def test_a_task_that_does_not_show_its_exception_is_dead_by_what_the_loop_says() -> None:
    class Opaque(tasks.Loop[Any]):
        def get_task(self) -> Any:
            return None

    async def body() -> None:
        raise LookupError

    loop = Opaque(body, 1, 0, 0, discord.utils.MISSING, None, True, None)
    followed = Followed("mine", loop)
    assert followed.state() == loops.LoopState(running=False, dead=False, retrying=False, interval=1.0)
    await asyncio.gather(loop.start(), return_exceptions=True)
    assert followed.state() == loops.LoopState(running=False, dead=True, retrying=False, interval=1.0)


def test_a_watched_loop_that_nobody_holds_is_let_go() -> None:
    async def body() -> None: ...

    with following(None) as (ledger, heard):
        loop: Any = tasks.loop(seconds=1)(body)
        ledger.watch(loop, "mine")
        (followed,) = ledger._followed.values()
        del loop
        gc.collect()
        assert followed.state() is None
        ledger.find()
        assert (heard.names, heard.gone) == (["mine"], ["mine"])


def test_a_loop_that_came_where_another_has_been_in_memory_is_another() -> None:
    async def body() -> None: ...

    with following(None) as (ledger, heard):
        first: Any = tasks.loop(seconds=1)(body)
        second: Any = tasks.loop(seconds=1)(body)
        ledger.watch(first, "mine")
        ledger._followed[id(second)] = ledger._followed.pop(id(first))
        del first
        gc.collect()
        ledger.watch(second, "mine")
        assert (heard.names, heard.gone) == (["mine", "mine"], ["mine"])
        assert second.coro is not body


async def test_where_nothing_has_come_or_gone_nothing_is_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[object] = []
    original = Loops._search
    monkeypatch.setattr(Loops, "_search", lambda self, places: searches.append(1) or original(self, places))
    bot, cog = PlainBot(), Ticking()
    with following(bot) as (ledger, _):
        await bot.add_cog(cog)
        ledger.find()
        done = len(searches)
        for _ in range(10):
            ledger.find()
        assert len(searches) == done
        cog.more = 1  # type: ignore[attr-defined]
        ledger.find()
        assert len(searches) == done + 1
        monkeypatch.setattr(loops, "SEARCH_SECONDS", 0.0)
        ledger.find()
        assert len(searches) == done + 2


async def test_what_a_listener_raises_is_counted_and_the_loop_does_not_notice() -> None:
    class Raising(Heard):
        def ended(self, followed: Followed, seconds: float, *, failed: bool) -> None:
            raise KeyError(followed.name)

    caught: list[tuple[str, BaseException]] = []
    bot, cog = PlainBot(), Ticking()
    with following(bot, lambda noun, error: caught.append((noun, error))) as (ledger, _):
        ledger.listener = Raising()
        await bot.add_cog(cog)
        await cog.tick.start()
    assert [(noun, repr(error)) for noun, error in caught] == [("tasks", "KeyError('Ticking.tick')")] * 2


async def test_a_search_that_fails_does_not_fail_the_cog(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(*_: object) -> Any:
        raise RuntimeError

    caught: list[str] = []
    bot = PlainBot()
    monkeypatch.setattr(Loops, "_search", search)
    with following(bot, lambda noun, _: caught.append(noun)):
        await bot.add_cog(Ticking())
    assert caught == ["tasks"] * 3


def test_the_body_run_without_an_event_loop_does_not_fail_for_it() -> None:
    caught: list[str] = []
    ledger = Loops(lambda noun, _: caught.append(noun))
    ledger.start()
    ledger.watch(of_this_module)
    body = of_this_module.coro()
    with pytest.raises(StopIteration):
        body.send(None)
    assert caught == ["tasks"]
    ledger.close()


def test_what_was_watched_and_is_closed_is_watched_again_when_it_starts_again() -> None:
    ledger, heard = Loops(lambda *_: None), Heard()
    ledger.listener = heard
    for _ in range(2):
        ledger.watch(of_this_module, "mine")
        ledger.start()
        ledger.close()
        ledger.watch(of_this_module, "yours")
    assert (heard.names, heard.gone) == (["mine", "mine"], ["mine", "mine"])


@pytest.mark.parametrize(
    ("qualified", "name"),
    [("f", "m.f"), ("A.f", "A.f"), ("A.g.<locals>.f", "m.f"), ("g.<locals>.A.f", "A.f")],
)
def test_a_loop_is_named_as_programmers_name_it(qualified: str, name: str) -> None:
    async def body() -> None: ...

    body.__qualname__, body.__module__ = qualified, "m"
    assert loops.name_of(tasks.loop(seconds=1)(body)) == name


def test_a_body_without_a_name_has_its_types() -> None:
    async def body(_: int) -> None: ...

    loop: Any = tasks.Loop(functools.partial(body, 1), 1, 0, 0, discord.utils.MISSING, None, True, "named")  # type: ignore[attr-defined]
    assert loops.name_of(loop) == "functools.partial"
    assert loops.name_of(loop, Heard()) == "Heard.partial"
