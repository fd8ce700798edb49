"""REST: each attempt as it went over the wire, whose limits it met, and how long discord.py held requests back."""

from __future__ import annotations

import typing
from typing import ClassVar, Final

from argus_exporter import catalogue
from argus_exporter.collectors.base import Collector, Context
from argus_exporter.discordpy import HttpListener
from argus_exporter.instruments import Pile

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

    from argus_exporter.discordpy import ClientView, Exchange
    from argus_exporter.instruments import CounterCell

_TOO_MANY: Final = 429

INVALID: Final = frozenset({401, 403, 429})
"""Statuses that count towards Cloudflare's ban of the address, but for a 429 whose scope is shared."""


class RestCollector(Collector, HttpListener):
    """Counts attempts, and what the limits say of them."""

    noun: ClassVar[str] = "rest"

    def __init__(self, context: Context) -> None:
        instruments, view = context.instruments, context.client
        assert view is not None  # noqa: S101 - collectors of the client are made with one
        self._view: ClientView = view
        self._requests = instruments.counter(catalogue.HTTP_REQUESTS_TOTAL)
        self._durations = instruments.histogram(catalogue.HTTP_REQUEST_DURATION_SECONDS)
        waits = instruments.histogram(catalogue.HTTP_WAIT_SECONDS)
        limited = instruments.counter(catalogue.HTTP_RATE_LIMITED_TOTAL)
        self._waits = {reason: waits.labels(reason) for reason in catalogue.WAIT.values}
        self._limited = {scope: limited.labels(scope) for scope in catalogue.SCOPE.values}
        self._invalid = instruments.counter(catalogue.HTTP_INVALID_REQUESTS_TOTAL).labels()
        self._in_flight = instruments.gauge(catalogue.HTTP_REQUESTS_IN_FLIGHT).labels()
        self._global = instruments.gauge(catalogue.HTTP_GLOBAL_RATE_LIMITED).labels()
        self._buckets = instruments.gauge(catalogue.HTTP_BUCKETS).labels()
        self._skew = instruments.gauge(catalogue.API_CLOCK_SKEW_SECONDS).labels()
        self._cells: dict[tuple[str, str, int], tuple[CounterCell, Pile]] = {}
        self._piles = view.journal.piles
        self._unheld = 0
        view.wire.listeners.append(self)

    @property
    def degraded(self) -> bool:
        """Whether attempts are not seen."""
        return not self._view.wire.hooked

    def sample(self) -> None:
        """Bring the gauges up to date: O(1)."""
        wire = self._view.wire
        self._view.journal.settle()
        wire.follow()
        new, self._unheld = wire.unheld - self._unheld, wire.unheld
        self._waits["bucket"].counts[0] += new
        limited = wire.global_limited
        self._in_flight.value = len(wire.flying) if wire.hooked else None
        self._global.value = None if limited is None else int(limited)
        self._buckets.value = wire.buckets
        self._skew.value = self._view.clock.skew

    # ------------------------------------------------------------------------------------- what the wire tells

    def done(self, exchange: Exchange) -> None:
        """Count it, and what it says of the limits."""
        code = exchange.code
        cells = self._cells.get((exchange.method, exchange.route, code))
        requests, durations = self._find(exchange) if cells is None else cells
        requests.value += 1
        values = durations.values
        if not values:
            self._piles.append(durations)
        values.append(exchange.seconds)
        if code in INVALID and exchange.api and exchange.headers is not None:
            self._count_refusal(code, exchange.headers)

    def _find(self, exchange: Exchange) -> tuple[CounterCell, Pile]:
        method, route, status = exchange.method, exchange.route, exchange.status
        found = self._requests.labels(method, route, status), Pile(self._durations.labels(method, route))
        if (method, route, status) in self._requests.cells and (method, route) in self._durations.cells:
            self._cells[method, route, exchange.code] = found  # no more than the families hold; none that is folded
        return found

    def waited(self, reason: str, seconds: float) -> None:
        """Observe what discord.py held back."""
        self._waits[reason].observe(seconds)

    def _count_refusal(self, code: int, headers: Mapping[str, str]) -> None:
        scope = scope_of(headers) if code == _TOO_MANY else ""
        if scope:
            self._limited[scope].value += 1
        if scope != "shared":
            self._invalid.value += 1


def scope_of(headers: Mapping[str, str]) -> str:
    """Whose limit a 429 was; Cloudflare's own has no ``Via``, or a page instead of JSON (discord.py, http.py)."""
    if not headers.get("Via") or headers.get("Content-Type") != "application/json":
        return "cloudflare"
    scope = headers.get("X-RateLimit-Scope", "")
    return scope if scope in {"global", "shared"} else "user"
