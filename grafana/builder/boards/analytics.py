"""Guild by guild: what Prometheus does not know, asked of the database that ARGUS_ANALYTICS_URL names."""

from __future__ import annotations

import typing
from typing import Final

from grafana.builder.model import Board, Json, Panel, Query, Row
from grafana.builder.panels import counts, lines, listing, ranking, stat
from grafana.builder.sql import DIALECTS, FAULTS, Dialect
from grafana.builder.variables import query_variable, text_variable

if typing.TYPE_CHECKING:
    from collections.abc import Callable

NO_INTERACTIONS: Final = "there was no interaction in this time"
NO_COMMANDS: Final = "nobody used a command in this time"
NO_MESSAGES: Final = "ARGUS_ANALYTICS_EVENTS has no message"
NO_MEMBERS: Final = "ARGUS_ANALYTICS_EVENTS has no member"
NO_GUILDS: Final = "ARGUS_ANALYTICS_EVENTS has no guild"
NO_USERS: Final = "ARGUS_ANALYTICS_USERS is off, or ARGUS_ANALYTICS_EVENTS has no message"
NO_GUILD: Final = "no guild's id stands in the box, or nobody used a command there"

DAYS: Final = (
    ("Interactions", "interactions", {"interactions": ("count", "true"), "too late": ("missed", "missed")}, ""),
    ("Commands", "commands", {"commands": ("count", "true"), "failed": ("errors", FAULTS)}, ""),
    (
        "Messages",
        "messages",
        {"messages": ("count", "seen"), "deleted": ("deletions", "deleted_at IS NOT NULL")},
        NO_MESSAGES,
    ),
    (
        "Members",
        "member_events",
        {"joined": ("joins", "event = 'join'"), "left": ("leaves", "event = 'leave'")},
        NO_MEMBERS,
    ),
)
"""What is shown by day: title, table, figures, and why it may be empty."""


def how_many(condition: str) -> str:
    """How many rows fulfil a condition."""
    return f"count(CASE WHEN {condition} THEN 1 END)"


def share(condition: str) -> str:
    """The share of rows that fulfil a condition; NULL of no rows."""
    return f"avg(CASE WHEN {condition} THEN 1.0 ELSE 0.0 END)"


NUMBERS: Final = (
    (
        "Interactions",
        "short",
        "count(*)",
        ("interactions", ""),
        "Of the chosen bots. None, though people use them: see ARGUS_ANALYTICS_EVENTS, and the board Exporter.",
        "",
    ),
    (
        "Commands",
        "short",
        "count(*)",
        ("commands", ""),
        "That have ended, however they did, prefix commands too. What is no command of the bot is called other.",
        "",
    ),
    (
        "Commands that failed",
        "percentunit",
        share(FAULTS),
        ("commands", ""),
        "The share with the outcome bot_error or discord_error. Type a guild's id above: its row names the exceptions.",
        NO_COMMANDS,
    ),
    (
        "Answered too late",
        "percentunit",
        share("missed"),
        ("interactions", ""),
        "The share of interactions without a response within 3 s. The table below has the guilds; all alike: the bot.",
        NO_INTERACTIONS,
    ),
    (
        "Guilds that use it",
        "short",
        "count(DISTINCT guild_id)",
        ("interactions", "guild_id <> 0"),
        "Guilds with an interaction in the shown time. Far below the number of guilds: most have forgotten the bot.",
        "",
    ),
    (
        "Messages",
        "short",
        "count(*)",
        ("messages", "seen"),
        "That the bot has seen: their ids, places and times, never what stood in them.",
        NO_MESSAGES,
    ),
)
"""Title, unit, what is asked of which rows, what it says, and why it may be empty."""


def _named(sql: Dialect, found: str, columns: str, table: str, head: str = "guild") -> Query:
    """Rows whose column ``key`` is an id, with what that is called in a table of names; the largest first."""
    name, joins = sql.name(table)
    called = f'{name} AS "{head}", {sql.text.format(column="found.key")} AS "{head} id"'
    return Query(f"SELECT {called}, {columns} FROM ({found}) AS found {joins} ORDER BY 3 DESC, 2")


def _over_time(sql: Dialect, what: str, name: str, rows: str) -> Query:
    return Query(f'SELECT {sql.bucket} AS time, {what} AS "{name}" {rows} GROUP BY 1 ORDER BY 1')


