"""Metrics of the bot's own: what can be declared, what their handles do, and that they never break a command."""

from __future__ import annotations

import asyncio
import enum
import functools
import gc
import inspect
import logging
import math
import threading
import typing
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import aiohttp
import discord
import prometheus_client
import pytest
from discord import app_commands
from discord.ext import commands

from argus_exporter import ArgusExporter, Exporter
from argus_exporter.catalogue import LABEL_OVERFLOW_TOTAL, LEFT_OUT_TOTAL
from argus_exporter.custom import EDGES, MOST_METRICS, private
from tests.clients import PlainBot, value, values

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.instruments import HistogramCell

ITEM = {"item": ("sword", "shield")}
SHOP = {"shop": 3}
SNOWFLAKE = "123456789012345678"


@pytest.fixture
def exporter() -> Exporter:
    return Exporter(port="off", user_registry=False, exemplars="off")


class Colour(str, enum.Enum):  # noqa: UP042 - its str() is another
    RED = "red"


def cells(exporter: Exporter, name: str) -> dict[tuple[str, ...], float | None]:
    return {key: cell.value for key, cell in typing.cast("Any", exporter.instruments.families[name]).cells.items()}


def timed(exporter: Exporter, name: str, *labels: str) -> HistogramCell:
    cell: HistogramCell = typing.cast("Any", exporter.instruments.families[name]).cells[labels]
    return cell


def left_out(exporter: Exporter) -> dict[tuple[str, ...], float]:
    return values(exporter.instruments, LEFT_OUT_TOTAL.name)


def overflowed(exporter: Exporter) -> dict[tuple[str, ...], float]:
    return values(exporter.instruments, LABEL_OVERFLOW_TOTAL.name)


# ------------------------------------------------------------------------------------------------ declarations


def test_each_kind_counts_by_position_and_by_name(exporter: Exporter) -> None:
    bought = exporter.counter("shop_purchases_total", "Purchases.", {**ITEM, **SHOP})
    bought.labels("sword", "north").inc()
    bought.labels(shop="north", item="sword").inc(2.5)
    stock = exporter.gauge("shop_stock", "Stock.", ITEM)
    stock.labels("sword").set(5)
    stock.labels("sword").inc()
    stock.labels("sword").dec(3)
    seconds = exporter.histogram("shop_seconds", "Time.", ITEM, edges=(1, 2))
    seconds.labels("sword").observe(1.5)
    assert cells(exporter, "shop_purchases_total") == {("sword", "north"): 3.5}
    assert cells(exporter, "shop_stock") == {("sword",): 3}
    assert timed(exporter, "shop_seconds", "sword").counts == [0, 1, 0]


def test_without_labels_a_metric_is_its_only_series_and_there_from_the_start(exporter: Exporter) -> None:
    counter = exporter.counter("shop_visits_total", "Visits.")
    gauge = exporter.gauge("shop_open", "Open.")
    histogram = exporter.histogram("shop_seconds", "Time.")
    assert cells(exporter, "shop_visits_total") == {(): 0}
    assert cells(exporter, "shop_open") == {(): None}
    assert timed(exporter, "shop_seconds").edges == EDGES
    counter.inc()
    gauge.set(True)
    histogram.observe(0.1)
    assert value(exporter.instruments, "shop_visits_total") == value(exporter.instruments, "shop_open") == 1
    assert sum(timed(exporter, "shop_seconds").counts) == 1


def test_a_series_is_there_when_it_is_asked_for(exporter: Exporter) -> None:
    exporter.counter("shop_purchases_total", "Purchases.", ITEM).labels("sword")
    assert cells(exporter, "shop_purchases_total") == {("sword",): 0}


