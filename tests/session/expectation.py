"""What the page must say after the script, computed from the script and from the simulator's own books.

Counters, counts of histograms and gauges are exact. Of what is measured in time there are physical bounds: no less than
what was slept or what the simulator itself took, no more than all that went by. A series that is not expected is an
error, unless it is 0 and its labels' values are all known.
"""

from __future__ import annotations

import collections
import dataclasses
import importlib.metadata
import platform
import re
import time
import typing
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import discord
from prometheus_client.parser import text_string_to_metric_families

from argus_exporter import catalogue
from tests.clients import sent_by_event, sent_by_shard
from tests.session.script import (
    ACCEPTED,
    CURSED,
    HELD_BACK,
    LOOPS,
    NOBODY,
    SHARDS,
    Call,
    Happening,
    Step,
    Trouble,
    Use,
)

if typing.TYPE_CHECKING:
    from aiohttp import web

    from examples.discord_simulator import Simulator
    from examples.discord_simulator.rest import Request
    from tests.session.bot import Bot
    from tests.session.play import Player

Series = tuple[str, frozenset[tuple[str, str]]]

DAY: Final = 86_400.0
_TOO_LONG: Final = 30.0
"""Seconds of a 429 beyond which the bot gives up instead of trying again."""
_LOOSE: Final = {"worse", "hooked"}
"""Prefix and slash commands that raise what discord.py does not catch."""
OURSELVES: Final = {
    "argus_exporter_collector_up": 1.0,
    "argus_exporter_collector_errors_total": 0.0,
    "argus_exporter_label_overflow_total": 0.0,
    "argus_exporter_left_out_total": 0.0,
    "argus_exporter_interactions_evicted_total": 0.0,
}
"""What the exporter says of itself, whatever the labels: it has seen all that there was, and has caught nothing."""
_RETRIED: Final = {500, 502, 504, 524}
_OUTSIDE: Final = ("/interactions/", "/webhooks/", "/cdn/")
"""Routes that discord.py's ``HTTPClient.request`` has nothing to do with."""


@dataclasses.dataclass(frozen=True)
class Between:
    """What is not known exactly, with its bounds."""

    least: float
    most: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (int, float)) and self.least <= other <= self.most

    __hash__ = None  # type: ignore[assignment]


Value = float | Between


def read(page: str) -> dict[Series, float]:
    """The series of a page, by prometheus_client's own parser."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


@dataclasses.dataclass
class Session:
    """Everything that the expectation is computed from.

    :ivar requests: what the simulator has answered since the exporter was there.
    :ivar records: log records by logger and level, as a handler of the test's own has counted them.
    """

    sim: Simulator
    bot: Bot
    steps: tuple[Step, ...]
    player: Player
    began: float
    requests: list[Request]
    records: Counter[tuple[str, str]]

    def all(self, kind: type[typing.Any]) -> list[typing.Any]:
        return [step for step in self.steps if isinstance(step, kind)]

    @property
    def uses(self) -> list[Use]:
        return self.all(Use)

    @property
    def interactions(self) -> list[Use]:
        return [use for use in self.uses if use.how != "prefix"]

    @property
    def commands(self) -> list[Use]:
        return [use for use in self.uses if use.is_command]

    @property
    def passed(self) -> float:
        return time.time() - self.began


class Expectation:
    """What the page must say."""

    def __init__(self, session: Session, families: Iterable[Callable[[Expectation], None]] | None = None) -> None:
        self.session = session
        self.series: dict[Series, Value] = {}
        for add in families or FAMILIES:
            add(self)

    def one(self, name: str, value: Value, **labels: str) -> None:
        """A counter or a gauge."""
        self.series[name, frozenset(labels.items())] = value

    def many(self, name: str, labels: str, values: Mapping[typing.Any, Value]) -> None:
        """The same of all label sets; keys are strings, or tuples where there is more than one label."""
        for key, value in values.items():
            self.one(name, value, **dict(zip(labels.split(), key if isinstance(key, tuple) else (key,), strict=True)))

    def histogram(
        self,
        name: str,
        labels: str,
        counts: Mapping[typing.Any, Value],
        least: Mapping[typing.Any, float] | None = None,
    ) -> None:
        """Counts, and sums that are no less than what is known to have passed, and no more than all that has."""
        for key, count in counts.items():
            most = count.most if isinstance(count, Between) else count
            passed = self.session.passed + 10  # an interaction may be older than the session
            sums = Between((least or {}).get(key, 0.0), most * passed)
            self.many(f"{name}_count", labels, {key: count})
            self.many(f"{name}_sum", labels, {key: sums})

    def differences(self, page: Mapping[Series, float]) -> list[str]:
        """What is wrong, missing or unexpected, in words."""
        own = {key: value for key, value in page.items() if key[0].startswith("discord_") and not _is_bucket(key)}
        words = self._words()
        wrong = [
            f"{_spelled(key)} is {own.get(key)}, not {value}"
            for key, value in self.series.items()
            if key[0].startswith("discord_") and value != own.get(key, 0.0 if _may_be_absent(key[0], value) else None)
        ]
        unexpected = [
            f"{_spelled(key)} is {value}, unexpected"
            for key, value in own.items()
            if key not in self.series and (value or not words.issuperset(text for _, text in key[1]))
        ]
        own_faults = [
            f"{_spelled(key)} is {value}, not {OURSELVES[key[0]]}"
            for key, value in page.items()
            if value != OURSELVES.get(key[0], value)
        ]
        return sorted(wrong + unexpected + own_faults + _odd_buckets(page))

    def _words(self) -> set[str]:
        """The values that a label may have on a series that is 0."""
        named = {text for _, labels in self.series for _, text in labels}
        return named | {*catalogue.GATEWAY_EVENTS, *catalogue.OUTCOMES, "critical", "CRITICAL", "WARNING", "ERROR"}


def _spelled(key: Series) -> str:
    name, labels = key
    return name + "{" + ",".join(f'{label}="{text}"' for label, text in sorted(labels)) + "}"


def _may_be_absent(name: str, value: Value) -> bool:
    """A counter may wait for its first increment, where its labels' values are not known before."""
    return not isinstance(value, Between) and value == 0 and name.endswith("_total")


