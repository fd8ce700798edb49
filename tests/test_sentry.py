"""What the bot's own Sentry is told: a real sentry_sdk, a real client, and a transport that keeps what it is given."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import typing
from typing import Any

import pytest
import sentry_sdk
from discord import app_commands
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport

from argus_exporter.cog import ClientExporter, attach
from argus_exporter.sentry import DEEPEST, Sentry
from argus_exporter.settings import Settings
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, ShardedBot, logged_in, until, value

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import discord
    from discord.ext import commands

SUPPRESSED = "argus_exporter_error_log_suppressed_total"
EAGER = pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="came with Python 3.12")
SECRET = "the text of a message"


class InMemory(Transport):
    """Keeps the events that would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.events += [envelope.get_event()]


def init(**options: Any) -> InMemory:
    """Initialise Sentry as a bot does, but for its hooks into the interpreter, which would stay."""
    transport = InMemory()
    sentry_sdk.init(
        dsn="https://key@localhost/1",
        transport=transport,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[LoggingIntegration()],
        **options,
    )
    return transport


@pytest.fixture
def sent() -> Iterator[InMemory]:
    yield init()
    sentry_sdk.get_global_scope().set_client(None)


def options_of_sentry() -> dict[str, Any]:
    return sentry_sdk.get_client().options


class Bot(ShardedBot):
    """Breaks in every way."""

    def __init__(self) -> None:
        super().__init__(shard_count=2)
        self.add_listener(self.poked, "on_message")

        @self.tree.command(description="-")
        async def broken(interaction: discord.Interaction) -> None:
            raise LookupError("in slash")

        shop = app_commands.Group(name="shop", description="-")
        self.tree.add_command(shop)

        @shop.command(description="-")
        async def sell(interaction: discord.Interaction) -> None:
            raise app_commands.CheckFailure("in sub command")

        @self.command()
        async def smash(ctx: commands.Context[Any]) -> None:
            raise LookupError("in prefix")

    async def poked(self, message: discord.Message) -> None:
        if message.content == SECRET:
            raise LookupError("in listener")


@contextlib.asynccontextmanager
async def running(client: discord.Client | None = None, **options: Any) -> AsyncIterator[tuple[ClientExporter, Any]]:
    client = client or Bot()
    shards = client.shard_count or 1
    async with Simulator(guilds=4, shards=shards) as sim:
        exporter = attach(client, Settings(**{"port": "off", "state_dir": "off", "disable": "loop", **options}))  # type: ignore[arg-type]
        async with logged_in(client, sim, shards):
            yield exporter, sim


async def one(sent: InMemory) -> dict[str, Any]:
    await until(lambda: sent.events)
    (event,) = sent.events
    sent.events.clear()
    return event


def on_shard(sim: Any, shard: int) -> int:
    return next(guild for guild in sim.guild_ids if (guild >> 22) % 2 == shard)


async def test_a_slash_command_s_error_carries_command_type_shard_cluster_and_outcome(sent: InMemory) -> None:
    async with running(cluster="7") as (_, sim):
        await sim.slash("broken", guild=on_shard(sim, 1))
        event = await one(sent)
        assert event["tags"] == {
            "command": "broken",
            "type": "slash",
            "shard": "1",
            "cluster": "7",
            "outcome": "bot_error",
        }
        assert event["logger"] == "discord.app_commands.tree"
        assert event["exception"]["values"][0]["value"] == "in slash"


async def test_the_trace_is_a_tag_of_a_command_and_of_a_listener(sent: InMemory) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    tracer, traces = TracerProvider().get_tracer("bot"), []
    bot = PlainBot()

    @bot.listen()
    async def on_poke() -> None:
        with tracer.start_as_current_span("poke") as span:
            traces.append(f"{span.get_span_context().trace_id:032x}")
            sentry_sdk.capture_exception(LookupError())

    async with running(bot):
        bot.dispatch("poke")
        event = await one(sent)
        assert event["tags"] == {"event": "poke", "shard": "0", "outcome": "bot_error", "trace_id": traces[0]}


async def test_a_command_s_trace_is_that_of_its_receipt_after_its_span_has_ended(sent: InMemory) -> None:
    async with running() as (exporter, sim):
        given = exporter._view.interactions.receipt_of

        def traced(interaction_id: int) -> Any:
            receipt = given(interaction_id)
            if receipt is not None:
                receipt.trace = "a" * 32
            return receipt

        exporter._view.interactions.receipt_of = traced  # type: ignore[method-assign]
        await sim.slash("broken")
        assert (await one(sent))["tags"]["trace_id"] == "a" * 32