def test_the_same_declaration_is_the_same_handle_and_another_is_refused(exporter: Exporter) -> None:
    first = exporter.counter("shop_purchases_total", "Purchases.", ITEM)
    assert exporter.counter("shop_purchases_total", "Purchases.", dict(ITEM)) is first
    assert first.labels("sword") is first.labels(item="sword")
    for labels in (None, {"item": ("sword",)}, {"item": 2}):
        with pytest.raises(ValueError, match="'shop_purchases_total' is declared twice, and not alike"):
            exporter.counter("shop_purchases_total", "Purchases.", labels)
    with pytest.raises(ValueError, match="'shop_purchases' clashes with 'shop_purchases_total'"):
        exporter.gauge("shop_purchases", "Purchases.")


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        *((f"{prefix}things_total", None, "begin with your bot's name") for prefix in ("discord_", "process_")),
        ("argus_exporter_things_total", None, "are taken"),
        ("shop_purchases", None, "a counter's name ends in _total"),
        ("shop-purchases_total", None, "not a metric name"),
        (f"shop_{SNOWFLAKE}_total", None, "has an id in its name"),
        ("shop_total", ["item"], r"each label needs a bound: labels=\{'item': 50\}"),
        ("shop_total", "item", "each label needs a bound"),
        ("shop_total", {"item": None}, r"label 'item' needs a bound: \{'item': 50\} for at most 50 values"),
        ("shop_total", {"item": True}, "'item' needs a bound"),
        ("shop_total", {"item": "sword"}, "'item' needs a bound"),
        ("shop_total", {"item": ()}, "'item' needs a bound"),
        ("shop_total", {"item": {"sword"}}, "'item' needs a bound"),
        ("shop_total", {"item": 0}, "metric 'shop_total': label 'item': needs a bound of 1 to 100000$"),
        ("shop_total", {"item": 100_001}, "needs a bound of 1 to 100000"),
        ("shop_total", {"item": 1000, "shop": 1000}, "could hold 1002001 series, more than 100000"),
        ("shop_total", {"le": 5}, "metric 'shop_total': label 'le': not a label name"),
        *(
            ("shop_total", {name: 5}, "would hold identities")
            for name in (
                "guild",
                "guild_id",
                "User",
                "userId",
                "memberID",
                "role_id",
                "channel_ids",
                "id",
                "email",
                "ip",
            )
        ),
        *(("shop_total", {name: 5}, f"label '{name}' is the setting ARGUS_") for name in ("bot", "cluster")),
        ("shop_total", {"item": ("sword", SNOWFLAKE)}, "label 'item' lists an id of Discord's"),
        ("shop_total", {"item": ("sword", 5)}, "label 'item' lists what is no text"),
    ],
)
def test_a_wrong_declaration_is_refused_in_one_line(exporter: Exporter, name: str, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        exporter.counter(name, "Text.", labels)
    assert "\n" not in str(caught.value)
    assert name not in exporter.instruments.families


def test_other_kinds_are_refused_alike(exporter: Exporter) -> None:
    for declare in (exporter.gauge, exporter.histogram):
        with pytest.raises(ValueError, match="are taken"):
            declare("discord_things", "Text.")
        with pytest.raises(ValueError, match="could hold"):
            declare("shop_things", "Text.", {"one": 1000, "two": 1000})
        declare("shop_things_" + declare.__name__, "Text.", {"one": 1000, "two": 1000}, series=500)
    with pytest.raises(ValueError, match="ascending order"):
        exporter.histogram("shop_seconds", "Text.", edges=(2, 1))


def test_names_that_are_made_up_as_they_come_end_at_a_bound(exporter: Exporter) -> None:
    for number in range(MOST_METRICS):
        exporter.gauge(f"shop_{number}", "Text.")
    with pytest.raises(ValueError, match=f"one more than the {MOST_METRICS} metrics"):
        exporter.gauge("shop_more", "Text.")
    assert exporter.gauge("shop_0", "Text.")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        *((text, "an id of Discord's (15 to 20 digits)") for text in (SNOWFLAKE, f"user-{SNOWFLAKE}", "1" * 15)),
        *((text, "a mention") for text in ("<@1>", "<@!1>", "<@&1>", "<#1>", "<:sword:1>", "<a:sword:1>")),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "a UUID"),
        ("a" * 24 + "." + "b" * 6 + "." + "c" * 27, "a token"),
        ("eyJhbGciOiJIUzI1NiJ9.e30.x", "a token"),
        ("0123456789abcdef" * 2, "a token"),
        ("someone@example.org", "an e-mail address"),
        ("192.168.0.1", "an IP address"),
        ("a " * 64 + "b", "longer than 128 characters"),
        ("a " * 64, ""),
        *(
            (text, "")
            for text in ("sword", "1" * 14, "1" * 21, "v2.7.1", "a@b", "long-sword-of-the-very-long-name-of-it")
        ),
        *((text, "") for text in ("1.2.3.4.5", "<@", "shop buy", "é", "")),
    ],
)
def test_identities_are_known_by_their_looks(text: str, what: str) -> None:
    assert private(text) == what