def _by(sql: Dialect, column: str, table: str) -> Query:
    rows = f"{sql.rows(table)} GROUP BY 1, 2 ORDER BY 1, 2"
    return Query(f"SELECT {sql.bucket} AS time, {column}, count(*) AS value {rows}")


# ------------------------------------------------------------------------------------------------- all guilds


def _types(sql: Dialect) -> Panel:
    return counts(
        "Interactions by type",
        _by(sql, "type", "interactions"),
        says="As they were created, by Discord's clock. A type that vanishes is a release that broke it.",
        each="type",
        empty=NO_INTERACTIONS,
    )


def _outcomes(sql: Dialect) -> Panel:
    return counts(
        "Commands by outcome",
        _by(sql, "outcome", "commands"),
        says="As they ended. More of bot_error since a release is that release's; discord_error is Discord.",
        each="outcome",
        empty=NO_COMMANDS,
    )


def _all_messages(sql: Dialect) -> Panel:
    return counts(
        "Messages over time",
        _over_time(sql, "count(*)", "messages", sql.rows("messages", "seen")),
        says="That the bot has seen, in all guilds. Steps are guilds that came or went, or a gateway that was away.",
        empty=NO_MESSAGES,
    )


def _top(sql: Dialect) -> Panel:
    rows = f"{sql.rows('commands')} GROUP BY command ORDER BY 2 DESC, 1 LIMIT 15"
    return ranking(
        "Top commands",
        Query(f"SELECT command, count(*) AS uses {rows}"),
        says="The 15 most used of the shown time, in all guilds. What nobody uses any more can go.",
        height=10,
        empty=NO_COMMANDS,
    )


def _busiest(sql: Dialect) -> Panel:
    found = (
        f"SELECT guild_id AS key, count(*) AS uses, {how_many('missed')} AS late, "
        f"max(at) AS latest {sql.rows('interactions', 'guild_id <> 0')} GROUP BY guild_id "
        "ORDER BY uses DESC, key LIMIT 50"
    )
    columns = 'found.uses AS "interactions", found.late AS "too late", found.latest AS "latest"'
    return listing(
        "Busiest guilds",
        _named(sql, found, columns, "guilds"),
        says="The 50 guilds with the most interactions. One that makes most of all: a cooldown. Names instead of ids "
        "are there with names in ARGUS_ANALYTICS_EVENTS.",
        units={"latest": "dateTimeFromNow"},
        width=16,
        height=10,
    )


def _late(sql: Dialect) -> Panel:
    found = (
        f"SELECT guild_id AS key, {how_many('missed')} AS late, "
        f"{share('missed')} AS share, max(ack_seconds) AS slowest {sql.rows('interactions', 'guild_id <> 0')} "
        f"GROUP BY guild_id HAVING {how_many('missed')} > 0 ORDER BY late DESC, key LIMIT 50"
    )
    columns = 'found.late AS "too late", found.share AS "share", found.slowest AS "slowest answer"'
    return listing(
        "Deadline missed, by guild",
        _named(sql, found, columns, "guilds"),
        says="The 50 guilds in which most interactions were not answered within 3 s. A large guild is slow where a "
        "command walks over its members: defer first.",
        units={"share": "percentunit", "slowest answer": "s"},
        width=16,
        height=9,
        empty="every interaction was answered in time",
    )


def _guilds(sql: Dialect) -> Panel:
    return counts(
        "Guilds that came and went",
        *(
            _over_time(sql, "count(*)", name, sql.rows("guild_events", f"event = '{event}'"))
            for name, event in (("joined", "join"), ("left", "leave"))
        ),
        says="The bot was added to a guild, or removed from one. Many leave after a release: ask them why.",
        height=9,
        empty=NO_GUILDS,
    )


# ------------------------------------------------------------------------------------------------- a guild


