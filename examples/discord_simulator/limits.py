"""The numbers Discord enforces, as data. Sources: Discord's docs, topics/rate-limits and events/gateway."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Limits:
    """What is enforced. Windows and lifetimes are in seconds; a window of 0 turns that limit off."""

    identify_window: float = 5.0
    """`max_concurrency` IDENTIFYs are let through per window; the others get INVALID_SESSION."""
    gateway_sends: int = 120
    """Payloads a connection may send per `gateway_window`; one more closes it with 4008."""
    gateway_window: float = 60.0
    members_window: float = 30.0
    """A guild's whole member list may be asked for once per window; else a RATE_LIMITED dispatch answers."""
    buckets: bool = True
    """Whether REST buckets have Discord's sizes. If not, each takes 1,000 requests a second."""
    global_requests: int = 50
    """REST requests per second over all routes; interaction endpoints are exempt. 0 turns it off."""
    invalid_requests: int = 10_000
    """401, 403 and 429 answers per `invalid_window` before Cloudflare bans the address. 0 turns it off."""
    invalid_window: float = 600.0
    interaction_deadline: float = 3.0
    """How long the first response to an interaction may take."""
    interaction_lifetime: float = 900.0
    """How long an interaction's token lives."""
    replay: int = 20_000
    """Events a session keeps for RESUME."""
    resume_window: float = 180.0
    """How long a session outlives its connection."""
    closing: float = 2.0
    """How long a client may take to answer a close before its connection is cut."""
    backlog: int = 100_000
    """Events a slow client may fall behind before its connection is closed."""


DISCORD = Limits()
"""Discord's own numbers: what the command line uses."""

QUICK = replace(DISCORD, identify_window=0.0, members_window=0.0, buckets=False, global_requests=0)
"""The same without what makes tests wait: what `Simulator()` uses unless told otherwise."""
