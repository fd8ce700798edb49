"""The Python process, its event loop, and what it keeps in memory."""

from __future__ import annotations

from typing import Final

from grafana.builder.looks import rising
from grafana.builder.model import Board, Query, Row
from grafana.builder.panels import Column, bars, heat, lines, stat, table
from grafana.builder.promql import WHO, quantile
from grafana.builder.variables import ANNOTATIONS, STANDARD

BOARD: Final = Board(
    "process",
    "Process & event loop",
    "Is the event loop blocked, does the process run out of CPU, memory or files, and what fills its caches.",
    STANDARD,
    (
        Row(
            "Event loop",
            (
                lines(
                    "Lag",
                    "s",
                    *(
                        Query(quantile(rank, "discord_event_loop_lag_seconds"), name)
                        for rank, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
                    ),
                    says="How late the event loop ran a timer, four times a second. All that the bot does waits as "
                    "long. Above 0.1 s: blocking code; its stack is in the bot's log (ARGUS_STALL_SECONDS).",
                    steps=rising(0.1, 0.5),
                ),
                lines(
                    "Lag p99 by process",
                    "s",
                    Query(quantile(0.99, "discord_event_loop_lag_seconds", "bot, cluster, instance"), WHO),
                    says="One process alone: what its guilds do, or its machine. All: the code, or a release.",
                    steps=rising(0.1, 0.5),
                ),
                heat(
                    "Lag, spread",
                    "s",
                    "sum by (le) (increase(discord_event_loop_lag_seconds_bucket{*}[*]))",
                    says="A thin band far above the rest is a job that blocks at intervals: a cron, a garbage "
                    "collection, a synchronous write.",
                ),
                lines(
                    "Time blocked",
                    "percentunit",
                    Query("rate(discord_event_loop_blocked_seconds_total{*}[*])", WHO),
                    says="Share of the time in which the event loop stood still for half a second and more. Any: look "
                    "in the bot's log for the stack, and move that call into a thread.",
                    steps=rising(0.005, 0.05),
                ),
                lines(
                    "Tasks",
                    "none",
                    Query("discord_asyncio_tasks{*}", WHO),
                    says="Tasks that are not done. Growing day by day: tasks that wait for what never comes; give "
                    "them a timeout.",
                ),
                stat(
                    "Blocked in the shown time",
                    "s",
                    Query(
                        "increase(discord_event_loop_blocked_seconds_total{*}[$__range])",
                        WHO,
                    ),
                    says="Seconds that each process stood still. Meanwhile no heartbeat is sent, and Discord closes "
                    "connections that it does not hear from.",
                    steps=rising(1, 10),
                    width=8,
                    height=8,
                ),
            ),
        ),
        Row(
            "Process",
            (
                lines(
                    "CPU",
                    "percentunit",
                    Query("rate(process_cpu_seconds_total{*}[*])", WHO),
                    says="100 % is one core, and Python cannot use more for the event loop. Above 80 %: fewer shards "
                    "a process.",
                    steps=rising(0.8, 0.95),
                    width=6,
                ),
                lines(
                    "Resident memory",
                    "bytes",
                    Query("process_resident_memory_bytes{*}", WHO),
                    says="What the process holds of the machine's memory. Steps are guilds joined; a slope that never "
                    "ends is a leak: compare with the caches below.",
                    width=6,
                ),
                lines(
                    "Memory in a day",
                    "bytes",
                    Query(
                        "predict_linear(process_resident_memory_bytes{*}[6h], 86400) and on (job, instance) "
                        "time() - process_start_time_seconds{*} > 3600",
                        WHO,
                    ),
                    says="Resident memory tomorrow, were it to go on as in the last 6 hours. Beyond the machine's: it "
                    "will be killed; find the leak, or restart in time.",
                    width=6,
                    empty="the process is younger than an hour",
                ),
                lines(
                    "Virtual memory",
                    "bytes",
                    Query("process_virtual_memory_bytes{*}", WHO),
                    says="What the process has reserved, used or not. Growing alone it is no harm; together with the "
                    "resident memory it is the same leak.",
                    width=6,
                ),
                lines(
                    "Open files",
                    "none",
                    Query("process_open_fds{*}", WHO),
                    says="Files and sockets. Growing: sessions (aiohttp) or files that are never closed.",
                    width=6,
                ),
                bars(
                    "Open files, of their limit",
                    "percentunit",
                    Query("process_open_fds{*} / process_max_fds{*}", WHO),
                    says="At 100 % nothing connects any more. Near it: raise the limit (ulimit -n) for now, and find "
                    "what is never closed.",
                    steps=rising(0.6, 0.8),
                    most=1,
                    width=6,
                    empty="this operating system has no such limit",
                ),
                lines(
                    "Threads",
                    "none",
                    Query("process_threads{*}", WHO),
                    says="Each shard's heartbeat is one, each voice connection a few. Growing without them: executors "
                    "that are never shut down.",
                    width=6,
                ),
                lines(
                    "Uptime",
                    "s",
                    Query("time() - process_start_time_seconds{*}", WHO),
                    says="A saw is a process that restarts: why the last one ended stands on the board Shards.",
                    width=6,
                ),
            ),
        ),
        Row(
            "Caches and voice",
            (
                lines(
                    "Messages and users cached",
                    "none",
                    Query("discord_cached_messages{*}", f"messages {WHO}"),
                    Query("discord_cached_users{*}", f"users {WHO}"),
                    says="In discord.py's caches. Messages end at max_messages; users follow member_cache_flags and "
                    "the guilds. Much memory with many users: cache fewer.",
                ),
                lines(
                    "Views and modals",
                    "none",
                    Query("discord_views{*}", f"views {WHO}"),
                    Query("discord_modals{*}", f"modals {WHO}"),
                    says="Waiting for interactions. Views with timeout=None wait for ever: growing without end is a "
                    "leak; make one persistent view instead of one a message.",
                ),
                lines(
                    "Voice",
                    "none",
                    Query("sum by (bot, cluster, instance) (discord_voice_connections{*})", f"connections {WHO}"),
                    Query("sum by (bot, cluster, instance) (discord_voice_playing{*})", f"playing {WHO}"),
                    says="Voice clients, and those that play. Many that do not play cost a thread and CPU each: leave "
                    "empty channels.",
                ),
            ),
        ),
        Row(
            "Versions",
            (
                table(
                    "Versions",
                    Column(
                        "Processes",
                        "none",
                        "count by (job, bot, cluster, instance, discord_py, python, exporter) (discord_bot_info{*})",
                    ),
                    says="What each process runs. Two versions long after a release: one process was not restarted.",
                    height=5,
                ),
            ),
        ),
    ),
    ANNOTATIONS,
)
