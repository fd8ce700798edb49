"""Glance: every shard, its state, and where a guild is."""

from __future__ import annotations

import functools
from typing import Final

from grafana.builder.looks import NONE_IS_GOOD, STATES, falling, rising, states
from grafana.builder.model import Board, Query, Row
from grafana.builder.panels import POINTS, Column, lines, matrix, stat, table, tiles, timeline
from grafana.builder.promql import GRID, MATCH, SHARD_OF, STATUS, WHO, counted, leading, numbered, placed
from grafana.builder.variables import ANNOTATIONS, STANDARD, query_variable, text_variable

ASKED: Final = "no guild id is typed"
UNASKED: Final = "the bot does not ask for it"
WHOLE: Final = 'job=~"$job", bot=~"$bot", cluster=~".*", instance=~".*"'
"""Whole bots, whatever cluster and instance are chosen: what no process serves is in none of them."""

SHARDS: Final = f"sum(max by (job, bot) (last_over_time(discord_shards{{{WHOLE}}}[1h])))"
SERVED: Final = f"count(count by (job, bot, shard) (discord_shard_status{{{WHOLE}}}))"

BY_STATE: Final = functools.reduce(
    lambda query, state: f'label_replace({query}, "state", "{state[1]}", "state", "{state[0]}")',
    enumerate(word for word, *_ in STATES),
    'count_values("state", max by (job, bot, shard) (discord_shard_status{*}))',
)

