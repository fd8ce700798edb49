"""Guild by guild: what Prometheus does not know, asked of the database that ARGUS_ANALYTICS_URL names."""

from __future__ import annotations

from typing import Final

from grafana.builder.model import Board, Json, Panel, Query, Row
from grafana.builder.panels import counts, lines, listing, ranking, stat
from grafana.builder.sql import DIALECTS, FAULTS, Dialect
from grafana.builder.variables import query_variable, text_variable

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


def named(sql: Dialect, found: str, columns: str, *tables: str, head: str = "guild") -> str:
    """Rows whose column ``key`` is an id as text, with what that is called in one of the tables of names."""
    names = "".join(f"nullif({table}.name, ''), " for table in tables)
    joins = "".join(f" LEFT JOIN {sql.prefix}{table}_text AS {table} ON {table}.id = found.key" for table in tables)
    called = f'coalesce({names}found.key) AS "{head}", found.key AS "{head} id"'
    return f"SELECT {called}, {columns} FROM ({found}) AS found{joins}"


def _number(title: str, unit: str, query: str, says: str, empty: str = "", width: int = 4) -> Panel:
    return stat(title, unit, query, says=says, empty=empty, width=width)


def _over_time(sql: Dialect, what: str, name: str, rows: str) -> Query:
    return Query(f'SELECT {sql.bucket} AS time, {what} AS "{name}" {rows} GROUP BY 1 ORDER BY 1')


def _by(sql: Dialect, column: str, rows: str) -> Query:
    return Query(f"SELECT {sql.bucket} AS time, {column}, count(*) AS value {rows} GROUP BY 1, 2 ORDER BY 1, 2")


# ------------------------------------------------------------------------------------------------- all guilds


def _numbers(sql: Dialect) -> tuple[Panel, ...]:
    return (
        _number(
            "Interactions",
            "short",
            f"SELECT count(*) AS interactions {sql.rows('interactions')}",
            "In the shown time, of the chosen bots. None though people use the bot: see the board Exporter, Analytics, "
            "and ARGUS_ANALYTICS_EVENTS.",
        ),
        _number(
            "Commands",
            "short",
            f"SELECT count(*) AS commands {sql.rows('commands')}",
            "That have ended, however they did, prefix commands too. Their names are those of the bot; what is no "
            "command is other.",
        ),
        _number(
            "Commands that failed",
            "percentunit",
            f"SELECT {share(FAULTS)} AS failed {sql.rows('commands')}",
            "The share of commands with the outcome bot_error or discord_error. In which guilds: type one's id above; "
            "which exceptions: its row.",
            "nobody used a command in this time",
        ),
        _number(
            "Answered too late",
            "percentunit",
            f"SELECT {share('missed')} AS late {sql.rows('interactions')}",
            "The share of interactions without a response within Discord's 3 s. The table below names the guilds; all "
            "alike is the bot, a few are what they do.",
            "there was no interaction in this time",
        ),
        _number(
            "Guilds that use it",
            "short",
            f"SELECT count(DISTINCT guild_id) AS guilds {sql.rows('interactions', 'guild_id <> 0')}",
            "Guilds with an interaction in the shown time. Far below the number of guilds: most have forgotten the bot."
            "",
        ),
        _number(
            "Messages",
            "short",
            f"SELECT count(*) AS messages {sql.rows('messages', 'seen')}",
            "That the bot has seen: their ids, places and times, never what stood in them.",
            NO_MESSAGES,
        ),
    )