# ------------------------------------------------------------------------------------------------ at run time


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), (("a", "b"), {}), ((), {"shop": "a"}), ((), {"item": "a", "shop": "b"}), (("a",), {"item": "a"})],
)
def test_labels_that_were_not_declared_are_refused(exporter: Exporter, values: Any, named: Any) -> None:
    counter = exporter.counter("shop_purchases_total", "Purchases.", {"item": 5})
    with pytest.raises(ValueError, match="'shop_purchases_total': takes the labels"):
        counter.labels(*values, **named)


def test_a_metric_with_labels_is_no_series(exporter: Exporter) -> None:
    for use in (
        exporter.counter("shop_purchases_total", "Text.", ITEM).inc,
        lambda: exporter.gauge("shop_stock", "Text.", ITEM).set(1),
        exporter.gauge("shop_stock", "Text.", ITEM).dec,
        lambda: exporter.histogram("shop_seconds", "Text.", ITEM).observe(1),
        lambda: exporter.timed(exporter.histogram("shop_seconds", "Text.", ITEM)),
    ):
        with pytest.raises(ValueError, match=r"has the labels .*item.*: call .labels"):
            use()


def test_values_beyond_the_bound_and_unknown_ones_are_other(exporter: Exporter) -> None:
    closed = exporter.counter("shop_purchases_total", "Text.", ITEM)
    closed.labels("axe").inc()
    bounded = exporter.counter("shop_visits_total", "Text.", SHOP)
    for shop in "abcd":
        bounded.labels(shop).inc()
    assert cells(exporter, "shop_purchases_total") == {("other",): 1}
    assert cells(exporter, "shop_visits_total") == {("a",): 1, ("b",): 1, ("c",): 1, ("other",): 1}
    assert overflowed(exporter).keys() == {("shop_purchases_total",), ("shop_visits_total",)}


async def test_a_use_beyond_the_bound_is_counted_once(exporter: Exporter) -> None:
    purchases = exporter.counter("shop_purchases_total", "Text.", ITEM)
    async with exporter:
        purchases.labels("axe").inc()
        assert overflowed(exporter) == {("shop_purchases_total",): 1}


@pytest.mark.parametrize(
    ("given", "label"),
    [(5, "5"), (Colour.RED, "red"), (1.5, "1.5"), (True, "True"), (10**14, None), (-(10**14), None), (SNOWFLAKE, None)]
    + [pytest.param(10**5000, None, id="huge")]  # which has no str
    + [(odd, None) for odd in (None, ["sword"], object(), b"sword")],
)
def test_a_value_that_is_an_identity_or_no_text_is_other_counted_and_logged_once(
    exporter: Exporter, caplog: pytest.LogCaptureFixture, given: Any, label: str | None
) -> None:
    counter = exporter.counter("shop_purchases_total", "Text.", {"item": 50})
    for _ in range(3):
        counter.labels(given).inc()
    assert cells(exporter, "shop_purchases_total") == {(label or "other",): 3}
    assert overflowed(exporter) == ({} if label else {("shop_purchases_total",): 3})
    said = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert len(said) == (0 if label else 1)
    assert label or (said[0][0] == logging.ERROR and "shop_purchases_total: a value of label 'item' is" in said[0][1])
    assert not any(SNOWFLAKE in text for _, text in said)


