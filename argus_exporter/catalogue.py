"""Every metric and every label, as data.

A metric stands here once. The instruments are built from it, the encoder renders it, the tables in README.md are
generated from it. A label cannot be declared without its bound: the constructor refuses it.

Full metric names are written out, so that a search for a name on a dashboard ends here.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import ClassVar, Final, Literal

Kind = Literal["counter", "gauge", "histogram"]

OTHER: Final = "other"
"""The label value that takes everything beyond a label's bound."""

MAX_SERIES: Final = 100_000
"""No family may be declared that could hold more series than this (a histogram's lines are not counted)."""

_METRIC_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_RESERVED_SUFFIXES: Final = ("_total", "_created", "_bucket", "_count", "_sum")
_SUFFIXES_OF: Final = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Label:
    """A label and the reason why it cannot explode.

    :param name: as in Prometheus, ``[a-zA-Z_][a-zA-Z0-9_]*``, not starting with ``__``.
    :param bound: how many values there can be at most, ``other`` not counted.
    :param why: where the bound comes from, in a few words for the README.
    :param values: the known values where the set is closed; anything else folds into ``other``.
    """

    name: str
    bound: int
    why: str
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a label without a name, a bound or a reason."""
        if not _LABEL_NAME.match(self.name) or self.name.startswith("__") or self.name == "le":
            msg = f"label {self.name!r}: not a label name of Prometheus"
            raise ValueError(msg)
        if not (1 <= self.bound <= MAX_SERIES) or not self.why:
            msg = f"label {self.name!r}: needs a bound of 1 to {MAX_SERIES} and the reason for it"
            raise ValueError(msg)
        if len(self.values) > self.bound:
            msg = f"label {self.name!r}: {len(self.values)} values are more than its bound of {self.bound}"
            raise ValueError(msg)


def closed(name: str, values: tuple[str, ...], why: str) -> Label:
    """Declare a label whose values are all known: its bound is their number."""
    return Label(name, len(values), why, values)


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """A metric family, declared.

    :param name: the full name as it is scraped, ``_total`` included.
    :param help: one line that says what it counts, with its unit where the name does not say it.
    :param noun: the collector that owns it.
    :param labels: in the order in which handles are asked for.
    :param series: how many label sets there can be at most, the one that is all ``other`` not counted; the product of
        the labels' bounds if not given.
    """

    kind: ClassVar[Kind]

    name: str
    help: str
    noun: str
    labels: tuple[Label, ...] = ()
    series: int = 0

    def __post_init__(self) -> None:
        """Refuse a declaration that Prometheus would refuse, or that has no bound."""
        if not _METRIC_NAME.match(self.name):
            self._refuse("not a metric name of Prometheus")
        if not self.help or not self.help.isprintable():
            self._refuse("needs a help text of one line, printable")
        if len({label.name for label in self.labels}) != len(self.labels):
            self._refuse("has a label twice")
        if not self.series:
            object.__setattr__(self, "series", math.prod(label.bound + 1 for label in self.labels))
        if not 1 <= self.series <= MAX_SERIES:
            self._refuse(f"could hold {self.series} series, more than {MAX_SERIES}: give it a bound (series=)")

    def _refuse(self, reason: str) -> None:
        msg = f"metric {self.name!r}: {reason}"
        raise ValueError(msg)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels, in order."""
        return tuple(label.name for label in self.labels)

    @property
    def family(self) -> str:
        """The name of the family in OpenMetrics, where a counter's has no ``_total``."""
        return self.name.removesuffix("_total")

    @property
    def reserved_names(self) -> frozenset[str]:
        """The names that no other metric may have or reserve: the family's, and those that its samples could have."""
        return frozenset(self.family + suffix for suffix in _SUFFIXES_OF[self.kind])


@dataclasses.dataclass(frozen=True, slots=True)
class Counter(Metric):
    """Only ever goes up; ends in ``_total``."""

    kind: ClassVar[Kind] = "counter"

    def __post_init__(self) -> None:
        """Refuse a counter whose name is not a counter's."""
        Metric.__post_init__(self)
        if not self.name.endswith("_total") or not _METRIC_NAME.match(self.family):
            self._refuse("a counter's name ends in _total, after a name of its own")