def _is_bucket(key: Series) -> bool:
    return key[0].endswith("_bucket")


def _odd_buckets(page: Mapping[Series, float]) -> list[str]:
    """Buckets must not fall, and the last one is the count."""
    by_set: dict[Series, list[tuple[float, float]]] = collections.defaultdict(list)
    for (name, labels), value in page.items():
        if name.startswith("discord_") and name.endswith("_bucket"):
            edge = float(dict(labels)["le"])
            by_set[name[: -len("_bucket")], frozenset((k, v) for k, v in labels if k != "le")].append((edge, value))
    found = []
    for (name, labels), buckets in by_set.items():
        counts = [count for _, count in sorted(buckets)]
        if counts != sorted(counts) or counts[-1] != page[f"{name}_count", labels]:
            found.append(f"{_spelled((name, labels))} has the buckets {counts}")
    return found


# ---------------------------------------------------------------------------------------------- gateway and shards


def gateway(book: Expectation) -> None:
    session, budget = book.session, book.session.sim.gateway.budget
    versions = {"discord_py": discord.__version__, "python": platform.python_version()}
    exporter = importlib.metadata.version("argus_exporter")
    book.one("discord_bot_info", 1, bot=session.sim.world.bot["username"], exporter=exporter, **versions)
    book.many("discord_gateway_events_total", "event", _floats(sent_by_event(session.sim)))
    closes = Counter(close for trouble in session.all(Trouble) for close in trouble.closes)
    book.many("discord_gateway_closes_total", "code initiator", _floats(closes))
    limited = sum(each.event == "RATE_LIMITED" for each in session.all(Happening))
    book.one("discord_gateway_rate_limited_total", limited)
    chunks = sum(call.name == "members" for call in session.all(Call))
    book.one("discord_member_chunk_requests_total", chunks)
    book.one("discord_session_start_limit", budget.total)
    book.one("discord_session_start_limit_remaining", budget.remaining)
    book.one("discord_session_start_limit_max_concurrency", budget.max_concurrency)
    now = time.time()
    book.one("discord_session_start_limit_reset_timestamp_seconds", Between(now - DAY, now + DAY))


def shards(book: Expectation) -> None:
    session, sim = book.session, book.session.sim
    now, passed, troubles = time.time(), session.passed, session.all(Trouble)
    book.one("discord_shards", SHARDS)
    book.one("discord_guilds", len(sim.world.guilds))
    book.one("discord_shard_reconnect_queue", 0)
    book.many("discord_shard_dispatches_total", "shard", _floats(sent_by_shard(sim)))
    for shard in range(SHARDS):
        label = {"shard": str(shard)}
        guilds = sum((guild >> 22) % SHARDS == shard for guild in sim.guild_ids)
        outages = sum(trouble.shard == shard for trouble in troubles)
        for name, value in {
            "discord_shard_status": 3,
            "discord_shard_latency_seconds": Between(0, passed),
            "discord_shard_last_ack_timestamp_seconds": Between(session.began, now),
            "discord_shard_last_dispatch_timestamp_seconds": Between(session.began, now),
            "discord_shard_outages_total": outages,
            "discord_shard_downtime_seconds_total": Between(1e-6, passed) if outages else 0,
            "discord_shard_guilds": guilds,
            "discord_shard_guilds_unavailable": 0,
            "discord_shard_send_rate_limited": 0,
            "discord_shard_ready_seconds": Between(0, passed),
            "discord_shard_identify_wait_seconds": Between(0, passed),
            "discord_startup_guilds_expected": guilds,
            "discord_startup_guilds_available": guilds,
        }.items():
            book.one(name, value, **label)
        book.one("discord_shard_connections_total", sim.sessions[shard].identifies, kind="identify", **label)
        book.one("discord_shard_connections_total", sim.sessions[shard].resumes, kind="resume", **label)


