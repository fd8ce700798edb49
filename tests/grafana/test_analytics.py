"""Every statement of the boards of analytics, asked of the real databases, which the real sinks have filled."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from argus_exporter.analytics.clickhouse import ClickHouse
from argus_exporter.analytics.events import (
    TABLES,
    ChannelRow,
    CommandRow,
    GuildEventRow,
    GuildRow,
    InteractionRow,
    MemberEventRow,
    MessageRow,
    Row,
    ThreadRow,
    UserRow,
)
from argus_exporter.analytics.postgres import Postgres
from argus_exporter.analytics.sink import Batch, Place, Sink
from tests.analytics.engine import Engine, engine
from tests.analytics.server import postgresql
from tests.grafana.boards import ROOT, Json, committed, panels, statements, variables
from tests.grafana.macros import ALL, View, expanded

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

NOON = dt.datetime(2024, 5, 14, 12, tzinfo=dt.UTC)
ANN, BOB, CARL = 2**59 + 1, 2**59 + 2, 2**59 + 3
"""Guilds: one whose name is known, one whose is not, one of another bot. No floating-point number is their id."""
MAIN, SIDE, WRITER, READER = 71, 72, 2**60 + 1, 2**60 + 2
HOSTILE = (
    *("", " ", "junk", "0", "00", "0 OR 1=1", "'; DROP TABLE argus.commands; --", "1e400", "-1", "+", "1.5", "NaN"),
    *("٥٧٦", "5" * 30, "9223372036854775808", "\\", "\\' OR 1=1 -- ", "' OR '1'='1", '" OR ""="', "$$", "${guild_id}"),
    *("%27", "{a,b}", "\N{SNAKE}\0", f"{ANN}; DELETE FROM messages", f"{ANN}/**/", f"({ANN})", "0x0800000000000001"),
)
"""What may stand in the box, and is no guild's id."""


def moment(day: int = 0, hour: int = 12, number: int = 0) -> int:
    """Milliseconds since 1970."""
    return int((NOON + dt.timedelta(days=day, hours=hour - 12, seconds=number)).timestamp() * 1000)


def commands(guild: int, count: int, first: int, name: str = "play", timed: bool = True) -> list[Row]:
    """Uses of a command with durations of n/100 s; of a hundred 5 are anybody's fault but the user's."""
    outcomes = dict.fromkeys(range(4), "bot_error") | {4: "discord_error"} | dict.fromkeys(range(5, 10), "user_error")
    rows: list[Row] = []
    for number in range(count):
        outcome = outcomes.get(number, "ok") if count == 100 else "ok"
        error = "" if outcome == "ok" else "Forbidden" if outcome == "discord_error" else "KeyError"
        ids, at = (first + number, moment(number=number)), (0, guild, MAIN, WRITER)
        seconds = (number + 1) / 100 if timed else None
        rows.append(CommandRow(ids[0], ids[1], name, "slash", *at, seconds, outcome, error))
        late = number < count // 4 and guild == BOB
        rows.append(InteractionRow(ids[0], ids[1], "slash", *at, 0.1, 4.0 if late else 0.2, seconds, outcome, late))
    return rows


def messages(channel: int, count: int, first: int, hour: int, user: int) -> list[Row]:
    found = (MessageRow(first + n, moment(0, hour, n), True, 0, ANN, channel, user, None, None) for n in range(count))
    return list(found)


def members(event: str, count: int, day: int, size: int) -> list[Row]:
    step = 1 if event == "join" else -1
    return [
        MemberEventRow(moment(day, number=n), event, 0, ANN, WRITER + n, size + step * (n + 1)) for n in range(count)
    ]


OURS: list[Row] = [
    *commands(ANN, 100, 1000),
    *commands(ANN, 10, 2000, "stop", timed=False),
    *commands(BOB, 40, 3000),
    *commands(0, 2, 4000, "help"),
    *messages(MAIN, 70, 5000, 9, WRITER),
    *messages(MAIN, 30, 6000, 21, READER),
    *messages(SIDE, 5, 7000, 21, READER),
    # an edit, a deletion, and a deletion of what nobody saw
    MessageRow(5000, moment(0, 9), False, 0, ANN, MAIN, 0, moment(), None),
    MessageRow(5001, moment(0, 9, 1), False, 0, ANN, MAIN, 0, None, moment()),
    MessageRow(8000, moment(0, 9), False, 0, ANN, MAIN, 0, None, moment()),
    *members("join", 12, 0, 100),
    *members("leave", 5, 1, 112),
    *(GuildEventRow(moment(), event, 0, BOB, 5) for event in ("join", "join", "leave")),
    GuildRow(ANN, moment(), "Ann's", in_guild=True),
    ChannelRow(MAIN, moment(), ANN, 0, "general", "text", nsfw=False, in_guild=True),
    ThreadRow(SIDE, moment(), ANN, MAIN, "aside", "public_thread", False, False, 60, in_guild=True),
    UserRow(READER, moment(), "reader", bot=False, public_flags=0),
]
BOTS = {"main": OURS, "other": commands(CARL, 1500, 10_000, "other"), "": commands(CARL, 3, 20_000, "bare")}
"""What each bot records; the last one has no name."""


