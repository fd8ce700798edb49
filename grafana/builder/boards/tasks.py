"""discord.ext.tasks loops, and errors outside commands."""

from __future__ import annotations

from typing import Final

from grafana.builder.looks import NONE_IS_GOOD, rising
from grafana.builder.model import Board, Query, Row
from grafana.builder.panels import Column, lines, stat, table
from grafana.builder.promql import counted, quantile
from grafana.builder.variables import ANNOTATIONS, STANDARD, query_variable

CHOSEN: Final = 'loop=~"$loop", '
NO_LOOPS: Final = "the bot has no discord.ext.tasks loop"
BY: Final = "job, bot, cluster, instance, loop"
LATE: Final = (
    f"time() - discord_task_loop_last_success_timestamp_seconds{{{CHOSEN}*}} > "
    f"3 * discord_task_loop_interval_seconds{{{CHOSEN}*}}"
)
"""Seconds since the last success of loops that have missed two turns."""

BOARD: Final = Board(
    "tasks",
    "Tasks & errors",
    "Whether background loops still run, and what fails outside commands: listeners, tasks, threads, the log.",
    (
        *STANDARD,
        query_variable(
            "loop",
            "Loop",
            'label_values(discord_task_loop_running{job=~"$job", bot=~"$bot", cluster=~"$cluster"}, loop)',
        ),
    ),
    (
        Row(
            "Task loops",
            (
                stat(
                    "Dead",
                    "none",
                    "sum(discord_task_loop_dead{*}) or vector(0)",
                    says="Loops that an exception has ended: discord.py says it once in the log and never starts them "
                    "again. Mend the exception, restart the loop; catch in it what may happen.",
                    steps=NONE_IS_GOOD,
                ),
                stat(
                    "Failing",
                    "none",
                    "sum(discord_task_loop_retrying{*}) or vector(0)",
                    says="Loops whose last iteration failed and is tried again, for ever if need be. See what they "
                    "reach out to: a database, Discord, DNS.",
                    steps=NONE_IS_GOOD,
                ),
                stat(
                    "Late",
                    "none",
                    f"count({LATE}) or vector(0)",
                    says="Loops without a success for three of their intervals. Hanging in a call without timeout, or "
                    "slower than their interval: see Overruns.",
                    steps=NONE_IS_GOOD,
                ),
                stat(
                    "Running",
                    "none",
                    "sum(discord_task_loop_running{*}) or vector(0)",
                    says="Loops that run. Fewer than after the last start: one was stopped or has died.",
                ),
                stat(
                    "Failures",
                    "short",
                    "round(sum(increase(discord_task_loop_failures_total{*}[$__range]))) or vector(0)",
                    says="Iterations that ended with an exception in the shown time. The bot's log has them.",
                    steps=rising(1, 10),
                ),
                stat(
                    "Overruns",
                    "short",
                    "round(sum(increase(discord_task_loop_overruns_total{*}[$__range]))) or vector(0)",
                    says="Iterations longer than their interval in the shown time: the next one began late. Do less, "
                    "or less often.",
                    steps=rising(1, 10),
                ),
                table(
                    "Loops",
                    Column("Running", "none", f"max by ({BY}) (discord_task_loop_running{{{CHOSEN}*}})"),
                    Column("Dead", "none", f"max by ({BY}) (discord_task_loop_dead{{{CHOSEN}*}})", NONE_IS_GOOD),
                    Column("Interval", "s", f"max by ({BY}) (discord_task_loop_interval_seconds{{{CHOSEN}*}})"),
                    Column(
                        "Last success",
                        "s",
                        f"time() - max by ({BY}) (discord_task_loop_last_success_timestamp_seconds{{{CHOSEN}*}})",
                    ),
                    Column(
                        "Iterations",
                        "short",
                        f"round(sum by ({BY}) (increase(discord_task_loop_iterations_total{{{CHOSEN}*}}[$__range])))",
                    ),
                    Column(
                        "Failures",
                        "short",
                        f"round(sum by ({BY}) (increase(discord_task_loop_failures_total{{{CHOSEN}*}}[$__range])))",
                        rising(1, 10),
                    ),
                    says="Each loop. Last success far beyond the interval: it hangs or fails. Dead: see the log at "
                    "that time.",
                    sort="Last success",
                    width=16,
                    empty=NO_LOOPS,
                ),
                lines(
                    "Failures and overruns",
                    "short",
                    Query(
                        f"sum by (loop) (increase(discord_task_loop_failures_total{{{CHOSEN}*}}[*]))", "failed {{loop}}"
                    ),
                    Query(
                        f"sum by (loop) (increase(discord_task_loop_overruns_total{{{CHOSEN}*}}[*]))",
                        "too long {{loop}}",
                    ),
                    says="When they happened. Together with 5xx on the board REST: Discord; alone: the loop.",
                    empty=NO_LOOPS,
                ),
            ),
        ),
        Row(
            "Errors outside commands",
            (
                lines(
                    "Listeners",
                    "short",
                    Query("sum by (event) (increase(discord_event_errors_total{*}[*]))", "{{event}}"),
                    says="Exceptions in event listeners, by event. The bot's log has the traceback; on_error is where "
                    "they end unless you catch them.",
                    empty="the bot has no listeners",
                ),
                lines(
                    "Unhandled",
                    "short",
                    Query("sum by (source) (increase(discord_unhandled_errors_total{*}[*]))", "{{source}}"),
                    says="What nothing caught: tasks that nobody awaits, threads, the interpreter. Each is a bug: "
                    "keep a reference to the task and look at its result.",
                ),
                lines(
                    "Log records",
                    "short",
                    Query(counted("discord_log_records_total{*}", "logger, level"), "{{level}} {{logger}}"),
                    says="WARNING and above, by the first word of the logger's name. discord at WARNING is often its "
                    "rate limits and its gateway; your own names are yours.",
                    empty="nothing was logged at WARNING or above",
                ),
                lines(
                    "Listeners' time, p95",
                    "s",
                    Query(quantile(0.95, "discord_event_listener_seconds", "event"), "{{event}}"),
                    says="First step to end of each event's listeners, waiting included, read from few buckets (0.01, "
                    "0.1, 1, 10 s). Long and frequent is work that piles up: see Tasks on the board Process.",
                    steps=rising(1, 10),
                    empty="the bot has no listeners",
                ),
                lines(
                    "Error log",
                    "short",
                    Query("sum(increase(argus_exporter_error_log_written_total{*}[*]))", "written"),
                    Query("sum(increase(argus_exporter_error_log_suppressed_total{*}[*]))", "left out"),
                    says="Lines of the error log, and errors left out because the same one came within a minute, or "
                    "more than 30 of them. Many left out: the counts above are right, the log is only shorter.",
                    empty="no error log is set (ARGUS_ERROR_LOG)",
                ),
                table(
                    "Errors by listener and source",
                    Column(
                        "Times",
                        "short",
                        counted("discord_event_errors_total{*}", "bot, event", "$__range")
                        + " or "
                        + counted("discord_unhandled_errors_total{*}", "bot, source", "$__range"),
                    ),
                    says="In the shown time, so that rare ones are seen too.",
                    sort="Times",
                    width=8,
                    empty="nothing has failed",
                ),
            ),
        ),
    ),
    ANNOTATIONS,
)
