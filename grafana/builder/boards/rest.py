"""Discord's REST API: limits, and the distance to a ban."""

from __future__ import annotations

from typing import Final

from grafana.builder.looks import NONE_IS_GOOD, Steps, rising
from grafana.builder.model import Board, Query, Row
from grafana.builder.panels import POINTS, bars, heat, lines, stat
from grafana.builder.promql import WHO, leading, quantile, ratio
from grafana.builder.variables import ANNOTATIONS, STANDARD, query_variable

CHOSEN: Final = 'route=~"$route", '
INVALID: Final = "sum(increase(discord_http_invalid_requests_total{*}[10m]))"
BAN_STEPS: Final[Steps] = ((None, "green"), (2500, "orange"), (8000, "red"))
QUIET: Final = "the bot made no request in this time"

BOARD: Final = Board(
    "rest",
    "REST & rate limits",
    "What the bot asks of Discord's REST API, where it is slowed down, and how far it is from a ban of its address.",
    (
        *STANDARD,
        query_variable(
            "route",
            "Route",
            'label_values(discord_http_requests_total{job=~"$job", bot=~"$bot", cluster=~"$cluster"}, route)',
        ),
    ),
    (
        Row(
            "Distance to a ban",
            (
                bars(
                    "Invalid requests in 10 minutes",
                    "short",
                    Query(INVALID, "of 10,000"),
                    says="401, 403 and 429 (shared ones not) of the chosen processes. Discord bans the IP address for "
                    "up to a day at 10,000 in 10 minutes: choose the processes that share one. Above 2,500 find the "
                    "route in Refused by route, and stop what calls it.",
                    steps=BAN_STEPS,
                    most=10_000,
                    width=8,
                    height=6,
                ),
                stat(
                    "Ban at this pace in",
                    "s",
                    f"(10000 - {INVALID}) / (sum(rate(discord_http_invalid_requests_total{{*}}[2m])) > 0) < 86400",
                    says="When 10,000 would be reached, were all invalid requests as frequent as in the last 2 "
                    "minutes. Under an hour: stop the cause now, or the bot.",
                    steps=((None, "red"), (3600, "orange"), (36000, "green")),
                    height=6,
                    empty="not within a day",
                ),
                stat(
                    "Banned by Cloudflare",
                    "short",
                    'round(sum(increase(discord_http_rate_limited_total{scope="cloudflare", *}[$__range])))',
                    says="Responses of Cloudflare instead of Discord in the shown time. Any: the address is banned "
                    "for now; send nothing until it is over, and find the cause in Refused by route.",
                    steps=NONE_IS_GOOD,
                    height=6,
                ),
                stat(
                    "Held by the global limit",
                    "none",
                    "sum(discord_http_global_rate_limited{*})",
                    says="Processes whose requests all wait now because the bot's 50 a second were used up. Often: "
                    "spread what sends to many channels at once.",
                    steps=NONE_IS_GOOD,
                    height=6,
                    empty="this discord.py does not show it",
                ),
                stat(
                    "Clock ahead of Discord's",
                    "s",
                    Query("max(discord_api_clock_skew_seconds{*})", "most"),
                    Query("min(discord_api_clock_skew_seconds{*})", "least"),
                    says="The most and the least of the processes. A second and more: deadlines are reckoned wrong "
                    "and tokens of interactions may seem expired; mend NTP on that machine.",
                    steps=((None, "red"), (-1, "green"), (1, "red")),
                    height=6,
                    empty="no response has come yet",
                ),
            ),
        ),
        Row(
            "Rate limits",
            (
                lines(
                    "429 by scope",
                    "short",
                    Query("sum by (scope) (increase(discord_http_rate_limited_total{*}[*]))", "{{scope}}"),
                    says="user: the bot's own bucket, discord.py waits and tries again. global: 50 a second. shared: "
                    "others use it up too, no fault of yours. cloudflare: a ban. Many of user: see 429 by route.",
                ),
                lines(
                    "Refused by route",
                    "reqps",
                    Query(
                        leading(
                            f'discord_http_requests_total{{{CHOSEN}status=~"401|403|429", *}}', "method, route, status"
                        ),
                        "{{status}} {{method}} {{route}}",
                    ),
                    points=POINTS,
                    says="401: the token is wrong. 403: a permission is missing; ask before trying "
                    "(can_send_messages). 429: too often. All count towards the ban.",
                    empty="nothing was refused",
                ),
                lines(
                    "Share that is limited",
                    "percentunit",
                    Query(
                        ratio(
                            "sum(rate(discord_http_rate_limited_total{*}[*]))",
                            "sum(rate(discord_http_requests_total{*}[*]))",
                        ),
                        "429 of all",
                    ),
                    points=POINTS,
                    says="Requests answered by 429. Above a few percent the bot works against its limits: batch, "
                    "cache or slow down what the route beside this does.",
                    steps=rising(0.02, 0.05),
                    empty=QUIET,
                ),
                lines(
                    "Held back here, p95",
                    "s",
                    Query(quantile(0.95, "discord_http_wait_seconds", "reason"), "{{reason}}"),
                    says="How long discord.py itself keeps requests back so as not to be limited. Seconds here are "
                    "seconds that a command waits: fewer requests a command.",
                    steps=rising(1, 5),
                    empty=QUIET,
                ),
                lines(
                    "Buckets",
                    "none",
                    Query("sum by (bot, cluster, instance) (discord_http_buckets{*})", WHO),
                    says="Rate limits that discord.py keeps track of. Grows with the channels it speaks in, and is "
                    "cleaned up; growing for ever is memory lost.",
                    empty="this discord.py does not show it",
                ),
                lines(
                    "Under way",
                    "none",
                    Query("sum by (bot, cluster, instance) (discord_http_requests_in_flight{*})", WHO),
                    says="Requests that were sent and have no response yet. Growing: Discord or the network is slow, "
                    "see Duration; or the event loop is.",
                ),
            ),
        ),
        Row(
            "Requests",
            (
                lines(
                    "By status",
                    "reqps",
                    Query(f"sum by (status) (rate(discord_http_requests_total{{{CHOSEN}*}}[*]))", "{{status}}"),
                    points=POINTS,
                    says="Attempts as they went over the wire. 5xx: Discord; discord.py tries again up to five times. "
                    "error: no answer at all, so the network or DNS.",
                    stacked=True,
                    empty=QUIET,
                ),
                lines(
                    "By route",
                    "reqps",
                    Query(
                        leading(f"discord_http_requests_total{{{CHOSEN}*}}", "method, route"),
                        "{{method}} {{route}}",
                    ),
                    points=POINTS,
                    says="The ten most frequent routes. One GET of what discord.py has in its cache (get_… instead of "
                    "fetch_…) is a request for nothing.",
                    empty=QUIET,
                ),
                lines(
                    "Failing at Discord",
                    "percentunit",
                    Query(
                        ratio(
                            f'sum(rate(discord_http_requests_total{{{CHOSEN}status=~"5..|error", *}}[*]))',
                            f"sum(rate(discord_http_requests_total{{{CHOSEN}*}}[*]))",
                        ),
                        "5xx or no answer",
                    ),
                    points=POINTS,
                    says="Requests that Discord or the way there failed. Its status page; the bot can only wait.",
                    steps=rising(0.01, 0.1),
                    empty=QUIET,
                ),
                lines(
                    "Duration",
                    "s",
                    *(
                        Query(quantile(rank, "discord_http_request_duration_seconds", where=CHOSEN), name)
                        for rank, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
                    ),
                    points=POINTS // 2,  # each reads the buckets of every route
                    says="One attempt, from sending to the headers of its response. Slow together with the event "
                    "loop's lag: the process; alone: Discord or the network.",
                    steps=rising(1, 3),
                    empty=QUIET,
                ),
                lines(
                    "Duration by route, p95",
                    "s",
                    Query(
                        quantile(0.95, "discord_http_request_duration_seconds", "method, route", CHOSEN)
                        + " and on (method, route) topk(10, sum by (method, route) "
                        f"(rate(discord_http_request_duration_seconds_count{{{CHOSEN}*}}[$__range] @ end())))",
                        "{{method}} {{route}}",
                    ),
                    points=POINTS // 2,
                    says="The ten most frequent routes. Uploads are slow; a callback that is slow eats the 3 s of its "
                    "interaction.",
                    empty=QUIET,
                ),
                heat(
                    "Duration, spread",
                    "s",
                    f"sum by (le) (increase(discord_http_request_duration_seconds_bucket{{{CHOSEN}*}}[*]))",
                    says="A second band above the first is retries of connections, or one slow route: choose routes "
                    "in the box above.",
                    empty=QUIET,
                ),
            ),
        ),
    ),
    ANNOTATIONS,
)
