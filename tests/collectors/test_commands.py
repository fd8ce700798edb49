"""Commands on the page: by name up to a bound, by outcome, with their durations and errors."""

from __future__ import annotations

import asyncio
import contextlib
import typing
from typing import Any

import discord
import pytest
from discord import app_commands
from discord.ext import commands

from argus_exporter import catalogue
from argus_exporter.collectors.commands import scaled
from argus_exporter.discordpy import Receipt
from argus_exporter.discordpy.outcomes import outcome_of
from argus_exporter.discordpy.runs import Run
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, PlainClient, counter_total, logged_in, until, value, values
from tests.collectors.test_gateway import watched
from tests.discordpy.command_bots import OddError, furnish_prefix, furnish_tree, raising, slash

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from argus_exporter.cog import ClientExporter

TOTAL, ERRORS = "discord_commands_total", "discord_command_errors_total"
BY_COMMAND = "discord_command_duration_by_command_seconds"


@contextlib.asynccontextmanager
async def counting(client: discord.Client, sim: Simulator, **options: Any) -> AsyncIterator[ClientExporter]:
    async with watched(client, **options) as exporter, logged_in(client, sim):
        yield exporter
        assert counter_total(exporter.instruments, "argus_exporter_collector_errors_total") == 0


def counted(exporter: ClientExporter) -> dict[tuple[str, ...], float]:
    return values(exporter.instruments, TOTAL)


def observed(exporter: ClientExporter, family: str) -> dict[tuple[str, ...], int]:
    cells: dict[tuple[str, ...], Any] = dict(exporter.instruments.families[family].cells)
    return {key: sum(cell.counts) for key, cell in cells.items() if sum(cell.counts)}


async def test_a_command_is_counted_by_outcome_with_its_duration_and_its_error() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    furnish_prefix(bot)
    async with Simulator() as sim, counting(bot, sim) as exporter:
        await sim.slash("group sub command")
        await sim.slash("broken")
        await sim.slash("both_broken")
        await sim.slash("unheard")
        await sim.message("!both")
        await sim.message("!nothing")
        await sim.user_menu("Menu")
        await until(lambda: sum(counted(exporter).values()) == 7)
        assert counted(exporter) == {
            ("group sub command", "slash", "ok"): 1,
            ("broken", "slash", "bot_error"): 1,
            ("both_broken", "slash", "bot_error"): 1,
            ("other", "slash", "not_found"): 1,
            ("both", "prefix", "ok"): 1,
            ("other", "prefix", "not_found"): 1,
            ("Menu", "user", "ok"): 1,
        }
        assert values(exporter.instruments, ERRORS) == {
            ("broken", "OddError"): 1,
            ("both_broken", "OddError"): 1,
            ("other", "CommandNotFound"): 2,
        }
        assert observed(exporter, "discord_command_duration_seconds") == {("slash",): 4, ("prefix",): 2, ("user",): 1}
        assert observed(exporter, BY_COMMAND) == {
            **{(name,): 1 for name in ("group sub command", "broken", "both_broken", "both", "Menu")},
            ("other",): 2,
        }


async def test_a_command_that_is_named_after_an_id_has_no_name() -> None:
    bot = PlainBot(help_command=None)
    slash(bot.tree, "tag-123456789012345678")
    slash(bot.tree, "tag-123456789012345679", raising(OddError))
    async with Simulator() as sim, counting(bot, sim) as exporter:
        exporter.sample()
        await sim.slash("tag-123456789012345678")
        await sim.slash("tag-123456789012345679")
        await until(lambda: sum(counted(exporter).values()) == 2)
        assert counted(exporter) == {("other", "slash", "ok"): 1, ("other", "slash", "bot_error"): 1}
        assert values(exporter.instruments, ERRORS) == {("other", "OddError"): 1}
        for family in exporter.instruments.families.values():
            assert not [key for key in family.cells if "12345" in "".join(key)]


async def test_a_failed_hybrid_is_counted_once_as_slash_and_a_good_one_once() -> None:
    bot = PlainBot()
    furnish_prefix(bot)
    async with Simulator() as sim, counting(bot, sim) as exporter:
        await sim.slash("both")
        await sim.slash("both_broken")
        await until(lambda: len(counted(exporter)) == 2)
        await asyncio.sleep(0.05)
        assert counted(exporter) == {("both", "slash", "ok"): 1, ("both_broken", "slash", "bot_error"): 1}