def test_each_metric_and_label_is_logged_on_its_own(exporter: Exporter, caplog: pytest.LogCaptureFixture) -> None:
    counter = exporter.counter("shop_purchases_total", "Text.", {"item": 5, "shop": 5})
    other = exporter.counter("shop_visits_total", "Text.", {"item": 5})
    counter.labels(SNOWFLAKE, "a")
    counter.labels("a", SNOWFLAKE)
    other.labels(SNOWFLAKE)
    counter.labels(SNOWFLAKE, SNOWFLAKE)
    assert len(caplog.records) == 3


NO_NUMBERS: list[Any] = ["1", b"1", None, [], 1j, object(), 10**400, math.inf, -math.inf]


@pytest.mark.parametrize("amount", [*NO_NUMBERS, math.nan, -1, -0.5])
def test_a_counter_leaves_out_what_it_cannot_add(
    exporter: Exporter, caplog: pytest.LogCaptureFixture, amount: Any
) -> None:
    counter = exporter.counter("shop_purchases_total", "Text.")
    for _ in range(3):
        counter.inc(amount)
    assert value(exporter.instruments, "shop_purchases_total") == 0
    assert left_out(exporter) == {("shop_purchases_total",): 3}
    (record,) = caplog.records
    why = "below 0" if amount in (-1, -0.5) else "no finite number"
    assert record.getMessage() == f"shop_purchases_total: left out what is {why} (not logged again)"


@pytest.mark.parametrize("amount", [*NO_NUMBERS, math.nan, -1])
def test_a_histogram_leaves_out_what_it_cannot_observe(exporter: Exporter, amount: Any) -> None:
    histogram = exporter.histogram("shop_seconds", "Text.")
    histogram.observe(amount)
    assert (sum(timed(exporter, "shop_seconds").counts), timed(exporter, "shop_seconds").sum) == (0, 0)
    assert left_out(exporter) == {("shop_seconds",): 1}


@pytest.mark.parametrize("level", [*NO_NUMBERS, math.nan])
def test_a_gauge_whose_value_is_not_known_is_absent(exporter: Exporter, level: Any) -> None:
    gauge = exporter.gauge("shop_stock", "Text.")
    gauge.set(5)
    gauge.set(level)
    assert value(exporter.instruments, "shop_stock") is None
    unknown = level is None or level != level  # noqa: PLR0124 - nan
    assert left_out(exporter) == ({} if unknown else {("shop_stock",): 1})
    gauge.set(5)
    gauge.inc(level)
    gauge.dec(level)
    assert value(exporter.instruments, "shop_stock") == 5


def test_whole_numbers_stay_whole(exporter: Exporter) -> None:
    counter = exporter.counter("shop_purchases_total", "Text.")
    for amount in (2**53, 2**60, 1):
        counter.inc(amount)
    assert value(exporter.instruments, "shop_purchases_total") == 2**60 + 2**53 + 1


@pytest.mark.parametrize("number", [2, 2.0, Decimal(2), Fraction(2), True + True, type("Float", (float,), {})(2)])
def test_numbers_of_every_kind_are_taken(exporter: Exporter, number: Any) -> None:
    exporter.counter("shop_purchases_total", "Text.").inc(number)
    exporter.gauge("shop_stock", "Text.").set(number)
    exporter.gauge("shop_stock", "Text.").dec(number)
    exporter.histogram("shop_seconds", "Text.").observe(number)
    assert value(exporter.instruments, "shop_purchases_total") == 2
    assert value(exporter.instruments, "shop_stock") == 0
    assert timed(exporter, "shop_seconds").sum == 2
    assert left_out(exporter) == {}


