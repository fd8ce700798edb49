"""Gateway sessions: what was sent to whom, and what a RESUME gets again."""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from . import intents as wants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .gateway import Connection
    from .limits import Limits


class Event(NamedTuple):
    """A dispatch as a session numbered it; `body` is the `d` field as JSON."""

    sequence: int
    name: str
    body: str

    def encode(self) -> str:
        """The whole payload as JSON."""
        return f'{{"t":"{self.name}","s":{self.sequence},"op":0,"d":{self.body}}}'


class Session:
    """One IDENTIFY and what came of it. It outlives its connection, so that the client can resume."""

    def __init__(self, shard_id: int, shard_count: int, intents: int, limits: Limits) -> None:
        self.shard_id = shard_id
        self.shard_count = shard_count
        self.intents = intents
        self.session_id = secrets.token_hex(16)
        self.sequence = 0
        self.sent: Counter[str] = Counter()
        self.identifies = 1
        self.resumes = 0
        self.received: deque[Any] = deque(maxlen=1_000)
        self.identify: dict[str, Any] = {}
        self.presence: dict[str, Any] = {}
        self.connection: Connection | None = None
        self.valid = True
        self.ready = False
        self.written = 0
        self.began = 0
        """The number of the READY or RESUMED with which its last connection began for the client."""
        self.lost_at = 0.0
        self._history: deque[Event] = deque(maxlen=limits.replay)
        self._backlog = limits.backlog

    def __repr__(self) -> str:
        state = "live" if self.live else "resumable" if self.valid else "over"
        return f"<Session shard={self.shard_id}/{self.shard_count} sequence={self.sequence} {state}>"

    @property
    def live(self) -> bool:
        """Whether a client is connected to it."""
        return self.connection is not None

    def owns(self, guild_id: int | None) -> bool:
        """Whether a guild's events come here; direct messages (None) come on shard 0."""
        return ((guild_id >> 22) % self.shard_count if guild_id else 0) == self.shard_id

    def wants(self, event: str, *, dm: bool = False) -> bool:
        """Whether the intents let the event through."""
        return wants.wanted(self.intents, event, dm=dm)

    def emit(self, name: str, body: str) -> Event:
        """Number an event, keep it for a RESUME, and hand it to the connection if there is one."""
        self.sequence += 1
        event = Event(self.sequence, name, body)
        self._history.append(event)
        if self.connection is not None:
            self.connection.put(event)
            if self.connection.behind > self._backlog:
                self.connection.abandon(4000, "the client is too slow")
        return event

    def missed(self, sequence: int) -> list[Event] | None:
        """What came after `sequence`; None if not all of that is kept any more."""
        oldest = self._history[0].sequence if self._history else self.sequence + 1
        if sequence + 1 < oldest:
            return None
        return [event for event in self._history if event.sequence > sequence]

    def lost(self) -> None:
        """Its connection is gone."""
        self.connection = None
        self.lost_at = time.monotonic()

    def end(self) -> None:
        """It cannot be resumed any more."""
        self.valid = False


class Sessions:
    """All sessions, by id, and the latest of each shard."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.by_shard: dict[int, Session] = {}
        self.identifies: Counter[int] = Counter()
        self.resumes: Counter[int] = Counter()
        self._by_id: dict[str, Session] = {}
        self._owners: dict[int, dict[int, list[Session]]] = {}
        self._past: dict[int, Session] = {}

    def open(self, shard_id: int, shard_count: int, intents: int) -> Session:
        """A new session; an older one of the same shard goes on until its client leaves it."""
        session = Session(shard_id, shard_count, intents, self.limits)
        self.identifies[shard_id] += 1
        session.identifies, session.resumes = self.identifies[shard_id], self.resumes[shard_id]
        self.by_shard[shard_id] = self._by_id[session.session_id] = session
        self._owners.setdefault(shard_count, {}).setdefault(shard_id, []).append(session)
        self._forget_old()
        return session

    def resumable(self, session_id: str) -> Session | None:
        """The session with this id if it can be resumed."""
        session = self._by_id.get(session_id)
        if session is None or not session.valid:
            return None
        if not session.live and time.monotonic() - session.lost_at > self.limits.resume_window:
            self.end(session)
            return None
        return session

    def past(self, session_id: str) -> Session | None:
        """The session with this id if it is the last of its shard that has ended: its client may not know yet."""
        return next((session for session in self._past.values() if session.session_id == session_id), None)

    def end(self, session: Session) -> None:
        """It is over: it gets no events and cannot be resumed."""
        session.end()
        self._past[session.shard_id] = session
        self._by_id.pop(session.session_id, None)
        owners = self._owners[session.shard_count][session.shard_id]
        if session in owners:
            owners.remove(session)
        if self.by_shard.get(session.shard_id) is session and not session.live:
            del self.by_shard[session.shard_id]
            self.by_shard.update((each.shard_id, each) for each in self.of_shard(session.shard_id))

    def owners(self, guild_id: int | None) -> Iterator[Session]:
        """Whose shard a guild is on; for None (direct messages) shard 0."""
        for count, shards in self._owners.items():
            yield from shards.get((guild_id >> 22) % count if guild_id else 0, ())

    def of_shard(self, shard_id: int) -> list[Session]:
        """Every session of a shard that has not ended."""
        return [session for shards in self._owners.values() for session in shards.get(shard_id, ())]

    def all(self) -> list[Session]:
        """Every session that has not ended."""
        return list(self._by_id.values())

    def _forget_old(self) -> None:
        for session in [session for session in self._by_id.values() if not session.live and session.lost_at]:
            self.resumable(session.session_id)
