"""Analytics on a real bot: off it is not there, on it records, and whatever its database does the bot goes on."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import subprocess
import sys
import threading
import typing
from typing import Any

import pytest
from discord.ext import commands

from argus_exporter import ArgusExporter, Exporter, SettingError, Settings, attach
from argus_exporter.analytics import queue, start
from argus_exporter.analytics.events import TABLE_OF, TABLES
from argus_exporter.catalogue import ANALYTICS_TABLES
from argus_exporter.settings import ANALYTICS_EVENTS, ANALYTICS_USERS, Secret
from examples.discord_simulator import Simulator
from tests.analytics.memory import Memory
from tests.clients import PlainBot, PlainClient, counter_total, logged_in, until, values
from tests.discordpy.command_bots import slash
from tests.faults.bots import ERRORS, QUIET, bot_with_us, scraped

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import discord


URL = "clickhouse://me:s3cret@127.0.0.1:8123/bots"
DRIVERS = {"clickhouse": "clickhouse_connect", "postgresql": "asyncpg"}
QUEUED, WRITTEN, LOST = (f"argus_exporter_analytics_{what}_total" for what in ("queued", "written", "lost"))


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """The database of every bot."""
    made = Memory()
    monkeypatch.setattr(start, "sink_of", lambda settings, url: made)
    return made


def stored(memory: Memory, table: str) -> list[Any]:
    return [TABLE_OF[table].row(*values) for batch in memory.batches.values() for values in batch.rows.get(table, ())]


# ------------------------------------------------------------------------------------------------ off, and wrong


def test_off_it_is_not_even_imported() -> None:
    code = (
        "import asyncio, sys\n"
        "from argus_exporter import ArgusExporter, Settings\n"
        "from argus_exporter.__main__ import main\n"
        "from discord.ext import commands\n"
        "import discord\n"
        "async def load():\n"
        "    bot = commands.Bot('!', intents=discord.Intents.none())\n"
        "    await bot.add_cog(ArgusExporter(bot, Settings(port=0, state_dir='off')))\n"
        "    print([task.get_name() for task in asyncio.all_tasks() if 'analytics' in task.get_name()])\n"
        "    print('analytics' in str([*bot.get_cog('ArgusExporter').exporter.instruments.families]))\n"
        "    await bot.remove_cog('ArgusExporter')\n"
        "asyncio.run(load())\n"
        "main(['settings', '--json'])\n"
        "found = [name for name in sys.modules if 'analytics' in name or name in ('asyncpg', 'clickhouse_connect')]\n"
        "print(found, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[]\nFalse\n")
    assert done.stderr == "[]\n"


def test_the_words_of_the_settings_and_of_the_catalogue_are_those_of_the_tables() -> None:
    assert tuple(table.name for table in TABLES) == ANALYTICS_TABLES
    assert tuple(dict.fromkeys(table.event for table in TABLES)) == ANALYTICS_EVENTS
    assert ANALYTICS_USERS == ("off", "hash", "plain")


@pytest.mark.parametrize(
    ("url", "module"), [("clickhouse", "clickhouse"), ("clickhouses", "clickhouse"), ("postgresql", "postgres")]
)
def test_a_driver_that_is_not_installed_is_named_in_one_line(
    url: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"argus_exporter.analytics.{module}", None)
    with pytest.raises(SettingError) as wrong:
        ArgusExporter(PlainBot(), analytics_url=f"{url}://me:s3cret@db/bots")
    says = f'ARGUS_ANALYTICS_URL={url}://***@db/bots needs pip install "argus_exporter[{module}]"'
    assert str(wrong.value) == says


@pytest.mark.usefixtures("memory")
def test_hashing_without_a_key_is_refused_in_one_line() -> None:
    with pytest.raises(SettingError, match=r"\AARGUS_ANALYTICS_USERS='hash' is not allowed: ARGUS_ANALYTICS_KEY is n"):
        ArgusExporter(PlainBot(), analytics_url=URL, analytics_users="hash")
    ArgusExporter(PlainBot(), analytics_url=URL, analytics_users="hash", analytics_key="x" * 16)
    ArgusExporter(PlainBot(), analytics_users="hash")


@pytest.mark.parametrize("scheme", ["clickhouse", "clickhouses", "postgresql"])
def test_a_database_is_made_with_what_the_settings_say(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name = start._SINKS[scheme]
    made = pytest.importorskip(f"argus_exporter.analytics.{module}")
    monkeypatch.setattr(made, name, lambda place: place)
    url = f"{scheme}://me:s3cret@db/bots"
    settings = Settings(bot="b", cluster="2", analytics_retention_days=None, analytics_async_insert=True)
    place: Any = start.sink_of(settings, Secret(url))
    assert (place.url, place.bot, place.cluster) == (url, "b", "2")
    assert (place.retention_days, place.async_insert) == (None, True)
    assert "s3cret" not in repr(place)


async def test_without_a_client_there_is_nothing_to_record(caplog: pytest.LogCaptureFixture) -> None:
    exporter = Exporter(Settings(**QUIET, analytics_url=URL))
    assert [record.getMessage() for record in caplog.records] == [
        "nothing is recorded in clickhouse://***@127.0.0.1:8123/bots: there is no client"
    ]
    async with exporter:
        assert QUEUED not in exporter.instruments.families


@pytest.mark.parametrize("users", ANALYTICS_USERS)
def test_tables_of_persons_are_kept_where_their_ids_stay_as_they_are(users: str) -> None:
    kept = start.tables_of(Settings(analytics_events="names,command", analytics_users=users))
    assert set(kept) - {"users", "members"} == {"commands", "guilds", "categories", "channels", "threads"}
    assert ({"users", "members"} <= {*kept}) == (users == "plain")


# ------------------------------------------------------------------------------------------------ at work


def furnish(bot: Any) -> None:
    async def answer(interaction: discord.Interaction[Any]) -> None:
        await interaction.response.send_message("yes")

    async def never(_: discord.Interaction[Any]) -> None:
        await asyncio.sleep(1000)

    @commands.command()
    async def ping(ctx: Any) -> None: ...

    slash(bot.tree, "hello", answer)
    slash(bot.tree, "never", never)
    bot.add_command(ping)


@contextlib.asynccontextmanager
async def recording(**options: Any) -> AsyncIterator[tuple[Simulator, PlainBot, Any]]:
    async with bot_with_us(**{"analytics_url": URL, "analytics_batch_seconds": 0.1, **options}) as (sim, bot, exporter):
        furnish(bot)
        yield sim, bot, exporter
        assert values(exporter.instruments, ERRORS) == {}


async def test_what_happens_in_a_guild_is_written_and_counted(memory: Memory) -> None:
    async with recording(analytics_events="interaction,command,message", analytics_users="plain") as (sim, _, exporter):
        await sim.slash("hello", guild=1)
        await sim.message("!ping", guild=0)
        await until(lambda: exporter.sample() or len(stored(memory, "commands")) == 2)
        await until(lambda: stored(memory, "messages"))
        assert {row.command for row in stored(memory, "commands")} == {"hello", "ping"}
        assert all(row.guild_id and row.user_id for row in stored(memory, "commands"))
        page = await scraped(exporter)
        commands_of = frozenset({("table", "commands")})
        assert page[QUEUED, commands_of] == page[WRITTEN, commands_of] == 2
        assert page["argus_exporter_analytics_queue_rows", frozenset()] == 0
        assert page["argus_exporter_analytics_queue_rows_limit", frozenset()] == 100_000
        assert page["argus_exporter_analytics_queue_bytes_limit", frozenset()] == 64 * 2**20


async def test_what_has_ended_is_written_though_nobody_asks_for_the_page(memory: Memory) -> None:
    async with recording(port="off") as (sim, _, exporter):
        for _ in range(2):
            before = len(stored(memory, "commands"))
            await sim.slash("hello", guild=1)
            await until(lambda before=before: len(stored(memory, "commands")) > before)  # type: ignore[misc]
        await exporter.close()
        assert exporter._analytics._turn.cancelled()


@pytest.mark.parametrize(("users", "kept"), [("off", 0), ("hash", 1), ("plain", 2)])
async def test_users_are_kept_as_the_settings_want(users: str, kept: int, memory: Memory) -> None:
    options = {"analytics_users": users, "analytics_key": "x" * 16, "analytics_events": "command,names"}
    async with recording(**options) as (sim, _, exporter):
        await sim.message("!ping", guild=0)
        await until(lambda: exporter.sample() or stored(memory, "commands"))
        plain = int(sim.stage.place(0, 0, 0).guild.member(0)["user"]["id"])  # type: ignore[union-attr]
        (row,) = stored(memory, "commands")
        assert kept == (2 if row.user_id == plain else row.user_id != 0)
    assert bool(stored(memory, "users")) == bool(stored(memory, "members")) == (users == "plain")
    assert stored(memory, "guilds")


async def test_what_is_under_way_when_the_extension_is_unloaded_is_written_still(memory: Memory) -> None:
    async with recording(analytics_batch_seconds=3600) as (sim, bot, exporter):
        await sim.slash("never", guild=1)
        heard = asyncio.create_task(bot.wait_for("command_completion", timeout=10))
        await asyncio.sleep(0)
        await sim.message("!ping", guild=0)
        await heard
        await sim.flush()
        await bot.remove_cog("ArgusExporter")
        assert [row.command for row in stored(memory, "commands")] == ["ping"]
        assert [row.outcome for row in stored(memory, "interactions")] == [""]
        assert values(exporter.instruments, QUEUED) == values(exporter.instruments, WRITTEN)
        assert memory.calls[-1][0] == "close"


def test_the_queue_is_as_large_as_the_settings_want(memory: Memory) -> None:
    sizes = {"queue_rows": 200, "queue_bytes": 2**20, "batch_rows": 150, "batch_seconds": 7.0}
    cog = ArgusExporter(PlainBot(), analytics_url=URL, **{f"analytics_{name}": size for name, size in sizes.items()})
    assert cog.exporter._analytics is not None
    made = cog.exporter._analytics.queue
    assert [made._most_rows, made._most_bytes, made._full, made._patience] == [*sizes.values()]


async def test_the_last_push_tells_what_was_written_when_all_was_closed(memory: Memory) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        url = f"udp://127.0.0.1:{server.getsockname()[1]}"
        async with recording(statsd_url=url, statsd_interval=3600, analytics_batch_seconds=3600) as (
            sim,
            bot,
            exporter,
        ):
            await sim.slash("hello", guild=1)
            await until(lambda: exporter.sample() or values(exporter.instruments, QUEUED).get(("commands",)))
            await bot.remove_cog("ArgusExporter")
        said = b""
        while b"\nargus_exporter_analytics_written_total:1|c|#table:commands" not in said:
            said += b"\n" + server.recv(65536)
        assert memory.calls[-1][0] == "close"


async def test_a_client_without_cogs_is_recorded_too(memory: Memory) -> None:
    async with Simulator() as sim:
        client = PlainClient()
        exporter = attach(client, Settings(**QUIET, analytics_url=URL, analytics_events="message"))
        async with logged_in(client, sim):
            await sim.message("hi", guild=0)
            await until(lambda: values(exporter.instruments, QUEUED))
        assert len(stored(memory, "messages")) == 1
        assert memory.calls[-1][0] == "close"


def queues() -> int:
    gc.collect()
    return sum(isinstance(each, queue.Queue) for each in gc.get_objects())


async def test_reloading_many_times_leaves_nothing(memory: Memory) -> None:
    before = queues()
    options = {**QUIET, "port": "off", "analytics_url": URL, "analytics_events": ",".join(ANALYTICS_EVENTS)}
    async with Simulator() as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            tasks, attributes = asyncio.all_tasks(), {*vars(bot)}
            for _ in range(100):
                await bot.add_cog(ArgusExporter(bot, Settings(**options)))
                await bot.remove_cog("ArgusExporter")
            assert asyncio.all_tasks() == tasks
            assert {*vars(bot)} == attributes
            assert (bot.extra_events, bot._listeners) == ({}, {})
            await until(lambda: queues() <= before)
        calls = [call for call, _ in memory.calls]
        assert calls.count("close") == 100


@pytest.mark.parametrize("scheme", DRIVERS)
async def test_the_extension_is_reloaded_with_it(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(DRIVERS[scheme])
    with nobody() as address:
        monkeypatch.setenv("ARGUS_ANALYTICS_URL", f"{scheme}://me:s3cret@{address}/bots")
        for name, setting in QUIET.items():
            monkeypatch.setenv(f"ARGUS_{name.upper()}", str(setting))
        async with Simulator() as sim:
            bot = PlainBot()
            furnish(bot)
            async with logged_in(bot, sim):
                await bot.load_extension("argus_exporter")
                for _ in range(3):
                    await bot.reload_extension("argus_exporter")
                exporter: Any = bot.get_cog("ArgusExporter").exporter  # type: ignore[union-attr]
                await sim.slash("hello", guild=1)
                await until(lambda: exporter.sample() or values(exporter.instruments, QUEUED).get(("commands",)) == 1)
                await bot.unload_extension("argus_exporter")
                assert not [task for task in asyncio.all_tasks() if "argus_exporter" in task.get_name()]


# ------------------------------------------------------------------------------------------------ trouble


@contextlib.contextmanager
def hanging() -> typing.Iterator[str]:
    """A server that accepts, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def rude() -> typing.Iterator[str]:
    """A server of something else, which hangs up."""
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), server.accept()[0] as connection:
                connection.sendall(b"no\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.02)
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        over.set()
        thread.join()


@contextlib.contextmanager
def nobody() -> typing.Iterator[str]:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{probe.getsockname()[1]}"


@contextlib.contextmanager
def nowhere() -> typing.Iterator[str]:
    """A name that does not resolve."""
    yield "database.invalid:5432"


@pytest.mark.parametrize("place", [hanging, rude, nobody, nowhere])
@pytest.mark.parametrize("scheme", DRIVERS)
async def test_a_database_that_is_not_there_changes_nothing_for_the_bot(
    scheme: str,
    place: Callable[[], contextlib.AbstractContextManager[str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip(DRIVERS[scheme])
    monkeypatch.setattr(queue, "ATTEMPT_SECONDS", 0.3)
    monkeypatch.setattr(queue, "FLUSH_SECONDS", 0.3)
    with place() as address:
        url = f"{scheme}://me:s3cret@{address}/bots"
        async with recording(analytics_url=url) as (sim, bot, exporter):
            await sim.slash("hello", guild=1)
            await until(lambda: exporter.sample() or values(exporter.instruments, QUEUED).get(("commands",)))
            await until(lambda: values(exporter.instruments, "argus_exporter_analytics_failures_total"))
            page = await scraped(exporter)
            assert page["argus_exporter_analytics_queue_rows", frozenset()] >= 1
            ran = {("command", "hello"), ("type", "slash"), ("outcome", "ok")}
            assert page["discord_commands_total", frozenset(ran)] == 1
            await bot.remove_cog("ArgusExporter")
            assert counter_total(exporter.instruments, LOST) == counter_total(exporter.instruments, QUEUED)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("argus_exporter.analytics")]
    assert [line.split(f"://***@{address}/bots")[0] for line in said] == [
        f"cannot write to {scheme}",
        f"closed before {scheme}",
    ]
    assert "s3cret" not in caplog.text
