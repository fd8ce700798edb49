"""The exporter itself: whether its numbers can be trusted, and what it costs."""

from __future__ import annotations

from typing import Final

from grafana.builder.looks import NONE_IS_GOOD, SOME_IS_GOOD, rising
from grafana.builder.model import Board, Query, Row
from grafana.builder.panels import Column, lines, stat, table
from grafana.builder.promql import WHO, counted, quantile
from grafana.builder.variables import ANNOTATIONS, STANDARD

OURS: Final = "and on (job, instance) argus_exporter_info{*}"
BY: Final = "bot, cluster, instance, collector"
NO_PUSH: Final = "no StatsD is pushed"
OFF: Final = "nothing is recorded guild by guild (ARGUS_ANALYTICS_URL)"

BOARD: Final = Board(
    "exporter",
    "Exporter",
    "Whether the numbers on the other boards can be trusted, what the exporter costs, and its push by StatsD.",
    STANDARD,
    (
        Row(
            "Trust",
            (
                stat(
                    "Collectors not up",
                    "none",
                    "count(argus_exporter_collector_up{*} == 0) or vector(0)",
                    says="Collectors that fell back to less, could not start or fail. The bot's log has the reason "
                    "once; the table names them.",
                    steps=NONE_IS_GOOD,
                ),
                stat(
                    "Errors inside",
                    "short",
                    "round(sum(increase(argus_exporter_collector_errors_total{*}[$__range]))) or vector(0)",
                    says="Exceptions of the exporter itself in the shown time; the bot did not notice. Please report "
                    "them with the log's traceback.",
                    steps=NONE_IS_GOOD,
                ),
                stat(
                    "Not recorded",
                    "short",
                    "round(sum(increase(argus_exporter_left_out_total{*}[$__range]))) or vector(0)",
                    says="What the bot recorded in its own metrics that could not be counted: no number, a negative "
                    "amount. The bot's log names the metric once.",
                    steps=NONE_IS_GOOD,
                ),
                stat(
                    "Folded into other",
                    "short",
                    "round(sum(increase(argus_exporter_label_overflow_total{*}[$__range]))) or vector(0)",
                    says="Label values beyond their bound. Where it is commands: raise ARGUS_MAX_COMMANDS; a metric "
                    "of your own: a label that is no kind of thing.",
                    steps=rising(1, 1000),
                ),
                stat(
                    "Series",
                    "short",
                    "sum(argus_exporter_series{*})",
                    says="What Prometheus stores for the chosen processes. Growing for ever: a metric of your own "
                    "with ever new labels.",
                ),
                stat(
                    "Scrapes a minute",
                    "none",
                    "60 * sum(rate(argus_exporter_scrapes_total{*}[$__rate_interval]))",
                    says="Pages served. More than your Prometheus asks for: somebody else scrapes too; none: this "
                    "comes by another way.",
                    decimals=1,
                ),
                table(
                    "Collectors",
                    Column("Up", "none", f"min by ({BY}) (argus_exporter_collector_up{{*}})", SOME_IS_GOOD),
                    Column(
                        "Sample",
                        "s",
                        f"max by ({BY}) (argus_exporter_sample_seconds{{*}})",
                        rising(0.005, 0.05),
                    ),
                    Column(
                        "Errors",
                        "short",
                        f"round(sum by ({BY}) (increase(argus_exporter_collector_errors_total{{*}}[$__range])))",
                        NONE_IS_GOOD,
                    ),
                    says="Each collector: 0 in Up is a noun whose metrics are missing or partial; Sample is what it "
                    "takes of the event loop at each scrape.",
                    sort="Sample",
                    width=12,
                    height=10,
                ),
                table(
                    "Overflow and left out, by metric",
                    Column(
                        "Times",
                        "short",
                        counted("argus_exporter_label_overflow_total{*}", "metric", "$__range")
                        + " or "
                        + counted("argus_exporter_left_out_total{*}", "metric", "$__range"),
                    ),
                    says="In the shown time. The metric tells which label to look at: README, Metrics, has the bounds.",
                    sort="Times",
                    width=12,
                    height=10,
                    empty="nothing was folded or left out",
                ),
            ),
        ),
        Row(
            "Cost",
            (
                lines(
                    "Scrape, as Prometheus sees it",
                    "s",
                    Query(f"scrape_duration_seconds {OURS}", WHO),
                    says="From asking to the end of the page, network included. Beyond 5 s the scrape is near its "
                    "timeout: a blocked event loop, or too many series.",
                    steps=rising(1, 5),
                    width=6,
                ),
                lines(
                    "Rendering",
                    "s",
                    Query("argus_exporter_render_seconds{*}", WHO),
                    says="What a page takes of the event loop in all; it is given back about every millisecond. Above "
                    "0.05 s: fewer series.",
                    steps=rising(0.05, 0.25),
                    width=6,
                ),
                lines(
                    "Samples a scrape",
                    "short",
                    Query(f"scrape_samples_scraped {OURS}", WHO),
                    says="All on the page, what the bot itself has on prometheus_client's registry too. A jump is a "
                    "release or an explosion of labels.",
                    width=6,
                ),
                lines(
                    "Requests refused",
                    "short",
                    Query("sum by (reason) (increase(argus_exporter_requests_refused_total{*}[*]))", "{{reason}}"),
                    says="What the exporter's server did not serve. unauthorized: somebody without the token asks; "
                    "busy: more scrapes at once than it serves, so fewer Prometheus or longer intervals.",
                    width=6,
                    empty="nobody was refused",
                ),
            ),
        ),
        Row(
            "Push by StatsD",
            (
                stat(
                    "Last push ago",
                    "s",
                    Query("time() - argus_exporter_statsd_last_flush_timestamp_seconds{*}", WHO),
                    says="Since the last flush that left the process. Much more than ARGUS_STATSD_INTERVAL: the "
                    "receiver's name does not resolve, or the event loop is blocked.",
                    steps=rising(30, 300),
                    width=6,
                    height=8,
                    empty=NO_PUSH,
                ),
                lines(
                    "Sent",
                    "cps",
                    Query(
                        "sum by (bot, cluster, instance) (rate(argus_exporter_statsd_datagrams_total{*}[*]))",
                        f"datagrams {WHO}",
                    ),
                    Query(
                        "sum by (bot, cluster, instance) (rate(argus_exporter_statsd_errors_total{*}[*]))",
                        f"errors {WHO}",
                    ),
                    says="Datagrams, and those that the system refused. Whether they arrived nobody knows: compare "
                    "with what the receiver counts.",
                    width=6,
                    empty=NO_PUSH,
                ),
                lines(
                    "Bytes",
                    "Bps",
                    Query("sum by (bot, cluster, instance) (rate(argus_exporter_statsd_bytes_total{*}[*]))", WHO),
                    says="What goes over the network. Large: fewer series, or a longer ARGUS_STATSD_INTERVAL.",
                    width=6,
                    empty=NO_PUSH,
                ),
                lines(
                    "Dropped",
                    "short",
                    Query("sum by (reason) (increase(argus_exporter_statsd_dropped_total{*}[*]))", "{{reason}}"),
                    Query("max(argus_exporter_statsd_address_age_seconds{*})", "age of the address, in seconds"),
                    says="What was given up, by reason, and how old the receiver's address is. Dropped: the receiver "
                    "or the network is away; an address that only ages: DNS does not answer.",
                    width=6,
                    empty=NO_PUSH,
                ),
            ),
            folded=True,
        ),
        Row(
            "Analytics",
            (
                stat(
                    "Last write ago",
                    "s",
                    Query("time() - argus_exporter_analytics_last_write_timestamp_seconds{*}", WHO),
                    says="Since the database last took a batch. Much more than ARGUS_ANALYTICS_BATCH_SECONDS while "
                    "rows wait: it is away or refuses, and the bot's log says why.",
                    steps=rising(60, 300),
                    height=8,
                    empty=OFF,
                ),
                lines(
                    "Room taken in the queue",
                    "percentunit",
                    Query(
                        "argus_exporter_analytics_queue_rows{*} / argus_exporter_analytics_queue_rows_limit{*}",
                        f"rows {WHO}",
                    ),
                    Query(
                        "argus_exporter_analytics_queue_bytes{*} / argus_exporter_analytics_queue_bytes_limit{*}",
                        f"bytes {WHO}",
                    ),
                    says="Of what may wait. Growing: the database is away, or slower than what comes; at 100 % rows "
                    "are lost. ARGUS_ANALYTICS_QUEUE_ROWS and _BYTES set how much that is.",
                    steps=rising(0.5, 0.8),
                    width=10,
                    empty=OFF,
                ),
                lines(
                    "Rows queued and written",
                    "cps",
                    Query("sum(rate(argus_exporter_analytics_queued_total{*}[*]))", "queued"),
                    Query("sum by (table) (rate(argus_exporter_analytics_written_total{*}[*]))", "written: {{table}}"),
                    says="What the bot records, and what the database has taken, by table. Written below queued for "
                    "long: the queue fills. ARGUS_ANALYTICS_EVENTS says which tables there are.",
                    width=10,
                    empty=OFF,
                ),
                lines(
                    "Rows lost",
                    "short",
                    Query(
                        "sum by (table, reason) (increase(argus_exporter_analytics_lost_total{*}[*]))",
                        "{{table}}: {{reason}}",
                    ),
                    says="Gone for good. rows, bytes: the queue was full; refused: the database does not allow them, "
                    "see the bot's log; closing: the exporter was unloaded first.",
                    empty=OFF,
                ),
                lines(
                    "Attempts that failed",
                    "short",
                    Query("increase(argus_exporter_analytics_failures_total{*}[*])", WHO),
                    says="To reach the database or to write to it; each is made again, up to a minute later. Some at "
                    "its restart are fine, a line that stays is an alert.",
                    empty=OFF,
                ),
                lines(
                    "Writing a batch takes",
                    "s",
                    Query(quantile(0.5, "argus_exporter_analytics_write_seconds"), "p50"),
                    Query(quantile(0.95, "argus_exporter_analytics_write_seconds"), "p95"),
                    says="How long the database takes for a batch; the bot does not wait for it. Beyond 30 s an "
                    "attempt has failed: look at the database's load, or make ARGUS_ANALYTICS_BATCH_ROWS smaller.",
                    steps=rising(5, 30),
                    empty=OFF,
                ),
            ),
            folded=True,
        ),
        Row(
            "Target files",
            (
                lines(
                    "Age of the target file",
                    "s",
                    Query("time() - argus_exporter_file_sd_last_refresh_timestamp_seconds{*}", WHO),
                    says="Since the file that tells Prometheus where the process is was last known to be right. "
                    "Growing: it cannot be written; look at the folder's rights and at the disk.",
                    width=12,
                    empty="no target file is written (ARGUS_FILE_SD_DIR)",
                ),
                lines(
                    "Target files that failed",
                    "short",
                    Query("sum by (bot, cluster, instance) (increase(argus_exporter_file_sd_errors_total{*}[*]))", WHO),
                    says="Attempts to write, refresh or remove such a file that failed. The bot's log has the reason; "
                    "without the file Prometheus does not find the process.",
                    width=12,
                    empty="no target file is written (ARGUS_FILE_SD_DIR)",
                ),
            ),
            folded=True,
        ),
    ),
    ANNOTATIONS,
)