def _commands(sql: Dialect) -> Panel:
    p50, p95 = (sql.quantile.format(rank=rank, column="duration_seconds") for rank in (0.5, 0.95))
    figures = (
        f"count(*) AS uses, avg(duration_seconds) AS mean, {p50} AS p50, {p95} AS p95, "
        f'{how_many(FAULTS)} AS errors, {share(FAULTS)} AS "error share", max(at) AS latest'
    )
    rows = f"{sql.rows('commands', sql.guild)} GROUP BY command ORDER BY uses DESC, command LIMIT 100"
    return listing(
        "Commands in this guild",
        Query(f"SELECT command, {figures} {rows}"),
        says="How often, how fast, and whether it worked: from receipt to end, failures too. Slow here and fast "
        "elsewhere is what this guild has much of.",
        units={**dict.fromkeys(("mean", "p50", "p95"), "s"), "error share": "percentunit", "latest": "dateTimeFromNow"},
        width=16,
        height=10,
        empty=NO_GUILD,
    )


def _endings(sql: Dialect) -> Panel:
    rows = f"{sql.rows('commands', sql.guild)} GROUP BY outcome ORDER BY 2 DESC, 1"
    return ranking(
        "Outcomes in this guild",
        Query(f"SELECT outcome, count(*) AS commands {rows}"),
        says="How its commands ended. Much of user_error or rejected: the command is hard to use there, or not "
        "allowed.",
        height=10,
        empty=NO_GUILD,
    )


def _volume(sql: Dialect) -> Panel:
    whose = dict.fromkeys(("interactions", "commands"), sql.guild) | {"messages": f"seen AND {sql.guild}"}
    return counts(
        "What happens in this guild",
        *(_over_time(sql, "count(*)", name, sql.rows(name, where)) for name, where in whose.items()),
        says="Volume over time; which of these there are is set by ARGUS_ANALYTICS_EVENTS.",
        width=12,
        empty=NO_GUILD,
    )


def _exceptions(sql: Dialect) -> Panel:
    where = f"{sql.guild} AND error <> ''"
    by = "GROUP BY error, command, outcome ORDER BY times DESC, error, command LIMIT 50"
    return listing(
        "Exceptions in this guild",
        Query(
            f"SELECT error, command, outcome, count(*) AS times, max(at) AS latest {sql.rows('commands', where)} {by}"
        ),
        says="Classes of exceptions, by command. Those of bot_error have a traceback in the bot's log at that time; a "
        "missing permission of the bot is one of them.",
        units={"latest": "dateTimeFromNow"},
        width=12,
        empty="no command has failed there, or no guild's id stands in the box",
    )


_JOINED: Final = how_many("event = 'join'")
_LEFT: Final = how_many("event = 'leave'")


def _gained(sql: Dialect) -> Panel:
    return stat(
        "Members gained",
        "short",
        f"SELECT {_JOINED} - {_LEFT} AS net {sql.rows('member_events', sql.guild)}",
        says="Who joined less who left, in the shown time. Negative for weeks: the guild shrinks.",
        height=8,
        empty=NO_MEMBERS,
    )


def _joins(sql: Dialect) -> Panel:
    rows = sql.rows("member_events", sql.guild)
    return counts(
        "Joins and leaves",
        Query(f'SELECT {sql.bucket} AS time, {_JOINED} AS "joined", -{_LEFT} AS "left" {rows} GROUP BY 1 ORDER BY 1'),
        says="Leaves are below the line. Many joins within minutes may be a raid: look at who wrote, below.",
        width=10,
        empty=NO_MEMBERS,
    )


def _size(sql: Dialect) -> Panel:
    rows = sql.rows("member_events", f"{sql.guild} AND members > 0")
    return lines(
        "Size",
        "short",
        _over_time(sql, sql.last.format(column="members"), "size", rows),
        says="Members after the last join or leave of each interval, where discord.py knew how many. Gaps are times "
        "without either.",
        least=None,
        width=10,
        empty=NO_MEMBERS,
    )


def _channels(sql: Dialect) -> Panel:
    found = (
        "SELECT channel_id AS key, count(*) AS written "
        f"{sql.rows('messages', f'seen AND {sql.guild}')} GROUP BY channel_id ORDER BY written DESC, key LIMIT 25"
    )
    name, joins = sql.name("channels", "threads")
    return ranking(
        "Messages by channel",
        Query(
            f"SELECT {name} AS channel, found.written AS messages FROM ({found}) AS found {joins} ORDER BY 2 DESC, 1"
        ),
        says="The 25 channels and threads with the most messages. Ids where names are not kept: names in "
        "ARGUS_ANALYTICS_EVENTS.",
        width=6,
        height=10,
        empty=NO_MESSAGES,
    )