# ---------------------------------------------------------------------------------------------- interactions, commands


def interactions(book: Expectation) -> None:
    uses = book.session.interactions
    of_type = Counter(use.how for use in uses)
    handled = [use for use in uses if use.handled]
    book.many("discord_interactions_total", "type", _floats(of_type))
    book.many("discord_interactions_handled_total", "type outcome", _counted((u.how, u.outcome) for u in handled))
    book.one("discord_interactions_in_flight", 0)
    # the simulator's clock has milliseconds
    late = sum(use.late - 0.01 for use in uses if use.late)
    book.histogram("discord_interaction_delivery_seconds", "", {(): len(uses)}, {(): late})
    answered = [use for use, made in book.session.player.used if made.response is not None]
    book.histogram("discord_interaction_ack_seconds", "type", _counted(u.how for u in answered), _slept(answered))
    book.histogram("discord_interaction_duration_seconds", "type", _counted(u.how for u in handled), _slept(handled))
    missed = _counted(use.how for use in uses if use.answer != ACCEPTED)
    book.many("discord_interaction_deadline_missed_total", "type", missed)
    nobody = _counted(use.how for use in uses if use.answer == NOBODY)
    book.many("discord_interactions_unanswered_total", "type", nobody)
    refused = _counted(
        str(each.status)
        for each in book.session.requests
        if each.route.endswith("/callback") and 400 <= each.status < 500 and each.status != 429
    )
    book.many("discord_interaction_ack_failures_total", "status", refused)


def commands(book: Expectation) -> None:
    uses = book.session.commands
    named = [(use.command or use.name, use) for use in uses]
    book.many("discord_commands_total", "command type outcome", _counted((n, u.how, u.outcome) for n, u in named))
    book.histogram("discord_command_duration_seconds", "type", _counted(u.how for u in uses), _slept(uses))
    book.histogram("discord_command_duration_by_command_seconds", "command", _counted(name for name, _ in named))
    book.many("discord_command_errors_total", "command error", _counted((n, u.error) for n, u in named if u.error))
    book.one("discord_commands_in_flight", 0)
    # the script uses every command, but for one that is only completed, and discord.py's own
    scripted = [use for use in book.session.all(Use) if use.is_command and use.outcome != "not_found"]
    names = {(use.how, use.command or use.name) for use in scripted}
    names |= {("slash", "suggest"), ("prefix", "help")}
    book.many("discord_commands_registered", "type", _counted(how for how, _ in names))
    for how, name in names:
        book.series.setdefault(("discord_commands_total", frozenset(_labels(command=name, type=how, outcome="ok"))), 0)


# ---------------------------------------------------------------------------------------------- rest


def _rest(book: Expectation) -> None:
    requests = book.session.requests
    routed = [(each.method, template_of(each), each) for each in requests]
    statuses = _counted((method, route, str(each.status or "error")) for method, route, each in routed)
    book.many("discord_http_requests_total", "method route status", statuses)
    took: Counter[typing.Any] = Counter()
    for method, route, each in routed:
        took[method, route] += each.duration  # type: ignore[assignment]
    counts = _counted((method, route) for method, route, _ in routed)
    book.histogram("discord_http_request_duration_seconds", "method route", counts, took)
    book.histogram(
        "discord_http_wait_seconds",
        "reason",
        {"bucket": _calls(book.session), "global": HELD_BACK},
        {"global": HELD_BACK * 0.2},
    )
    limited = [each for each in requests if each.status == 429]
    book.many("discord_http_rate_limited_total", "scope", _counted(each.scope or "cloudflare" for each in limited))
    invalid = sum(each.status in {401, 403} for each in requests) + sum(each.scope != "shared" for each in limited)
    book.one("discord_http_invalid_requests_total", invalid)
    book.one("discord_http_requests_in_flight", 0)
    book.one("discord_http_global_rate_limited", 0)
    book.one("discord_http_buckets", len(book.session.bot.http._buckets))
    book.one("discord_api_clock_skew_seconds", Between(-1, 1))


def template_of(request: Request) -> str:
    """The route as discord.py has it, its parameters without their names; what begins with an @ is none."""
    template = request.route.removeprefix(f"{request.method} ")
    if template.startswith("/cdn/"):
        return "cdn"
    segments = request.path.removeprefix("/api/v10").split("/")
    both = zip(template.split("/"), segments, strict=True)
    return "/".join("{}" if name.startswith("{") and not text.startswith("@") else text for name, text in both)


