"""What differs between the databases that hold what is recorded guild by guild: a panel is stated once for both.

What somebody types into the box for a guild reaches SQL percent-encoded, so that no character of it can end a text:
Grafana's ``sqlstring`` doubles quotes, and in ClickHouse a backslash before one gets around that. What is no number is
0 then, and 0, which stands for direct messages, is NULL: no row is of that guild.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Final

from grafana.builder.model import CLICKHOUSE, POSTGRES, Source

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

FAULTS: Final = "outcome IN ('bot_error', 'discord_error')"
"""Commands that failed, and not because of who used them."""

_TYPED: Final = "replace('${guild_id:percentencode}', '%20', '')"
"""The guild's id, without the spaces that were copied along."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """A database's way to say things. Its texts have the names of arguments in braces.

    :param prefix: of the tables' names.
    :param names: a table of names, to be joined by its numbers, of which there is an index.
    :param merged: how a table with marks is read, its rows of one key as one.
    :param bucket: the interval of the graph in which a row happened.
    :param chosen: whether a column (bot, cluster) is among the values of the variable of its name.
    :param every: what such a variable is for All.
    :param last: a column's value in the newest row.
    :param hour: of the day, in UTC.
    :param daily: the figures of each day in UTC, the first one whole; from roll-ups where there are any.
    :param figure: of a day: of a condition, or of a roll-up's column.
    """

    noun: str
    title: str
    source: Source
    prefix: str
    names: str
    merged: str
    bucket: str
    chosen: str
    every: str
    guild_id: str
    text: str
    quantile: str
    last: str
    hour: str
    daily: str
    figure: str

    def table(self, name: str) -> str:
        """A table, to be read from."""
        merged = self.merged if name == "messages" else "{name}"
        return merged.format(name=f"{self.prefix}{name}")

    def name(self, *tables: str) -> tuple[str, str]:
        """What the id ``found.key`` is called in one of these tables, itself where in none; and how they are joined."""
        names = ", ".join(f"nullif({table}.name, '')" for table in tables)
        joins = (f"LEFT JOIN {self.names.format(table=table)} AS {table} ON {table}.id = found.key" for table in tables)
        return f"coalesce({names}, {self.text.format(column='found.key')})", " ".join(joins)

    @property
    def owned(self) -> str:
        """Whether a row is of the chosen bots and clusters."""
        return " AND ".join(self.chosen.format(name=name) for name in ("bot", "cluster"))

    @property
    def guild(self) -> str:
        """Whether a row is of the guild that was typed."""
        return f"guild_id = nullif({self.guild_id}, 0)"

    def rows(self, table: str, where: str = "") -> str:
        """The rows of a table of events that are looked at."""
        more = f" AND {where}" if where else ""
        return f"FROM {self.table(table)} WHERE $__timeFilter(at) AND {self.owned}{more}"

    def days(self, table: str, figures: Mapping[str, tuple[str, str]], where: str = "") -> str:
        """Figures of each day.

        :param figures: by name: the column of the roll-up, and the condition of the rows that are counted.
        """
        kept = ", ".join(
            f'{self.figure.format(column=column, condition=condition)} AS "{name}"'
            for name, (column, condition) in figures.items()
        )
        return self.daily.format(figures=kept, table=table, where=f"{self.owned}{where and f' AND {where}'}")


DIALECTS: Final = (
    Dialect(
        noun="postgres",
        title="PostgreSQL",
        source=POSTGRES,
        prefix="argus.",
        names="argus.{table}",
        merged="{name}",
        bucket="$__timeGroup(at, $__interval)",
        chosen="{name} IN (${{{name}:sqlstring}})",
        every="{name}",
        guild_id=f"argus.id({_TYPED})",
        text="{column}::text",
        quantile="percentile_cont({rank}) WITHIN GROUP (ORDER BY {column})",
        last="(array_agg({column} ORDER BY at DESC))[1]",
        hour="to_char(at AT TIME ZONE 'UTC', 'HH24')",
        # three times as fast as with the zone as an argument
        daily="SELECT date_trunc('day', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS time, {figures} "
        "FROM argus.{table} WHERE at BETWEEN date_trunc('day', $__timeFrom()::timestamptz, 'UTC') AND $__timeTo() "
        "AND {where} GROUP BY 1 ORDER BY 1",
        figure="count(CASE WHEN {condition} THEN 1 END)",
    ),
    Dialect(
        noun="clickhouse",
        title="ClickHouse",
        source=CLICKHOUSE,
        prefix="",
        names="(SELECT id, name FROM {table} FINAL)",
        merged="{name} FINAL",
        bucket="$__timeInterval(at)",
        # of the values Grafana makes {a,b}, of all of them the star
        chosen="hasAny(splitByChar(',', replaceRegexpAll(decodeURLComponent('${{{name}:percentencode}}'), "
        "'^[{{]|[}}]$', '')), ['*', {name}])",
        every="*",
        guild_id=f"toInt64OrZero({_TYPED})",
        text="toString({column})",
        quantile="quantileExactInclusive({rank})({column})",
        last="argMax({column}, at)",
        hour="formatDateTime(at, '%H')",
        daily="SELECT toDateTime(day, 'UTC') AS time, {figures} FROM {table}_by_day WHERE $__dateFilter(day) "
        "AND {where} GROUP BY day ORDER BY day",
        figure="sum({column})",
    ),
)