BOARD: Final = Board(
    "shards",
    "Shards",
    "Every shard and its state, by cluster. Type a guild's id to find and mark its shard: (id >> 22) % shards.",
    (
        *STANDARD,
        text_variable("guild_id", "Guild id"),
        query_variable(
            "shard",
            "Shard",
            'label_values(discord_shard_status{job=~"$job", bot=~"$bot", cluster=~"$cluster"}, shard)',
            numeric=True,
        ),
    ),
    (
        Row(
            "Find a guild",
            (
                stat(
                    "Shard of the guild",
                    "none",
                    Query(f"{SHARD_OF} >= 0", "{{bot}}"),
                    says="The shard that serves the guild whose id is in the box, in each bot. What is no id finds "
                    "none.",
                    width=4,
                    empty=ASKED,
                ),
                stat(
                    "State",
                    "none",
                    Query(f"{STATUS} and on (job, bot, shard) {MATCH}", "{{bot}} shard {{shard}}"),
                    says="The state of the guild's shard. Not online: its users get no answer now, see Connection "
                    "below; unknown: the process that served it is gone.",
                    width=5,
                    mappings=states(),
                    empty=ASKED,
                ),
                stat(
                    "Process",
                    "none",
                    Query(f"discord_shard_status{{*}} and on (job, bot, shard) {MATCH}", WHO),
                    says="Where the guild's shard runs: the process to look at when this guild complains. Two of them "
                    "are a shard served twice, each of which answers: stop one.",
                    width=7,
                    text="name",
                    empty=ASKED,
                ),
                stat(
                    "Ping",
                    "s",
                    Query(f"discord_shard_latency_seconds{{*}} and on (job, bot, shard) {MATCH}", "{{bot}}"),
                    says="Heartbeat to ACK of the guild's shard. High only here: reconnect this shard; high on its "
                    "siblings too: their process or the network.",
                    steps=rising(0.3, 1),
                    empty=ASKED,
                ),
                stat(
                    "Last event",
                    "s",
                    Query(
                        "time() - discord_shard_last_dispatch_timestamp_seconds{*} and on (job, bot, shard) " + MATCH,
                        "{{bot}}",
                    ),
                    says="Since the guild's shard last received anything. Minutes, while other shards receive: its "
                    "connection is dead though open; restart the process, or wait for the bot to notice.",
                    steps=rising(120, 600),
                    empty=ASKED,
                ),
            ),
        ),
        Row(
            "Shards",
            (
                tiles(
                    "Cluster $cluster",
                    Query(GRID, "{{star}}{{shard}}"),
                    says="A tile a shard, at most 15 s old: green is online, blue resumes, yellow starts, orange has "
                    "a connection that is open but dead, red is offline, grey has lost its process. The asked-for "
                    "guild's shard has a star. Red for minutes: see Worst shards and Closes by code; a whole cluster: "
                    "its process.",
                    repeat="cluster",
                ),
            ),
        ),
        Row(
            "Many shards",
            (
                matrix(
                    "All shards, 50 a line",
                    placed(GRID),
                    says="For more than 200 shards: the row and the column add up to the shard's number, the colours "
                    "are those of the tiles. ! unhealthy, x offline, ^ starting, ~ resuming, - stopping, ? its "
                    "process is gone, ★ the asked-for guild. Look for whole lines: a cluster, or one of Discord's "
                    "hosts.",
                    height=20,
                ),
            ),
            folded=True,
        ),
        Row(
            "Attention",
            (
                stat(
                    "Shards",
                    "none",
                    SHARDS,
                    says="Shards of the chosen bots, as their processes say. Clusters of one bot that disagree: see "
                    "Processes on this board; one of them was not restarted after a change.",
                    width=3,
                    height=8,
                ),
                stat(
                    "Served by nobody",
                    "none",
                    f"{SHARDS} - ({SERVED} or vector(0))",
                    says="Shards of the bot that no process serves now; the guilds on them have no bot. A process is "
                    "down or was never started. Whole bots are counted, whatever cluster is chosen.",
                    steps=NONE_IS_GOOD,
                    width=3,
                    height=8,
                ),
                timeline(
                    "Worst shards",
                    Query(
                        numbered(
                            "max by (bot, shard) (discord_shard_status{*} and topk(12, "
                            "increase(discord_shard_downtime_seconds_total{*}[$__range] @ end())))"
                        ),
                        "{{bot}} {{shard}}",
                    ),
                    says="The dozen shards that were down longest in the shown time, and when. Many at the same time: "
                    "Discord or the network; always the same ones: their guilds or their process.",
                    width=18,
                ),
                lines(
                    "Shards by state",
                    "none",
                    Query(BY_STATE, "{{state}}"),
                    says="How many shards are in which state. A wave from starting to online is a restart; resuming "
                    "and offline together are a reconnect storm: let it pass, and watch Identifies left.",
                    stacked=True,
                    colours=[(word, colour) for word, colour, _ in STATES],
                    width=12,
                    points=POINTS,
                ),
                table(
                    "Not online",
                    Column("State", "none", f"{STATUS} != 3", mappings=states()),
                    says="The shards in any other state than online. Starting for more than a few minutes: see "
                    "Start-up below; the rest: Closes by code.",
                    width=12,
                    empty="every shard is online",
                ),
            ),
        ),
        Row(
            "Connection",
            (
                lines(
                    "Ping, spread",
                    "s",
                    *(
                        Query(f"quantile({rank}, discord_shard_latency_seconds{{*}})", name)
                        for rank, name in ((0.5, "median"), (0.9, "p90"), (1, "worst"))
                    ),
                    says="Heartbeat to ACK over the shards. All of them high: a busy event loop (board Process) or "
                    "the network; only the worst: a few shards, named beside this.",
                    steps=rising(0.3, 1),
                    points=POINTS,
                ),
                lines(
                    "Ping, slowest shards",
                    "s",
                    Query(
                        'discord_shard_latency_seconds{shard=~"$shard", *} and topk(10, avg_over_time('
                        'discord_shard_latency_seconds{shard=~"$shard", *}[$__range] @ end()))',
                        "{{bot}} {{shard}}",
                    ),
                    says="The ten slowest shards. Neighbours in number are one process; a single one that stays slow "
                    "gets better by a reconnect.",
                    steps=rising(0.3, 1),
                ),
                lines(
                    "Silence",
                    "s",
                    Query("max(time() - discord_shard_last_ack_timestamp_seconds{*})", "oldest ACK"),
                    Query("max(time() - discord_shard_last_dispatch_timestamp_seconds{*})", "oldest event"),
                    says="The longest that a shard has been without a heartbeat's ACK, and without any event. An ACK "
                    "comes every 41 s: beyond 120 s the connection is dead. Events depend on how busy the guilds are.",
                    steps=rising(60, 120),
                    points=POINTS,
                ),
                lines(
                    "Closes by code",
                    "short",
                    Query(
                        counted("discord_gateway_closes_total{*}", "code, initiator"),
                        "{{code}} {{initiator}}",
                    ),
                    says="Connections closed. 1000 and 1001 by the server are its routine; 4004 and 4010 to 4014 end "
                    "the bot for good (token, intents, sharding): mend that before a restart; 1006 is the network.",
                    empty="no connection was closed",
                ),
                lines(
                    "Sessions begun",
                    "short",
                    Query("sum by (kind) (increase(discord_shard_connections_total{*}[*]))", "{{kind}}"),
                    Query("sum(increase(discord_shard_outages_total{*}[*]))", "outages"),
                    says="Resumes cost nothing; each identify is one of the day's budget. Identifies that do not stop "
                    "are a loop that ends in a token reset: stop the bot and read its log.",
                ),
                lines(
                    "Time without connection",
                    "percentunit",
                    Query(
                        "avg by (bot, cluster, instance) (rate(discord_shard_downtime_seconds_total{*}[*]))",
                        WHO,
                    ),
                    says="Share of the shards' time spent in outages; a tenth may be one shard of ten. One cluster "
                    "alone: its process or host; all: Discord.",
                    steps=rising(0.01, 0.1),
                ),
            ),
        ),
        Row(
            "Events",
            (
                lines(
                    "Events by type",
                    "cps",
                    Query(leading("discord_gateway_events_total{*}", "event"), "{{event}}"),
                    says="The ten most frequent gateway events. One that jumps is a raid or a busy guild; presences "
                    "and typing that nobody uses are dropped by intents.",
                    width=12,
                    stacked=True,
                ),
                lines(
                    "Events, busiest shards",
                    "cps",
                    Query(
                        leading('discord_shard_dispatches_total{shard=~"$shard", *}', "bot, shard"), "{{bot}} {{shard}}"
                    ),
                    says="The ten shards that receive most. Far above the others: one large guild is on it; give its "
                    "process fewer shards.",
                    width=12,
                    points=POINTS,
                ),
                lines(
                    "Guilds by shard",
                    "none",
                    *(
                        Query(f"quantile({rank}, discord_shard_guilds{{*}})", name)
                        for rank, name in ((0, "least"), (0.5, "median"), (1, "most"))
                    ),
                    says="How the guilds spread over the shards. Discord wants at most 2,500 on each and lets no more "
                    "connect: add shards before that.",
                    steps=rising(2000, 2500),
                    points=POINTS,
                ),
                lines(
                    "Unavailable guilds",
                    "none",
                    Query("sum by (bot, cluster, instance) (discord_shard_guilds_unavailable{*})", WHO),
                    says="Guilds that Discord says are unavailable. Right after a start they are loading; later it is "
                    "an outage at Discord: its status page, and waiting.",
                    steps=rising(1, 100),
                ),
                lines(
                    "Sending held back",
                    "short",
                    Query("sum(discord_shard_send_rate_limited{*})", "shards at their limit"),
                    Query("sum(increase(discord_gateway_rate_limited_total{*}[*]))", "requests dropped by Discord"),
                    Query("sum(increase(discord_member_chunk_requests_total{*}[*]))", "requests for members"),
                    says="What the bot sends: 120 commands a minute and shard, and requests for members fewer. At the "
                    "limit or dropped: presence changes or fetching of members in a loop; do it more seldom.",
                ),
            ),
        ),
        Row(
            "Logins and start-up",
            (
                stat(
                    "Identifies left",
                    "none",
                    Query("min by (job, bot) (discord_session_start_limit_remaining{*})", "{{bot}}"),
                    says="New sessions that Discord allows until the reset. At 0 it ends every session and resets the "
                    "token: below a fifth stop what logs in again and again, Sessions begun shows it.",
                    steps=falling(100, 250),
                    width=4,
                    empty=UNASKED,
                ),
                stat(
                    "Share left",
                    "percentunit",
                    Query(
                        "min by (job, bot) (discord_session_start_limit_remaining{*}) / "
                        "max by (job, bot) (discord_session_start_limit{*})",
                        "{{bot}}",
                    ),
                    says="The same as a share of the budget, which is 1,000 a day for most bots.",
                    steps=falling(0.1, 0.25),
                    width=4,
                    empty=UNASKED,
                ),
                stat(
                    "Left at the reset",
                    "none",
                    Query(
                        "min by (job, bot) (discord_session_start_limit_remaining{*}) - sum by (job, bot) ("
                        'rate(discord_shard_connections_total{kind="identify", *}[30m])) * clamp_min('
                        "max by (job, bot) (discord_session_start_limit_reset_timestamp_seconds{*}) - time(), 0)",
                        "{{bot}}",
                    ),
                    says="What would be left at the reset if the pace of the last half hour stayed. Negative right "
                    "after a start of many shards is no harm; negative for longer is: see Identifies left.",
                    steps=falling(0, 100),
                    width=4,
                    decimals=0,
                    empty=UNASKED,
                ),
                stat(
                    "Reset in",
                    "s",
                    Query(
                        "max by (job, bot) (discord_session_start_limit_reset_timestamp_seconds{*}) - time()", "{{bot}}"
                    ),
                    says="Until the budget is full again. Where little is left, start nothing before.",
                    width=4,
                    empty=UNASKED,
                ),
                stat(
                    "Logins at once",
                    "none",
                    Query("max by (job, bot) (discord_session_start_limit_max_concurrency{*})", "{{bot}}"),
                    says="Shards that may identify in the same 5 seconds. Shards / this * 5 s is the shortest start; "
                    "only Discord can raise it.",
                    width=4,
                    empty=UNASKED,
                ),
                stat(
                    "Waiting to reconnect",
                    "none",
                    "sum(discord_shard_reconnect_queue{*})",
                    says="Shards that wait for their turn: discord.py takes them one after another. Growing: they are "
                    "lost faster than they come back; see Closes by code.",
                    steps=rising(1, 10),
                    width=4,
                    empty="there is one shard",
                ),
                lines(
                    "Guilds loaded",
                    "percentunit",
                    Query(
                        "sum by (bot, cluster, instance) (discord_startup_guilds_available{*}) / "
                        "(sum by (bot, cluster, instance) (discord_startup_guilds_expected{*}) > 0)",
                        WHO,
                    ),
                    says="Of the guilds that Discord named at the last login, those that have come. Stuck below 100 "
                    "%: the rest is unavailable at Discord.",
                    empty="the bot is in no guild",
                ),
                lines(
                    "Login to ready, slowest",
                    "s",
                    Query("max by (bot, cluster, instance) (discord_shard_ready_seconds{*})", f"{WHO} ready"),
                    Query(
                        "max by (bot, cluster, instance) (discord_shard_identify_wait_seconds{*})",
                        f"{WHO} waited for its turn",
                    ),
                    says="How long the slowest shard's last new session took to be ready, and how long it waited to "
                    "identify. Long and growing: guild chunking (chunk_guilds_at_startup) or too few logins at once.",
                ),
                table(
                    "Why the last process ended",
                    Column(
                        "Processes", "none", "sum by (bot, cluster, instance, reason, code) (discord_last_exit_info{*})"
                    ),
                    says="closed: in order. killed: no word was left, so out of memory, SIGKILL or a crash. "
                    "fatal_close: Discord refused the bot with this code: 4004 token, 4014 intents; mend it first.",
                    width=8,
                    empty="each process is the first on its machine",
                ),
                table(
                    "Processes",
                    Column("Shards served", "none", "count by (job, bot, cluster, instance) (discord_shard_status{*})"),
                    Column("Shards of the bot", "none", "max by (job, bot, cluster, instance) (discord_shards{*})"),
                    Column(
                        "Down, of the shown time",
                        "percentunit",
                        "avg by (job, bot, cluster, instance) ("
                        "rate(discord_shard_downtime_seconds_total{*}[$__range]))",
                        rising(0.001, 0.01),
                    ),
                    says="Which process serves how many shards. All clusters of a bot must name the same number of "
                    "shards of the bot, else guilds are on two shards or on none: restart the odd one.",
                    sort="Down, of the shown time",
                    height=6,
                ),
            ),
        ),
    ),
    ANNOTATIONS,
)
