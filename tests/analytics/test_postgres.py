"""Rows in a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from argus_exporter import catalogue
from argus_exporter.analytics import postgres, postgres_schema
from argus_exporter.analytics.events import (
    TABLE_OF,
    TABLES,
    Kind,
    MemberRow,
    MessageRow,
    Row,
    Table,
    UserRow,
    Values,
)
from argus_exporter.analytics.postgres import Postgres, SetUpError
from argus_exporter.analytics.sink import Batch, Place, RefusedError
from tests.analytics.server import Server, postgresql

pytestmark = pytest.mark.integration

NOW = time.time_ns() // 1_000_000
DAY = 86_400_000
FIRST = Path(__file__).parents[1] / "golden" / "postgres_schema_1.sql"
"""The schema as it was at first: what is there where the exporter has been for long."""
ID = 2**62 + 1
"""No floating-point number is this."""

_OWN = "SELECT pid FROM pg_stat_activity WHERE application_name = 'argus_exporter' ORDER BY backend_start DESC"
"""The connections of ours."""

_SETTINGS = (
    "idle_in_transaction_session_timeout",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_keepalives_count",
    "synchronous_commit",
)

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgresql() as running:
        yield running


@pytest.fixture
def database(server: Server) -> str:
    """A database of the test's own."""
    name = f"test{next(_numbers)}"
    server.psql(f"CREATE DATABASE {name}")
    return name


@pytest.fixture
def url(server: Server) -> str:
    """A database without the schema: it is made faster than a database."""
    server.psql("DROP SCHEMA IF EXISTS argus CASCADE")
    return server.url("postgres")


@contextlib.asynccontextmanager
async def opened(url: str, **place: Any) -> AsyncIterator[Postgres]:
    sink = Postgres(Place(url, **place))
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


async def ask(url: str, query: str, *values: object) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query, *values)]
    finally:
        await connection.close()


def row(table: Table, number: int = 0, **values: object) -> Row:
    """A row of any table, whose values say which column they are of."""
    whole = {Kind.TIME: NOW, Kind.FLAG: True, Kind.SECONDS: 0.1, Kind.WORD: "wörd", Kind.TEXT: "a\tb\\N\n\N{SNAKE}"}
    made = {each.name: whole.get(each.kind, ID) for each in table.columns}
    for place, name in enumerate(made):
        if not isinstance(made[name], (bool, str)):
            made[name] += place + number  # type: ignore[operator]
    return table.row(**{**made, **values})


def rows(*given: Row) -> dict[str, list[Values]]:
    return {table.name: some for table in TABLES if (some := [row.values for row in given if row.table == table.name])}


def batch(*given: Row, token: str | None = None) -> Batch:
    return Batch(token or f"batch {next(_numbers)}", rows(*given))


def message(at: int = NOW, **values: Any) -> MessageRow:
    given = {"id": ID, "seen": False, "shard_id": 0, "guild_id": 0, "channel_id": 0, "user_id": 0}
    return MessageRow(**{**given, "edited_at": None, "deleted_at": None, **values}, at=at)


def interaction(at: int = NOW, **values: Any) -> Row:
    return row(TABLE_OF["interactions"], at=at, **values)


def user(seen_at: int, name: str, id_: int = ID) -> UserRow:
    return UserRow(id=id_, seen_at=seen_at, name=name, bot=False, public_flags=0)


async def stored(url: str, table: Table) -> list[Row]:
    """The rows of a table, read as any other program would."""
    millis = "(extract(epoch from {0}) * 1000)::bigint"
    names = [millis.format(each.name) if each.kind is Kind.TIME else each.name for each in table.columns]
    return [table.row(*found) for found in await ask(url, f"SELECT {', '.join(names)} FROM argus.{table.name}")]


# ------------------------------------------------------------------------------------------------- rows


async def test_every_table_gives_back_what_it_was_given(url: str) -> None:
    async with opened(url, bot="böt", cluster="east") as sink:
        for table in TABLES:
            least = {each.name: None for each in table.columns if each.none}
            given = [row(table), row(table, number=50, **least)]
            await sink.write(batch(*given))
            assert sorted(await stored(url, table), key=repr) == sorted(given, key=repr)
            if table.dated:
                assert await ask(url, f"SELECT DISTINCT bot, cluster FROM argus.{table.name}") == [("böt", "east")]


