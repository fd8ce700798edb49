"""Is it up, is it fast, is it failing."""

from __future__ import annotations

from typing import Final

from grafana.builder.looks import COLOURED_OUTCOMES, NONE_IS_GOOD, SOME_IS_GOOD, falling, rising
from grafana.builder.model import Board, Query, Row
from grafana.builder.panels import POINTS, Column, lines, stat, table
from grafana.builder.promql import FAULTS, STATUS, WHO, counted, quantile, ratio
from grafana.builder.variables import ANNOTATIONS, STANDARD

OURS: Final = 'up{job=~"$job", instance=~"$instance"} and on (job, instance) last_over_time(argus_exporter_info{*}[1d])'
"""Whether Prometheus reaches the processes that were ours within a day: those that are gone have no series to ask."""

FIRING: Final = 'ALERTS{alertstate="firing", alertname=~"(Argus|Discord).+", job=~"$job"}'

PROCESS: Final = "job, bot, cluster, instance"

BOARD: Final = Board(
    "overview",
    "Overview",
    "One page for a bot or a fleet: is it up, is it fast, is it failing. More on the boards behind the numbers.",
    STANDARD,
    (
        Row(
            "Now",
            (
                stat(
                    "Processes up",
                    "none",
                    f"sum({OURS})",
                    says="Processes of the bot that Prometheus reaches, of those it has seen within a day. At 0 the "
                    "bot, its exporter or the way there is down: look at the process first.",
                    steps=SOME_IS_GOOD,
                    width=3,
                    board="process",
                ),
                stat(
                    "Processes down",
                    "none",
                    f"count(({OURS}) == 0) or vector(0)",
                    says="Processes seen within a day that Prometheus does not reach now. Look at their log; one that "
                    "was taken away on purpose leaves after a day.",
                    steps=NONE_IS_GOOD,
                    width=3,
                    board="process",
                ),
                stat(
                    "Shards online",
                    "none",
                    f"count({STATUS} == 3) or vector(0)",
                    says="Shards with a working connection to the gateway. At 0 nothing reaches the bot: see the "
                    "board Shards, then Discord's status page.",
                    steps=SOME_IS_GOOD,
                    width=3,
                    board="shards",
                ),
                stat(
                    "Shards not online",
                    "none",
                    f"count({STATUS} != 3) or vector(0)",
                    says="Shards of these processes in any other state, those included whose process is gone for less "
                    "than an hour. A few while starting are normal; else see which on the board Shards.",
                    steps=NONE_IS_GOOD,
                    width=3,
                    board="shards",
                ),
                stat(
                    "Gateway ping",
                    "s",
                    "avg(discord_shard_latency_seconds{*})",
                    says="Heartbeat to ACK, mean of the shards. High on one process: its event loop is busy; high "
                    "everywhere: Discord or the network.",
                    steps=rising(0.3, 1),
                    width=3,
                    board="shards",
                    empty="no shard has had a heartbeat answered yet",
                ),
                stat(
                    "Guilds",
                    "short",
                    "sum(discord_guilds{*})",
                    says="Guilds of all chosen processes. A sudden fall is an outage at Discord (see the board "
                    "Shards) or a process that is gone.",
                    width=3,
                    board="shards",
                ),
                stat(
                    "Uptime",
                    "s",
                    "time() - max(process_start_time_seconds{*})",
                    says="Of the process that started last. Always short: it restarts again and again; why the last "
                    "one ended stands on the board Shards.",
                    width=3,
                    board="process",
                ),
                stat(
                    "Firing alerts",
                    "none",
                    f"count({FIRING}) or vector(0)",
                    says="Alerts of the shipped rules that fire now. Each has an entry in prometheus/RUNBOOK.md. "
                    "Always 0 where the rules are not loaded.",
                    steps=NONE_IS_GOOD,
                    width=3,
                ),
                stat(
                    "Commands without fault",
                    "percentunit",
                    "1 - "
                    + ratio(
                        f"sum(increase(discord_commands_total{{{FAULTS}, *}}[$__range]))",
                        "sum(increase(discord_commands_total{*}[$__range]))",
                    ),
                    says="Commands of the shown time that failed neither by the bot's fault nor by Discord's; wrong "
                    "input and refused permissions are no faults. The board Commands says which command fails and how.",
                    steps=falling(0.99, 0.999),
                    width=3,
                    decimals=2,
                    board="commands",
                    empty="nobody used a command in this time",
                ),
                stat(
                    "Answered in time",
                    "percentunit",
                    "1 - "
                    + ratio(
                        "sum(increase(discord_interaction_deadline_missed_total{*}[$__range]))",
                        "sum(increase(discord_interactions_total{*}[$__range]))",
                    ),
                    says="Interactions of the shown time with a response within Discord's 3 s; for the others users "
                    "see 'This interaction failed'. Look at Event loop lag, then at the slow commands; defer them.",
                    steps=falling(0.995, 0.999),
                    width=3,
                    decimals=2,
                    board="commands",
                    empty="there was no interaction in this time",
                ),
                stat(
                    "Command p50",
                    "s",
                    quantile(0.5, "discord_command_duration_seconds", window="$__range"),
                    says="Half of the commands of the shown time took less, from receipt to their end. Higher than it "
                    "was: see which command on the board Commands.",
                    steps=rising(1, 3),
                    width=3,
                    board="commands",
                    empty="nobody used a command in this time",
                ),
                stat(
                    "Command p95",
                    "s",
                    quantile(0.95, "discord_command_duration_seconds", window="$__range"),
                    says="One command in twenty of the shown time took longer, from receipt to its end. Where it "
                    "nears 3 s, commands that do not defer miss the deadline: see which on the board Commands.",
                    steps=rising(2, 5),
                    width=3,
                    board="commands",
                    empty="nobody used a command in this time",
                ),
                stat(
                    "Rate-limit hits",
                    "short",
                    "round(sum(increase(discord_http_rate_limited_total{*}[$__range])))",
                    says="Responses 429 in the shown time. A few are normal; many mean a loop of requests: the board "
                    "REST says by whose limit and on which route.",
                    steps=rising(10, 100),
                    width=3,
                    board="rest",
                ),
                stat(
                    "Event loop lag p99",
                    "s",
                    quantile(0.99, "discord_event_loop_lag_seconds", window="$__range"),
                    says="How late the event loop ran a timer, the worst hundredth of the shown time. From 0.1 s on "
                    "something blocks it; the bot's log has the stack of what blocked longest.",
                    steps=rising(0.1, 0.5),
                    width=3,
                    board="process",
                ),
                stat(
                    "CPU",
                    "percentunit",
                    "sum(rate(process_cpu_seconds_total{*}[$__rate_interval]))",
                    says="All chosen processes; 100 % is one core. Python uses one core a process: see the table "
                    "below for the busiest, which needs fewer shards.",
                    width=3,
                    board="process",
                ),
                stat(
                    "RAM",
                    "bytes",
                    "sum(process_resident_memory_bytes{*})",
                    says="Resident memory of all chosen processes. Growing for days: see the board Process, which "
                    "projects it, and the caches there.",
                    width=3,
                    board="process",
                ),
            ),
        ),
        Row(
            "What users see",
            (
                lines(
                    "Interactions by type",
                    "reqps",
                    Query("sum by (type) (rate(discord_interactions_total{*}[*]))", "{{type}}"),
                    says="Slash commands, menus, buttons, modals, autocomplete, as they arrive. All of them falling "
                    "at once: the gateway is away, see the board Shards.",
                    stacked=True,
                ),
                lines(
                    "Commands by outcome",
                    "reqps",
                    Query("sum by (outcome) (rate(discord_commands_total{*}[*]))", "{{outcome}}"),
                    points=POINTS,
                    says="Commands as they end, prefix commands too. bot_error is a bug or a missing permission of "
                    "the bot, discord_error is Discord; the board Commands says which command and exception.",
                    stacked=True,
                    colours=COLOURED_OUTCOMES,
                    empty="nobody used a command in this time",
                ),
                lines(
                    "Time to first response",
                    "s",
                    Query(quantile(0.5, "discord_interaction_ack_seconds"), "p50"),
                    Query(quantile(0.95, "discord_interaction_ack_seconds"), "p95"),
                    Query(quantile(0.99, "discord_interaction_ack_seconds"), "p99"),
                    says="Receipt of an interaction to the first response that Discord took. Discord waits 3 s from "
                    "its creation on: where p99 nears that, defer first and work then.",
                    steps=rising(1.5, 3),
                    empty="there was no interaction in this time",
                ),
            ),
        ),
        Row(
            "Processes",
            (
                table(
                    "Processes",
                    Column("Uptime", "s", f"time() - max by ({PROCESS}) (process_start_time_seconds{{*}})"),
                    Column(
                        "Shards online",
                        "none",
                        f"sum by ({PROCESS}) (discord_shard_status{{*}} == bool 3)",
                        SOME_IS_GOOD,
                    ),
                    Column("Guilds", "short", f"sum by ({PROCESS}) (discord_guilds{{*}})"),
                    Column("Ping", "s", f"avg by ({PROCESS}) (discord_shard_latency_seconds{{*}})", rising(0.3, 1)),
                    Column("CPU", "percentunit", f"sum by ({PROCESS}) (rate(process_cpu_seconds_total{{*}}[*]))"),
                    Column("RAM", "bytes", f"sum by ({PROCESS}) (process_resident_memory_bytes{{*}})"),
                    Column(
                        "Loop lag p99",
                        "s",
                        quantile(0.99, "discord_event_loop_lag_seconds", PROCESS),
                        rising(0.1, 0.5),
                    ),
                    Column("Commands/s", "reqps", f"sum by ({PROCESS}) (rate(discord_commands_total{{*}}[*]))"),
                    says="One line a process. Look for the one that differs from the others: short uptime is a "
                    "restart, lag and ping together are a blocked event loop, CPU near 100 % is one core used up.",
                    sort="Loop lag p99",
                    height=6,
                ),
            ),
        ),
        Row(
            "Errors",
            (
                table(
                    "Errors of commands",
                    Column(
                        "Times",
                        "short",
                        counted("discord_command_errors_total{*}", "bot, command, error", "$__range"),
                    ),
                    says="Commands and the class of the exception that ended them, in the shown time, refusals and "
                    "wrong input too. The bot's error log has the traceback; Discord's own pass by themselves.",
                    sort="Times",
                    width=8,
                    empty="no command has failed",
                ),
                lines(
                    "Errors beside commands",
                    "short",
                    Query("sum by (event) (increase(discord_event_errors_total{*}[*]))", "listener: {{event}}"),
                    Query(
                        "sum by (source) (increase(discord_unhandled_errors_total{*}[*]))",
                        "unhandled: {{source}}",
                    ),
                    Query(
                        'sum(increase(discord_log_records_total{level=~"ERROR|CRITICAL", *}[*])) or vector(0)', "logged"
                    ),
                    says="Exceptions of event listeners, those that nothing handled, and log records at ERROR and "
                    "above. Not zero: the board Tasks & errors says where, the bot's log has the traceback.",
                    width=8,
                ),
                table(
                    "Alerts",
                    Column("Series", "none", f"count by (alertname, severity) ({FIRING})"),
                    says="What fires now, and on how many shards, commands, loops of it. prometheus/RUNBOOK.md says "
                    "of each what it means and what to do.",
                    width=8,
                    empty="nothing fires, or the rules are not loaded",
                ),
            ),
        ),
        Row(
            "Population",
            (
                lines(
                    "Guilds",
                    "short",
                    Query("sum by (bot, cluster, instance) (discord_guilds{*})", f"guilds {WHO}"),
                    Query(
                        "sum by (bot, cluster, instance) (discord_shard_guilds_unavailable{*})", f"unavailable {WHO}"
                    ),
                    says="Guilds of each process, and those of them that Discord says are unavailable. Unavailable "
                    "ones that stay are an outage at Discord: its status page, and waiting.",
                ),
                lines(
                    "Members",
                    "short",
                    Query("sum by (bot, cluster, instance) (discord_members{*})", f"members {WHO}"),
                    Query("sum by (bot, cluster, instance) (discord_cached_users{*})", f"cached users {WHO}"),
                    says="Members of all guilds as Discord counts them, and users in discord.py's cache, which cost "
                    "memory. Many cached users on a small machine: a smaller member_cache_flags.",
                ),
                lines(
                    "Commands registered",
                    "short",
                    Query("max by (bot, type) (discord_commands_registered{*})", "{{type}} {{bot}}"),
                    says="Commands that the bot offers, by how they are used. A fall after a release: an extension "
                    "did not load, see the bot's log.",
                ),
            ),
            folded=True,
        ),
    ),
    ANNOTATIONS,
)