def _overview(sql: Dialect) -> tuple[Panel, ...]:
    guilds = sql.rows("interactions", "guild_id <> 0")
    key = sql.text.format(column="guild_id")
    return (
        *_numbers(sql),
        counts(
            "Interactions by type",
            _by(sql, "type", sql.rows("interactions")),
            says="As they were created, by Discord's clock. A type that vanishes is a release that broke it.",
            each="type",
            empty="there was no interaction in this time",
        ),
        counts(
            "Commands by outcome",
            _by(sql, "outcome", sql.rows("commands")),
            says="As they ended. More of bot_error since a release is that release's; discord_error is Discord.",
            each="outcome",
            empty="nobody used a command in this time",
        ),
        counts(
            "Messages over time",
            _over_time(sql, "count(*)", "messages", sql.rows("messages", "seen")),
            says="That the bot has seen, in all guilds. Steps are guilds that came or went, or a gateway that was away."
            "",
            empty=NO_MESSAGES,
        ),
        ranking(
            "Top commands",
            Query(
                f"SELECT command, count(*) AS uses {sql.rows('commands')} GROUP BY command ORDER BY 2 DESC, 1 LIMIT 15"
            ),
            says="The 15 most used of the shown time, in all guilds. What nobody uses any more can go.",
            height=10,
            empty="nobody used a command in this time",
        ),
        listing(
            "Busiest guilds",
            Query(
                named(
                    sql,
                    f"SELECT {key} AS key, count(*) AS uses, {how_many('missed')} AS late, max(at) AS latest {guilds} "
                    "GROUP BY guild_id ORDER BY uses DESC, key LIMIT 50",
                    'found.uses AS "interactions", found.late AS "too late", found.latest AS "latest"',
                    "guilds",
                )
                + " ORDER BY 3 DESC, 2"
            ),
            says="The 50 guilds with the most interactions. One that makes most of all: a cooldown. Names instead of "
            "ids are there with names in ARGUS_ANALYTICS_EVENTS.",
            units={"latest": "dateTimeFromNow"},
            width=16,
            height=10,
        ),
        listing(
            "Deadline missed, by guild",
            Query(
                named(
                    sql,
                    f"SELECT {key} AS key, {how_many('missed')} AS late, {share('missed')} AS share, "
                    f"max(ack_seconds) AS slowest {guilds} GROUP BY guild_id HAVING {how_many('missed')} > 0 "
                    "ORDER BY late DESC, key LIMIT 50",
                    'found.late AS "too late", found.share AS "share", found.slowest AS "slowest answer"',
                    "guilds",
                )
                + " ORDER BY 3 DESC, 2"
            ),
            says="The 50 guilds in which most interactions were not answered within 3 s. A large guild is slow where a "
            "command walks over its members: defer first.",
            units={"share": "percentunit", "slowest answer": "s"},
            width=16,
            height=9,
            empty="every interaction was answered in time",
        ),
        counts(
            "Guilds that came and went",
            *(
                _over_time(sql, "count(*)", name, sql.rows("guild_events", f"event = '{event}'"))
                for name, event in (("joined", "join"), ("left", "leave"))
            ),
            says="The bot was added to a guild, or removed from one. Many leave after a release: ask them why.",
            height=9,
            empty=NO_GUILDS,
        ),
    )


# ------------------------------------------------------------------------------------------------- a guild


def _commands(sql: Dialect) -> tuple[Panel, ...]:
    mine = sql.rows("commands", sql.guild)
    duration = {rank: sql.quantile.format(rank=rank, column="duration_seconds") for rank in (0.5, 0.95)}
    return (
        listing(
            "Commands in this guild",
            Query(
                f"SELECT command, count(*) AS uses, avg(duration_seconds) AS mean, {duration[0.5]} AS p50, "
                f'{duration[0.95]} AS p95, {how_many(FAULTS)} AS errors, {share(FAULTS)} AS "error share", '
                f"max(at) AS latest {mine} GROUP BY command ORDER BY uses DESC, command LIMIT 100"
            ),
            says="How often, how fast, and whether it worked: from receipt to end, failures too. Slow here and fast "
            "elsewhere is what this guild has much of.",
            units=dict.fromkeys(("mean", "p50", "p95"), "s")
            | {"error share": "percentunit", "latest": "dateTimeFromNow"},
            width=16,
            height=10,
            empty=NO_GUILD,
        ),
        ranking(
            "Outcomes in this guild",
            Query(f"SELECT outcome, count(*) AS commands {mine} GROUP BY outcome ORDER BY 2 DESC, 1"),
            says="How its commands ended. Much of user_error or rejected: the command is hard to use there, or not "
            "allowed.",
            height=10,
            empty=NO_GUILD,
        ),
        counts(
            "What happens in this guild",
            *(
                _over_time(sql, "count(*)", name, sql.rows(name, where))
                for name, where in (
                    ("interactions", sql.guild),
                    ("commands", sql.guild),
                    ("messages", f"seen AND {sql.guild}"),
                )
            ),
            says="Volume over time; which of these there are is set by ARGUS_ANALYTICS_EVENTS.",
            width=16,
            empty=NO_GUILD,
        ),
        listing(
            "Exceptions in this guild",
            Query(
                f"SELECT error, command, outcome, count(*) AS times, max(at) AS latest {mine} AND error <> '' "
                "GROUP BY error, command, outcome ORDER BY times DESC, error, command LIMIT 50"
            ),
            says="Classes of exceptions, by command. Those of bot_error have a traceback in the bot's log at that "
            "time; a missing permission of the bot is one of them.",
            units={"latest": "dateTimeFromNow"},
            width=8,
            empty="no command has failed there, or no guild's id stands in the box",
        ),
    )