async def test_a_view_of_each_table_has_ids_as_text(url: str) -> None:
    async with opened(url) as sink:
        await sink.write(batch(*(row(table) for table in TABLES)))
    for table in TABLES:
        whole, texts = [
            json.loads((await ask(url, f"SELECT row_to_json(t)::text FROM argus.{name} t"))[0][0])
            for name in (table.name, f"{table.name}_text")
        ]
        ids = {*table.columns_of(Kind.ID), *table.columns_of(Kind.USER)}
        assert texts == {name: str(value) if name in ids else value for name, value in whole.items()}
        assert ids


async def test_rows_of_all_tables_are_written_together_or_not_at_all(url: str) -> None:
    async with opened(url) as sink:
        with pytest.raises(RefusedError):
            await sink.write(batch(*(row(table) for table in TABLES), user(NOW, "nul \0", ID + 9)))
        assert [await stored(url, table) for table in TABLES] == [[]] * len(TABLES)
        await sink.write(batch(*(row(table) for table in TABLES)))
    assert [await stored(url, table) for table in TABLES] == [[row(table)] for table in TABLES]


async def test_the_loop_has_its_turn_while_a_batch_is_written(url: str) -> None:
    turns = 0

    async def beat() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with opened(url) as sink:
        beating = asyncio.create_task(beat())
        await sink.write(batch(*(interaction() for _ in range(5000))))
        beating.cancel()
    assert turns > 2 * 5000 / postgres._SLICE
    assert len(await stored(url, TABLE_OF["interactions"])) == 5000


# ------------------------------------------------------------------------------------------------- exactly once


async def test_a_batch_is_written_once_however_often_it_is_given(url: str) -> None:
    async with opened(url) as sink, opened(url) as another:
        for each in (sink, sink, another):
            await each.write(batch(interaction(), token="one"))
        await another.write(batch(interaction(), token="two"))
    assert len(await stored(url, TABLE_OF["interactions"])) == 2


class Failing:
    """A connection that is lost at one of its calls, before the server has heard it or after the server has done it."""

    def __init__(self, connection: Any, call: int, *, heard: bool) -> None:
        self._connection, self._calls_left, self._heard = connection, call, heard

    def __getattr__(self, name: str) -> Any:
        plain = getattr(self._connection, name)
        return (
            plain if name in {"is_closed", "terminate"} else lambda *given, **named: self._call(plain(*given, **named))
        )

    async def _call(self, call: Coroutine[Any, Any, Any]) -> Any:
        self._calls_left -= 1
        if self._calls_left >= 0 or self._heard:
            done = await call
        else:
            call.close()
        if self._calls_left < 0:
            raise ConnectionResetError
        return done


@pytest.mark.parametrize("heard", [False, True], ids=["unheard", "unanswered"])
async def test_wherever_a_connection_is_lost_its_batch_is_written_once(url: str, heard: bool) -> None:
    given = [interaction(), message(seen=True), user(NOW, "name")]
    async with opened(url) as sink:
        for call in itertools.count():
            sink._connection = Failing(sink._connection, call, heard=heard)  # type: ignore[assignment]
            with contextlib.suppress(ConnectionResetError):
                await sink.write(batch(*given, token=f"call {call}"))
                break
            await sink.write(batch(*given, token=f"call {call}"))
    assert call >= 8
    assert [len(await stored(url, TABLE_OF[each.table])) for each in given] == [call + 1, 1, 1]


async def test_a_server_that_is_killed_loses_nothing_and_writes_nothing_twice(server: Server, url: str) -> None:
    written, failed, end = 0, 0, asyncio.Event()

    async def write_on() -> None:
        nonlocal written, failed
        while not end.is_set():
            next_one = batch(*(interaction(id=500 * written + each) for each in range(500)), token=f"written {written}")
            try:
                await sink.write(next_one)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                failed += 1
                await asyncio.sleep(0.02)
            else:
                written += 1

    async with opened(url) as sink:
        writing = asyncio.create_task(write_on())
        for _ in range(2):
            before = written
            while written < before + 3:
                await asyncio.sleep(0)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        end.set()
        await writing
        await sink.write(batch(interaction(id=500 * written)))
    assert failed >= 2
    found = await ask(url, "SELECT count(*), count(DISTINCT id), max(id) FROM argus.interactions")
    assert found == [(500 * written + 1, 500 * written + 1, 500 * written)]