@dataclasses.dataclass(frozen=True, slots=True)
class Gauge(Metric):
    """Goes up and down; absent where its value is not known."""

    kind: ClassVar[Kind] = "gauge"

    def __post_init__(self) -> None:
        """Refuse a gauge whose name would be read as another type's."""
        Metric.__post_init__(self)
        if self.name.endswith(_RESERVED_SUFFIXES):
            self._refuse(f"a gauge's name does not end in any of {', '.join(_RESERVED_SUFFIXES)}")


@dataclasses.dataclass(frozen=True, slots=True)
class Histogram(Metric):
    """Observations in buckets.

    :param edges: the upper edges in ascending order, finite, none below zero (a sum that can fall is no counter:
        OpenMetrics forbids it, and prometheus_client leaves the sum out); ``+Inf`` is added.
    """

    kind: ClassVar[Kind] = "histogram"

    edges: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse edges that are not ascending, finite and positive or zero, and names with a reserved ending."""
        Metric.__post_init__(self)
        if self.name.endswith(_RESERVED_SUFFIXES):
            self._refuse(f"a histogram's name does not end in any of {', '.join(_RESERVED_SUFFIXES)}")
        if (
            not self.edges
            or list(self.edges) != sorted(set(self.edges))
            or not all(0 <= x < math.inf for x in self.edges)
        ):
            self._refuse("needs finite edges in ascending order, none below zero")


# ---------------------------------------------------------------------------------------------- labels

GATEWAY_EVENTS: Final = (
    "APPLICATION_COMMAND_PERMISSIONS_UPDATE",
    "AUTO_MODERATION_ACTION_EXECUTION",
    "AUTO_MODERATION_RULE_CREATE",
    "AUTO_MODERATION_RULE_DELETE",
    "AUTO_MODERATION_RULE_UPDATE",
    "CHANNEL_CREATE",
    "CHANNEL_DELETE",
    "CHANNEL_PINS_UPDATE",
    "CHANNEL_UPDATE",
    "ENTITLEMENT_CREATE",
    "ENTITLEMENT_DELETE",
    "ENTITLEMENT_UPDATE",
    "GUILD_AUDIT_LOG_ENTRY_CREATE",
    "GUILD_BAN_ADD",
    "GUILD_BAN_REMOVE",
    "GUILD_CREATE",
    "GUILD_DELETE",
    "GUILD_EMOJIS_UPDATE",
    "GUILD_INTEGRATIONS_UPDATE",
    "GUILD_JOIN_REQUEST_DELETE",
    "GUILD_JOIN_REQUEST_UPDATE",
    "GUILD_MEMBERS_CHUNK",
    "GUILD_MEMBER_ADD",
    "GUILD_MEMBER_REMOVE",
    "GUILD_MEMBER_UPDATE",
    "GUILD_ROLE_CREATE",
    "GUILD_ROLE_DELETE",
    "GUILD_ROLE_UPDATE",
    "GUILD_SCHEDULED_EVENT_CREATE",
    "GUILD_SCHEDULED_EVENT_DELETE",
    "GUILD_SCHEDULED_EVENT_UPDATE",
    "GUILD_SCHEDULED_EVENT_USER_ADD",
    "GUILD_SCHEDULED_EVENT_USER_REMOVE",
    "GUILD_SOUNDBOARD_SOUNDS_UPDATE",
    "GUILD_SOUNDBOARD_SOUND_CREATE",
    "GUILD_SOUNDBOARD_SOUND_DELETE",
    "GUILD_SOUNDBOARD_SOUND_UPDATE",
    "GUILD_STICKERS_UPDATE",
    "GUILD_UPDATE",
    "INTEGRATION_CREATE",
    "INTEGRATION_DELETE",
    "INTEGRATION_UPDATE",
    "INTERACTION_CREATE",
    "INVITE_CREATE",
    "INVITE_DELETE",
    "MESSAGE_CREATE",
    "MESSAGE_DELETE",
    "MESSAGE_DELETE_BULK",
    "MESSAGE_POLL_VOTE_ADD",
    "MESSAGE_POLL_VOTE_REMOVE",
    "MESSAGE_REACTION_ADD",
    "MESSAGE_REACTION_REMOVE",
    "MESSAGE_REACTION_REMOVE_ALL",
    "MESSAGE_REACTION_REMOVE_EMOJI",
    "MESSAGE_UPDATE",
    "PRESENCE_UPDATE",
    "RATE_LIMITED",
    "READY",
    "RESUMED",
    "SOUNDBOARD_SOUNDS",
    "STAGE_INSTANCE_CREATE",
    "STAGE_INSTANCE_DELETE",
    "STAGE_INSTANCE_UPDATE",
    "SUBSCRIPTION_CREATE",
    "SUBSCRIPTION_DELETE",
    "SUBSCRIPTION_UPDATE",
    "THREAD_CREATE",
    "THREAD_DELETE",
    "THREAD_LIST_SYNC",
    "THREAD_MEMBERS_UPDATE",
    "THREAD_MEMBER_UPDATE",
    "THREAD_UPDATE",
    "TYPING_START",
    "USER_UPDATE",
    "VOICE_CHANNEL_EFFECT_SEND",
    "VOICE_CHANNEL_START_TIME_UPDATE",
    "VOICE_CHANNEL_STATUS_UPDATE",
    "VOICE_SERVER_UPDATE",
    "VOICE_STATE_UPDATE",
    "WEBHOOKS_UPDATE",
)
"""Names of gateway dispatches: Discord's documentation, events/gateway-events, and the parsers of discord.py 2.7."""