async def test_from_other_threads_everything_is_on_the_next_page(exporter: Exporter) -> None:
    counter = exporter.counter("shop_purchases_total", "Text.", {"item": 5})

    def work() -> None:
        counter.labels("sword").inc()
        counter.labels(SNOWFLAKE).inc()
        exporter.gauge("shop_stock", "Text.").set(4)
        exporter.histogram("shop_seconds", "Text.").observe(1)
        exporter.counter("shop_purchases_total", "Text.", {"item": 5}).labels("sword").inc(-1)

    async with exporter:
        counter.labels("sword").inc()
        await asyncio.to_thread(work)
        assert cells(exporter, "shop_purchases_total") == {("sword",): 1}
        exporter.sample()
        assert cells(exporter, "shop_purchases_total") == {("sword",): 2, ("other",): 1}
        assert value(exporter.instruments, "shop_stock") == 4
        assert sum(timed(exporter, "shop_seconds").counts) == 1
        assert left_out(exporter) == {("shop_purchases_total",): 1}
        assert overflowed(exporter) == {("shop_purchases_total",): 1}
        await asyncio.to_thread(counter.labels("sword").inc)
    assert cells(exporter, "shop_purchases_total")["sword",] == 3


async def test_the_owner_s_thread_has_the_cell_itself_and_no_other_has(exporter: Exporter) -> None:
    sword = exporter.counter("shop_purchases_total", "Text.", ITEM).labels("sword")
    assert sword._own() is None
    async with exporter:
        assert sword._own() is exporter.instruments.families["shop_purchases_total"].cells["sword",]
        assert await asyncio.to_thread(sword._own) is None
    assert sword._own() is None


async def test_a_registry_that_is_scraped_in_another_thread_has_what_threads_wrote(exporter: Exporter) -> None:
    registry = prometheus_client.CollectorRegistry()
    registry.register(exporter.collector)
    counter = exporter.counter("shop_purchases_total", "Text.")

    def work() -> float | None:
        counter.inc(2)
        return registry.get_sample_value("shop_purchases_total")

    assert await asyncio.to_thread(work) == 2
    async with exporter:
        assert await asyncio.to_thread(work) == 4


async def test_they_are_served_beside_the_user_s_own_whose_names_are_theirs(caplog: pytest.LogCaptureFixture) -> None:
    theirs = [prometheus_client.Counter(f"custom_{name}_total", "Theirs.") for name in ("theirs", "both")]
    try:
        async with Exporter(port=0, bot="b") as exporter, aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{exporter.port}/metrics"
            async with http.get(url) as response:
                assert "custom_both_total 0.0" in await response.text()
            exporter.counter("custom_both_total", "Ours.", ITEM).labels("sword").inc()
            async with http.get(url) as response:
                page = await response.text()
    finally:
        for metric in theirs:
            prometheus_client.REGISTRY.unregister(metric)
    assert "custom_theirs_total 0.0" in page
    assert 'custom_both_total{bot="b",item="sword"} 1\n' in page
    assert "custom_both_total 0.0" not in page
    assert [record.getMessage() for record in caplog.records if "custom_both" in record.getMessage()]


async def test_the_cog_offers_what_the_exporter_does() -> None:
    bot = PlainBot()
    cog = ArgusExporter(bot, port="off")
    assert cog.counter("shop_purchases_total", "Text.") is cog.exporter.counter("shop_purchases_total", "Text.")
    offered = [
        name for name in dir(Exporter) if name.startswith(("counter", "gauge", "histogram", "timed", "record_", "on_"))
    ]
    assert len(offered) == 10
    assert all(getattr(ArgusExporter, name) is getattr(Exporter, name) for name in offered)


# ------------------------------------------------------------------------------------------------ timed


def seen(exporter: Exporter) -> int:
    return sum(timed(exporter, "shop_seconds").counts)


async def test_a_function_and_a_coroutine_function_are_timed_to_their_end(exporter: Exporter) -> None:
    timer = exporter.timed("shop_seconds", "Time.", edges=(0.02, 60))

    @timer
    def add(one: int, *, other: int = 2) -> int:
        """Add."""
        return one + other

    @timer
    async def slow() -> str:
        await asyncio.sleep(0.03)
        return "done"

    assert add(1, other=3) == 4
    assert timed(exporter, "shop_seconds").counts == [1, 0, 0]
    assert await slow() == "done"
    assert timed(exporter, "shop_seconds").counts == [1, 1, 0]
    assert (add.__name__, add.__doc__, str(inspect.signature(add))) == (
        "add",
        "Add.",
        "(one: 'int', *, other: 'int' = 2) -> 'int'",
    )
    assert inspect.iscoroutinefunction(slow)
    assert not inspect.iscoroutinefunction(add)


