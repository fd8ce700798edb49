"""The simulator's books of a long run, and what the page must say by them.

What was sent is not what was received. A frame that was on its way when its websocket ended is lost, until it is sent
again or for good. The simulator knows which those are: each RESUME says how far its client has read, and where it is
refused, the simulator corrects its books by it all the same. What was written before an op 9 or a close frame has been
read before it. (A discord.py with shards whose RESUME is not even taken identifies anew, and tells nobody how far it
had read: so before the gateway refuses its clients, close frames send them away, and nobody is cut off.) So the books
are exact as soon as all shards are connected, have answered a request for a heartbeat with the number of the last
event, and no handler of the bot runs.

How a use of the bot ended follows from the script, which has no luck in it, and from how the last request that it made
was answered: each carries the interaction's token or the message's id. The one thing that cannot be known to the last
unit is whether an answer that the simulator accepted within the last moments of the 3 s was sent within them by the
bot's idea of Discord's clock, which is right to :data:`NEAR` seconds. These are counted by themselves.

A connection that the bot has ended without that a close frame of it has arrived was closed with discord.py's 4000.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import time
import typing
from collections import Counter, deque
from types import SimpleNamespace
from typing import Any, Final

from argus_exporter import catalogue
from tests.clients import sent_by_event
from tests.session import expectation
from tests.session.expectation import Between, Expectation, Series
from tests.session.script import ACCEPTED, NOBODY, REFUSED, Call, Happening, Step, Trouble, Use, script

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from examples.discord_simulator import Simulator
    from examples.discord_simulator.rest import Request
    from examples.discord_simulator.sessions import Session

NEAR: Final = 1.5
_SETTLED: Final = 600.0
"""Seconds after which a use is over, whatever happened."""
_CALLBACK: Final = "/callback"
_UNKNOWN: Final = 404


class Requests(deque["Request"]):
    """The simulator's requests of late, each of which is told of."""

    def __init__(self, tell: Callable[[Request], None]) -> None:
        super().__init__(maxlen=1_000)
        self._tell = tell

    def append(self, request: Request, /) -> None:
        super().append(request)
        self._tell(request)


@dataclasses.dataclass(slots=True)
class Entry:
    """A use, and what has become of it.

    :ivar sent: as what it was sent: the session, and the number in it.
    :ivar then: what to do as soon as its first answer has been followed by another request.
    """

    use: Use
    sent: tuple[tuple[Session, int], ...]
    then: Callable[[], None] | None = None
    at: float = dataclasses.field(default_factory=time.monotonic)
    tried: bool = False
    accepted: bool = False
    near: bool = False
    last: int = 200
    responds: bool = False

    @property
    def received(self) -> bool:
        return any(number <= session.written for session, number in self.sent)

    def note(self, request: Request, age: float) -> None:
        """A request that it made was answered."""
        self.last, self.responds = request.status, request.path.endswith(_CALLBACK)
        if self.responds:
            self.tried = True
            self.accepted |= request.status < 300
            self.near |= request.status < 300 and age > 3.0 - NEAR
        elif self.then is not None:
            self.then, then = None, self.then
            then()

    def ended(self) -> Use:
        """The use as it ended."""
        return _ended(self.use, self.tried, self.accepted, self.last, self.responds)


@functools.lru_cache(maxsize=10_000)
def _ended(use: Use, tried: bool, accepted: bool, last: int, responds: bool) -> Use:
    answer = ACCEPTED if accepted else REFUSED if tried else NOBODY
    if last < 300:
        return dataclasses.replace(use, answer=answer)
    forgotten = last == _UNKNOWN and responds
    outcome = "discord_error" if last >= 500 or last == 429 or forgotten else "bot_error"
    names = {403: "Forbidden", 404: "NotFound"}
    error = "DiscordServerError" if last >= 500 else names.get(last, "HTTPException")
    return dataclasses.replace(use, answer=answer, outcome=outcome, error=error)


class Books:
    """What the simulator has seen since :meth:`open`."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.entries: dict[str, Entry] = {}
        self.uses: Counter[Use] = Counter()
        self.near: Counter[str] = Counter()
        self.lost = 0
        self.open()

    def open(self) -> None:
        """Begin, or begin anew."""
        self.began = time.time()
        self.attempts: Counter[tuple[str, str, str]] = Counter()
        self.seconds: Counter[tuple[str, str]] = Counter()
        self.scopes: Counter[str] = Counter()
        self.refusals: Counter[int] = Counter()
        self.sim.rest.requests = Requests(self._note)

    def _note(self, request: Request) -> None:
        template = expectation.template_of(request)
        self.attempts[request.method, template, str(request.status)] += 1
        self.seconds[request.method, template] += request.duration  # type: ignore[assignment]
        if request.status == 429:
            self.scopes[request.scope or "cloudflare"] += 1
        if request.route.endswith(_CALLBACK) and 400 <= request.status < 500 and request.status != 429:
            self.refusals[request.status] += 1
        entry = self.entries.get(_key_of(request))
        if entry is not None:
            made = self.sim.stage.interactions.find(_key_of(request))
            entry.note(request, 0.0 if made is None else made.answered_after or 0.0)

    def settle(self, older: float = _SETTLED) -> None:
        """Book what is over."""
        now = time.monotonic()
        while (oldest := next(iter(self.entries), None)) is not None and now - self.entries[oldest].at >= older:
            entry = self.entries.pop(oldest)
            if entry.received:
                self.uses[entry.ended()] += 1
                self.near[entry.use.how] += entry.near
            else:
                self.lost += 1


def _key_of(request: Request) -> str:
    """The interaction's token, or the id of the message that is answered."""
    parts = request.path.split("/")
    if len(parts) > 5 and parts[3] in {"interactions", "webhooks"}:
        return parts[5]
    content = str(request.json.get("content")) if request.is_a(dict) else ""
    return content.removeprefix("answer ") if request.method == "POST" else ""