@dataclass(frozen=True)
class Database:
    """A database that was filled, and how it is asked as somebody who may only read."""

    noun: str
    ask: Callable[[str], Awaitable[list[tuple[Any, ...]]]]

    @property
    def board(self) -> Json:
        return committed()[f"analytics-{self.noun}"]

    def view(self, guild: str = str(ANN), **values: str | tuple[str, ...]) -> View:
        every = {each["name"]: each["allValue"] for each in variables(self.board) if "allValue" in each}
        start, end = (NOON + dt.timedelta(days=days) for days in (-2, 3))
        chosen: dict[str, str | tuple[str, ...]] = {"bot": ("main",), "cluster": ALL, "guild_id": guild}
        return View(start.timestamp(), end.timestamp(), 3600, every, chosen | values)

    async def answers(self, statement: str, view: View | None = None) -> list[tuple[Any, ...]]:
        """What a statement finds. Times are seconds since 1970, whichever way the database tells them."""
        found = await self.ask(expanded(statement, self.noun, view or self.view()))
        return [tuple(map(_plain, row)) for row in found]

    async def shown(self, title: str, view: View | None = None) -> list[list[tuple[Any, ...]]]:
        """What each query of a panel finds."""
        found = [target for each in panels(self.board) if each["title"] == title for target in each["targets"]]
        return [await self.answers(target["rawSql"], view) for target in found]


def _plain(value: Any) -> Any:
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d \d\d:", value):
        value = dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)
    if isinstance(value, dt.datetime):
        return value.timestamp()
    return value if value is None or isinstance(value, str) else round(float(value), 9)


async def fill(make: Callable[[Place], Sink], url: str) -> None:
    for bot, rows in BOTS.items():
        sink = make(Place(url, bot, "0", retention_days=None))
        await sink.open()
        tables = {each.name: [row.values for row in rows if row.table == each.name] for each in TABLES}
        await sink.write(Batch(f"batch {bot}", tables))
        await sink.close()


def setting_up() -> str:
    """What the guide lets be typed into psql, for a user who writes and one who reads."""
    text = (ROOT / "examples" / "analytics" / "postgres.md").read_text(encoding="utf-8")
    return re.findall(r"```sql\n(.*?)```", text.partition("\n## Setting up\n")[2], re.DOTALL)[0]


@contextlib.asynccontextmanager
async def in_postgres() -> AsyncIterator[Database]:
    with contextlib.ExitStack() as stack:
        server = await asyncio.to_thread(stack.enter_context, postgresql())
        server.run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", server.url("postgres"), told=setting_up())
        await fill(Postgres, server.url("argus", "argus"))
        reader = await asyncpg.connect(server.url("argus", "grafana"))
        try:
            yield Database("postgres", lambda sql: _fetched(reader, sql))
        finally:
            await reader.close()


async def _fetched(reader: Any, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await reader.fetch(sql)]


@contextlib.asynccontextmanager
async def in_clickhouse(folder: Path) -> AsyncIterator[Database]:
    with engine(folder) as found:
        await found.ready()
        await fill(ClickHouse, found.url("bots"))
        yield Database("clickhouse", lambda sql: _read(found, sql))


async def _read(found: Engine, sql: str) -> list[tuple[Any, ...]]:
    answer = await found.do(f"{sql} FORMAT JSONCompactEachRow", "bots", readonly="2")
    return [tuple(json.loads(line)) for line in answer.splitlines()]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["postgres", "clickhouse"])
async def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    folder = tmp_path_factory.mktemp("engine") / "data"
    async with in_postgres() if request.param == "postgres" else in_clickhouse(folder) as found:
        yield found


# ------------------------------------------------------------------------------------------------- answers


def at(day: int = 0, hour: int = 12, number: int = 0) -> float:
    """Seconds since 1970."""
    return moment(day, hour, number) / 1000