def _members(sql: Dialect) -> tuple[Panel, ...]:
    mine = sql.rows("member_events", sql.guild)
    joined, left = how_many("event = 'join'"), how_many("event = 'leave'")
    return (
        _number(
            "Members gained",
            "short",
            f"SELECT {joined} - {left} AS net {mine}",
            "Who joined less who left, in the shown time. Negative for weeks: the guild shrinks.",
            NO_MEMBERS,
        ),
        counts(
            "Joins and leaves",
            Query(f'SELECT {sql.bucket} AS time, {joined} AS "joined", -{left} AS "left" {mine} GROUP BY 1 ORDER BY 1'),
            says="Leaves are below the line. Many joins within minutes may be a raid: look at who wrote, below.",
            width=10,
            empty=NO_MEMBERS,
        ),
        lines(
            "Size",
            "short",
            _over_time(sql, sql.last.format(column="members"), "size", f"{mine} AND members > 0"),
            says="Members after the last join or leave of each interval, where discord.py knew how many. Gaps are "
            "times without either.",
            least=None,
            width=10,
            empty=NO_MEMBERS,
        ),
    )


def _messages(sql: Dialect) -> tuple[Panel, ...]:
    mine = sql.rows("messages", f"seen AND {sql.guild}")
    channel, user = (sql.text.format(column=column) for column in ("channel_id", "user_id"))
    return (
        ranking(
            "Messages by channel",
            Query(
                "SELECT coalesce(nullif(channels.name, ''), nullif(threads.name, ''), found.key) AS channel, "
                f"found.written AS messages FROM (SELECT {channel} AS key, count(*) AS written {mine} "
                "GROUP BY channel_id ORDER BY written DESC, key LIMIT 25) AS found "
                f"LEFT JOIN {sql.prefix}channels_text AS channels ON channels.id = found.key "
                f"LEFT JOIN {sql.prefix}threads_text AS threads ON threads.id = found.key ORDER BY 2 DESC, 1"
            ),
            says="The 25 channels and threads with the most messages. Ids where names are not kept: names in "
            "ARGUS_ANALYTICS_EVENTS.",
            height=10,
            empty=NO_MESSAGES,
        ),
        ranking(
            "Messages by hour of the day",
            Query(f"SELECT {sql.hour} AS hour, count(*) AS messages {mine} GROUP BY 1 ORDER BY 1"),
            says="When people write there, hours in UTC, over all days of the shown time: when to announce, and when "
            "to deploy.",
            across=True,
            height=10,
            empty=NO_MESSAGES,
        ),
        listing(
            "Who wrote when",
            Query(
                named(
                    sql,
                    f"SELECT {user} AS key, count(*) AS written, min(at) AS earliest, max(at) AS latest {mine} "
                    "AND user_id <> 0 GROUP BY user_id ORDER BY written DESC, key LIMIT 100",
                    'found.written AS "messages", found.earliest AS "first", found.latest AS "last"',
                    "users",
                    head="user",
                )
                + " ORDER BY 3 DESC, 2"
            ),
            says="The 100 people who wrote most, as ids or hashes of them: ARGUS_ANALYTICS_USERS says which. Names are "
            "there with plain ids and names in ARGUS_ANALYTICS_EVENTS.",
            units={"first": "dateTimeAsIso", "last": "dateTimeAsIso"},
            width=8,
            height=10,
            empty=NO_USERS,
        ),
    )


# ------------------------------------------------------------------------------------------------- days


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


def _board(sql: Dialect) -> Board:
    return Board(
        f"analytics-{sql.noun}",
        f"Guild analytics ({sql.title})",
        f"Guild by guild, from the {sql.title} that ARGUS_ANALYTICS_URL names. These are people's data: keep the "
        "folder to those who may see them.",
        (_box(sql, "bot", "Bot"), _box(sql, "cluster", "Cluster"), text_variable("guild_id", "Guild id")),
        (
            Row("All guilds", _overview(sql)),
            Row("Guild $guild_id: commands", _commands(sql)),
            Row("Guild $guild_id: members", _members(sql)),
            Row("Guild $guild_id: messages", _messages(sql)),
            _days(sql, "all guilds"),
            _days(sql, "guild $guild_id", sql.guild),
        ),
        source=sql.source,
        folder="guild_dashboards",
        lately="7d",
        refresh="5m",
    )


def _box(sql: Dialect, name: str, label: str) -> Json:
    seen = " UNION ALL ".join(
        f"SELECT {name} FROM {sql.prefix}{table} WHERE $__timeFilter(at)"
        for table in ("interactions", "commands", "messages")
    )
    query = f"SELECT DISTINCT {name} FROM ({seen}) AS found ORDER BY 1"
    box = query_variable(name, label, query, every=sql.every.format(name=name))
    return {**box, "datasource": sql.source.as_json(), "query": query}


BOARDS: Final = tuple(map(_board, DIALECTS))
"""One for each database."""