async def test_a_server_that_hangs_is_left_and_found_again(server: Server, url: str) -> None:
    async with opened(url) as sink:
        ((pid,), *_) = await ask(url, _OWN)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await sink.write(batch(interaction(), token="hung"))
            await sink.open()
            await sink.write(batch(interaction(), token="hung"))
        finally:
            os.kill(pid, signal.SIGCONT)
    assert len(await stored(url, TABLE_OF["interactions"])) == 1


async def test_a_write_that_is_cancelled_in_the_middle_leaves_nothing(url: str) -> None:
    given = batch(*(interaction() for _ in range(3000)))
    async with opened(url) as sink:
        writing = asyncio.create_task(sink.write(given))
        for _ in range(30):
            await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert await stored(url, TABLE_OF["interactions"]) == []
        await sink.write(given)
    assert len(await stored(url, TABLE_OF["interactions"])) == 3000


async def test_who_is_cut_off_holds_its_batch_for_a_minute_and_the_url_says_the_rest(url: str) -> None:
    async with opened(f"{url}?synchronous_commit=off") as sink:
        kept = [await sink._connection.fetchval(f"SHOW {name}") for name in _SETTINGS]  # type: ignore[union-attr]
    assert kept == ["1min", "30", "10", "3", "off"]


async def test_a_server_that_never_answers_is_waited_for_no_longer_than_one_wants() -> None:
    held: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0) as mute:
        sink = Postgres(Place(f"postgresql://bot@127.0.0.1:{mute.sockets[0].getsockname()[1]}/bot"))
        for attempt in (sink.open, sink.check, lambda: sink.write(batch(interaction()))):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await attempt()
        await sink.close()
        for each in held:
            each.close()
    assert len(held) >= 3


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "wrong",
    [
        interaction(type="a nul \0"),
        interaction(type="half a pair \ud800"),
        interaction(guild_id=2**63),
        interaction(guild_id=None),
        interaction(guild_id="seven"),
        interaction(at=2**62),
        interaction(at=None),
        user(NOW, None, 7),  # type: ignore[arg-type]
    ],
    ids=["nul", "surrogate", "large", "none", "text", "never", "timeless", "nameless"],
)
async def test_what_is_not_of_its_kind_is_refused_without_saying_what_else_was_in_its_row(url: str, wrong: Row) -> None:
    async with opened(url) as sink:
        with pytest.raises(RefusedError) as refused:
            await sink.write(batch(interaction(outcome="private"), wrong, user(NOW, "private")))
        assert "private" not in str(refused.value)
        assert "\n" not in str(refused.value)
        assert refused.value.__suppress_context__
        await sink.write(batch(interaction()))
    assert len(await stored(url, TABLE_OF["interactions"])) == 1


_FULL = """
CREATE FUNCTION public.no_space() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE 'no space left' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER no_space BEFORE INSERT ON argus.interactions FOR EACH ROW EXECUTE FUNCTION public.no_space()"""
_READ_ONLY = """
ALTER DATABASE {database} SET default_transaction_read_only = on;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()"""
_WRITABLE = "SET default_transaction_read_only = off; ALTER DATABASE {database} RESET ALL"


@pytest.mark.parametrize(
    ("harm", "state", "remedy"),
    [
        (_FULL, "53100", "DROP FUNCTION public.no_space() CASCADE"),
        (_READ_ONLY, "25006", _WRITABLE),
        ("DROP SCHEMA argus CASCADE", "42P01", ""),
        ("DROP TABLE argus.interactions_{month}", "23514", ""),
    ],
    ids=["full", "read-only", "no tables", "no partition"],
)
async def test_what_passes_is_tried_again(server: Server, database: str, harm: str, state: str, remedy: str) -> None:
    url = server.url(database)
    names = {"database": database, "month": f"{dt.datetime.now(dt.UTC):%Y_%m}"}
    async with opened(url) as sink:
        server.psql(harm.format(**names), database)
        while "terminate" in harm and not sink._connection.is_closed():  # type: ignore[union-attr]
            await asyncio.sleep(0)
        with pytest.raises(asyncpg.PostgresError) as raised:
            await sink.write(batch(interaction()))
        assert raised.value.sqlstate == state  # type: ignore[attr-defined]
        server.psql(remedy.format(**names), database)
        await sink.write(batch(interaction()))
    assert len(await stored(url, TABLE_OF["interactions"])) == 1