async def test_failures_and_cancellations_are_timed_and_go_through(exporter: Exporter) -> None:
    @exporter.timed("shop_seconds", "Time.")
    def fails() -> None:
        raise LookupError("mine")

    @exporter.timed("shop_seconds", "Time.")
    async def waits() -> None:
        await asyncio.Event().wait()

    with pytest.raises(LookupError, match="mine"):
        fails()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waits(), 0.01)
    with pytest.raises(LookupError), exporter.timed("shop_seconds", "Time."):
        raise LookupError
    assert seen(exporter) == 3


async def test_blocks_are_timed_each_on_its_own_however_they_are_nested(exporter: Exporter) -> None:
    seconds = exporter.histogram("shop_seconds", "Time.", ITEM, edges=(0.05, 60))
    timer = exporter.timed(seconds.labels("sword"))

    async def use(wait: float) -> None:
        async with timer:
            await asyncio.sleep(wait)

    with timer, timer:
        await asyncio.gather(use(0.1), use(0), use(0))
        thread = threading.Thread(target=lambda: timer.__enter__().__exit__(None, None, None))
        thread.start()
        thread.join()
    exporter.sample()
    assert timed(exporter, "shop_seconds", "sword").counts == [3, 3, 0]
    assert timer._began == {}


async def test_a_block_that_ends_in_another_task_than_it_began_in_breaks_nothing(exporter: Exporter) -> None:
    timer = exporter.timed("shop_seconds", "Time.")
    timer.__enter__()
    await asyncio.create_task(timer.__aexit__(None, None, None))
    assert seen(exporter) == 0


def test_a_timer_needs_no_loop(exporter: Exporter) -> None:
    with exporter.timed("shop_seconds", "Time."):
        pass
    assert seen(exporter) == 1


def generator() -> Iterator[int]:
    yield 1


async def asynchronous() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("what", "message"),
    [
        *((each, "takes no generator") for each in (generator, asynchronous, functools.partial(generator))),
        *((5, "not int"), (object, "not type")),
    ],
)
def test_what_is_no_function_is_refused(exporter: Exporter, what: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        exporter.timed("shop_seconds", "Time.")(what)


async def test_partial_functions_and_methods_are_timed(exporter: Exporter) -> None:
    async def slow(number: int) -> int:
        return number

    timer = exporter.timed("shop_seconds", "Time.")
    coroutine: Callable[[], Any] = timer(functools.partial(slow, 5))
    assert await coroutine() == 5
    assert timer(functools.partial(max, 1))(2) == 2
    assert timer("text".upper)() == "TEXT"
    assert seen(exporter) == 3


async def test_commands_of_discord_py_take_timed_callbacks(exporter: Exporter) -> None:
    timer = exporter.timed("shop_seconds", "Time.")

    @app_commands.command()
    @timer
    async def buy(interaction: discord.Interaction[Any], item: str, count: int = 1) -> None:
        """Buy."""

    @commands.command()
    @timer
    async def sell(context: commands.Context[Any], item: int) -> None: ...

    assert [parameter.name for parameter in buy.parameters] == ["item", "count"]
    assert list(sell.clean_params) == ["item"]
    with pytest.raises(TypeError, match="not Command: put it below decorators"):
        timer(typing.cast("Any", sell))


async def test_a_block_that_is_left_in_another_task_than_it_was_entered_in_is_forgotten(exporter: Exporter) -> None:
    timer = exporter.timed("shop_seconds", "Time.")

    async def pages() -> AsyncIterator[int]:
        async with timer:
            yield 1

    async def first(all_pages: AsyncIterator[int]) -> int:
        return await anext(all_pages)

    for _ in range(3):
        left = pages()
        assert await asyncio.create_task(first(left)) == 1
        await left.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    gc.collect()
    assert len(timer._began) == 0
    with timer:
        assert len(timer._began) == 1
