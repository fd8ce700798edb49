"""The overview for a bot that pushes: StatsD's graphite flavour, npm's statsd, Graphite with tags.

Names and tags are those of ``argus_exporter/statsd/encode.py``; roots and endings those of npm's ``statsd`` with
``legacyNamespace: false``.
"""

from __future__ import annotations

from typing import Final

from grafana.builder.looks import COLOURED_OUTCOMES, NONE_IS_GOOD, SOME_IS_GOOD, Steps, rising
from grafana.builder.model import GRAPHITE, Board, Json, Panel, Query, Row
from grafana.builder.panels import lately, lines, stat, timeline
from grafana.builder.variables import query_variable, text_variable

_TAGS: Final = "'bot=~^(${bot:regex})$', 'cluster=~^(${cluster:regex})$'"
"""A tag that may be empty is one that may be missing: so All also finds series without it."""


def _series(name: str) -> str:
    return f"seriesByTag('name=${{root:raw}}.{name}', {_TAGS})"


def gauge(name: str, quantile: str = "") -> str:
    """A gauge, or a quantile of a histogram, which is one."""
    return _series(f"gauges.${{prefix:raw}}{name}{quantile}")


def counter(name: str, ending: str = ".rate") -> str:
    """A counter, as its rate a second, or with ``.count`` as what came between two flushes of the daemon."""
    return _series(f"counters.${{prefix:raw}}{name}{ending}")


def by(tag: str, function: str, series: str) -> str:
    """Series put together by a tag."""
    return f"aliasByTags(groupByTags({series}, '{function}', '{tag}'), '{tag}')"


def named(series: str, name: str) -> str:
    """A series with a name."""
    return f"alias({series}, '{name}')"


def _count(comparison: str) -> str:
    """How many shards are online, or are not: 0 too, where Graphite has nothing to count."""
    states = f"filterSeries({gauge('discord_shard_status')}, 'last', '{comparison}', 3)"
    return f"fallbackSeries(countSeries({states}), constantLine(0))"


def _number(
    title: str, unit: str, query: str, says: str, steps: Steps = ((None, "text"),), width: int = 3, empty: str = ""
) -> Panel:
    return lately(stat(title, unit, query, says=says, steps=steps, width=width, empty=empty), "5m")


def _tag_box(name: str, label: str, filters: str) -> Json:
    query = f"tag_values({name}, name=${{root:raw}}.gauges.${{prefix:raw}}discord_guilds{filters})"
    return {**query_variable(name, label, query), "datasource": GRAPHITE.as_json(), "query": query}


QUIET: Final = "nobody used a command in this time"
NOBODY: Final = "there was no interaction in this time"