def _hours(sql: Dialect) -> Panel:
    rows = sql.rows("messages", f"seen AND {sql.guild}")
    return ranking(
        "Messages by hour of the day",
        Query(f"SELECT {sql.hour} AS hour, count(*) AS messages {rows} GROUP BY 1 ORDER BY 1"),
        says="When people write there, hours in UTC, over all days of the shown time: when to announce, and when to "
        "deploy.",
        across=True,
        width=6,
        height=10,
        empty=NO_MESSAGES,
    )


def _writers(sql: Dialect) -> Panel:
    found = (
        f"SELECT user_id AS key, count(*) AS written, min(at) AS earliest, "
        f"max(at) AS latest {sql.rows('messages', f'seen AND {sql.guild} AND user_id <> 0')} "
        "GROUP BY user_id ORDER BY written DESC, key LIMIT 100"
    )
    columns = 'found.written AS "messages", found.earliest AS "first", found.latest AS "last"'
    return listing(
        "Who wrote when",
        _named(sql, found, columns, "users", "user"),
        says="The 100 people who wrote most, as ids or hashes of them: ARGUS_ANALYTICS_USERS says which. Names are "
        "there with plain ids and names in ARGUS_ANALYTICS_EVENTS.",
        units={"first": "dateTimeAsIso", "last": "dateTimeAsIso"},
        width=12,
        height=10,
        empty=NO_USERS,
    )


ROWS: Final[tuple[tuple[str, tuple[Callable[[Dialect], Panel], ...]], ...]] = (
    ("All guilds", (_types, _outcomes, _all_messages, _top, _busiest, _late, _guilds)),
    ("Guild $guild_id: commands", (_commands, _endings, _volume, _exceptions)),
    ("Guild $guild_id: members", (_gained, _joins, _size)),
    ("Guild $guild_id: messages", (_channels, _hours, _writers)),
)
"""The panels of each row; before the first ones stand :data:`NUMBERS`."""


# ------------------------------------------------------------------------------------------------- the board


def _numbers(sql: Dialect) -> Row:
    return Row(
        "In short",
        tuple(
            stat(title, unit, f"SELECT {what} AS found {sql.rows(*rows)}", says=says, empty=empty)
            for title, unit, what, rows, says, empty in NUMBERS
        ),
    )


def _days(sql: Dialect, whose: str, where: str = "") -> Row:
    panels = tuple(
        lines(
            f"{title} by day",
            "short",
            Query(sql.days(table, figures, where)),
            says="By day in UTC, each one whole: for weeks and months. Further back than "
            "ARGUS_ANALYTICS_RETENTION_DAYS there is nothing.",
            width=12,
            empty=empty or "nothing was recorded in this time",
        )
        for title, table, figures, empty in DAYS
    )
    return Row(f"By day, {whose}", panels, folded=True)


def _box(sql: Dialect, name: str, label: str) -> Json:
    seen = " UNION ALL ".join(
        f"SELECT {name} FROM {sql.prefix}{table} WHERE $__timeFilter(at)"
        for table in ("interactions", "commands", "messages")
    )
    query = f"SELECT DISTINCT {name} FROM ({seen}) AS found ORDER BY 1"
    box = query_variable(name, label, query, every=sql.every.format(name=name))
    return {**box, "datasource": sql.source.as_json(), "query": query}


def _board(sql: Dialect) -> Board:
    return Board(
        f"analytics-{sql.noun}",
        f"Guild analytics ({sql.title})",
        f"Guild by guild, from the {sql.title} that ARGUS_ANALYTICS_URL names. These are people's data: keep the "
        "folder to those who may see them.",
        (_box(sql, "bot", "Bot"), _box(sql, "cluster", "Cluster"), text_variable("guild_id", "Guild id")),
        (
            _numbers(sql),
            *(Row(title, tuple(panel(sql) for panel in panels)) for title, panels in ROWS),
            _days(sql, "all guilds"),
            _days(sql, "guild $guild_id", sql.guild),
        ),
        source=sql.source,
        folder="guild_dashboards",
        lately="7d",
        refresh="5m",
    )


BOARDS: Final = tuple(map(_board, DIALECTS))
"""One for each database."""
