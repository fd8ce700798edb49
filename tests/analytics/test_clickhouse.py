"""ClickHouse: its real engine, asked over HTTP by the real client. See :mod:`tests.analytics.engine`."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import os
import re
import ssl
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from argus_exporter.analytics import clickhouse_schema as schema
from argus_exporter.analytics.clickhouse import ClickHouse, SchemaError, _options, _stream
from argus_exporter.analytics.events import (
    TABLE_OF,
    TABLES,
    CommandRow,
    GuildRow,
    InteractionRow,
    Kind,
    MemberEventRow,
    MemberRow,
    MessageRow,
    Row,
    Table,
    UserRow,
    Values,
)
from argus_exporter.analytics.queue import Limits, Queue
from argus_exporter.analytics.sink import Batch, Place, RefusedError
from argus_exporter.instruments import Instruments
from argus_exporter.settings import Secret
from tests.analytics.engine import PASSWORD, ROOT, Engine, engine, running
from tests.analytics.proxy import before
from tests.clients import until
from tests.integration.programs import free_port

pytestmark = pytest.mark.integration

NOW = int(time.time() * 1000)
GUILD, USER = 2**59 + 1, 2**60 + 3


@dataclasses.dataclass(frozen=True)
class Database:
    """A database of a test's own."""

    engine: Engine
    name: str

    def sink(self, options: str = "", port: int | None = None, **place: Any) -> ClickHouse:
        return ClickHouse(Place(self.engine.url(self.name, options, port), "bot", "c1", **place))

    async def rows(self, sql: str, **params: object) -> list[tuple[Any, ...]]:
        return await self.engine.rows(sql, self.name, **params)

    async def value(self, sql: str) -> Any:
        ((found,),) = await self.rows(sql)
        return found

    async def do(self, sql: str) -> None:
        await self.engine.do(sql, self.name)

    async def made(self) -> dict[str, str]:
        """The statement that would make each thing in it, with its own name left out."""
        found = await self.rows("SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()")
        return {name: made.replace(f"`{self.name}`.", "") for name, made in found}

    async def counted(self, name: str = "commands") -> tuple[int, int]:
        """How many commands there are, and how many there are in the roll-up."""
        both = f"SELECT (SELECT count() FROM {name}), (SELECT sum(count) FROM {name}_by_day)"
        ((events, rolled_up),) = await self.rows(both)
        return events, rolled_up


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine(tmp_path_factory.mktemp("engine") / "data") as found:
        yield found


