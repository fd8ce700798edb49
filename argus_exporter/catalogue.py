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

LONGEST_VALUE: Final = 128
"""Characters of a label's value at most; what is longer, which no programmer has named so, is ``other``.

In UTF-8 that is 512 bytes at most, of 2,048 that Mimir takes.
"""

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
        if not 1 <= self.bound <= MAX_SERIES:
            msg = f"label {self.name!r}: needs a bound of 1 to {MAX_SERIES}"
            raise ValueError(msg)
        if not self.why:
            msg = f"label {self.name!r}: needs the reason for its bound"
            raise ValueError(msg)
        if any(len(value) > LONGEST_VALUE for value in self.values):
            msg = f"label {self.name!r}: a value has at most {LONGEST_VALUE} characters"
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
    :param series: how many label sets there can be at most, those whose open labels are all ``other`` not counted; the
        product of the labels' bounds if not given.
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


class Counter(Metric):
    """Only ever goes up; ends in ``_total``."""

    __slots__ = ()

    kind: ClassVar[Kind] = "counter"

    def __post_init__(self) -> None:
        """Refuse a counter whose name is not a counter's."""
        Metric.__post_init__(self)
        if not self.name.endswith("_total") or not _METRIC_NAME.match(self.family):
            self._refuse("a counter's name ends in _total, after a name of its own")


class Gauge(Metric):
    """Goes up and down; absent where its value is not known."""

    __slots__ = ()

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

INTERACTION_TYPES: Final = ("slash", "user", "message", "component", "modal", "autocomplete")
"""Commands by how they are used (slash, menus of users and of messages), and Discord's other interaction types."""

COMMAND_TYPES: Final = ("slash", "user", "message", "prefix")
"""Ways to use a command. A hybrid command is slash or prefix, as it was used."""

OUTCOMES: Final = ("ok", "user_error", "rejected", "bot_error", "discord_error", "cancelled", "not_found")
"""How a command ended. Only bot_error and discord_error are anybody's fault but the user's."""

HTTP_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""The methods of Discord's REST API."""

HTTP_STATUSES: Final = (
    *("200", "201", "202", "204", "206", "301", "302", "304", "307", "308"),
    *("400", "401", "403", "404", "405", "409", "410", "413", "415", "422", "429"),
    *("500", "501", "502", "503", "504", "520", "521", "522", "523", "524", "530"),
    "error",
)
"""Statuses that Discord, its CDN and Cloudflare answer with; ``error`` where no answer came."""

COLLECTORS: Final = (
    *("gateway", "shards", "interactions", "commands", "rest", "cache", "tasks", "voice", "loop", "process", "errors"),
    *("logs", "statsd", "analytics", "exporter", "registry"),
)
"""Nouns that can stand in ``ARGUS_DISABLE`` or in the label ``collector``."""

TRANSPORT_DROPS: Final = ("buffer", "unresolved", "refused", "too_long", "closed", "error")
"""Why samples are dropped: the socket's buffer is full; no address is known, or none can be reached; nobody listens
there (the operating system was told so by ICMP); more than a datagram holds; after the close; whatever else."""

STATSD_DROPS: Final = (*TRANSPORT_DROPS, "value")
"""Why a sample did not go out: the transport's reasons, and values that no line can say."""

ANALYTICS_TABLES: Final = (
    *("interactions", "commands", "messages", "member_events", "guild_events"),
    *("users", "members", "guilds", "categories", "channels", "threads"),
)
"""What can be recorded guild by guild: the tables of :mod:`argus_exporter.analytics.events`."""

ANALYTICS_LOSSES: Final = ("rows", "bytes", "refused", "closing")
"""Why a row never came to the database: the queue had as many rows, or bytes, as it may have; the database does not
allow it; the exporter was closed first."""

SHARD_STATUSES: Final = ("unknown", "unhealthy", "offline", "online", "starting", "stopping", "resuming")
"""What the values of ``discord_shard_status`` mean: Glance's."""

REFUSALS: Final = ("unauthorized", "busy", "full", "slow", "large", "handshake")
"""Why the server did not serve: see ``argus_exporter_requests_refused_total``."""

