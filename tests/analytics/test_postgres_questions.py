"""What examples/analytics/postgres.md tells to run, on a real PostgreSQL."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from argus_exporter.analytics.events import (
    TABLES,
    ChannelRow,
    CommandRow,
    GuildRow,
    InteractionRow,
    MemberEventRow,
    MemberRow,
    MessageRow,
    Row,
    ThreadRow,
    UserRow,
)
from argus_exporter.analytics.postgres import Postgres
from argus_exporter.analytics.sink import Batch, Place
from tests.analytics.server import Server, postgresql

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[2] / "examples" / "analytics" / "postgres.md").read_text(encoding="utf-8")
SET_UP, *QUESTIONS = re.findall(r"(?:^|\n)([^\n]*)\n\n```sql\n(.*?)```", PAGE, re.DOTALL)
GUILD, OTHER, ANN, BEN, LURKER = 2**62 + 1, 2**62 + 3, 2**61 + 1, 2**61 + 3, 2**61 + 5
TALK, HELP, THREAD = 2**60 + 1, 2**60 + 3, 2**60 + 5
NOON = dt.datetime.now(dt.UTC).replace(hour=12, minute=0, second=0, microsecond=0) - dt.timedelta(days=2)
AT = int(NOON.timestamp() * 1000)
MINUTE = 60_000

HOSTILE = (
    "",
    "0x7",
    " 7",
    "7 OR 1=1",
    "'; DROP TABLE argus.messages; --",
    "$1",
    "NaN",
    "1e3",
    "9223372036854775808",
    "-9223372036854775809",
    "\N{FULLWIDTH DIGIT NINE}",
    "\\",
    "%",
    "," * 50,
    "7" * 100_000,
    "\N{SNAKE}\n\t",
)


def said(number: int, user: int, channel: int, minute: int, guild: int = GUILD, **marks: int) -> MessageRow:
    marked = {"edited_at": None, "deleted_at": None, **marks}
    return MessageRow(number, AT + minute * MINUTE, True, 0, guild, channel, user, **marked)


def ran(number: int, command: str, seconds: float, error: str = "") -> CommandRow:
    outcome = {"": "ok", "CommandOnCooldown": "rejected"}.get(error, "bot_error")
    return CommandRow(number, AT, command, "slash", 0, GUILD, TALK, ANN, seconds, outcome, error)


def used(number: int, guild: int, user: int) -> InteractionRow:
    return InteractionRow(number, AT, "slash", 0, guild, TALK, user, None, None, None, "ok", False)


ROWS: tuple[Row, ...] = (
    *(UserRow(id_, AT, name, False, 0) for id_, name in ((ANN, "ann"), (BEN, "ben"), (LURKER, "lurker"))),
    MemberRow(GUILD, ANN, AT, AT, True, False, 0),
    MemberRow(OTHER, ANN, AT, None, False, True, 0),
    GuildRow(GUILD, AT, "home", True),
    ChannelRow(TALK, AT, GUILD, 0, "talk", "text", False, True),
    ChannelRow(HELP, AT, GUILD, 0, "help-me", "text", False, True),
    ThreadRow(THREAD, AT, GUILD, TALK, "aside", "public_thread", False, False, 60, True),
    said(1, ANN, TALK, 0),
    said(2, ANN, TALK, 1, edited_at=AT + 5 * MINUTE),
    said(3, ANN, THREAD, 61, deleted_at=AT + 62 * MINUTE),
    said(4, ANN, HELP, 62),
    said(5, BEN, TALK, 2),
    said(6, ANN, TALK, 0, OTHER),
    said(7, ANN, TALK, -60 * 24 * 20),
    *(ran(number, "play", seconds) for number, seconds in enumerate((0.1, 0.2, 0.3))),
    ran(4, "stop", 1.0, "ValueError"),
    ran(5, "stop", 1.0, "CommandOnCooldown"),
    used(1, GUILD, ANN),
    used(2, GUILD, BEN),
    used(3, OTHER, 0),
    used(4, 0, ANN),
    MemberEventRow(AT, "join", 0, GUILD, ANN, 2),
    MemberEventRow(AT + 1, "join", 0, GUILD, BEN, 3),
    MemberEventRow(AT + 2, "leave", 0, GUILD, LURKER, 2),
)


def when(minute: int) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minute)


ANSWERS: dict[str, tuple[tuple[object, ...], list[tuple[object, ...]]]] = {
    "Who is it": ((GUILD, ANN), [("ann", False, NOON, True, False)]),
    "How many messages has": ((GUILD, ANN, f"{HELP},x,"), [(3,)]),
    "In how many blocks": ((GUILD, ANN), [(3,)]),
    "In which channels": ((GUILD, ANN, 3), [("talk", 4), ("the help channels", 1)]),
    "How many messages have": ((GUILD, f"{ANN},{LURKER},x,{ANN}", 10), [(ANN, 4, 3), (LURKER, 0, 0)]),
    "Who wrote when": (
        (GUILD, TALK, 10, 2),
        [(when(2), str(BEN), "ben", None, None), (when(1), str(ANN), "ann", when(5), None)],
    ),
    "Messages by channel": (
        (GUILD, 10),
        [(str(TALK), "talk", 12, 3), (str(HELP), "help-me", 13, 1), (str(THREAD), None, 13, 1)],
    ),
    "Who writes most": ((GUILD, 10, 5), [(str(ANN), "ann", 4, 1, 1), (str(BEN), "ben", 1, 0, 0)]),
    "Who joins": ((GUILD, 10), [(NOON.date(), 2, 1, 2)]),
    "Which commands": (
        (GUILD, 10),
        [("play", "slash", 3, pytest.approx(0.2), 0, 0.2, pytest.approx(0.29)), ("stop", "slash", 2, 1.0, 1, 1.0, 1.0)],
    ),
    "Which guilds": ((10, 5), [(str(GUILD), "home", 2, 2), (str(OTHER), None, 1, 0)]),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that is set up as the page says, with rows."""
    with postgresql() as running:
        running.psql(SET_UP[1])
        yield running