@pytest.mark.parametrize("eager", [False, pytest.param(True, marks=EAGER)], ids=["lazy", "eager"])
async def test_subcommands_prefix_commands_and_listeners_carry_what_they_are(sent: InMemory, eager: bool) -> None:
    if eager:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    async with running() as (_, sim):
        await sim.slash("shop sell", guild=on_shard(sim, 0))
        tags = (await one(sent))["tags"]
        assert tags == {"command": "shop sell", "type": "slash", "shard": "0", "outcome": "rejected"}
        await sim.message("!smash", guild=on_shard(sim, 1))
        tags = (await one(sent))["tags"]
        assert (tags["command"], tags["type"], tags["shard"], tags["outcome"]) == ("smash", "prefix", "1", "bot_error")
        await sim.message(SECRET, guild=on_shard(sim, 1))
        event = await one(sent)
        assert event["tags"] == {"event": "message", "shard": "1", "outcome": "bot_error"}
        assert event["logger"] == "discord.client"
        assert "user" not in event
        assert SECRET not in str({key: event[key] for key in ("tags", "logentry")})


async def test_the_user_s_id_is_sent_only_where_it_is_wished(sent: InMemory) -> None:
    async with running(sentry_user_id=True) as (exporter, sim):
        await sim.message(SECRET)
        assert (await one(sent))["user"] == {"id": str(_author(exporter))}
        await sim.slash("broken")
        event = await one(sent)
        assert event["user"]["id"].isdigit()
        assert "user_id" not in event["tags"]


def _author(exporter: ClientExporter) -> int:
    return exporter.client.cached_messages[-1].author.id


async def test_a_listener_without_a_user_sends_no_id(sent: InMemory) -> None:
    bot = PlainBot()

    @bot.listen()
    async def on_poke(_: object) -> None:
        raise LookupError

    async with running(bot, sentry_user_id=True):
        bot.dispatch("poke", 1)
        assert "user" not in await one(sent)


async def test_what_is_captured_by_hand_in_a_handler_of_the_user_s_is_tagged_and_their_tags_win(
    sent: InMemory,
) -> None:
    bot = Bot()

    @bot.tree.error
    async def on_error(interaction: discord.Interaction, error: Exception) -> None:
        with sentry_sdk.new_scope() as scope:
            scope.set_tag("type", "of their own")
            scope.set_user({"id": "4", "username": "x"})
            sentry_sdk.capture_exception(error)
        sentry_sdk.capture_message("and a message")

    async with running(bot, sentry_user_id=True) as (_, sim):
        await sim.slash("broken", guild=on_shard(sim, 1))
        await until(lambda: len(sent.events) == 2)
    error, message = sent.events
    assert error["tags"] == {"command": "broken", "type": "of their own", "shard": "1", "outcome": "bot_error"}
    assert error["user"] == {"id": "4", "username": "x"}
    assert message["tags"] == {"command": "broken", "type": "slash", "shard": "1"}


async def test_what_comes_after_a_command_in_the_same_listener_is_not_of_the_command(sent: InMemory) -> None:
    bot = Bot()

    @bot.event
    async def on_message(message: discord.Message) -> None:
        await bot.process_commands(message)
        if message.content == "!smash":
            raise KeyError("after the command")

    async with running(bot) as (_, sim):
        await sim.message("!smash", guild=on_shard(sim, 0))
        await until(lambda: len(sent.events) == 2)
    tags = {event["exception"]["values"][-1]["value"]: event["tags"] for event in sent.events}
    assert "command" not in tags["'after the command'"]
    assert tags["'after the command'"]["event"] == "message"


async def test_what_is_captured_elsewhere_is_left_alone(sent: InMemory) -> None:
    async with running() as (exporter, _):
        for _ in range(40):
            sentry_sdk.capture_exception(LookupError())
        assert len(sent.events) == 40
        assert "tags" not in sent.events[0]
        assert value(exporter.instruments, SUPPRESSED) is None


async def test_the_same_error_is_sent_once_a_minute_and_the_rest_counted(sent: InMemory) -> None:
    async with running() as (exporter, sim):
        for _ in range(3):
            await sim.slash("broken")
        await until(lambda: value(exporter.instruments, SUPPRESSED) == 2)
        assert (await one(sent))["tags"]["command"] == "broken"


async def test_the_caps_can_be_off(sent: InMemory) -> None:
    async with running(sentry_caps=False) as (exporter, sim):
        for _ in range(40):
            await sim.slash("broken")
        await until(lambda: len(sent.events) == 40)
        assert value(exporter.instruments, SUPPRESSED) is None


@pytest.mark.parametrize("options", [{"sentry": False}, {"disable": "errors"}], ids=str)
async def test_it_can_be_off(sent: InMemory, options: dict[str, Any]) -> None:
    async with Simulator(guilds=1) as sim:
        bot = PlainBot()
        exporter = attach(bot, Settings(**{"port": "off", "state_dir": "off", **options}))
        async with logged_in(bot, sim):
            exporter.sample()
            assert options_of_sentry()["before_send"] is None
            assert not exporter._view.event_listeners.entered
            assert not exporter._view.commands.entered