BOARD: Final = Board(
    "graphite",
    "Overview (Graphite)",
    "The overview for a bot that pushes StatsD (ARGUS_STATSD_FLAVOUR=graphite) to npm's statsd and Graphite. A gauge "
    "of a process that is gone keeps its last value there until statsd is restarted: Last push tells.",
    (
        _tag_box("bot", "Bot", ""),
        _tag_box("cluster", "Cluster", ", bot=~^(${bot:regex})$"),
        text_variable("prefix", "Prefix, with its dot"),
        text_variable("root", "Root of statsd", "stats"),
    ),
    (
        Row(
            "Now",
            (
                _number(
                    "Last push ago",
                    "s",
                    "removeAboveValue(diffSeries(timeFunction('now', 1), minSeries(keepLastValue("
                    f"{gauge('argus_exporter_statsd_last_flush_timestamp_seconds')}))), 100000000)",
                    "Since the process that is silent longest has pushed. Minutes: it is down, or its datagrams do not "
                    "arrive; all other numbers are then old.",
                    rising(60, 300),
                ),
                _number(
                    "Shards online",
                    "none",
                    _count("="),
                    "Shards with a working connection to the gateway. At 0 nothing reaches the bot: the process, then "
                    "Discord's status page.",
                    SOME_IS_GOOD,
                ),
                _number(
                    "Shards not online",
                    "none",
                    _count("!="),
                    "Shards in any other state. A few while starting are normal; else see State of the shards below.",
                    NONE_IS_GOOD,
                ),
                _number(
                    "Gateway ping",
                    "s",
                    f"averageSeries({gauge('discord_shard_latency_seconds')})",
                    "Heartbeat to ACK, mean of the shards. High everywhere: Discord or the network; on one process: "
                    "its event loop.",
                    rising(0.3, 1),
                ),
                _number(
                    "Guilds",
                    "short",
                    f"sumSeries({gauge('discord_guilds')})",
                    "Guilds of all chosen processes. A sudden fall is an outage at Discord or a process that is gone.",
                ),
                _number(
                    "CPU",
                    "percentunit",
                    f"sumSeries({counter('process_cpu_seconds_total')})",
                    "All chosen processes; 100 % is one core, and a process uses no more than one. Near it: fewer "
                    "shards a process.",
                ),
                _number(
                    "RAM",
                    "bytes",
                    f"sumSeries({gauge('process_resident_memory_bytes')})",
                    "Resident memory of all chosen processes. Growing for days: the caches, views, or a leak.",
                ),
                _number(
                    "Loops dead",
                    "none",
                    f"sumSeries({gauge('discord_task_loop_dead')})",
                    "discord.ext.tasks loops that an exception has ended, for good. The bot's log has it; mend it and "
                    "restart the loop.",
                    NONE_IS_GOOD,
                    empty="the bot has no discord.ext.tasks loop",
                ),
            ),
        ),
        Row(
            "What users see",
            (
                lines(
                    "Interactions by type",
                    "reqps",
                    by("type", "sum", counter("discord_interactions_total")),
                    says="As they arrive. All of them falling at once: the gateway is away, see the shards below.",
                    stacked=True,
                    empty=NOBODY,
                ),
                lines(
                    "Commands by outcome",
                    "reqps",
                    by("outcome", "sum", counter("discord_commands_total")),
                    says="As they end. bot_error is a bug, or a permission that the bot lacks: see Exceptions below; "
                    "discord_error is Discord.",
                    stacked=True,
                    colours=COLOURED_OUTCOMES,
                    empty=QUIET,
                ),
                lines(
                    "Missed deadline",
                    "reqps",
                    by("type", "sum", counter("discord_interaction_deadline_missed_total")),
                    says="Interactions without a response within Discord's 3 s: users see 'This interaction failed'. "
                    "Compare with the loop's lag, then defer the slow commands.",
                    empty=NOBODY,
                ),
                lines(
                    "First response, p95",
                    "s",
                    by("type", "max", gauge("discord_interaction_ack_seconds", ".p95")),
                    says="Of each push interval, the worst process: quantiles of processes cannot be put together. "
                    "Near 3 s: defer first and work then.",
                    steps=rising(1.5, 3),
                    empty=NOBODY,
                ),
                lines(
                    "Command duration, p95",
                    "s",
                    by("type", "max", gauge("discord_command_duration_seconds", ".p95")),
                    says="Of each push interval, the worst process. Slow together with the loop's lag: something "
                    "blocks; alone: what the commands wait for.",
                    steps=rising(2, 5),
                    empty=QUIET,
                ),
                lines(
                    "Most used commands",
                    "reqps",
                    f"highest({by('command', 'sum', counter('discord_commands_total'))}, 10, 'average')",
                    says="The ten most used of the shown time. One that jumps: somebody plays with it; a cooldown.",
                    empty=QUIET,
                ),
            ),
        ),
        Row(
            "Gateway and REST",
            (
                timeline(
                    "State of the shards",
                    Query(f"aliasByTags(limit(sortByName({gauge('discord_shard_status')}, true), 50), 'shard')"),
                    says="The first 50 shards of the choice. Red for minutes: see the bot's log for the close code; "
                    "many at once: Discord or the network.",
                    width=16,
                ),
                lines(
                    "Ping, slowest shards",
                    "s",
                    f"aliasByTags(highest({gauge('discord_shard_latency_seconds')}, 10, 'average'), 'shard')",
                    says="The ten slowest shards of the shown time. Neighbours are one process; a single one gets "
                    "better by a reconnect.",
                    steps=rising(0.3, 1),
                ),
                lines(
                    "Events",
                    "cps",
                    named(f"sumSeries({counter('discord_shard_dispatches_total')})", "events"),
                    says="What the gateway sends. A fall to nothing while shards are online: their connections are "
                    "dead though open.",
                ),
                lines(
                    "429 by scope",
                    "reqps",
                    by("scope", "sum", counter("discord_http_rate_limited_total")),
                    says="user: the bot's own bucket; global: 50 a second; cloudflare: a ban. Many: find the loop of "
                    "requests, first among what is new.",
                ),
                lines(
                    "Invalid requests in 10 minutes",
                    "short",
                    named(
                        f"movingSum(sumSeries({counter('discord_http_invalid_requests_total', '.count')}), '10min')",
                        "invalid",
                    ),
                    says="401, 403 and 429. Discord bans the IP address at 10,000: above 2,500 find what sends them "
                    "and stop it.",
                    steps=rising(2500, 8000),
                ),
            ),
        ),
        Row(
            "Runtime",
            (
                lines(
                    "Event loop lag",
                    "s",
                    named(f"maxSeries({gauge('discord_event_loop_lag_seconds', '.p50')})", "p50"),
                    named(f"maxSeries({gauge('discord_event_loop_lag_seconds', '.p99')})", "p99"),
                    says="Of each push interval, the worst process. Above 0.1 s something blocks it; its stack is in "
                    "the bot's log.",
                    steps=rising(0.1, 0.5),
                ),
                lines(
                    "Exceptions of commands",
                    "reqps",
                    f"highest({by('error', 'sum', counter('discord_command_errors_total'))}, 10, 'max')",
                    says="The ten most frequent classes, refusals and wrong input too. A new name since a release is "
                    "its bug.",
                    empty="no command has failed",
                ),
                lines(
                    "Errors beside commands",
                    "reqps",
                    named(f"sumSeries({counter('discord_event_errors_total')})", "listeners"),
                    named(f"sumSeries({counter('discord_unhandled_errors_total')})", "unhandled"),
                    says="Exceptions of event listeners, and what nothing caught. The bot's log has the traceback.",
                    empty="the bot has no listeners, and nothing was unhandled",
                ),
            ),
        ),
    ),
    source=GRAPHITE,
)