def nameless(page: Mapping[Series, float]) -> dict[Series, float]:
    """The page with the parameters of its routes without their names: the simulator has other names for them."""
    return {
        (
            name,
            frozenset((label, re.sub(r"\{\w+\}", "{}", text) if label == "route" else text) for label, text in labels),
        ): value
        for (name, labels), value in page.items()
    }


def _calls(session: Session) -> int:
    """How often discord.py's HTTPClient was asked for something: its attempts, less those that it tried again."""
    attempts = [each for each in session.requests if not each.route.partition(" ")[2].startswith(_OUTSIDE)]
    plans = [plan for step in session.steps if isinstance(step, (Use, Call)) for plan in step.plan]
    tried_again = [
        answer
        for route, make in plans
        if not route.partition(" ")[2].startswith(_OUTSIDE) and _is_tried_again(answer := make())
    ]
    return len(attempts) - len(tried_again)


def _is_tried_again(answer: web.Response) -> bool:
    if answer.status != 429:
        return answer.status in _RETRIED
    return "Via" in answer.headers and float(answer.headers["Retry-After"]) < _TOO_LONG


# ---------------------------------------------------------------------------------------------- the rest of the bot


def _cache(book: Expectation) -> None:
    session, state = book.session, book.session.bot._connection
    book.one("discord_members", sum(len(guild.members) for guild in session.sim.world.guilds.values()))
    book.one("discord_cached_users", len(state._users))
    book.one("discord_cached_messages", len(session.bot.cached_messages))
    book.one("discord_views", 2)  # a board, and one that belongs to no message
    waiting: set[object] = set()
    for use in session.uses:
        if use.name == "ask":
            waiting.add(dict(use.options)["modal"])
        elif use.how == "modal" and use.outcome == "ok":
            waiting.discard(use.name)
    book.one("discord_modals", len(waiting))


def _tasks(book: Expectation) -> None:
    now = time.time()
    for loop in LOOPS:
        for name, value in {
            "discord_task_loop_running": loop.running,
            "discord_task_loop_dead": loop.dead,
            "discord_task_loop_retrying": 0,
            "discord_task_loop_interval_seconds": loop.seconds,
            "discord_task_loop_iterations_total": loop.ran,
            "discord_task_loop_failures_total": loop.failed,
            "discord_task_loop_overruns_total": loop.overran,
        }.items():
            book.one(name, value, loop=loop.name)
        if loop.ran:
            book.one(
                "discord_task_loop_last_success_timestamp_seconds", Between(book.session.began, now), loop=loop.name
            )


def _loop(book: Expectation) -> None:
    passed = book.session.passed
    book.histogram("discord_event_loop_lag_seconds", "", {(): Between(1, 4 * passed + 2)})
    book.one("discord_event_loop_blocked_seconds_total", Between(0, passed))
    book.one("discord_asyncio_tasks", Between(SHARDS, 200))


def _voice(book: Expectation) -> None:
    book.one("discord_voice_connections", 0)
    book.one("discord_voice_playing", 0)


def errors(book: Expectation) -> None:
    session, ran = book.session, book.session.bot.ran
    roles = {"guild_role_create": 0.02 * ran["guild_role_create"]}
    book.histogram("discord_event_listener_seconds", "event", ran, roles)
    # error handlers, hooks and checks that raise: out of the listener that runs prefix commands, or out of a task
    loose = Counter(use.how == "prefix" for use in session.uses if use.name in _LOOSE or use.member == CURSED)
    book.many("discord_event_errors_total", "event", {"typing": ran["typing"], "message": loose[True]})
    book.many("discord_unhandled_errors_total", "source", {"task": loose[False], "thread": 0, "excepthook": 0})


def logs(book: Expectation) -> None:
    book.many("discord_log_records_total", "logger level", _floats(book.session.records))


def _labels(**labels: str) -> list[tuple[str, str]]:
    return list(labels.items())


def _counted(keys: Iterable[typing.Any]) -> dict[typing.Any, Value]:
    return _floats(Counter(keys))


def _floats(counts: Mapping[typing.Any, int]) -> dict[typing.Any, Value]:
    return {key[0] if isinstance(key, tuple) and len(key) == 1 else key: float(count) for key, count in counts.items()}


def _slept(uses: Iterable[Use]) -> dict[typing.Any, float]:
    slept: dict[typing.Any, float] = collections.defaultdict(float)
    for use in uses:
        slept[use.how] += use.seconds
    return slept


FAMILIES: Final = (
    gateway,
    shards,
    interactions,
    commands,
    _rest,
    _cache,
    _tasks,
    _loop,
    _voice,
    errors,
    logs,
)
