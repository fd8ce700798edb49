"""What other exporters get wrong, one test each: as a user sees it, on the page that Prometheus scrapes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
import typing
from collections import Counter
from typing import Any

import aiohttp
import discord
import pytest
from discord import app_commands
from discord.ext import commands
from prometheus_client.parser import text_string_to_metric_families

from examples.discord_simulator import Simulator, point_at
from tests.clients import PlainBot, ShardedBot, logged_in, until

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    Context = commands.Context[Any]
    Used = discord.Interaction[Any]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARGUS_PORT", "0")
    monkeypatch.setenv("ARGUS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("ARGUS_SESSION_LIMIT_INTERVAL", "off")


@pytest.fixture(autouse=True)
def modules() -> Iterator[None]:
    """Loading an extension imports its modules anew: later tests get back those that they have imported."""
    before = {name: module for name, module in sys.modules.items() if name.startswith("argus_exporter")}
    yield
    sys.modules.update(before)


class Page:
    """A scraped page."""

    def __init__(self, text: str) -> None:
        self.samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def all(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """The samples of a name that are not 0, and carry these labels among others."""
        return [
            (sample.labels, sample.value)
            for sample in self.samples
            if sample.name == name and sample.value and labels.items() <= sample.labels.items()
        ]

    def sum(self, name: str, **labels: str) -> float:
        return sum(value for _, value in self.all(name, **labels))

    def one(self, name: str, **labels: str) -> float:
        """The only sample of a name with these labels, 0 or not."""
        found = [one for one in self.samples if one.name == name and labels.items() <= one.labels.items()]
        assert len(found) == 1, found
        return found[0].value

    def outcomes(self, command: str) -> dict[str, int]:
        found = Counter[str]()
        for labels, value in self.all("discord_commands_total", command=command):
            found[labels["outcome"]] += int(value)
        return dict(found)


async def scrape(bot: commands.Bot | commands.AutoShardedBot) -> Page:
    cog: Any = bot.get_cog("ArgusExporter")
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{cog.port}/metrics") as response:
        assert response.status == 200
        return Page(await response.text())


@contextlib.asynccontextmanager
async def loaded(bot: commands.Bot | commands.AutoShardedBot, **options: Any) -> AsyncIterator[Simulator]:
    """A bot with the extension, ready, its commands synced, on a simulator of its own."""
    async with Simulator(guilds=4, heartbeat_interval=0.2, **options) as sim:
        bot.setup_hook = lambda: bot.load_extension("argus_exporter")  # type: ignore[method-assign]
        async with logged_in(bot, sim, bot.shard_count or 1):
            await bot.tree.sync()
            yield sim


async def used(bot: commands.Bot | commands.AutoShardedBot, count: int, name: str = "discord_commands_total") -> Page:
    """The page as soon as so many commands have ended."""
    page = await scrape(bot)
    async with asyncio.timeout(10):
        while page.sum(name) < count:
            await asyncio.sleep(0.02)
            page = await scrape(bot)
    return await scrape(bot)  # a page is rendered in slices: its beginning may be older than its end


def slash_command(name: str, callback: Any) -> Any:
    return app_commands.Command(name=name, description="A command.", callback=callback)


def slash(bot: Any, name: str, callback: Any) -> None:
    bot.tree.add_command(slash_command(name, callback))


# ------------------------------------------------------------------------------------------------ numbers


async def test_a_slash_command_that_blocks_for_0_8_s_takes_0_8_s() -> None:
    bot = PlainBot()

    async def block(interaction: Used) -> None:
        time.sleep(0.8)  # noqa: ASYNC251 - that is what it is about
        await interaction.response.send_message("done")

    slash(bot, "block", block)
    async with loaded(bot) as sim:
        await sim.slash("block")
        page = await used(bot, 1)
    assert 0.8 <= page.one("discord_command_duration_seconds_sum", type="slash") < 10
    assert 0.8 <= page.one("discord_interaction_ack_seconds_sum", type="slash") < 10
    assert page.outcomes("block") == {"ok": 1}


async def test_a_hybrid_command_counts_once_whether_it_fails_or_not_and_either_way_it_is_used() -> None:
    bot = PlainBot()

    async def good(ctx: Context) -> None:
        await ctx.send("well")

    async def bad(ctx: Context) -> None:
        raise KeyError("gone")

    for name, callback in (("good", good), ("bad", bad)):
        bot.add_command(commands.hybrid_command(name=name)(callback))
    async with loaded(bot) as sim:
        for name in ("good", "bad"):
            await sim.slash(name)
            await sim.message(f"!{name}")
        page = await used(bot, 4)
    counted = {
        (labels["command"], labels["type"], labels["outcome"]): n for labels, n in page.all("discord_commands_total")
    }
    assert counted == {
        ("good", "slash", "ok"): 1,
        ("good", "prefix", "ok"): 1,
        ("bad", "slash", "bot_error"): 1,
        ("bad", "prefix", "bot_error"): 1,
    }
    assert page.all("discord_command_errors_total") == [({"command": "bad", "error": "KeyError"}, 2)]


async def test_the_error_is_the_cause_and_not_the_wrapper() -> None:
    bot = PlainBot()

    async def broken(interaction: Used) -> None:
        raise ZeroDivisionError

    slash(bot, "broken", broken)
    async with loaded(bot) as sim:
        await sim.slash("broken")
        page = await used(bot, 1)
    assert page.all("discord_command_errors_total") == [({"command": "broken", "error": "ZeroDivisionError"}, 1)]


async def test_cooldowns_checks_and_unknown_commands_are_not_the_bots_failures() -> None:
    bot = PlainBot()

    async def rare(interaction: Used) -> None:
        await interaction.response.send_message("once an hour")

    async def barred(ctx: Context) -> None: ...

    bot.tree.add_command(app_commands.checks.cooldown(1, 3600)(slash_command("rare", rare)))
    bot.add_command(commands.command(name="barred")(commands.is_owner()(barred)))
    bot.owner_id = 1
    async with loaded(bot) as sim:
        await sim.slash("rare")
        await sim.slash("rare")
        await used(bot, 2)
        bot.tree.remove_command("rare")
        await sim.slash("rare")
        await sim.message("!barred")
        await sim.message("!nowhere")
        page = await used(bot, 5)
    assert page.outcomes("rare") == {"ok": 1, "rejected": 1}
    assert page.outcomes("barred") == {"rejected": 1}
    assert page.outcomes("other") == {"not_found": 2}
    assert page.sum("discord_commands_total", outcome="bot_error") == 0


async def test_an_interaction_check_that_says_no_is_counted_and_leaks_nothing() -> None:
    class Tree(app_commands.CommandTree[Any]):
        async def interaction_check(self, interaction: Used, /) -> bool:
            return False

    bot = PlainBot(tree_cls=Tree)

    async def never(interaction: Used) -> None: ...

    slash(bot, "never", never)
    async with loaded(bot) as sim:
        for _ in range(20):
            await sim.slash("never")
        page = await used(bot, 20)
    assert page.sum("discord_commands_total", outcome="rejected") == 20
    assert page.one("discord_commands_in_flight") == 0
    assert page.one("discord_interaction_duration_seconds_count", type="slash") == 20


async def test_component_clicks_are_counted_and_leak_nothing() -> None:
    bot = PlainBot()

    class Clicked(discord.ui.View):
        @discord.ui.button(label="Click", custom_id="click")
        async def click(self, interaction: Used, button: Any) -> None:
            await interaction.response.defer()

    async def show(interaction: Used) -> None:
        await interaction.response.send_message("Click!", view=Clicked(timeout=None))

    slash(bot, "show", show)
    async with loaded(bot) as sim:
        shown = await sim.slash("show")
        await until(lambda: shown.original is not None)
        for _ in range(20):
            await sim.component(typing.cast("int", shown.original), "click")
        await used(bot, 21, "discord_interaction_ack_seconds_count")
        page = await scrape(bot)
    assert page.one("discord_interactions_total", type="component") == 20
    assert page.one("discord_interaction_ack_seconds_count", type="component") == 20
    assert page.one("discord_interactions_in_flight") == 0


async def test_a_cluster_has_series_for_its_own_shards_and_the_bots_total_beside() -> None:
    bot = ShardedBot(shard_ids=[2, 5], shard_count=8)
    async with Simulator(guilds=8, heartbeat_interval=0.2) as sim:
        bot.setup_hook = lambda: bot.load_extension("argus_exporter")  # type: ignore[method-assign]
        async with logged_in(bot, sim, 2):
            page = await scrape(bot)
    assert {labels["shard"]: value for labels, value in page.all("discord_shard_status")} == {"2": 3, "5": 3}
    assert page.one("discord_shards") == 8


async def test_a_plain_bot_has_its_shard_too() -> None:
    bot = PlainBot()
    async with loaded(bot):
        page = await scrape(bot)
    assert page.one("discord_shard_status", shard="0") == 3


async def test_the_latency_is_never_infinite() -> None:
    bot = PlainBot()
    async with Simulator(guilds=1, heartbeat_interval=60) as sim, sim.during("slow_acks", delay=60):
        bot.setup_hook = lambda: bot.load_extension("argus_exporter")  # type: ignore[method-assign]
        async with logged_in(bot, sim):
            assert [one for one in (await scrape(bot)).samples if one.name == "discord_shard_latency_seconds"] == []


async def test_one_outage_is_one_and_the_first_connect_is_no_reconnect() -> None:
    bot = PlainBot()
    async with loaded(bot) as sim:
        before = await scrape(bot)
        await sim.drop_shard(0)
        await until(lambda: 0 in sim.sessions and sim.sessions[0].connection is not None)
        page = await used(bot, 2, "discord_shard_connections_total")
    assert before.all("discord_shard_outages_total") == []
    assert before.all("discord_shard_connections_total") == [({"shard": "0", "kind": "identify"}, 1)]
    assert page.all("discord_shard_outages_total") == [({"shard": "0"}, 1)]
    assert page.sum("discord_shard_connections_total", kind="resume") == 1


async def test_a_subcommand_is_named_in_the_order_of_its_words() -> None:
    bot = PlainBot()
    group = app_commands.Group(name="group", description="Outer.")
    inner = app_commands.Group(name="sub", description="Inner.", parent=group)

    async def command(interaction: Used) -> None:
        await interaction.response.send_message("in order")

    inner.add_command(slash_command("command", command))
    bot.tree.add_command(group)
    async with loaded(bot) as sim:
        await sim.slash("group sub command")
        page = await used(bot, 1)
    assert page.outcomes("group sub command") == {"ok": 1}


async def test_the_number_of_members_is_never_below_zero() -> None:
    bot = PlainBot()
    async with loaded(bot) as sim:
        truth = [guild.member_count for guild in bot.guilds]
        page = await scrape(bot)
        assert page.one("discord_members") == sum(count or 0 for count in truth)
        for guild in list(bot.guilds):
            user = {"id": "1", "username": "gone", "discriminator": "0", "avatar": None}
            gone: Any = {"guild_id": str(guild.id), "user": user}
            await sim.dispatch("GUILD_DELETE", {"id": str(guild.id)}, shard_id=0)
            await sim.dispatch("GUILD_MEMBER_REMOVE", gone, shard_id=0)
        await until(lambda: not bot.guilds)
        page = await scrape(bot)
    assert page.one("discord_members") == 0


@pytest.mark.parametrize(
    ("incident", "scope"), [("global_429", "global"), ("user_429", "user"), ("shared_429", "shared")]
)
async def test_a_429_is_counted_once_in_its_scope(incident: str, scope: str) -> None:
    bot = PlainBot()
    async with loaded(bot) as sim:
        channel = next(iter(bot.guilds)).text_channels[0]
        async with sim.during(incident, retry_after=0.3):
            sending = asyncio.create_task(channel.send("hello"))
            await until(lambda: any(request.status == 429 for request in sim.requests))
        await sending
        limited = sum(request.status == 429 for request in sim.requests)
        page = await scrape(bot)
    assert page.all("discord_http_rate_limited_total") == [({"scope": scope}, limited)]
    assert page.one("discord_http_invalid_requests_total") == (0 if scope == "shared" else limited)


async def test_a_ban_by_cloudflare_is_seen_by_webhooks_too() -> None:
    bot = PlainBot()
    async with loaded(bot) as sim:
        channel = next(iter(bot.guilds)).text_channels[0]
        webhook = await channel.create_webhook(name="hook")
        async with sim.during("cloudflare_ban"):
            with pytest.raises(discord.HTTPException):
                await webhook.send("hello")
        page = await scrape(bot)
    assert page.all("discord_http_rate_limited_total") == [({"scope": "cloudflare"}, 1)]
    assert page.one("discord_http_invalid_requests_total") == 1


@pytest.mark.flaky(reruns=2)  # a machine that stands still by itself makes a stall more
async def test_a_stall_of_the_loop_shows_in_the_next_scrape() -> None:
    bot = PlainBot()
    async with loaded(bot):
        await scrape(bot)
        time.sleep(1.5)  # noqa: ASYNC251 - that is what it is about
        page = await scrape(bot)
    observed = page.one("discord_event_loop_lag_seconds_count")
    assert page.one("discord_event_loop_blocked_seconds_total") >= 1.3
    assert observed - page.one("discord_event_loop_lag_seconds_bucket", le="1.0") == 1


# ------------------------------------------------------------------------------------------------ silence


async def test_an_error_handler_of_the_tree_set_after_loading_ends_nothing() -> None:
    bot = PlainBot()
    heard: list[app_commands.AppCommandError] = []

    async def broken(interaction: Used) -> None:
        raise ZeroDivisionError

    slash(bot, "broken", broken)
    async with loaded(bot) as sim:

        @bot.tree.error
        async def on_error(interaction: Used, error: app_commands.AppCommandError) -> None:
            heard.append(error)

        await sim.slash("broken")
        page = await used(bot, 1)
        await bot.unload_extension("argus_exporter")
        assert bot.tree.on_error is on_error
    assert page.outcomes("broken") == {"bot_error": 1}
    assert [type(error) for error in heard] == [app_commands.CommandInvokeError]


async def test_an_on_error_set_after_loading_ends_nothing() -> None:
    bot = PlainBot()
    heard: list[str] = []
    async with loaded(bot) as sim:

        @bot.event
        async def on_error(event: str, *arguments: object) -> None:
            heard.append(event)

        @bot.event
        async def on_typing(*arguments: object) -> None:
            raise ZeroDivisionError

        await sim.event("TYPING_START")
        page = await used(bot, 1, "discord_event_errors_total")
        await bot.unload_extension("argus_exporter")
        assert bot.on_error is on_error
    assert page.all("discord_event_errors_total") == [({"event": "typing"}, 1)]
    assert heard == ["on_typing"]


async def test_the_default_log_of_command_errors_is_not_silenced(caplog: pytest.LogCaptureFixture) -> None:
    bot = PlainBot()

    async def broken(ctx: Context) -> None:
        raise ZeroDivisionError

    bot.add_command(commands.command(name="broken")(broken))
    async with loaded(bot) as sim:
        with caplog.at_level(logging.ERROR, "discord.ext.commands.bot"):
            await sim.message("!broken")
            page = await used(bot, 1)
            await until(lambda: "Ignoring exception in command broken" in caplog.text)
    assert page.sum("discord_log_records_total", logger="discord", level="ERROR") == 1


async def test_unloading_leaves_no_server_and_loading_again_counts_again() -> None:
    bot = PlainBot()

    async def fine(interaction: Used) -> None:
        await interaction.response.send_message("fine")

    slash(bot, "fine", fine)
    async with loaded(bot) as sim:
        cog: Any = bot.get_cog("ArgusExporter")
        port = cog.port
        await bot.unload_extension("argus_exporter")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await bot.load_extension("argus_exporter")
        await sim.slash("fine")
        page = await used(bot, 1)
    assert page.outcomes("fine") == {"ok": 1}


async def test_a_variable_that_kubernetes_sets_does_not_stop_the_bot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGUS_PORT", "tcp://10.0.0.1:9191")
    bot = PlainBot()
    async with Simulator(guilds=1) as sim:
        with point_at(sim.url):
            await bot.login(sim.token)
            await bot.load_extension("argus_exporter")
            assert bot.get_cog("ArgusExporter") is not None
            await bot.close()
