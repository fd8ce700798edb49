"""What several boards ask, said once."""

from __future__ import annotations

from typing import Final

FILTERED: Final = ("job", "bot", "cluster", "instance")

WHO: Final = "{{bot}} {{cluster}} {{instance}}"
"""A process in a legend: bots of one process have only the last."""

_FILTERS: Final = ", ".join(f'{name}=~"${name}"' for name in FILTERED)


def expand(query: str) -> str:
    """Write the abbreviations of :mod:`grafana.builder` out."""
    return query.replace("*}", _FILTERS + "}").replace("[*]", "[$__rate_interval]")


def quantile(rank: float, histogram: str, by: str = "", where: str = "", window: str = "*") -> str:
    """A quantile of a histogram, absent where nothing was observed (it would be NaN, which a stat would show)."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({rank}, sum by ({labels}) (rate({histogram}_bucket{{{where}*}}[{window}]))) >= 0"


def mean(histogram: str, by: str, where: str = "") -> str:
    """The mean of a histogram in the shown time, absent where nothing was observed."""
    total, count = (f"sum by ({by}) (rate({histogram}_{part}{{{where}*}}[$__range]))" for part in ("sum", "count"))
    return f"{total} / ({count} > 0)"


def ratio(part: str, whole: str) -> str:
    """A share, 0 where there is no part yet, absent where there is no whole."""
    nothing = f"0 * {whole}" if " by (" in whole else "vector(0)"
    return f"({part} or {nothing}) / ({whole} > 0)"


FAULTS: Final = 'outcome=~"bot_error|discord_error"'
"""The outcomes of commands that are not the user's."""

LATE: Final = "sum(increase(discord_interaction_deadline_missed_total{*}[$window]))"
"""Interactions without a response in time."""


def counted(counter: str, by: str, window: str = "$__rate_interval") -> str:
    """What was counted within a window, by labels, the first of its kind too.

    A series that was born in the window came with a value that ``increase`` does not see.
    """
    born = f"{counter} unless {counter} offset {window}"
    return f"round(sum by ({by}) ({born} or increase({counter}[{window}]))) > 0"


def leading(counter: str, by: str, count: int = 10) -> str:
    """The rates of the few that count most in the shown time: the same few at each moment, unlike topk."""
    return (
        f"sum by ({by}) (rate({counter}[*])) and topk({count}, sum by ({by}) (rate({counter}[$__range] @ end())) > 0)"
    )


# ---------------------------------------------------------------------------------------------- shards

STATUS: Final = (
    "(max by (job, bot, cluster, shard) (discord_shard_status{*}) or 0 * max by (job, bot, cluster, shard) "
    "(last_over_time(discord_shard_status{*}[1h])) unless on (job, bot, shard) discord_shard_status{*})"
)
"""Each shard's state, and 0 (unknown) for an hour where the process that served it has gone."""


def _digits(pattern: str) -> str:
    """Some digits of the box as a number, NaN where there are none.

    A label can become a number in one way: as the edge of a histogram's only bucket, which is its upper quantile.
    """
    edge = f'label_replace(label_replace(vector(0), "le", "$guild_id", "", ""), "le", "$1", "le", " *{pattern} *|.*")'
    return f'histogram_quantile(1, {edge} or label_replace(vector(1), "le", "+Inf", "", ""))'


SHARD_OF: Final = (
    f"floor(({_digits('([0-9]{1,9})[0-9]{10}')} * 9765625 + floor({_digits('[0-9]{1,9}([0-9]{10})')} / 1024)) / 4096) "
    "% on () group_right () max by (job, bot) (last_over_time(discord_shards{*}[1h]))"
)
"""The shard of ``$guild_id`` in each bot: ``(id >> 22) % shards``, exactly, and NaN for what is no id.

An id has more digits than a float holds, so it is taken in two parts, high * 10**10 + low. Then ``id >> 22`` is
``(high * 5**10 + (low >> 10)) >> 12``, in which no step reaches 2**53 for any id below 2**63.
"""

MATCH: Final = f'count_values by (job, bot) ("shard", {SHARD_OF})'
"""A series with the label shard for each bot: that shard."""


def numbered(query: str) -> str:
    """Add the label ``_n``, the shard with leading zeros: a range comes sorted by its labels, and this is the first."""
    query = f'label_replace({query}, "_n", "$1", "shard", "(.*)")'
    for zeros, digits in (("000", 1), ("00", 2), ("0", 3)):
        query = f'label_replace({query}, "_n", "{zeros}$1", "shard", "([0-9]{{{digits}}})")'
    return query


MARK: Final = 10
"""What is added to the state of the shard that the box asks for."""

_STARRED: Final = f'label_replace({MATCH}, "star", "★ ", "", "")'

_MARKED: Final = f"({STATUS} + on (job, bot, shard) group_left (star) ({MARK} * {_STARRED}))"

GRID: Final = numbered(f"({_MARKED} or on (job, bot, cluster, shard) {STATUS})")
"""Each shard's state, marked by number and label where the box asks for it, in the order of the shards."""


def placed(query: str) -> str:
    """Give the labels ``row`` (00, 50, 100 …, after the bot's name) and ``col`` (0 to 49) to what has ``_n``."""
    for tens, half in (("[0-4]", "00"), ("[5-9]", "50")):
        query = f'label_replace({query}, "_row", "${{1}}{half}", "_n", "(..){tens}.")'
    query = f'label_replace({query}, "col", "$1", "_n", "..([0-4].)")'
    for ten in range(5, 10):
        query = f'label_replace({query}, "col", "{ten - 5}$1", "_n", "..{ten}(.)")'
    # into a label that is none of those it is made of: else VictoriaMetrics 1.79 writes over what it reads
    return f'label_replace(label_join({query}, "row", " ", "bot", "_row"), "row", "$1", "row", " *(.*)")'