# ---------------------------------------------------------------------------------------------- the expectation


class Account(expectation.Session):
    """The books as the expectation reads them.

    :ivar witness: what only the bot can know.
    """

    def __init__(self, books: Books, witness: Mapping[str, Any]) -> None:
        records: Counter[tuple[str, str]] = Counter()
        for logger, level, count in witness["records"]:
            records[logger, level] = count
        bot: Any = SimpleNamespace(ran=Counter(witness["ran"]))
        player: Any = SimpleNamespace(used=[])
        super().__init__(books.sim, bot, script(), player, books.began, [], records)
        self.books = books
        self.witness = witness
        self._used = [*books.uses.elements()]
        player.used += [(use, _MADE[use.answer == ACCEPTED]) for use in self.interactions]
        self.requests = [_refusal(status) for status, count in books.refusals.items() for _ in range(count)]

    @property
    def uses(self) -> list[Use]:
        return self._used

    def all(self, kind: type[Any]) -> list[Any]:
        gateway = self.sim.gateway
        made: dict[type[Any], Callable[[], Iterable[Step]]] = {
            Call: lambda: (),
            Trouble: lambda: (
                Trouble("", -1, "", tuple(_CLOSES.get(close, close) for close in gateway.closes.elements())),
                *(Trouble("", shard, "", ()) for shard in gateway.outages.elements()),
            ),
            Happening: lambda: itertools.repeat(Happening(_RARE), sent_by_event(self.sim).get((_RARE,), 0)),
        }
        return [*made[kind]()] if kind in made else super().all(kind)


_RARE: Final = "RATE_LIMITED"
_CLOSES: Final = {("1006", "client"): ("4000", "client")}
_MADE: Final[tuple[Any, Any]] = (SimpleNamespace(response=None), SimpleNamespace(response=4))


def _refusal(status: int) -> Any:
    return SimpleNamespace(route=_CALLBACK, status=status)


def _sessions(book: Expectation) -> None:
    """A session begins for the bot when it hears so: a RESUMED that was lost comes again with the next one."""
    for (shard, event), count in book.session.sim.dispatched.items():
        if event in _BEGINNINGS:
            book.one("discord_shard_connections_total", count, shard=str(shard), kind=_BEGINNINGS[event])


_BEGINNINGS: Final = {"READY": "identify", "RESUMED": "resume"}


def _deadlines(book: Expectation) -> None:
    books = typing.cast("Account", book.session).books
    for how, near in books.near.items():
        series: Series = ("discord_interaction_deadline_missed_total", frozenset({("type", how)}))
        least: Any = book.series.get(series, 0)
        book.series[series] = Between(least, least + near) if near else least


def _rest(book: Expectation) -> None:
    books = typing.cast("Account", book.session).books
    counts: Counter[tuple[str, str]] = Counter()
    for (method, route, _), count in books.attempts.items():
        counts[method, route] += count
    book.many("discord_http_requests_total", "method route status", books.attempts)
    book.histogram("discord_http_request_duration_seconds", "method route", counts, books.seconds)
    book.many("discord_http_rate_limited_total", "scope", dict.fromkeys(catalogue.SCOPE.values, 0) | books.scopes)
    invalid = sum(count for (_, _, status), count in books.attempts.items() if status in {"401", "403", "429"})
    book.one("discord_http_invalid_requests_total", invalid - books.scopes["shared"])
    book.one("discord_http_requests_in_flight", 0)
    book.one("discord_http_global_rate_limited", 0)


def _bot(book: Expectation) -> None:
    """What only the bot knows: what its listeners and its loggers did, and what discord.py holds."""
    witness = typing.cast("Account", book.session).witness
    book.many("discord_event_errors_total", "event", witness["failed"])
    book.one("discord_members", witness["members"])
    book.one("discord_cached_users", witness["users"])
    book.one("discord_cached_messages", witness["messages"])
    book.one("discord_http_buckets", witness["buckets"])


FAMILIES: Final = (
    expectation.gateway,
    expectation.shards,
    _sessions,
    expectation.interactions,
    _deadlines,
    expectation.commands,
    _rest,
    expectation.errors,
    expectation.logs,
    _bot,
)


def expected(books: Books, witness: Mapping[str, Any]) -> Expectation:
    """What the page must say now."""
    return Expectation(Account(books, witness), FAMILIES)


def differences(book: Expectation, page: Mapping[Series, float]) -> list[str]:
    """What is wrong with a page, in words; families that nobody has books of are not looked at."""
    names = {name for name, _ in book.series}
    names |= {name.removesuffix("_count") + "_bucket" for name in names if name.endswith("_count")}
    return book.differences(
        {key: value for key, value in page.items() if key[0] in names or not key[0].startswith("discord_")}
    )


def booked(book: Expectation) -> tuple[int, float]:
    """How many counters there are in the books, and their sum."""
    counters = [value for (name, _), value in book.series.items() if name.endswith(("_total", "_count"))]
    return len(counters), sum(value for value in counters if not isinstance(value, Between))