TODAY, TOMORROW = at(hour=0), at(1, hour=0)
SEEN = [(at(hour=9), 70), (at(hour=21), 35)]
ANSWERS: dict[str, list[list[tuple[Any, ...]]]] = {
    "Interactions": [[(152,)]],
    "Commands": [[(152,)]],
    "Commands that failed": [[(round(5 / 152, 9),)]],
    "Answered too late": [[(round(10 / 152, 9),)]],
    "Guilds that use it": [[(2,)]],
    "Messages": [[(105,)]],
    "Interactions by type": [[(at(), "slash", 152)]],
    "Commands by outcome": [
        [(at(), "bot_error", 4), (at(), "discord_error", 1), (at(), "ok", 142), (at(), "user_error", 5)]
    ],
    "Messages over time": [SEEN],
    "Top commands": [[("play", 140), ("stop", 10), ("help", 2)]],
    "Busiest guilds": [
        [("Ann's", str(ANN), 110, 0, at(number=99)), (str(BOB), str(BOB), 40, 10, at(number=39))],
    ],
    "Deadline missed, by guild": [[(str(BOB), str(BOB), 10, 0.25, 4.0)]],
    "Guilds that came and went": [[(at(), 2)], [(at(), 1)]],
    "Commands in this guild": [
        [
            ("play", 100, 0.505, 0.505, 0.9505, 5, 0.05, at(number=99)),
            ("stop", 10, None, None, None, 0, 0, at(number=9)),
        ]
    ],
    "Outcomes in this guild": [[("ok", 100), ("user_error", 5), ("bot_error", 4), ("discord_error", 1)]],
    "What happens in this guild": [[(at(), 110)], [(at(), 110)], SEEN],
    "Exceptions in this guild": [
        [
            ("KeyError", "play", "user_error", 5, at(number=9)),
            ("KeyError", "play", "bot_error", 4, at(number=3)),
            ("Forbidden", "play", "discord_error", 1, at(number=4)),
        ]
    ],
    "Members gained": [[(7,)]],
    "Joins and leaves": [[(at(), 12, 0), (at(1), 0, -5)]],
    "Size": [[(at(), 112), (at(1), 107)]],
    "Messages by channel": [[("general", 100), ("aside", 5)]],
    "Messages by hour of the day": [[("09", 70), ("21", 35)]],
    "Who wrote when": [
        [
            (str(WRITER), str(WRITER), 70, at(hour=9), at(hour=9, number=69)),
            ("reader", str(READER), 35, at(hour=21), at(hour=21, number=29)),
        ]
    ],
    "Interactions by day": [[(TODAY, 152, 10)], [(TODAY, 110, 0)]],
    "Commands by day": [[(TODAY, 152, 5)], [(TODAY, 110, 5)]],
    "Messages by day": [[(TODAY, 105, 2)]] * 2,
    "Members by day": [[(TODAY, 12, 0), (TOMORROW, 0, 5)]] * 2,
}
"""By the titles of the panels: what each of their queries finds. By day there is a panel for all guilds, and Ann's."""


@pytest.mark.parametrize("title", ANSWERS)
async def test_a_panel_shows_what_happened(database: Database, title: str) -> None:
    assert await database.shown(title) == ANSWERS[title]


async def test_every_panel_has_an_answer_here(database: Database) -> None:
    assert {each["title"] for each in panels(database.board)} == set(ANSWERS)


async def nothing(database: Database, view: View, word: str = "") -> bool:
    """Whether all statements, or those with a word in them, find no row, or zeros."""
    asked = [statement for statement in statements(database.board) if word in statement]
    found = [row for statement in asked for row in await database.answers(statement, view)]
    return bool(asked) and not any(value for row in found for value in row)


@pytest.mark.parametrize("typed", HOSTILE)
async def test_what_is_no_guild_finds_nothing_and_changes_nothing(database: Database, typed: str) -> None:
    assert await nothing(database, database.view(typed), "${guild_id")
    assert await database.shown("Commands") == ANSWERS["Commands"]


async def test_spaces_around_an_id_do_no_harm(database: Database) -> None:
    found = await database.shown("Members gained", database.view(f"  {ANN} "))
    assert found == ANSWERS["Members gained"]


async def test_a_time_in_which_nothing_happened_is_empty(database: Database) -> None:
    view = database.view()
    assert await nothing(database, replace(view, start=view.start - 9e7, end=view.start - 8e7))


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        ({"bot": ("other",)}, 1500),
        ({"bot": ("other", "main")}, 1652),
        ({"bot": ("",)}, 3),
        ({"bot": ALL}, 1655),
        ({"bot": ALL, "cluster": ("0", "1")}, 1655),
        ({"cluster": ("1",)}, 0),
        ({"bot": ("mai",)}, 0),
        ({"bot": ("x' OR 1=1 --", "y")}, 0),
        ({"bot": ("\\' OR 1=1 -- ",)}, 0),
    ],
)
async def test_only_the_chosen_bots_and_clusters_are_shown(
    database: Database, chosen: dict[str, Any], count: int
) -> None:
    assert await database.shown("Interactions", database.view(**chosen)) == [[(count,)]]


async def test_there_are_boxes_to_choose_them_from(database: Database) -> None:
    asked = {each["name"]: each["query"] for each in variables(database.board) if each["type"] == "query"}
    found = {name: await database.answers(query) for name, query in asked.items()}
    assert found == {"bot": [("",), ("main",), ("other",)], "cluster": [("0",)]}


async def test_who_reads_cannot_write(database: Database) -> None:
    with pytest.raises((asyncpg.PostgresError, AssertionError), match=r"read-only|READONLY"):
        await database.ask(f"DROP TABLE {'argus.' * (database.noun == 'postgres')}commands")