async def test_what_is_registered_exists_at_0_so_that_the_first_failure_moves_rate() -> None:
    bot = PlainBot(help_command=None)
    slash(bot.tree, "one")
    async with Simulator() as sim, counting(bot, sim) as exporter:
        exporter.sample()
        expected = {("one", "slash", outcome): 0 for outcome in ("ok", "bot_error", "discord_error")}
        cells = exporter.instruments.families[TOTAL].cells
        assert {key: cell.value for key, cell in cells.items()} == expected  # type: ignore[union-attr]
        assert exporter.instruments.families[BY_COMMAND].cells == {}
        slash(bot.tree, "two")
        exporter.sample()
        assert value(exporter.instruments, TOTAL, "two", "slash", "discord_error") == 0


async def test_more_than_the_bound_take_their_places_as_they_are_used() -> None:
    bot = PlainBot()
    for name in ("one", "two", "three", "four"):
        slash(bot.tree, name, raising(OddError))
    async with Simulator() as sim, counting(bot, sim, max_commands=2) as exporter:
        exporter.sample()
        assert exporter.instruments.families[TOTAL].cells == {}
        for name in ("unheard", "three", "one", "two", "one", "four"):
            await sim.slash(name)
            exporter.sample()
        await until(lambda: sum(counted(exporter).values()) == 6)
        assert counted(exporter) == {
            ("three", "slash", "bot_error"): 1,
            ("one", "slash", "bot_error"): 2,
            ("other", "slash", "bot_error"): 2,
            ("other", "slash", "not_found"): 1,
        }
        assert value(exporter.instruments, TOTAL, "three", "slash", "discord_error") == 0
        assert values(exporter.instruments, ERRORS) == {
            ("three", "OddError"): 1, ("one", "OddError"): 2, ("other", "OddError"): 2, ("other", "CommandNotFound"): 1,
        }  # fmt: skip
        assert observed(exporter, BY_COMMAND) == {("three",): 1, ("one",): 2, ("other",): 3}
        assert value(exporter.instruments, "argus_exporter_label_overflow_total", TOTAL) == 2


async def test_a_command_that_runs_is_in_flight() -> None:
    bot = PlainBot()
    released = asyncio.Event()

    @bot.tree.command(description="-")
    async def slow(interaction: discord.Interaction) -> None:
        await released.wait()

    @bot.command()
    async def slow_too(ctx: commands.Context[Any]) -> None:
        await released.wait()

    def in_flight() -> float | None:
        exporter.sample()
        return value(exporter.instruments, "discord_commands_in_flight")

    async with Simulator() as sim, counting(bot, sim) as exporter:
        assert in_flight() == 0
        await sim.slash("slow")
        await sim.message("!slow_too")
        await until(lambda: in_flight() == 2)
        assert counted(exporter) == {}
        released.set()
        await until(lambda: in_flight() == 0)
        assert len(counted(exporter)) == 2


async def test_commands_are_registered_by_type() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    async with Simulator() as sim, counting(bot, sim) as exporter:
        exporter.sample()
        registered = values(exporter.instruments, "discord_commands_registered")
        assert registered == {("slash",): 14, ("user",): 3, ("message",): 3, ("prefix",): 1}
        bot.remove_command("help")
        exporter.sample()
        assert value(exporter.instruments, "discord_commands_registered", "prefix") == 0


async def test_a_client_without_a_tree_has_no_commands() -> None:
    client = PlainClient()
    async with Simulator() as sim, counting(client, sim) as exporter:
        exporter.sample()
        assert values(exporter.instruments, "discord_commands_registered") == {}
        assert value(exporter.instruments, "argus_exporter_collector_up", "commands") == 1


async def test_outcomes_of_the_users_own_hold_for_components_where_commands_are_disabled() -> None:
    async with watched(PlainBot(), disable="commands", outcomes={OddError: "user_error"}) as exporter:
        assert outcome_of(OddError(), exporter._view.commands.rules) == "user_error"