@pytest.fixture
async def database(shared: Engine, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    await shared.ready()
    yield (found := Database(shared, f"test-{abs(hash(request.node.nodeid))}"))
    await shared.do(f"DROP DATABASE IF EXISTS `{found.name}`")


@pytest.fixture
async def sink(database: Database) -> AsyncIterator[ClickHouse]:
    yield (found := database.sink())
    await found.close()


def command(number: int = 0, **values: Any) -> CommandRow:
    plain = CommandRow(2**60 + number, NOW, "ping", "slash", 0, GUILD, 7, USER, 0.5, "success", "")
    return dataclasses.replace(plain, **values)


def message(number: int = 0, **values: Any) -> MessageRow:
    plain = MessageRow(2**60 + number, NOW, True, 0, GUILD, 7, USER, None, None)
    return dataclasses.replace(plain, **values)


def interaction(number: int = 0, **values: Any) -> InteractionRow:
    plain = InteractionRow(2**60 + number, NOW, "slash", 0, GUILD, 7, USER, 0.1, 0.2, None, "", False)
    return dataclasses.replace(plain, **values)


tokens = map("token{}".format, itertools.count())


def batch(*rows: Row, token: str = "") -> Batch:
    tables: dict[str, list[Values]] = {}
    for row in rows:
        tables.setdefault(row.table, []).append(row.values)
    return Batch(token or next(tokens), tables)


# ------------------------------------------------------------------------------------------------- the schema


async def test_the_schema_is_made_once_and_nothing_is_changed_by_who_comes_later(database: Database) -> None:
    sinks = [database.sink() for _ in range(4)]
    await asyncio.gather(*(sink.open() for sink in sinks))
    made = await database.made()
    assert made.keys() == {each.name for migration in schema.MIGRATIONS for each in migration}
    versions = await database.value("SELECT count() FROM argus_schema")
    assert 1 <= versions <= 4
    later = database.sink()
    await later.open()
    assert await database.made() == made
    assert await database.value("SELECT count() FROM argus_schema") == versions
    for sink in (later, *sinks):
        await sink.close()


async def test_the_script_to_be_executed_by_hand_makes_the_same(database: Database, sink: ClickHouse) -> None:
    other = Database(database.engine, f"{database.name}_by_hand")
    await database.engine.do(f"CREATE DATABASE `{other.name}`")
    for statement in schema.script(90).splitlines():
        await other.do(statement.rstrip(";"))
    await sink.open()
    assert await other.made() == await database.made()
    assert await other.rows("SELECT version FROM argus_schema") == [(len(schema.MIGRATIONS),)]
    await database.engine.do(f"DROP DATABASE `{other.name}`")


async def test_an_older_schema_is_brought_up_to_date_and_keeps_its_rows(database: Database, sink: ClickHouse) -> None:
    await sink.open()
    made = await database.made()
    await sink.write(batch(command(), message()))
    for name in made:
        if name.endswith(("_text", "_by_day", "_feed", "_daily")):
            await database.do(f"DROP TABLE {name}")
    await database.do("TRUNCATE TABLE argus_schema")
    await database.do("INSERT INTO argus_schema (version) VALUES (1)")
    await sink.open()
    assert await database.made() == made
    assert await database.rows("SELECT version FROM argus_schema ORDER BY version") == [(1,), (len(schema.MIGRATIONS),)]
    assert await database.rows("SELECT count() FROM commands") == await database.rows("SELECT count() FROM messages")
    assert await database.value("SELECT count() FROM commands_text") == 1


async def test_a_newer_schema_is_refused_in_one_line(database: Database, sink: ClickHouse) -> None:
    await sink.open()
    await database.do("INSERT INTO argus_schema (version) VALUES (99)")
    made = await database.made()
    for ask in (sink.open, sink.check):
        with pytest.raises(SchemaError, match=rf"^database {database.name} has schema 99, this version knows up to 3$"):
            await ask()
    assert await database.made() == made


async def test_what_somebody_has_dropped_is_made_again(database: Database, sink: ClickHouse) -> None:
    await sink.open()
    await database.do("DROP TABLE commands")
    lost = batch(command())
    with pytest.raises(Exception, match="UNKNOWN_TABLE") as caught:
        await sink.write(lost)
    assert not isinstance(caught.value, RefusedError)
    await sink.open()
    await sink.write(lost)
    assert await database.counted() == (1, 1)


async def test_a_look_changes_nothing(database: Database, sink: ClickHouse) -> None:
    ((version,),) = await database.engine.rows("SELECT version()")
    assert await sink.check() == f"ClickHouse {version}, no database {database.name} yet"
    await database.engine.do(f"CREATE DATABASE `{database.name}`")
    assert await sink.check() == f"ClickHouse {version}, schema 0 of 3"
    assert await database.made() == {}
    await sink.open()
    assert await sink.check() == f"ClickHouse {version}, schema 3 of 3"


@pytest.mark.parametrize(("days", "kept"), [(90, True), (1, True), (None, False)])
async def test_events_are_removed_after_the_days_that_are_set(database: Database, days: int | None, kept: bool) -> None:
    for retention in (30, days):  # made so, and changed to
        sink = database.sink(retention_days=retention)
        await sink.open()
        await sink.close()
    made = await database.made()
    for name in made:
        aging = name in schema.AGING
        assert (f"+ toIntervalDay({days})" in made[name]) == (aging and kept), name
        assert (" TTL " in made[name]) == (aging and kept), name


async def test_a_table_that_only_leads_to_others_is_left_as_it_is(database: Database, sink: ClickHouse) -> None:
    await sink.open()
    await database.do("RENAME TABLE guild_events TO guild_events_local")
    await database.do("CREATE TABLE guild_events AS guild_events_local ENGINE = Merge(currentDatabase(), '_local$')")
    made = await database.made()
    other = database.sink(retention_days=7)
    await other.open()
    now = await database.made()
    assert {name for name in made if made[name] != now[name]} == schema.AGING.keys() - {"guild_events"}
    await other.close()


async def test_rows_that_are_too_old_go(database: Database) -> None:
    sink = database.sink(retention_days=30)
    await sink.open()
    old = NOW - 40 * 86_400_000
    await sink.write(batch(command(1), command(2, at=old), message(1), message(2, at=old)))
    for name in ("commands", "commands_daily", "messages"):
        await database.do(f"OPTIMIZE TABLE {name} FINAL")
        assert await database.value(f"SELECT count() FROM {name}") == 1
    await sink.close()


# ------------------------------------------------------------------------------------------------- rows

EXTREMES: dict[Kind, tuple[Any, Any]] = {
    Kind.ID: (2**63 - 1, 0),
    Kind.USER: (2**53 + 1, -(2**63)),
    Kind.TIME: (1_456_790_400_001, 4_102_444_799_999),
    Kind.SECONDS: (0.1, 1e300),
    Kind.NUMBER: (2**63 - 1, -1),
    Kind.FLAG: (True, False),
    Kind.WORD: ("slash", ""),
    Kind.TEXT: ("\N{SNOWMAN}" * 100, "a\n\n;\t\\'\"`"),
}


def read(table: Table) -> str:
    """A statement that reads a table as rows of ours."""
    times = table.columns_of(Kind.TIME)
    names = (f"toUnixTimestamp64Milli({each.name})" if each.name in times else each.name for each in table.columns)
    return f"SELECT {', '.join(names)} FROM {schema.merged(table)} ORDER BY {table.columns[0].name}"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_a_table_gives_back_exactly_what_was_written(database: Database, table: Table) -> None:
    sink = database.sink(retention_days=None)
    await sink.open()
    rows = [table.row(*(EXTREMES[column.kind][of] for column in table.columns)) for of in (0, 1)]
    rows.append(table.row(*(None if column.none else EXTREMES[column.kind][0] for column in table.columns)))
    if table.role.value != "event":  # of one key there is one row
        rows = rows[:2]
    await sink.write(batch(*rows))
    found = await database.rows(read(table))
    key = str
    assert sorted(found, key=key) == sorted(map(dataclasses.astuple, rows), key=key)
    if table.dated:
        assert await database.rows(f"SELECT DISTINCT bot, cluster FROM {table.name}") == [("bot", "c1")]
    ids = {*table.columns_of(Kind.ID), *table.columns_of(Kind.USER)}
    text = await database.rows(f"SELECT {', '.join(sorted(ids))} FROM {table.name}_text")
    assert sorted(text) == sorted(tuple(str(getattr(row, name)) for name in sorted(ids)) for row in rows)
    await sink.close()


async def test_a_batch_of_many_slices_arrives_whole_and_lets_the_loop_go_on(
    database: Database, sink: ClickHouse
) -> None:
    await sink.open()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    rows = [command(number, command=f"command {number % 300}" * (number % 9)) for number in range(5_000)]
    blocks = await sink._encode("commands", [row.values for row in rows])
    assert turns >= len(blocks) - 1 >= 15
    assert [block async for block in _stream(blocks)] == blocks
    assert turns >= 2 * len(blocks) - 2
    counting.cancel()
    await sink.write(batch(*rows))
    assert await database.counted() == (5_000, 5_000)
    found = await database.rows("SELECT id, command FROM commands ORDER BY id")
    assert found == [(row.id, row.command) for row in rows]


async def test_marks_count_whenever_they_come(database: Database, sink: ClickHouse) -> None:
    await sink.open()
    nobody = {"seen": False, "user_id": 0, "guild_id": 0}
    for number, order in enumerate(itertools.permutations(range(3))):
        marks = (
            message(number),
            message(number, **nobody, edited_at=NOW + 5),
            message(number, **nobody, deleted_at=NOW + 9),
        )
        for place in order:
            await sink.write(batch(marks[place]))
    await sink.write(batch(message(99, **nobody, deleted_at=NOW + 9), message(99, **nobody, edited_at=NOW + 7)))
    *known, unknown = await database.rows(read(TABLE_OF["messages"]))
    expected = message(edited_at=NOW + 5, deleted_at=NOW + 9)
    assert known == [dataclasses.astuple(dataclasses.replace(expected, id=2**60 + number)) for number in range(6)]
    assert unknown == dataclasses.astuple(message(99, **nobody, edited_at=NOW + 7, deleted_at=NOW + 9))
    assert await database.value("SELECT count() FROM messages_text") == 7
    assert await database.rows("SELECT sum(count), sum(edits), sum(deletions) FROM messages_by_day") == [(6, 7, 7)]


async def test_of_what_is_known_the_newest_counts_in_whatever_order(database: Database, sink: ClickHouse) -> None:
    await sink.open()
    old, new = GuildRow(1, NOW, "old", True), GuildRow(1, NOW + 1, "new", False)
    for number, order in enumerate(([old, new], [new, old])):
        for row in order:
            await sink.write(batch(dataclasses.replace(row, id=number)))
        await sink.write(batch(*(dataclasses.replace(row, id=number + 2) for row in order)))
    found = await database.rows("SELECT id, name, in_guild FROM guilds_text ORDER BY id")
    assert found == [(str(number), "new", False) for number in range(4)]


async def test_a_bulk_deletion_reaches_back_for_years(database: Database) -> None:
    sink = database.sink(retention_days=None)
    await sink.open()
    rows = [message(month, at=NOW - month * 31 * 86_400_000, deleted_at=NOW) for month in range(140)]
    await sink.write(batch(*rows))
    assert await database.value("SELECT uniqExact(_partition_id) FROM messages") == 140
    await sink.close()


async def test_roll_ups_tell_the_same_as_the_events(database: Database, sink: ClickHouse) -> None:
    await sink.open()
    yesterday = NOW - 86_400_000
    await sink.write(
        batch(
            *(command(number, duration_seconds=number / 100) for number in range(101)),
            command(outcome="bot_error", error="ValueError", duration_seconds=None, command="pong"),
            command(at=yesterday),
            interaction(missed=True),
            interaction(),
            interaction(type="modal"),
            *(MemberEventRow(NOW, event, 0, GUILD, USER, 5) for event in ("join", "join", "leave")),
        )
    )
    what = "command, type, count, errors, timed, round(seconds, 6), p50, round(p99, 2)"
    found = await database.rows(f"SELECT {what} FROM commands_by_day WHERE guild_id = {GUILD} ORDER BY day, command")
    assert found == [
        ("ping", "slash", 1, 0, 1, 0.5, 0.5, 0.5),
        ("ping", "slash", 101, 0, 101, 50.5, 0.5, 0.99),
        ("pong", "slash", 1, 1, 0, 0, None, None),
    ]
    found = await database.rows("SELECT type, count, missed FROM interactions_by_day ORDER BY type")
    assert found == [("modal", 1, 0), ("slash", 2, 1)]
    found = await database.rows("SELECT guild_id, joins, leaves, bot, cluster FROM member_events_by_day")
    assert found == [(GUILD, 2, 1, "bot", "c1")]


# ------------------------------------------------------------------------------------------------- exactly once


@pytest.mark.parametrize("collected", [False, True])
async def test_a_batch_that_comes_three_times_is_stored_and_counted_once(database: Database, collected: bool) -> None:
    sink = database.sink(async_insert=collected)
    await sink.open()
    months = [command(number, at=NOW - 31 * 86_400_000 * (number % 2)) for number in range(300)]
    again, another = batch(*months, interaction(), message()), batch(*months)
    for each in (again, again, another, again):
        await sink.write(each)
    assert await database.counted() == (600, 600)
    assert await database.counted("interactions") == (1, 1)
    assert await database.value("SELECT sum(count) FROM messages_by_day") == 1
    await sink.close()


@pytest.mark.parametrize("collected", [False, True])
async def test_a_server_is_told_to_answer_when_all_is_stored(database: Database, collected: bool) -> None:
    async with before(database.engine.port) as network:
        sink = database.sink(port=network.port, async_insert=collected)
        await sink.open()
        network.asked.clear()
        await sink.write(batch(command(), token="known"))
        (first,) = re.findall(rb"POST \S+", network.asked)
        once = ["insert_deduplication_token=known", "insert_deduplicate=1", "wait_end_of_query=1"]
        once += ["deduplicate_blocks_in_dependent_materialized_views=1", "send_progress_in_http_headers=0"]
        how = (
            ["async_insert=1", "wait_for_async_insert=1", "async_insert_deduplicate=1"]
            if collected
            else ["async_insert=0"]
        )
        assert {*once, *how} <= {*re.split(r"[?&]", first.decode())}
        await sink.close()


async def test_a_batch_whose_answer_was_lost_is_stored_once(database: Database) -> None:
    async with before(database.engine.port) as network:
        sink = database.sink(port=network.port)
        await sink.open()
        unsure = batch(command(), interaction())
        network.mode = "mute"
        with pytest.raises(Exception, match=r"(?i)disconnected|reset"):
            await sink.write(unsure)
        network.mode = "well"
        async with asyncio.timeout(10):
            while await database.counted() != (1, 1):
                await asyncio.sleep(0.01)
        assert (await database.counted(), await database.counted("interactions")) == ((1, 1), (0, 0))
        await sink.open()
        await sink.write(unsure)
        assert (await database.counted(), await database.counted("interactions")) == ((1, 1), (1, 1))
        await sink.close()


async def test_a_batch_that_was_stored_in_part_is_completed(database: Database, sink: ClickHouse) -> None:
    await sink.open()
    await database.do("RENAME TABLE interactions TO away")
    torn = batch(command(), interaction())
    with pytest.raises(Exception, match="UNKNOWN_TABLE"):
        await sink.write(torn)
    assert await database.counted() == (1, 1)
    await database.do("RENAME TABLE away TO interactions")
    await sink.open()
    await sink.write(torn)
    assert (await database.counted(), await database.counted("interactions")) == ((1, 1), (1, 1))


def queue_to(sink: ClickHouse, database: Database, rows: int = 100) -> tuple[Queue, Callable[[str], float]]:
    """A queue before it, and what its books say of all tables."""
    instruments = Instruments()
    limits = Limits(1_000_000, 2**40, rows, 0.05)
    queue = Queue(sink, limits, instruments, Secret(database.engine.url(database.name)), [each.name for each in TABLES])

    def books(name: str) -> float:
        cells: Any = instruments.families[f"argus_exporter_analytics_{name}"].cells
        return sum(cell.value for cell in cells.values())

    return queue, books


async def test_a_row_that_the_database_refuses_costs_itself_alone(
    database: Database, sink: ClickHouse, caplog: pytest.LogCaptureFixture
) -> None:
    await sink.open()
    await database.do("ALTER TABLE interactions ADD CONSTRAINT sound CHECK type != 'unsound'")
    queue, books = queue_to(sink, database)
    for number in range(60):
        queue.put("commands", [command(number).values])
        kind = "unsound" if number in {7, 41} else "slash"
        queue.put("interactions", [interaction(number, type=kind).values])
    queue.start()
    await until(lambda: queue.rows == 0)
    await queue.close()
    assert (await database.counted(), await database.counted("interactions")) == ((60, 60), (58, 58))
    assert sink._stored == {}  # nothing of what came in parts is kept for longer
    assert (books("written_total"), books("lost_total")) == (118, 2)
    assert "VIOLATED_CONSTRAINT" in caplog.text
    assert str(GUILD) not in caplog.text


@pytest.mark.parametrize("wrong", [{"shard_id": 2**63}, {"command": "\ud800"}, {"at": None}, {"outcome": 5}])
async def test_a_row_that_is_none_stops_its_batch_before_any_of_it_is_stored(
    database: Database, sink: ClickHouse, wrong: dict[str, Any]
) -> None:
    await sink.open()
    with pytest.raises(RefusedError, match=r"^a value that commands cannot hold: \w+$"):
        await sink.write(batch(interaction(), command(), command(1, **wrong)))
    assert await database.value("SELECT count() FROM interactions") == 0


async def test_a_server_that_is_killed_and_comes_back_has_every_row_once(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as own:
        database = Database(own, "bots")
        sink = database.sink()
        queue, books = queue_to(sink, database, rows=400)
        queue.start()
        for number in range(8_000):
            row = command(number) if number % 2 else interaction(number)
            queue.put(row.table, [row.values])
            if number == 4_000:
                await until(lambda: books("written_total") > 1_000, 30)
                own.kill()
                await until(lambda: books("failures_total") > 0, 30)
                own.start()
        await until(lambda: queue.rows == 0, 60)
        await queue.close()
        assert (books("written_total"), books("lost_total")) == (8_000, 0)
        assert (await database.counted(), await database.counted("interactions")) == ((4_000, 4_000), (4_000, 4_000))


async def test_an_attempt_that_hangs_can_be_given_up_and_made_again(database: Database) -> None:
    async with before(database.engine.port) as network:
        sink = database.sink(port=network.port)
        await sink.open()
        hanging = batch(command())
        network.mode = "hangs"
        for ask in (sink.write(hanging), sink.open(), sink.check()):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await ask
        with pytest.raises(ConnectionError, match="not connected"):
            await sink.write(hanging)
        await asyncio.wait_for(sink.close(), 5)
        network.mode = "well"
        await sink.open()
        await sink.write(hanging)
        assert await database.counted() == (1, 1)
        network.mode = "hangs"
        network.asked.clear()
        writing = asyncio.create_task(sink.write(batch(command(1))))
        await until(lambda: network.asked)
        await asyncio.wait_for(sink.close(), 5)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


@pytest.mark.parametrize(("version", "collected", "needed"), [("24.7", False, "24.8"), ("25.9", True, "26.1")])
async def test_a_server_that_would_not_know_a_batch_again_gets_none(
    database: Database, version: str, collected: bool, needed: str
) -> None:
    ((present,),) = await database.engine.rows("SELECT version()")
    async with before(database.engine.port) as network:
        network.changes = {present[: len(version)].encode(): version.encode()}
        sink = database.sink(port=network.port, async_insert=collected)
        with pytest.raises(SchemaError, match=rf"^ClickHouse {version}\S+ .* {needed} is needed$"):
            await sink.open()
        await sink.close()
        network.changes = {present[: len(version)].encode(): needed.encode()}
        await sink.open()
        await sink.close()


# ------------------------------------------------------------------------------------------------- connecting


async def test_secrets_are_in_no_error_and_in_no_log(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    port = database.engine.port
    urls = {
        f"clickhouse://argus:wr0ng-s3cret@127.0.0.1:{port}/x": "AUTHENTICATION_FAILED",
        f"clickhouse://argus:wr0ng-s3cret@127.0.0.1:{free_port()}/x": "Cannot connect",
        f"clickhouses://argus:wr0ng-s3cret@127.0.0.1:{port}/x": "Cannot connect",
        f"clickhouse://argus:wr0ng-s3cret@nowhere.invalid:{port}/x": "Cannot connect",
        f"{database.engine.url('x')}?no_such_setting=wr0ng-s3cret": "no_such_setting",
    }
    for url, said in urls.items():
        sink = ClickHouse(Place(url))
        with pytest.raises(Exception, match=said) as caught:
            await sink.open()
        whole = "".join(traceback.format_exception(caught.value))
        assert "wr0ng" not in whole.partition("no_such_setting")[0]
        await sink.close()
    for url in ("clickhouse://argus:wr0ng/s3cret@host/x", "clickhouse://argus:[wr0ng@host:x/x"):
        with pytest.raises(ValueError, match=r"^the URL of the database cannot be understood$") as caught:
            ClickHouse(Place(url))
        assert "wr0ng" not in "".join(traceback.format_exception(caught.value))
    assert "wr0ng" not in caplog.text
    assert PASSWORD not in caplog.text


def test_all_of_the_client_is_imported_before_the_bot_runs() -> None:
    code = "import sys, argus_exporter.analytics.clickhouse; print('clickhouse_connect.driver.asyncclient' in {})"
    assert subprocess.check_output([sys.executable, "-c", code.format("sys.modules")], cwd=ROOT, text=True) == "True\n"


def test_ports_and_names_that_a_url_does_not_say_are_the_usual() -> None:
    plain, secure = _options("clickhouse://host/x"), _options("clickhouses://host/x?verify=false")
    assert (plain["port"], plain["interface"], plain["username"], plain["password"]) == (8123, "http", "default", "")
    assert (secure["port"], secure["interface"], secure["verify"], secure["settings"]) == (8443, "https", "false", {})


async def test_a_url_says_how_to_connect_and_what_the_server_is_to_be_set_to(
    database: Database, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with before(database.engine.port, context) as network:
        url = database.engine.url(database.name, f"?ca_cert={tmp_path / 'ca.pem'}&max_insert_threads=3", network.port)
        sink = ClickHouse(Place(url.replace("clickhouse:", "clickhouses:")))
        await sink.open()
        await sink.write(batch(command()))
        assert (await sink._connected.query("SELECT getSetting('max_insert_threads')")).result_rows == [(3,)]
        await sink.close()
    assert await database.counted() == (1, 1)


# ------------------------------------------------------------------------------------------------- erasure


def everything(guild: int, user: int, number: int = 0) -> list[Row]:
    """A row of each table, of a guild and of a user."""
    values: dict[Kind, Any] = {Kind.TIME: NOW, Kind.SECONDS: 1.0, Kind.FLAG: True, Kind.WORD: "join", Kind.TEXT: "x"}
    found = []
    for table in TABLES:
        row = table.row(*(values.get(column.kind, number) for column in table.columns))
        for name in filter(None, (table.guild, *table.columns_of(Kind.USER))):
            setattr(row, name, user if name in table.columns_of(Kind.USER) else guild)
        found.append(row)
    return found


async def left(database: Database) -> dict[str, int]:
    names = [*TABLE_OF, *(rollup.name for rollup in schema.ROLLUPS)]
    counts = {name: await database.value(f"SELECT count() FROM {name}") for name in names}
    return {name: count for name, count in counts.items() if count}


async def rewritten(database: Database) -> int:
    """How many tables were written anew without some of their rows."""
    deletions = "database = currentDatabase() AND command LIKE '%DELETE%'"
    return await database.value(f"SELECT count() FROM system.mutations WHERE {deletions}")


async def test_a_guild_is_erased_everywhere_and_no_other(database: Database, sink: ClickHouse) -> None:
    await sink.open()
    mark = message(1, guild_id=0, seen=False, deleted_at=NOW)  # without a guild, of a message that has one
    in_both = [MemberRow(guild, 8, NOW, None, in_guild=True, pending=False, flags=0) for guild in (GUILD, 5)]
    await sink.write(batch(*everything(GUILD, USER, 1), *everything(5, 6, 2), message(1)))
    await sink.write(batch(*in_both, UserRow(8, NOW, "in both", bot=False, public_flags=0)))
    await sink.write(batch(mark))
    erased = {each.table: each.rows for each in await sink.erase(guild_id=GUILD)}
    assert erased == {
        **dict.fromkeys(TABLE_OF, 1),
        **dict.fromkeys((rollup.name for rollup in schema.ROLLUPS), 1),
        "messages": 2,
        "members": 2,
        "messages_daily": 2,
    }
    remaining = await left(database)
    # who is in another guild, too, keeps the name; the mark's roll-up is of no guild
    assert remaining.pop("members") == remaining.pop("users") == 2
    assert remaining.pop("messages_daily") == 2
    assert set(remaining.values()) == {1}
    assert remaining.keys() | {"members", "users", "messages_daily"} == erased.keys()
    assert await rewritten(database) == len(erased)
    assert {each.rows for each in await sink.erase(guild_id=GUILD)} == {0}
    assert await rewritten(database) == len(erased)


async def test_a_user_is_erased_everywhere_and_nobody_else(database: Database, sink: ClickHouse) -> None:
    await sink.open()
    await sink.write(batch(*everything(GUILD, USER, 1), *everything(GUILD, 6, 2)))
    before_it = await left(database)
    await sink.write(batch(message(1)))
    await sink.write(batch(message(1, user_id=0, seen=False, deleted_at=NOW)))
    erased = {each.table: each.rows for each in await sink.erase(user_id=USER)}
    with_users = [table.name for table in TABLES if table.columns_of(Kind.USER)]
    assert erased == {**dict.fromkeys(with_users, 1), "messages": 2}
    remaining = await left(database)
    assert all(remaining[name] == 1 for name in with_users)
    assert {name for name in before_it if remaining[name] < before_it[name]} == {*with_users}
    assert await rewritten(database) == len(erased)
    assert {each.rows for each in await sink.erase(user_id=USER)} == {0}
    assert await rewritten(database) == len(erased)


# ------------------------------------------------------------------------------------------------- the examples

GUIDE = ROOT / "examples" / "analytics" / "clickhouse.md"
HOSTILE = ("", "0", "-1", f"{GUILD} OR 1=1", "1'; DROP TABLE commands; --", "9" * 40, "1e9", "\u202e7", "%", "\\'")


def blocks(language: str, heading: str) -> list[str]:
    """The code under a heading of the guide."""
    part = GUIDE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)\n```", part, re.DOTALL)


async def test_the_questions_of_the_guide_are_answered_for_a_guild_and_for_nothing_else(
    database: Database, sink: ClickHouse
) -> None:
    await sink.open()
    await sink.write(batch(*everything(GUILD, USER), *everything(5, 6, 2)))
    await sink.write(batch(command(outcome="bot_error", error="ValueError"), message(), interaction(missed=True)))
    questions = [question.rstrip(";") for question in blocks("sql", "Questions")]
    assert len(questions) == 8
    for question in questions:
        assert await database.rows(question, guild=GUILD), question
        for guild in HOSTILE if "{guild" in question else ():
            assert await database.rows(question, guild=guild) == [], (guild, question)
    assert await database.value("SELECT count() FROM commands") == 3


async def test_the_other_statements_of_the_guide_are_such(database: Database, tmp_path: Path) -> None:
    script, change = blocks("bash", "A cluster")
    change = change.replace("clickhouse-client --database argus --queries-file cluster.sql", "cat cluster.sql")
    commands = f"cd {tmp_path}; {script.replace('python ', f'{sys.executable} ')}\n{change}"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = await asyncio.to_thread(subprocess.check_output, ["bash", "-ec", commands], env=environ, text=True)
    *made, version = changed = said.split(";\n")[:-1]
    assert len(made) == len(schema.script().splitlines()) - 1
    assert version.startswith("INSERT")
    assert all(" ON CLUSTER bots" in statement for statement in made)
    tables = [statement for statement in made if statement.startswith("CREATE TABLE")]
    assert all("ENGINE = Replicated" in statement and "MergeTree ORDER" not in statement for statement in tables)
    assert sum("'{replica}', seen_at)" in statement for statement in tables) == 6
    by_hand = "\n".join(blocks("sql", "Setting up") + blocks("sql", "A cluster"))
    for statement in [*changed, *by_hand.removesuffix(";").split(";\n")]:
        line = statement.replace("\n", " ")
        assert await database.engine.rows("SELECT formatQuery({statement:String})", statement=line)
