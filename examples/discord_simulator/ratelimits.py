"""REST rate limits: buckets, the global limit, and Cloudflare's ban (Discord's docs, topics/rate-limits)."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .limits import Limits


@dataclass(frozen=True)
class Limit:
    """`count` requests per `seconds`."""

    count: int
    seconds: float


DEFAULT = Limit(10, 10.0)
ROOMY = Limit(1_000, 1.0)


@dataclass
class Bucket:
    """One bucket for one channel, guild or webhook."""

    name: str
    limit: Limit
    used: int = 0
    resets_at: float = 0.0

    def take(self) -> bool:
        """Use one request up; False if none is left. Times are monotonic seconds."""
        now = time.monotonic()
        if now >= self.resets_at:
            self.used, self.resets_at = 0, now + self.limit.seconds
        if self.used >= self.limit.count:
            return False
        self.used += 1
        return True

    @property
    def remaining(self) -> int:
        """Requests left."""
        return self.limit.count - self.used

    @property
    def reset_after(self) -> float:
        """Seconds until it is full again."""
        return max(self.resets_at - time.monotonic(), 0.0)

    def headers(self, clock: float) -> dict[str, str]:
        """The headers of an answer; `clock` is the Unix time that the answer claims."""
        return {
            "X-RateLimit-Limit": str(self.limit.count),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": f"{clock + self.reset_after:.3f}",
            "X-RateLimit-Reset-After": f"{self.reset_after:.3f}",
            "X-RateLimit-Bucket": self.name,
        }


class RateLimits:
    """All buckets, and how many requests and invalid requests there were of late."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.banned_until = 0.0
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._second = Bucket("global", Limit(limits.global_requests or 1, 1.0))
        self._invalid: deque[float] = deque(maxlen=max(limits.invalid_requests, 1))

    def bucket(self, route: str, major: str, limit: Limit | None) -> Bucket:
        """The bucket of a route for its major parameter."""
        key = (route, major)
        if key not in self._buckets:
            name = hashlib.blake2b(route.encode(), digest_size=16).hexdigest()
            self._buckets[key] = Bucket(name, (limit or DEFAULT) if self.limits.buckets else ROOMY)
        return self._buckets[key]

    def take_global(self) -> float:
        """Use up one of the second's requests; the seconds to wait if none is left, else 0."""
        if not self.limits.global_requests or self._second.take():
            return 0.0
        return max(self._second.reset_after, 0.001)

    def invalid(self) -> None:
        """Count a 401, 403 or 429 that was not shared; at the limit the address is banned."""
        now = time.monotonic()
        self._invalid.append(now)
        full = self.limits.invalid_requests and len(self._invalid) >= self.limits.invalid_requests
        if full and now - self._invalid[0] < self.limits.invalid_window:
            self.banned_until = now + self.limits.invalid_window

    @property
    def invalid_requests(self) -> int:
        """Invalid requests in the window that runs now."""
        since = time.monotonic() - self.limits.invalid_window
        return sum(1 for at in self._invalid if at >= since)

    @property
    def banned(self) -> bool:
        """Whether Cloudflare refuses this address."""
        return time.monotonic() < self.banned_until