@pytest.fixture
async def reader(server: Server) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection as Grafana would have it."""
    sink = Postgres(Place(server.url("argus", "argus")))
    rows = {table.name: [each.values for each in ROWS if each.table == table.name] for table in TABLES}
    await sink.write(Batch("all", rows))
    await sink.close()
    connection = await asyncpg.connect(server.url("argus", "grafana"))
    yield connection
    await connection.close()


def test_each_question_has_its_answer_here() -> None:
    assert [next((name for name in ANSWERS if title.startswith(name)), title) for title, _ in QUESTIONS] == [*ANSWERS]


@pytest.mark.parametrize(("title", "statement"), QUESTIONS, ids=[title for title, _ in QUESTIONS])
async def test_a_question_is_answered(reader: Any, title: str, statement: str) -> None:
    (values, answer) = next(answer for name, answer in ANSWERS.items() if title.startswith(name))
    asked = await reader.prepare(statement)
    typed = [
        str(value) if type_.name == "text" else value
        for value, type_ in zip(values, asked.get_parameters(), strict=True)
    ]
    found = [tuple(row) for row in await asked.fetch(*typed)]
    assert sorted(map(repr, found)) == sorted(map(repr, answer)) or found == answer


@pytest.mark.parametrize(("title", "statement"), QUESTIONS, ids=[title for title, _ in QUESTIONS])
async def test_a_hostile_id_finds_nothing_and_is_no_error(reader: Any, title: str, statement: str) -> None:
    asked = await reader.prepare(statement)
    types = [type_.name for type_ in asked.get_parameters()]
    assert "text" in types or title.startswith("Which guilds")
    for hostile in HOSTILE if "text" in types else ():
        found = await asked.fetch(*(hostile if type_ == "text" else 30 for type_ in types))
        assert not any(map(any, found)), hostile


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_what_is_no_id_is_none_even_where_it_is_written_into_the_statement(reader: Any, hostile: str) -> None:
    literal = "'" + hostile.replace("'", "''") + "'"
    assert await reader.fetchval(f"SELECT argus.id({literal})") is None
    assert await reader.fetchval(f"SELECT count(*) FROM argus.messages WHERE guild_id = argus.id({literal})") == 0


async def test_an_id_is_what_it_is(reader: Any) -> None:
    for number in (0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63)):
        assert await reader.fetchval("SELECT argus.id($1)", str(number)) == number


@pytest.mark.parametrize("name", ["guild_id", "user_id"])
async def test_an_id_is_found_by_its_index(reader: Any, name: str) -> None:
    await reader.execute("SET enable_seqscan = off")
    asked = f"EXPLAIN SELECT FROM argus.messages WHERE {name} = argus.id($1) AND at > now() - interval '9 days'"
    plan = str(await reader.fetch(asked, "7"))
    assert f"_{name}_at_idx" in plan
    assert f"(({name} = '7'::bigint) AND (at >" in plan


async def test_who_reads_can_read_all_and_write_nothing(server: Server, reader: Any) -> None:
    for table in TABLES:
        for name in (table.name, f"{table.name}_text"):
            await reader.fetch(f"SELECT * FROM argus.{name}")
    await reader.execute("SET default_transaction_read_only = off")
    for statement in (
        "DELETE FROM argus.messages",
        "CREATE TABLE argus.mine ()",
        "CREATE TABLE public.mine ()",
        "CREATE TEMPORARY TABLE mine ()",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(statement)
    (without_names,) = re.findall(r"`(REVOKE SELECT[^`]*)`", PAGE)
    server.psql(without_names, "argus")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.fetch("SELECT * FROM argus.users_text")
    server.psql(without_names.replace("REVOKE", "GRANT").replace("FROM", "TO"), "argus")


async def test_who_writes_reaches_nothing_but_the_schema(server: Server, reader: Any) -> None:
    connection = await asyncpg.connect(server.url("argus", "argus"))
    for statement in ("CREATE SCHEMA another", "CREATE TABLE public.mine ()"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    await connection.close()
    assert (await Postgres(Place(server.url("argus", "argus"))).check()).endswith("of version 1")
    assert await reader.fetchval("SELECT count(*) FROM argus.batches") == 1