EVENT: Final = closed("event", GATEWAY_EVENTS, "Discord's names of gateway dispatches")
CODE: Final = closed("code", CLOSE_CODES, "close codes of RFC 6455 and of Discord")
INITIATOR: Final = closed("initiator", ("client", "server"), "two ends")
SHARD: Final = Label("shard", 4096, "shards of this process")
KIND: Final = closed("kind", ("identify", "resume"), "two ways to begin")
COLLECTOR: Final = closed("collector", COLLECTORS, "the collectors of this package")
METRIC: Final = Label("metric", 500, "families of this process")
REASON: Final = closed("reason", ("closed", "fatal_close", "killed"), "what the state file can say")
INTERACTION_TYPE: Final = closed("type", INTERACTION_TYPES, "Discord's types of interactions")
COMMAND_TYPE: Final = closed("type", COMMAND_TYPES, "ways to use a command")
OUTCOME: Final = closed("outcome", OUTCOMES, "the outcomes of a command")
COMMAND: Final = Label("command", 160, "registered commands, the first used first; ARGUS_MAX_COMMANDS")
MAX_COMMANDS: Final = 5000
"""What that bound can be set to at most; the series of the families with this label go with it."""
ERROR: Final = Label("error", 200, "exception classes")
METHOD: Final = closed("method", HTTP_METHODS, "HTTP's methods")
ROUTE: Final = Label("route", 150, "templates of Discord's API, the first used first")
STATUS: Final = closed("status", HTTP_STATUSES, "HTTP's statuses")
SCOPE: Final = closed("scope", ("user", "global", "shared", "cloudflare"), "Discord's scopes, and Cloudflare")
WAIT: Final = closed("reason", ("bucket", "global"), "discord.py's two kinds of locks")
LOOP: Final = Label("loop", 100, "discord.ext.tasks loops, by Cog.method or module.function")
LISTENED: Final = Label("event", 100, "names of events that the bot listens to")
SOURCE: Final = closed("source", ("task", "thread", "excepthook"), "the three hooks of Python")
LOGGER: Final = Label("logger", 50, "top-level loggers")
DROP: Final = closed("reason", STATSD_DROPS, "the ways in which a datagram fails")
TABLE: Final = closed("table", ANALYTICS_TABLES, "the tables of analytics")
LOSS: Final = closed("reason", ANALYTICS_LOSSES, "the ways in which a row is lost")
REFUSAL: Final = closed("reason", REFUSALS, "the ways in which the server says no")
LEVEL: Final = closed("level", ("WARNING", "ERROR", "CRITICAL"), "logging's levels")


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

# ---------------------------------------------------------------------------------------------- interactions

INTERACTIONS_TOTAL: Final = Counter(
    "discord_interactions_total", "Interactions received.", "interactions", (INTERACTION_TYPE,)
)
INTERACTIONS_HANDLED_TOTAL: Final = Counter(
    "discord_interactions_handled_total",
    "Interactions whose handler (command, view, modal) has ended, by how. Those that only an event listener answers "
    "have no handler that could be seen.",
    "interactions",
    (INTERACTION_TYPE, OUTCOME),
)
INTERACTIONS_IN_FLIGHT: Final = Gauge(
    "discord_interactions_in_flight",
    "Interactions received, neither answered nor expired; absent where responses cannot be seen.",
    "interactions",
)
INTERACTION_DELIVERY_SECONDS: Final = Histogram(
    "discord_interaction_delivery_seconds",
    "Created (by its id) to received, corrected by the measured clock skew.",
    "interactions",
    edges=(0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0),
)
INTERACTION_ACK_SECONDS: Final = Histogram(
    "discord_interaction_ack_seconds",
    "Received to the first response that Discord accepted, a defer included. Discord's deadline is 3 s after creation.",
    "interactions",
    (INTERACTION_TYPE,),
    edges=(0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0),
)
INTERACTION_DURATION_SECONDS: Final = Histogram(
    "discord_interaction_duration_seconds",
    "Received to the end of its handler, failures too.",
    "interactions",
    (INTERACTION_TYPE,),
    edges=(0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0, 30.0, 120.0, 900.0),
)
INTERACTION_DEADLINE_MISSED_TOTAL: Final = Counter(
    "discord_interaction_deadline_missed_total",
    "Interactions without a response within 3 s of their creation, corrected by the clock skew, whatever came later.",
    "interactions",
    (INTERACTION_TYPE,),
)
INTERACTIONS_UNANSWERED_TOTAL: Final = Counter(
    "discord_interactions_unanswered_total",
    "Interactions that nothing tried to answer at all, counted a minute after their receipt. They have missed the "
    "deadline too.",
    "interactions",
    (INTERACTION_TYPE,),
)
INTERACTION_ACK_FAILURES_TOTAL: Final = Counter(
    "discord_interaction_ack_failures_total",
    "Responses to interactions that Discord refused: 404 is too late (10062), 400 mostly a second one (40060).",
    "interactions",
    (STATUS,),
)
INTERACTIONS_EVICTED_TOTAL: Final = Counter(
    "argus_exporter_interactions_evicted_total",
    "Interactions no longer followed because too many were open at once; their answers are not timed.",
    "interactions",
    (INTERACTION_TYPE,),
)