CLOSE_CODES: Final = (
    *("1000", "1001", "1002", "1003", "1006", "1007", "1008", "1009", "1010", "1011", "1012", "1013", "1014", "1015"),
    *("4000", "4001", "4002", "4003", "4004", "4005", "4007", "4008", "4009", "4010", "4011", "4012", "4013", "4014"),
    "none",
)
"""RFC 6455 section 7.4.1 and Discord's gateway close codes; ``none`` where a socket was left without being closed."""

FATAL_CLOSE_CODES: Final = frozenset({4004, 4010, 4011, 4012, 4013, 4014})
"""Close codes after which Discord does not let the session reconnect, and discord.py closes the whole client."""

COLLECTORS: Final = ("gateway", "shards", "loop", "process", "exporter", "registry")
"""Nouns that can stand in ``ARGUS_DISABLE`` or in the label ``collector``."""

EVENT: Final = closed("event", GATEWAY_EVENTS, "Discord's names of gateway dispatches")
CODE: Final = closed("code", CLOSE_CODES, "close codes of RFC 6455 and of Discord")
INITIATOR: Final = closed("initiator", ("client", "server"), "two ends")
SHARD: Final = Label("shard", 4096, "shards of this process")
KIND: Final = closed("kind", ("identify", "resume"), "two ways to begin")
COLLECTOR: Final = closed("collector", COLLECTORS, "the collectors of this package")
METRIC: Final = Label("metric", 500, "families of this process")
REASON: Final = closed("reason", ("closed", "fatal_close", "killed"), "what the state file can say")
GENERATION: Final = closed("generation", ("0", "1", "2"), "CPython's generations")


def _one(name: str) -> Label:
    return Label(name, 1, "one value a process")


# ---------------------------------------------------------------------------------------------- gateway