async def test_a_connection_that_ended_in_the_quiet_is_made_anew(server: Server, url: str) -> None:
    async with opened(url) as sink:
        server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'argus_exporter'")
        while not sink._connection.is_closed():  # type: ignore[union-attr]
            await asyncio.sleep(0)
        await sink.write(batch(interaction()))
    assert len(await stored(url, TABLE_OF["interactions"])) == 1


# ------------------------------------------------------------------------------------------------- marks, dimensions

_WRITTEN = {"seen": True, "shard_id": 3, "guild_id": ID, "channel_id": ID + 1, "user_id": ID + 2}
_EDIT, _LATER_EDIT = {"edited_at": NOW + 1000, "guild_id": ID}, {"edited_at": NOW + 2000}
_DELETION = {"deleted_at": NOW + 3000, "channel_id": ID + 1}


@pytest.mark.parametrize("apart", [False, True], ids=["one batch", "a batch each"])
async def test_a_message_is_one_row_in_whatever_order_its_marks_come(url: str, apart: bool) -> None:
    orders = [*itertools.permutations((_WRITTEN, _EDIT, _LATER_EDIT, _DELETION))]
    given = [
        [message(NOW + order, id=ID + order, **marks[place]) for order, marks in enumerate(orders)]
        for place in range(4)
    ]
    async with opened(url, bot="bot") as sink:
        for each in given if apart else [itertools.chain(*given)]:
            await sink.write(batch(*each))
    whole = {**_WRITTEN, **_LATER_EDIT, **_DELETION}
    expected = [message(NOW + order, id=ID + order, **whole) for order in range(len(orders))]
    assert sorted(await stored(url, TABLE_OF["messages"]), key=lambda each: each.id) == expected  # type: ignore[attr-defined]


async def test_a_mark_alone_says_what_it_knows(url: str) -> None:
    async with opened(url) as sink:
        await sink.write(batch(message(**_DELETION)))
    assert await stored(url, TABLE_OF["messages"]) == [message(**_DELETION)]


async def test_of_a_user_the_name_counts_that_was_seen_last(url: str) -> None:
    async with opened(url) as sink:
        await sink.write(batch(user(NOW + 2, "b"), user(NOW + 3, "c"), user(NOW + 1, "a"), user(NOW, "other", 7)))
        assert {each.name for each in await stored(url, TABLE_OF["users"])} == {"c", "other"}  # type: ignore[attr-defined]
        await sink.write(batch(user(NOW + 2, "late")))
        assert user(NOW + 3, "c") in await stored(url, TABLE_OF["users"])
        await sink.write(batch(user(NOW + 3, "d"), user(NOW + 3, "e")))
        assert user(NOW + 3, "e") in await stored(url, TABLE_OF["users"])
        await sink.write(batch(user(NOW + 4, "f")))
        assert user(NOW + 4, "f") in await stored(url, TABLE_OF["users"])


async def test_a_member_is_one_in_each_guild(url: str) -> None:
    given = [MemberRow(guild, person, NOW, None, True, False, 0) for guild in (1, 2) for person in (3, 4)]
    async with opened(url) as sink:
        await sink.write(batch(*given))
    assert sorted(await stored(url, TABLE_OF["members"]), key=repr) == given


async def test_several_processes_mark_the_same_rows_at_once(url: str) -> None:
    order = [user(NOW, "name", id_) for id_ in range(1, 2000)]

    async def write(backwards: int) -> None:
        async with opened(url) as sink:
            for _ in range(5):
                await sink.write(batch(*order[::backwards], *(message(id=each.id) for each in order[::backwards])))

    async with opened(url):
        await asyncio.gather(write(1), write(-1))
    assert len(await stored(url, TABLE_OF["users"])) == len(await stored(url, TABLE_OF["messages"])) == len(order)


# ------------------------------------------------------------------------------------------------- schema


_SHAPE = """
SELECT relname, relkind::text, coalesce(attname, ''), coalesce(format_type(atttypid, atttypmod), '')
FROM pg_class LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
WHERE relnamespace = 'argus'::regnamespace ORDER BY 1, 3"""