# ---------------------------------------------------------------------------------------------- commands

COMMANDS_TOTAL: Final = Counter(
    "discord_commands_total",
    "Commands that ended, by outcome. Error ratios count bot_error and discord_error alone.",
    "commands",
    (COMMAND, COMMAND_TYPE, OUTCOME),
    series=988,  # 6 a command, and what other can have
)
COMMAND_DURATION_SECONDS: Final = Histogram(
    "discord_command_duration_seconds",
    "Receipt of the interaction or message to the end of the command, failures too.",
    "commands",
    (COMMAND_TYPE,),
    edges=(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 120.0),
)
COMMAND_DURATION_BY_COMMAND_SECONDS: Final = Histogram(
    "discord_command_duration_by_command_seconds",
    "The same by command, in few buckets.",
    "commands",
    (COMMAND,),
    edges=(0.25, 1.0, 3.0, 10.0),
)
COMMAND_ERRORS_TOTAL: Final = Counter(
    "discord_command_errors_total",
    "Exceptions that ended commands, by the class of the cause (not of discord.py's wrapper).",
    "commands",
    (COMMAND, ERROR),
    series=340,
)
COMMANDS_IN_FLIGHT: Final = Gauge("discord_commands_in_flight", "Commands that run now.", "commands")
COMMANDS_REGISTERED: Final = Gauge(
    "discord_commands_registered",
    "Commands of the bot, subcommands too, groups of slash commands not; a hybrid once for each way to use it.",
    "commands",
    (COMMAND_TYPE,),
)

# ---------------------------------------------------------------------------------------------- rest