async def test_where_commands_are_disabled_nothing_of_theirs_is_replaced_and_they_have_no_tags(sent: InMemory) -> None:
    bot = Bot()
    async with running(bot, disable="commands,interactions") as (exporter, sim):
        exporter.sample()
        assert "_call" not in vars(bot.tree)
        assert not exporter._view.commands.wanted
        await sim.slash("broken")
        assert "tags" not in await one(sent)
        await sim.message(SECRET)
        assert (await one(sent))["tags"]["event"] == "message"


async def test_a_sentry_that_is_initialised_after_us_or_anew_is_followed_at_the_next_error() -> None:
    bot = PlainBot()

    @bot.listen()
    async def on_poke() -> None:
        raise LookupError

    async with running(bot, sentry_caps=False) as (exporter, _):
        assert not exporter._view.event_listeners.entered
        try:
            first = init()
            exporter.sample()
            bot.dispatch("poke")
            assert (await one(first))["tags"]["event"] == "poke"
            second = init()
            bot.dispatch("poke")
            assert (await one(second))["tags"]["event"] == "poke"
        finally:
            sentry_sdk.get_global_scope().set_client(None)
        exporter.sample()
        assert not exporter._view.event_listeners.entered
        assert not exporter._view.commands.entered


async def test_before_send_of_the_user_s_sees_the_tags_decides_and_is_given_back() -> None:
    seen: list[Any] = []

    def theirs(event: Any, hint: Any) -> Any:
        seen.append((event["tags"], hint["exc_info"][1]))
        return None

    sent = init(before_send=theirs)
    try:
        async with running() as (_, sim):
            assert options_of_sentry()["before_send"] is not theirs
            await sim.slash("broken")
            await until(lambda: seen)
            assert seen[0][0]["command"] == "broken"
            assert sent.events == []
        assert options_of_sentry()["before_send"] is theirs
    finally:
        sentry_sdk.get_global_scope().set_client(None)


async def test_nothing_of_ours_stays_in_sentry(sent: InMemory) -> None:
    for _ in range(3):
        async with running(PlainBot()):
            assert options_of_sentry()["before_send"] is not None
        assert options_of_sentry()["before_send"] is None


def test_what_goes_wrong_in_tagging_is_told_and_the_event_is_sent(sent: InMemory) -> None:
    errors: list[BaseException] = []
    sentry = Sentry(lambda _: "ok", lambda *_: True, errors.append)
    sentry.keep()
    sentry.enter(lambda: {"shard": str(1 // 0)})
    sentry_sdk.capture_exception(LookupError())
    assert len(sent.events) == len(errors) == 1
    sentry.leave()
    sentry.leave()
    sentry_sdk.capture_exception(KeyError())
    assert len(sent.events) == 2
    assert len(errors) == 1
    sentry.close()


def test_events_without_an_exception_are_not_capped(sent: InMemory) -> None:
    sentry = Sentry(lambda _: "ok", lambda *_: False, pytest.fail)
    sentry.keep()
    sentry.enter(lambda: {"event": "poke", "shard": ""})
    logging.getLogger("bot").error("no exception")
    logging.getLogger("bot").error("one", exc_info=LookupError())
    assert [event["tags"] for event in sent.events] == [{"event": "poke"}]
    sentry.close()
    assert not sentry.active


def test_events_within_events_without_end_are_bounded(sent: InMemory) -> None:
    sentry = Sentry(lambda _: "ok", lambda *_: True, pytest.fail)
    sentry.keep()
    for number in range(5000):
        sentry.enter(lambda number=number: {f"tag{number}": "x"})  # type: ignore[misc]
    sentry_sdk.capture_message("deep")
    assert "tag4999" in sent.events[0]["tags"]
    assert len(sent.events[0]["tags"]) <= DEEPEST
    for _ in range(DEEPEST):
        sentry.leave()
    sentry_sdk.capture_message("outside")
    assert "tags" not in sent.events[1]
    sentry.close()


async def test_the_same_error_of_another_command_is_another(sent: InMemory) -> None:
    caught = LookupError()
    bot = PlainBot()
    for name in ("one", "two"):

        async def fail(interaction: discord.Interaction) -> None:
            raise caught.with_traceback(None)

        bot.tree.command(name=name, description="-")(fail)
    async with running(bot) as (_, sim):
        await sim.slash("one")
        await sim.slash("two")
        await until(lambda: len(sent.events) == 2)


UNUSED = """
import sys, argus_exporter
from argus_exporter.sentry import Sentry
sentry = Sentry(str, lambda *_: True, print)
sentry.keep()
assert not sentry.active and "sentry_sdk" not in sys.modules
"""


def test_a_bot_that_does_not_use_sentry_does_not_pay_for_its_import() -> None:
    subprocess.run([sys.executable, "-c", UNUSED], check=True)