async def test_the_schema_is_made_once_however_many_start(url: str) -> None:
    sinks = [Postgres(Place(url)) for _ in range(4)]
    await asyncio.gather(*(sink.open() for sink in sinks))
    shape = await ask(url, _SHAPE)
    await sinks[0].open()
    for sink in sinks:
        await sink.write(batch(interaction()))
        await sink.close()
    assert await ask(url, _SHAPE) == shape
    assert await ask(url, "SELECT version FROM argus.migrations") == [(len(postgres_schema.MIGRATIONS),)]
    assert {name for name, kind, _, _ in shape if kind == "v"} == {f"{table.name}_text" for table in TABLES}
    ranged = await ask(url, "SELECT indexname FROM pg_indexes WHERE schemaname = 'argus' AND indexdef ~ 'USING brin'")
    assert {(f"{table.name}_time",) for table in TABLES if table.dated} <= {*ranged}


async def test_it_says_of_itself_what_is_in_it(url: str) -> None:
    async with opened(url):
        pass
    about = (
        "SELECT obj_description(t), col_description(t, 4), col_description(t, 6) FROM to_regclass('argus.commands') t"
    )
    assert await ask(url, about) == [
        (
            "A command that has ended, however it did.",
            "when that was created, by Discord's clock.",
            f"one of {', '.join(catalogue.COMMAND_TYPES)}.",
        )
    ]
    marked_up = (
        "SELECT relname FROM pg_description JOIN pg_class ON pg_class.oid = objoid "
        "WHERE relnamespace = 'argus'::regnamespace AND (description = '' OR description ~ ':param|``|:data:')"
    )
    assert await ask(url, marked_up) == []


async def test_an_older_schema_is_brought_up_to_date_with_what_is_in_it(url: str) -> None:
    newer = (*postgres_schema.MIGRATIONS, ["ALTER TABLE argus.users ADD COLUMN IF NOT EXISTS age bigint"],
             ["UPDATE argus.users SET age = 3", "ALTER TABLE argus.users ALTER age SET DEFAULT 0"])  # fmt: skip
    async with opened(url) as sink:
        await sink.write(batch(user(NOW, "old"), interaction()))
    updated = Postgres(Place(url), newer)
    await updated.open()
    await updated.write(batch(user(NOW, "new", 7)))
    await updated.close()
    assert await ask(url, "SELECT name, age FROM argus.users ORDER BY id DESC") == [("old", 3), ("new", 0)]
    assert len(await stored(url, TABLE_OF["interactions"])) == 1
    assert await ask(url, "SELECT max(version) FROM argus.migrations") == [(len(newer),)]


async def test_the_first_schema_becomes_todays_by_migrations_alone(server: Server, url: str) -> None:
    server.psql("CREATE SCHEMA argus;" + postgres_schema.BOOKS + ";" + FIRST.read_text(encoding="utf-8"))
    server.psql("INSERT INTO argus.migrations (version) VALUES (1)")
    async with opened(url) as sink:
        await sink.write(batch(*(row(table) for table in TABLES)))
    upgraded = await ask(url, _SHAPE)
    server.psql("DROP SCHEMA argus CASCADE")
    async with opened(url):
        pass
    assert upgraded == await ask(url, _SHAPE), "events.py has changed: add a migration to postgres_schema.py"


async def test_a_process_that_is_older_than_its_schema_says_so(url: str) -> None:
    newer = Postgres(Place(url), (*postgres_schema.MIGRATIONS, ["SELECT 1"]))
    await newer.open()
    await newer.close()
    for attempt in (Postgres(Place(url)).open, Postgres(Place(url)).check):
        with pytest.raises(SetUpError) as raised:
            await attempt()
        assert str(raised.value) == "schema argus is of version 2, and this argus_exporter knows 1: update it"


async def test_a_failed_migration_changes_nothing(url: str) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await Postgres(Place(url), (*postgres_schema.MIGRATIONS, ["DROP TABLE nobodys"])).open()
    assert (await Postgres(Place(url)).check()).endswith(", schema argus not made yet")


async def test_a_check_changes_nothing_and_says_what_is_there(url: str) -> None:
    sink = Postgres(Place(url))
    said = await sink.check()
    assert await ask(url, "SELECT to_regnamespace('argus')") == [(None,)]
    ((version,),) = await ask(url, "SELECT current_setting('server_version')")
    assert said == f"PostgreSQL {version}, schema argus not made yet"
    await sink.open()
    assert await sink.check() == f"PostgreSQL {version}, schema argus of version 1"
    await sink.write(batch(interaction()))
    await sink.close()
    while await ask(url, _OWN):
        await asyncio.sleep(0.01)