BOT_INFO: Final = Gauge(
    "discord_bot_info",
    "Always 1. Who this is: the bot's name, and the versions of discord.py, Python and this exporter.",
    "gateway",
    (_one("bot"), _one("discord_py"), _one("python"), _one("exporter")),
)
GATEWAY_EVENTS_TOTAL: Final = Counter(
    "discord_gateway_events_total", "Gateway dispatches received, by Discord's event name.", "gateway", (EVENT,)
)
GATEWAY_CLOSES_TOTAL: Final = Counter(
    "discord_gateway_closes_total",
    "Gateway websockets closed, once each, by close code and by who began it. A request to reconnect (op 7) or an "
    "invalid session (op 9) is the server's, a missed heartbeat ACK the client's.",
    "gateway",
    (CODE, INITIATOR),
)
GATEWAY_RATE_LIMITED_TOTAL: Final = Counter(
    "discord_gateway_rate_limited_total",
    "RATE_LIMITED dispatches: a gateway command (such as asking for members) came too often and was dropped.",
    "gateway",
)
MEMBER_CHUNK_REQUESTS_TOTAL: Final = Counter(
    "discord_member_chunk_requests_total", "Requests for guild members sent over the gateway (op 8).", "gateway"
)
SESSION_START_LIMIT: Final = Gauge(
    "discord_session_start_limit", "IDENTIFYs that the bot may send in 24 hours, over all its shards.", "gateway"
)
SESSION_START_LIMIT_REMAINING: Final = Gauge(
    "discord_session_start_limit_remaining",
    "IDENTIFYs left before Discord resets the token. Polled, and counted down on each IDENTIFY of this process.",
    "gateway",
)
SESSION_START_LIMIT_RESET_TIMESTAMP_SECONDS: Final = Gauge(
    "discord_session_start_limit_reset_timestamp_seconds", "When the session start limit is full again.", "gateway"
)
SESSION_START_LIMIT_MAX_CONCURRENCY: Final = Gauge(
    "discord_session_start_limit_max_concurrency", "IDENTIFYs that the bot may send in 5 seconds.", "gateway"
)
LAST_EXIT_INFO: Final = Gauge(
    "discord_last_exit_info",
    "Always 1. Why the process before this one ended, from its state file: closed (in order), killed (no word was "
    "left) or fatal_close with the gateway's close code.",
    "gateway",
    (REASON, CODE),
    series=1,
)

# ---------------------------------------------------------------------------------------------- shards

SHARDS: Final = Gauge("discord_shards", "Shards of the whole bot, over all its processes.", "shards")
GUILDS: Final = Gauge("discord_guilds", "Guilds in this process, unavailable ones included.", "shards")
SHARD_STATUS: Final = Gauge(
    "discord_shard_status",
    "State of a shard: 0 unknown (never launched), 1 unhealthy (heartbeats unanswered, or ACKs but no dispatches), "
    "2 offline, 3 online, 4 starting, 5 stopping, 6 resuming.",
    "shards",
    (SHARD,),
)
SHARD_LATENCY_SECONDS: Final = Gauge(
    "discord_shard_latency_seconds", "Heartbeat to ACK; absent while it is not known.", "shards", (SHARD,)
)
SHARD_LAST_ACK_TIMESTAMP_SECONDS: Final = Gauge(
    "discord_shard_last_ack_timestamp_seconds", "Last heartbeat ACK; absent before the first.", "shards", (SHARD,)
)
SHARD_LAST_DISPATCH_TIMESTAMP_SECONDS: Final = Gauge(
    "discord_shard_last_dispatch_timestamp_seconds",
    "Last dispatch, within the 5 seconds between two looks; absent before the first.",
    "shards",
    (SHARD,),
)
SHARD_DISPATCHES_TOTAL: Final = Counter(
    "discord_shard_dispatches_total", "Gateway dispatches received by a shard.", "shards", (SHARD,)
)
SHARD_CONNECTIONS_TOTAL: Final = Counter(
    "discord_shard_connections_total",
    "Sessions begun by a shard: identify (a new session, READY came) or resume (RESUMED came).",
    "shards",
    (SHARD, KIND),
)
SHARD_OUTAGES_TOTAL: Final = Counter(
    "discord_shard_outages_total",
    "Times that a shard which was online lost its connection. Failed attempts to come back are the same outage.",
    "shards",
    (SHARD,),
)
SHARD_DOWNTIME_SECONDS_TOTAL: Final = Counter(
    "discord_shard_downtime_seconds_total",
    "Seconds that a shard spent in outages, running ones included.",
    "shards",
    (SHARD,),
)
SHARD_GUILDS: Final = Gauge("discord_shard_guilds", "Guilds of a shard, unavailable ones included.", "shards", (SHARD,))
SHARD_GUILDS_UNAVAILABLE: Final = Gauge(
    "discord_shard_guilds_unavailable", "Guilds of a shard that Discord says are unavailable.", "shards", (SHARD,)
)
SHARD_SEND_RATE_LIMITED: Final = Gauge(
    "discord_shard_send_rate_limited",
    "1 while the shard has used up its gateway send budget (Discord allows 120 in 60 seconds) and waits, else 0.",
    "shards",
    (SHARD,),
)
SHARD_READY_SECONDS: Final = Gauge(
    "discord_shard_ready_seconds",
    "How long the shard's last new session took from its websocket to ready, guilds and member chunks included.",
    "shards",
    (SHARD,),
)
SHARD_IDENTIFY_WAIT_SECONDS: Final = Gauge(
    "discord_shard_identify_wait_seconds",
    "How long the shard's last IDENTIFY waited for its turn (max_concurrency).",
    "shards",
    (SHARD,),
)
SHARD_RECONNECT_QUEUE: Final = Gauge(
    "discord_shard_reconnect_queue",
    "Shards that wait for their turn to reconnect: discord.py takes them one by one.",
    "shards",
)
STARTUP_GUILDS_EXPECTED: Final = Gauge(
    "discord_startup_guilds_expected", "Guilds that READY of the shard's last new session named.", "shards", (SHARD,)
)
STARTUP_GUILDS_AVAILABLE: Final = Gauge(
    "discord_startup_guilds_available", "Guilds of that READY which have become available since.", "shards", (SHARD,)
)