async def test_outcomes_of_the_users_own_count() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    async with Simulator() as sim, counting(bot, sim, outcomes={OddError: "user_error"}) as exporter:
        await sim.slash("broken")
        await sim.slash("away")
        await until(lambda: len(counted(exporter)) == 2)
        assert ("broken", "slash", "user_error") in counted(exporter)
        assert ("away", "slash", "discord_error") in counted(exporter)


async def test_an_exception_that_the_user_calls_ok_is_no_error() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    async with Simulator() as sim, counting(bot, sim, outcomes=f"{OddError.__module__}.OddError=ok") as exporter:
        await sim.slash("broken")
        await until(lambda: counted(exporter))
        assert counted(exporter) == {("broken", "slash", "ok"): 1}
        assert values(exporter.instruments, ERRORS) == {}


async def test_faults_go_to_the_error_log_with_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[tuple[str, Any]] = []
    monkeypatch.setattr(
        "argus_exporter.cog.ClientExporter.capture_error",
        lambda _, error, context: reported.append((type(error).__name__, context)),
    )
    bot = PlainBot()
    furnish_tree(bot.tree)
    async with Simulator() as sim, counting(bot, sim) as exporter:
        for name in ("broken", "checked", "cancelled", "away"):
            await sim.slash(name)
        await until(lambda: len(counted(exporter)) == 4)
        assert reported == [
            ("OddError", {"command": "broken", "type": "slash", "outcome": "bot_error", "shard": "0"}),
            ("RateLimited", {"command": "away", "type": "slash", "outcome": "discord_error", "shard": "0"}),
        ]


async def test_durations_carry_the_trace_that_was_active_in_the_handler() -> None:
    pytest.importorskip("opentelemetry")
    async with watched(PlainBot(), exemplars="on") as exporter:
        run = end_of("one", "ok", None)
        run.receipt = Receipt(1, "slash", 0.0, 0.0)
        run.receipt.trace = "abc"
        for listener in exporter._view.commands.listeners:
            listener.ended(run)
        for family, key in ((BY_COMMAND, "one"), ("discord_command_duration_seconds", "slash")):
            cell: Any = exporter.instruments.families[family].cells[key,]
            assert [each.trace for each in cell.exemplars if each] == ["abc"]


async def test_where_commands_are_disabled_nothing_is_hooked() -> None:
    bot = PlainBot()
    async with Simulator() as sim, watched(bot, disable="commands"), logged_in(bot, sim):
        assert not {"_call", "on_error"} & set(vars(bot.tree))
        assert "invoke" not in vars(bot)


async def test_where_the_call_cannot_be_hooked_the_collector_says_that_it_is_degraded() -> None:
    class Tree(app_commands.CommandTree[Any]):
        _call = None  # type: ignore[assignment]

    bot = PlainBot(tree_cls=Tree)
    async with Simulator() as sim, counting(bot, sim) as exporter:
        exporter.sample()
        assert value(exporter.instruments, "argus_exporter_collector_up", "commands") == 0


async def test_a_reload_follows_again_and_unhooks_once() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    async with Simulator() as sim, logged_in(bot, sim):
        for _ in range(2):
            await bot.load_extension("argus_exporter")
            exporter = typing.cast("Any", bot.get_cog("ArgusExporter")).exporter
            await sim.slash("broken")
            await until(lambda exporter=exporter: counted(exporter))  # type: ignore[misc]
            assert counted(exporter) == {("broken", "slash", "bot_error"): 1}
            await bot.unload_extension("argus_exporter")
            assert not {"_call", "on_error"} & set(vars(bot.tree))


def end_of(command: str, outcome: str, error: BaseException | None, kind: str = "slash") -> Run:
    run = Run(1, None, 0.0)
    run.command, run.type, run.outcome, run.seconds, run.error = command, kind, outcome, 0.1, error
    return run


OUTCOMES_WITH_ERRORS: list[tuple[str, BaseException | None]] = [
    ("ok", None),
    ("user_error", ValueError()),
    ("rejected", None),
    ("bot_error", KeyError()),
    ("discord_error", OSError()),
    ("cancelled", None),
]