_MINE = "CREATE SCHEMA argus AUTHORIZATION {role}"


@pytest.mark.parametrize(
    ("before", "lacks"),
    [
        ("", _MINE + ", or make it the owner of the one that is there"),
        ("CREATE SCHEMA argus", _MINE + ", or make it the owner of the one that is there"),
        (_MINE + "; REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
         "GRANT TEMPORARY ON DATABASE {database} TO {role}"),
        (_MINE, None),
        ("GRANT CREATE ON DATABASE {database} TO {role}", None),
    ],
    ids=["nothing", "not its own", "no temporary tables", "its own", "may make it"],
)  # fmt: skip
async def test_who_has_too_few_rights_is_told_which(
    server: Server, database: str, before: str, lacks: str | None
) -> None:
    names = {"role": f"{database}_bot", "database": database}
    server.psql(f"CREATE ROLE {names['role']} LOGIN; {before}".format(**names), database)
    sink = Postgres(Place(server.url(database, names["role"])))
    for attempt in (sink.open, sink.check):
        if lacks is None:
            await attempt()
            continue
        with pytest.raises(SetUpError) as raised:
            await attempt()
        expected = "{role} has too few rights in database {database}: ".format(**names) + lacks.format(**names)
        assert str(raised.value) == expected
    await sink.close()


@pytest.mark.parametrize("address", ["user:sec/ret@localhost/d", "user:secret@localhost:sec/d", "user:s[ecret@host/d"])
async def test_a_url_that_cannot_be_read_is_not_shown(address: str) -> None:
    with pytest.raises(SetUpError) as raised:
        await Postgres(Place(f"postgresql://{address}")).open()
    assert "sec" not in str(raised.value)
    assert raised.value.__suppress_context__


async def test_what_else_is_wrong_with_a_url_is_said() -> None:
    with pytest.raises(ValueError, match="`sslmode` parameter must be one of"):
        await Postgres(Place("postgresql://localhost/d?sslmode=perhaps")).open()


# ------------------------------------------------------------------------------------------------- months


def at(year: int, month: int, day: int = 1) -> int:
    return int(dt.datetime(year, month, day, tzinfo=dt.UTC).timestamp() * 1000)


async def partitions(url: str) -> list[str]:
    return [name for _, name in await ask(url, postgres_schema.MONTHS + " ORDER BY 2")]


async def test_a_row_lies_in_its_month(url: str) -> None:
    times = {
        at(2024, 2): "2024_02",
        at(2024, 3) - 1: "2024_02",
        at(2024, 3): "2024_03",
        at(2024, 12, 31): "2024_12",
        at(2025, 1): "2025_01",
    }
    async with opened(url, retention_days=None) as sink:
        await sink.write(batch(*(interaction(time, id=time) for time in times)))
    found = await ask(url, "SELECT id, tableoid::regclass::text FROM argus.interactions")
    assert dict(found) == {time: f"argus.interactions_{month}" for time, month in times.items()}