# ---------------------------------------------------------------------------------------------- loop

EVENT_LOOP_LAG_SECONDS: Final = Histogram(
    "discord_event_loop_lag_seconds",
    "How late the event loop ran a timer. Sampled four times a second; a long stall counts once, with its length.",
    "loop",
    edges=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
EVENT_LOOP_BLOCKED_SECONDS_TOTAL: Final = Counter(
    "discord_event_loop_blocked_seconds_total",
    "Seconds that the event loop stood still in stalls of half a second and more, a running one included.",
    "loop",
)
ASYNCIO_TASKS: Final = Gauge("discord_asyncio_tasks", "Tasks of the event loop that are not done.", "loop")

# ---------------------------------------------------------------------------------------------- process

PROCESS_CPU_SECONDS_TOTAL: Final = Counter(
    "process_cpu_seconds_total", "User and system CPU time spent, in seconds.", "process"
)
PROCESS_RESIDENT_MEMORY_BYTES: Final = Gauge(
    "process_resident_memory_bytes", "Resident memory size in bytes.", "process"
)
PROCESS_VIRTUAL_MEMORY_BYTES: Final = Gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", "process")
PROCESS_START_TIME_SECONDS: Final = Gauge(
    "process_start_time_seconds", "Start time of the process since the Unix epoch, in seconds.", "process"
)
PROCESS_OPEN_FDS: Final = Gauge("process_open_fds", "Open file descriptors (handles on Windows).", "process")
PROCESS_MAX_FDS: Final = Gauge(
    "process_max_fds", "Limit of open file descriptors; absent where there is none.", "process"
)
PROCESS_THREADS: Final = Gauge("process_threads", "Threads of the operating system in the process.", "process")

# ---------------------------------------------------------------------------------------------- exporter

EXPORTER_INFO: Final = Gauge(
    "argus_exporter_info",
    "Always 1. The version of this exporter and of Python.",
    "exporter",
    (_one("version"), _one("python")),
)
COLLECTOR_UP: Final = Gauge(
    "argus_exporter_collector_up",
    "1 while the collector sees all that it should, 0 where it had to fall back, could not start or fails.",
    "exporter",
    (COLLECTOR,),
)
COLLECTOR_ERRORS_TOTAL: Final = Counter(
    "argus_exporter_collector_errors_total",
    "Exceptions inside a collector. They were caught, the bot did not notice.",
    "exporter",
    (COLLECTOR,),
)
SAMPLE_SECONDS: Final = Gauge(
    "argus_exporter_sample_seconds", "How long the collector's last sampling took.", "exporter", (COLLECTOR,)
)
SERIES: Final = Gauge(
    "argus_exporter_series", "Series of this exporter on the page, a histogram's lines counted each.", "exporter"
)
LABEL_OVERFLOW_TOTAL: Final = Counter(
    "argus_exporter_label_overflow_total",
    "Label values that were folded into other because the label's bound was reached or the value is not known.",
    "exporter",
    (METRIC,),
)
RENDER_SECONDS: Final = Gauge(
    "argus_exporter_render_seconds",
    "How long rendering the last page took on the event loop, waiting not counted.",
    "exporter",
)
SCRAPES_TOTAL: Final = Counter("argus_exporter_scrapes_total", "Pages of metrics served.", "exporter")

METRICS: Final[tuple[Metric, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of the above, in the order of their declaration."""