HTTP_REQUESTS_TOTAL: Final = Counter(
    "discord_http_requests_total",
    "Attempts as they went over the wire: retries, webhooks, interaction responses and CDN reads too.",
    "rest",
    (METHOD, ROUTE, STATUS),
    series=1500,
)
HTTP_REQUEST_DURATION_SECONDS: Final = Histogram(
    "discord_http_request_duration_seconds",
    "One attempt, from sending it to the headers of its response.",
    "rest",
    (METHOD, ROUTE),
    series=300,
    edges=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
HTTP_WAIT_SECONDS: Final = Histogram(
    "discord_http_wait_seconds",
    "How long discord.py held a request back: for its bucket (each request, 0 included), or for the global limit "
    "(those that met it).",
    "rest",
    (WAIT,),
    edges=(0.001, 0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
HTTP_RATE_LIMITED_TOTAL: Final = Counter(
    "discord_http_rate_limited_total", "Responses 429, by whose limit it was.", "rest", (SCOPE,)
)
HTTP_INVALID_REQUESTS_TOTAL: Final = Counter(
    "discord_http_invalid_requests_total",
    "401, 403, and 429 whose scope is not shared, as Discord counts them: 10,000 in 10 minutes ban the IP address.",
    "rest",
)
HTTP_REQUESTS_IN_FLIGHT: Final = Gauge(
    "discord_http_requests_in_flight", "Attempts that were sent and have no response yet.", "rest"
)
HTTP_GLOBAL_RATE_LIMITED: Final = Gauge(
    "discord_http_global_rate_limited",
    "1 while discord.py holds all requests back for the global limit, else 0.",
    "rest",
)
HTTP_BUCKETS: Final = Gauge("discord_http_buckets", "Rate-limit buckets that discord.py keeps.", "rest")
API_CLOCK_SKEW_SECONDS: Final = Gauge(
    "discord_api_clock_skew_seconds",
    "Own clock minus Discord's, from the Date of its responses; absent before the first.",
    "rest",
)

# ---------------------------------------------------------------------------------------------- cache

MEMBERS: Final = Gauge(
    "discord_members",
    "Members of this process' guilds as Discord counts them; one in two guilds counts twice. "
    "Without the members intent Discord tells of them when the guild is loaded, and no more.",
    "cache",
)
CACHED_USERS: Final = Gauge("discord_cached_users", "Users in discord.py's cache.", "cache")
CACHED_MESSAGES: Final = Gauge("discord_cached_messages", "Messages in discord.py's cache.", "cache")
VIEWS: Final = Gauge("discord_views", "Views that wait for interactions; without a timeout, for ever.", "cache")
MODALS: Final = Gauge("discord_modals", "Modals that wait for being submitted.", "cache")

# ---------------------------------------------------------------------------------------------- tasks

TASK_LOOP_RUNNING: Final = Gauge(
    "discord_task_loop_running",
    "1 while the discord.ext.tasks loop runs, else 0. Where loops share a name, each gauge shows the worst of them.",
    "tasks",
    (LOOP,),
)
TASK_LOOP_DEAD: Final = Gauge(
    "discord_task_loop_dead", "1 where an exception has ended the loop, else 0.", "tasks", (LOOP,)
)
TASK_LOOP_RETRYING: Final = Gauge(
    "discord_task_loop_retrying",
    "1 while the loop's last iteration has failed and discord.py tries it again, for ever if need be, else 0.",
    "tasks",
    (LOOP,),
)
TASK_LOOP_INTERVAL_SECONDS: Final = Gauge(
    "discord_task_loop_interval_seconds",
    "From one iteration's start to the next's, as set; to the next time of day where times are set.",
    "tasks",
    (LOOP,),
)
TASK_LOOP_LAST_SUCCESS_TIMESTAMP_SECONDS: Final = Gauge(
    "discord_task_loop_last_success_timestamp_seconds",
    "End of the last iteration that did not fail; absent before the first.",
    "tasks",
    (LOOP,),
)
TASK_LOOP_ITERATIONS_TOTAL: Final = Counter(
    "discord_task_loop_iterations_total", "Iterations that ended, failed ones included.", "tasks", (LOOP,)
)
TASK_LOOP_FAILURES_TOTAL: Final = Counter(
    "discord_task_loop_failures_total", "Iterations that ended with an exception.", "tasks", (LOOP,)
)
TASK_LOOP_OVERRUNS_TOTAL: Final = Counter(
    "discord_task_loop_overruns_total", "Iterations that took longer than the interval.", "tasks", (LOOP,)
)

# ---------------------------------------------------------------------------------------------- voice

VOICE_CONNECTIONS: Final = Gauge("discord_voice_connections", "Voice clients of this process.", "voice")
VOICE_PLAYING: Final = Gauge(
    "discord_voice_playing", "Voice clients that play audio now; absent while one does not say.", "voice"
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

# ---------------------------------------------------------------------------------------------- errors

EVENT_ERRORS_TOTAL: Final = Counter(
    "discord_event_errors_total", "Exceptions in the bot's event listeners.", "errors", (LISTENED,)
)
EVENT_LISTENER_SECONDS: Final = Histogram(
    "discord_event_listener_seconds",
    "How long the bot's event listeners took, from their first step to their end.",
    "errors",
    (LISTENED,),
    edges=(0.01, 0.1, 1.0, 10.0),
)
UNHANDLED_ERRORS_TOTAL: Final = Counter(
    "discord_unhandled_errors_total",
    "Exceptions that nothing handled: of tasks and callbacks of the event loop, of threads, of the interpreter.",
    "errors",
    (SOURCE,),
)
ERROR_LOG_WRITTEN_TOTAL: Final = Counter(
    "argus_exporter_error_log_written_total", "Lines written to the error log.", "errors"
)
ERROR_LOG_SUPPRESSED_TOTAL: Final = Counter(
    "argus_exporter_error_log_suppressed_total",
    "Errors left out of the error log, and of what Sentry is sent: the same within a minute, more than 30 a minute, or "
    "not writable.",
    "errors",
)

# ---------------------------------------------------------------------------------------------- logs

LOG_RECORDS_TOTAL: Final = Counter(
    "discord_log_records_total",
    "Log records at WARNING and above, by the first word of the logger's name.",
    "logs",
    (LOGGER, LEVEL),
)

# ---------------------------------------------------------------------------------------------- statsd

STATSD_DATAGRAMS_TOTAL: Final = Counter(
    "argus_exporter_statsd_datagrams_total",
    "Datagrams for StatsD that the operating system took. Whether they arrived it does not know. These six are there "
    "where `ARGUS_STATSD_URL` is set.",
    "statsd",
)
STATSD_BYTES_TOTAL: Final = Counter("argus_exporter_statsd_bytes_total", "Bytes in those datagrams.", "statsd")
STATSD_ERRORS_TOTAL: Final = Counter(
    "argus_exporter_statsd_errors_total", "Failures of the network and of name resolution.", "statsd"
)
STATSD_DROPPED_TOTAL: Final = Counter(
    "argus_exporter_statsd_dropped_total",
    "Samples that did not go out: the socket's buffer was full, no address was known, nobody listened (ICMP), a line "
    "too long for a datagram, the transport closed, another error, or nan and infinite. Counters make up for it with "
    "the next flush, except where nobody listened.",
    "statsd",
    (DROP,),
)
STATSD_LAST_FLUSH_TIMESTAMP_SECONDS: Final = Gauge(
    "argus_exporter_statsd_last_flush_timestamp_seconds",
    "Last flush whose datagrams the operating system took all; absent before the first.",
    "statsd",
)
STATSD_ADDRESS_AGE_SECONDS: Final = Gauge(
    "argus_exporter_statsd_address_age_seconds",
    "Since the StatsD server's address was last confirmed, which is tried each minute; absent while there is none.",
    "statsd",
)

# ---------------------------------------------------------------------------------------------- analytics

ANALYTICS_QUEUED_TOTAL: Final = Counter(
    "argus_exporter_analytics_queued_total",
    "Rows recorded for the database, those that found no room in the queue included: what of them is neither written "
    "nor lost waits. These are there where `ARGUS_ANALYTICS_URL` is set.",
    "analytics",
    (TABLE,),
)
ANALYTICS_WRITTEN_TOTAL: Final = Counter(
    "argus_exporter_analytics_written_total", "Rows that the database has taken.", "analytics", (TABLE,)
)
ANALYTICS_LOST_TOTAL: Final = Counter(
    "argus_exporter_analytics_lost_total",
    "Rows that will never be written: the queue was full, of rows or of bytes, the database does not allow them, or "
    "the exporter was closed before they were.",
    "analytics",
    (TABLE, LOSS),
)
ANALYTICS_QUEUE_ROWS: Final = Gauge(
    "argus_exporter_analytics_queue_rows", "Rows that wait, those that are being written included.", "analytics"
)
ANALYTICS_QUEUE_BYTES: Final = Gauge(
    "argus_exporter_analytics_queue_bytes", "Bytes of memory that they take at most.", "analytics"
)
ANALYTICS_QUEUE_ROWS_LIMIT: Final = Gauge(
    "argus_exporter_analytics_queue_rows_limit", "Rows that may wait: `ARGUS_ANALYTICS_QUEUE_ROWS`.", "analytics"
)
ANALYTICS_QUEUE_BYTES_LIMIT: Final = Gauge(
    "argus_exporter_analytics_queue_bytes_limit",
    "Bytes that they may take: `ARGUS_ANALYTICS_QUEUE_BYTES`.",
    "analytics",
)
ANALYTICS_WRITE_SECONDS: Final = Histogram(
    "argus_exporter_analytics_write_seconds",
    "How long the database took to store a batch; attempts that failed are not in it.",
    "analytics",
    edges=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
ANALYTICS_FAILURES_TOTAL: Final = Counter(
    "argus_exporter_analytics_failures_total",
    "Attempts to reach the database, to write to it or to leave it that failed or took too long.",
    "analytics",
)
ANALYTICS_LAST_WRITE_TIMESTAMP_SECONDS: Final = Gauge(
    "argus_exporter_analytics_last_write_timestamp_seconds",
    "When the database last stored a batch; absent before the first.",
    "analytics",
)

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
    "Label values that were folded into other: beyond the label's bound, of more than 128 characters, or not known.",
    "exporter",
    (METRIC,),
)
LEFT_OUT_TOTAL: Final = Counter(
    "argus_exporter_left_out_total",
    "What the bot itself recorded, in a metric of its own or by record_…, that could not be counted: no number, a "
    "negative amount, an outcome that is not known.",
    "exporter",
    (METRIC,),
)
RENDER_SECONDS: Final = Gauge(
    "argus_exporter_render_seconds",
    "How long rendering the last page took on the event loop, waiting not counted.",
    "exporter",
)
SCRAPES_TOTAL: Final = Counter("argus_exporter_scrapes_total", "Pages of metrics served.", "exporter")
REQUESTS_REFUSED_TOTAL: Final = Counter(
    "argus_exporter_requests_refused_total",
    "Requests and connections that the server refused: without the token or certificate (401), more scrapes at once "
    "than it serves (503), more connections than it keeps, too slow to ask, too long, or no TLS handshake.",
    "exporter",
    (REFUSAL,),
)
FILE_SD_ERRORS_TOTAL: Final = Counter(
    "argus_exporter_file_sd_errors_total",
    "Attempts to write, refresh or remove the file that tells Prometheus where this process is that failed. These two "
    "are there where `ARGUS_FILE_SD_DIR` is set.",
    "exporter",
)
FILE_SD_LAST_REFRESH_TIMESTAMP_SECONDS: Final = Gauge(
    "argus_exporter_file_sd_last_refresh_timestamp_seconds",
    "When that file was last known to be right; absent before it was written.",
    "exporter",
)

METRICS: Final[tuple[Metric, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of the above, in the order of their declaration."""