async def test_this_month_and_the_next_are_there_before_any_row(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_now", lambda: at(2030, 12, 31))
    dated = [table.name for table in TABLES if table.dated]
    async with opened(url) as sink:
        assert await partitions(url) == sorted(f"{name}_{month}" for name in dated for month in ("2030_12", "2031_01"))
        monkeypatch.setattr(postgres, "_now", lambda: at(2031, 1))
        await sink.write(batch(user(NOW, "name")))
        assert f"{dated[0]}_2031_02" in await partitions(url)


async def test_who_reads_does_not_keep_a_month_from_being_made(url: str) -> None:
    reader = await asyncpg.connect(url)
    async with opened(url, retention_days=None) as sink, reader.transaction():
        await reader.fetch("SELECT * FROM argus.interactions")
        await sink.write(batch(interaction(at(2024, 2))))
    await reader.close()
    assert len(await stored(url, TABLE_OF["interactions"])) == 1


async def test_a_table_that_somebody_keeps_otherwise_is_left_to_them(url: str) -> None:
    async with opened(url, retention_days=None) as sink:
        await ask(url, "ALTER TABLE argus.commands RENAME TO parted")
        await ask(url, "CREATE TABLE argus.commands (LIKE argus.parted INCLUDING ALL)")
        await ask(url, "DROP TABLE argus.parted CASCADE")
        await sink.open()
        await sink.write(batch(row(TABLE_OF["commands"], at=at(2024, 2)), interaction(at(2024, 2))))
    async with opened(url, retention_days=10):
        pass
    assert [len(await stored(url, TABLE_OF[name])) for name in ("commands", "interactions")] == [1, 0]


async def test_a_mark_on_a_message_of_long_ago_is_kept_as_long_as_the_retention_says(url: str) -> None:
    old, young = message(at(2016, 5), **_DELETION), message(NOW - DAY, id=8, **_DELETION)
    async with opened(url, retention_days=90) as sink:
        months = await partitions(url)
        await sink.write(batch(old, young))
        assert await stored(url, TABLE_OF["messages"]) == [young]
        assert {*await partitions(url)} - {*months} <= {
            f"messages_{dt.datetime.fromtimestamp(young.at / 1000, dt.UTC):%Y_%m}"
        }
    async with opened(url, retention_days=None) as sink:
        await sink.write(batch(old))
    assert sorted(await stored(url, TABLE_OF["messages"]), key=repr) == sorted([old, young], key=repr)


# ------------------------------------------------------------------------------------------------- retention


def dated(*ages: int) -> list[Row]:
    """A row of each table that grows old, and of one that does not, so many days old."""
    return [
        row(table, number=age, **{table.time: NOW - age * DAY})
        for table in TABLES
        for age in ages
        if table.dated or age == ages[0]
    ]


async def ages(url: str) -> dict[str, set[int]]:
    return {
        table.name: {round((NOW - getattr(each, table.time)) / DAY) for each in await stored(url, table)}
        for table in TABLES
    }


async def test_what_is_too_old_is_removed_at_the_start(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_PATIENCE", 60.0)
    async with opened(url, retention_days=None) as sink:
        await sink.write(batch(*dated(500, 100, 91, 89, 1, 0)))
        await sink.open()
        assert {500, 91} <= (await ages(url))["interactions"]
    await ask(url, "UPDATE argus.batches SET at = now() - interval '8 days'")
    async with opened(url, retention_days=90) as sink:
        await sink.write(batch(user(NOW, "name")))
    assert await ages(url) == {
        table.name: {89, 1, 0} if table.dated else {500, 0} if table.name == "users" else {500} for table in TABLES
    }
    limit = dt.datetime.fromtimestamp((NOW - 90 * DAY) / 1000, dt.UTC)
    assert min(name[-7:] for name in await partitions(url)) == f"{limit:%Y_%m}"
    assert await ask(url, "SELECT count(*) FROM argus.batches") == [(1,)]


class Clock:
    """The time, which goes on by itself only when it is looked at."""

    def __init__(self) -> None:
        self.seconds, self.step, self.began = 0.0, 0.0, at(2030, 6, 15)

    def monotonic(self) -> float:
        self.seconds += self.step
        return self.seconds

    def time_ns(self) -> int:
        return (self.began + int(self.seconds * 1000)) * 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(postgres, "time", clock)
    return clock


async def test_what_gets_old_is_removed_by_the_writes_of_a_later_day_a_little_each(
    url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_CHUNK", 2)
    left = []

    async def write() -> None:
        await sink.write(batch(user(NOW, "name")))
        left.append(len(await stored(url, TABLE_OF["interactions"])))

    async with opened(url, retention_days=10) as sink:
        await sink.write(batch(*(interaction(clock.began - 9 * DAY) for _ in range(8)), interaction(clock.began)))
        await write()
        clock.seconds += 2 * 86_400
        clock.step = 0.3
        while len(left) < 20 and left[-1] > 1:
            await write()
        assert len({*left}) > 2
        clock.step = 0
        await write()
        await sink.write(batch(interaction(clock.began - 9 * DAY)))
        await write()
        clock.seconds += 86_401
        await write()
    assert left[0] == 9
    assert left[-3:] == [1, 2, 1]


async def test_what_cannot_be_removed_keeps_no_batch_up(
    url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reader = await asyncpg.connect(url)
    async with opened(url, retention_days=10) as sink:
        await sink.write(batch(interaction(clock.began)))
        clock.seconds += 60 * 86_400
        async with reader.transaction():
            await reader.fetch("SELECT * FROM argus.interactions")
            with monkeypatch.context() as hasty:
                hasty.setattr(postgres, "_PATIENCE", 0.1)
                await sink.write(batch(message(clock.began + 60 * DAY)))
            clock.seconds += 3500
            await sink.write(batch(message(clock.began + 60 * DAY + 1)))
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "canceling statement due to" in caplog.text
        assert len(await stored(url, TABLE_OF["messages"])) == 2
        assert await reader.fetchval("SELECT count(*) FROM argus.interactions") == 1
        clock.seconds += 101
        await sink.write(batch(user(NOW, "name")))
        assert await reader.fetchval("SELECT count(*) FROM argus.interactions") == 0
        assert await sink._connection.fetchval("SHOW statement_timeout") == "0"  # type: ignore[union-attr]
    await reader.close()


async def test_what_another_process_is_removing_is_left_to_it(
    url: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    old = [interaction(clock.began - 9 * DAY, id=number) for number in range(3)]
    another = await asyncpg.connect(url)
    async with opened(url, retention_days=10) as sink:
        await sink.write(batch(*old))
        clock.seconds += 2 * 86_400
        async with another.transaction():
            await another.execute("DELETE FROM argus.interactions WHERE id = 1")
            await sink.write(batch(user(NOW, "name")))
            assert [each.id for each in await stored(url, TABLE_OF["interactions"])] == [1]  # type: ignore[attr-defined]
    await another.close()
    assert not caplog.records


# ------------------------------------------------------------------------------------------------- erasure


def of_guild(guild_id: int, user_id: int, **member: Any) -> list[Row]:
    """A row of each table that is about a guild, with one of its users."""
    made = [row(table, guild_id * 100 + user_id) for table in TABLES]
    for each, table in zip(made, TABLES, strict=True):
        for name in table.columns_of(Kind.USER):
            setattr(each, name, user_id)
        if table.guild:
            setattr(each, table.guild, guild_id)
    in_guild = next(each for each in made if isinstance(each, MemberRow))
    for name, value in member.items():
        setattr(in_guild, name, value)
    return made


async def test_a_guild_is_erased_and_the_names_of_those_who_are_in_no_other(url: str) -> None:
    guild, other, stays, left, only, silent = 1001, 2002, 11, 12, 13, 14
    others = [*of_guild(other, stays), *of_guild(other, left, in_guild=False)]
    talked = MessageRow(99, NOW, True, 0, guild, 1, silent, None, None)
    async with opened(url) as sink:
        await sink.write(batch(*(each for person in (stays, left, only) for each in of_guild(guild, person)), *others))
        await sink.write(batch(talked, user(NOW, "silent", silent), user(NOW, "stranger", 15)))
        erased = {each.table: each.rows for each in await sink.erase(guild_id=guild)}
        assert {each.table: each.rows for each in await sink.erase(guild_id=guild)} == dict.fromkeys(TABLE_OF, 0)
    assert erased == {**dict.fromkeys(TABLE_OF, 3), "guilds": 1, "messages": 4, "users": 3}
    for table in TABLES:
        kept = await stored(url, table)
        if table.guild:
            assert {getattr(each, table.guild) for each in kept} == {other}, table.name
        else:
            assert {each.id for each in kept} == {stays, 15}  # type: ignore[attr-defined]


async def test_a_user_is_erased_everywhere(url: str) -> None:
    async with opened(url) as sink:
        for guild, person in itertools.product((1001, 2002), (11, 12)):
            await sink.write(batch(*of_guild(guild, person)))
        erased = {each.table: each.rows for each in await sink.erase(user_id=11)}
    with_users = {table.name for table in TABLES if table.columns_of(Kind.USER)}
    assert erased == {name: 0 if name not in with_users else 1 if name == "users" else 2 for name in TABLE_OF}
    for name in with_users:
        (user_column,) = TABLE_OF[name].columns_of(Kind.USER)
        assert {getattr(each, user_column) for each in await stored(url, TABLE_OF[name])} == {12}


async def test_what_is_of_nobody_is_not_erased(url: str) -> None:
    async with opened(url) as sink:
        await sink.write(batch(interaction(user_id=0, guild_id=0)))
        for nobody in ({}, {"user_id": 0}, {"guild_id": 0}):
            with pytest.raises(ValueError, match="whose"):
                await sink.erase(**nobody)
    assert len(await stored(url, TABLE_OF["interactions"])) == 1


async def test_erasing_opens_what_is_closed(url: str) -> None:
    sink = Postgres(Place(url))
    assert sum(each.rows for each in await sink.erase(guild_id=3)) == 0
    await sink.close()
    await sink.close()