async def test_a_thousand_commands_that_end_in_every_way_make_at_most_3000_series() -> None:
    client = PlainClient()
    tree = app_commands.CommandTree(client)
    names = [f"group{i} sub{j} command{k}" for i in range(10) for j in range(10) for k in range(10)]
    fill(tree, names)
    async with Simulator() as sim, counting(client, sim) as exporter:
        for _ in range(2):
            for listener in client_listeners(exporter):
                for name in names:
                    for outcome, error in OUTCOMES_WITH_ERRORS:
                        listener.ended(end_of(name, outcome, error))
            exporter.sample()
        assert value(exporter.instruments, "discord_commands_registered", "slash") == 1000
        assert exporter.instruments.count_series() <= 3000
        named = {key[0] for key in counted(exporter)} - {"other"}
        assert named == set(names[:160])


def fill(tree: Any, names: list[str]) -> None:
    groups: dict[str, app_commands.Group] = {}
    for name in names:
        group, sub, command = name.split()
        if group not in groups:
            groups[group] = app_commands.Group(name=group, description="-")
            tree.add_command(groups[group])
        if f"{group} {sub}" not in groups:
            groups[f"{group} {sub}"] = app_commands.Group(name=sub, description="-", parent=groups[group])
        slash(groups[f"{group} {sub}"], command)


def client_listeners(exporter: ClientExporter) -> list[Any]:
    return [*exporter._view.commands.listeners]


@pytest.mark.parametrize("announced", [True, False])
async def test_with_150_commands_none_is_other(announced: bool) -> None:
    client = PlainClient()
    tree = app_commands.CommandTree(client)
    names = [f"group{i} sub{j} command{k}" for i in range(3) for j in range(10) for k in range(5)]
    if announced:
        fill(tree, names)
    async with Simulator() as sim, counting(client, sim) as exporter:
        exporter.sample()
        assert len(exporter.instruments.families[TOTAL].cells) == (450 if announced else 0)
        for listener in client_listeners(exporter):
            for name in names:
                for outcome, error in OUTCOMES_WITH_ERRORS:
                    listener.ended(end_of(name, outcome, None if outcome == "discord_error" else error))
        for family in (TOTAL, ERRORS, BY_COMMAND):
            assert "other" not in {key[0] for key in exporter.instruments.families[family].cells}


async def test_commands_that_nobody_has_used_leave_room_for_those_that_are() -> None:
    bot = PlainBot(help_command=None)
    for number in range(5):
        for kind in (discord.User, discord.Message):
            bot.tree.add_command(app_commands.ContextMenu(name=f"m{number}", callback=menu_of(kind)))
        bot.command(name=f"m{number}")(menu_of(str))
    async with Simulator() as sim, counting(bot, sim, max_commands=5) as exporter:
        exporter.sample()
        assert exporter.instruments.families[TOTAL].cells == {}
        for listener in client_listeners(exporter):
            for number in range(5):
                for kind_name in ("user", "message", "prefix"):
                    for outcome, error in OUTCOMES_WITH_ERRORS:
                        listener.ended(end_of(f"m{number}", outcome, error, kind_name))
        cells = exporter.instruments.families[TOTAL].cells
        assert len([key for key in cells if key[0] != "other"]) == 5 * 6 + 28
        assert sum(counted(exporter).values()) == 90


def menu_of(kind: type) -> Any:
    async def callback(interaction: discord.Interaction, target: Any) -> None: ...

    callback.__annotations__["target"] = kind
    return callback


@pytest.mark.parametrize(
    ("metric", "each", "room"),
    [
        (catalogue.COMMANDS_TOTAL, 6, 28),
        (catalogue.COMMAND_ERRORS_TOTAL, 2, 20),
        (catalogue.COMMAND_DURATION_BY_COMMAND_SECONDS, 1, 1),
    ],
)
def test_the_bounds_go_with_that_of_the_commands_and_leave_room_for_other(metric: Any, each: int, room: int) -> None:
    assert scaled(metric, catalogue.COMMAND.bound) == metric
    for bound in (1, 2, catalogue.MAX_COMMANDS):
        of_them = scaled(metric, bound)
        assert of_them.series == each * bound + room
        assert of_them.labels[0].bound == bound
        assert of_them.labels[1:] == metric.labels[1:]
