"""Pages of bots that are not there: the real encoder writes them, from cells that grow at random.

What a busy bot has: 60 slash commands, 40 routes, 30 kinds of events, 10 listeners, 5 task loops. Nothing is
wrong with it, but now and then a command fails.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

from argus_exporter import catalogue
from argus_exporter.catalogue import Counter, Gauge, Histogram, Label, Metric
from argus_exporter.discordpy.routes import TEMPLATES
from argus_exporter.exposition.encode import Encoder
from argus_exporter.instruments import Instruments

BOT: Final = "scale"
STEP: Final = 15
"""Seconds between two scrapes."""
COMMANDS: Final = tuple(f"group{number // 10} command{number}" for number in range(60))
ROUTES: Final = TEMPLATES[:40]
Key = tuple[str, ...]

_ABSENT: Final = {"statsd", "analytics"}
"""Collectors of what this bot does not do."""

_OPEN: Final[dict[Label, tuple[str, ...]]] = {
    catalogue.EVENT: catalogue.GATEWAY_EVENTS[:30],
    catalogue.COMMAND: COMMANDS,
    catalogue.STATUS: ("404", "400"),
    catalogue.LOOP: tuple(f"Shop.loop{number}" for number in range(5)),
    catalogue.LISTENED: tuple(f"listened{number}" for number in range(10)),
    catalogue.METRIC: (),
    catalogue.SCOPE: ("user", "shared"),
}
_TOGETHER: Final[dict[Key, tuple[Key, ...]]] = {
    ("command", "type", "outcome"): tuple(
        (command, "slash", outcome) for command in COMMANDS for outcome in ("ok", "user_error", "bot_error")
    ),
    ("command", "error"): tuple((command, f"Error{number % 8}") for number, command in enumerate(COMMANDS)),
    ("method", "route"): tuple(("POST", route) for route in ROUTES),
    ("method", "route", "status"): tuple(("POST", route, status) for route in ROUTES for status in ("200", "429")),
    ("code", "initiator"): (("1000", "server"), ("1006", "client"), ("4000", "server")),
    ("reason", "code"): (("closed", "none"),),
    ("logger", "level"): (("discord", "WARNING"), ("shop", "WARNING"), ("shop", "ERROR")),
}
"""What comes together, by the names of the labels."""

_AGES: Final = {
    "discord_shard_last_ack_timestamp_seconds": 40,
    "discord_shard_last_dispatch_timestamp_seconds": 2,
    "discord_task_loop_last_success_timestamp_seconds": 60,
    "argus_exporter_file_sd_last_refresh_timestamp_seconds": 30,
}
"""Times that something was at most so many seconds ago."""
_STILL: Final[dict[str, float]] = {
    "discord_shard_status": 3,
    "discord_task_loop_running": 1,
    "discord_task_loop_interval_seconds": 60,
    "discord_session_start_limit": 2000,
    "discord_session_start_limit_remaining": 1900,
    "argus_exporter_collector_up": 1,
    "process_max_fds": 65536,
} | dict.fromkeys(
    (
        *("discord_task_loop_dead", "discord_task_loop_retrying", "discord_shard_guilds_unavailable"),
        *("discord_api_clock_skew_seconds", "discord_shard_send_rate_limited", "discord_http_global_rate_limited"),
    ),
    0,
)
"""Gauges that say that all is well."""
_RARE: Final = (
    "error",
    "failures",
    "dropped",
    "outages",
    "missed",
    "unanswered",
    "limited",
    "closes",
    "invalid",
    "blocked",
)
"""Counters that seldom grow have one of these in their name."""


class Process:
    """One process of the bot, at a time of its own.

    :param count: shards of the whole bot.
    """

    def __init__(self, cluster: int, shards: range, count: int, at: float) -> None:
        self._random = random.Random(cluster)
        self._shards, self._count, self._began = shards, count, at
        self.at = at
        self.instruments: Final = Instruments({"bot": BOT, "cluster": str(cluster)})
        self._encoder = Encoder(self.instruments)
        self._changes = [self._change(metric, key) for metric in catalogue.METRICS for key in self._keys(metric)]

    def page(self) -> bytes:
        """The page, a step later."""
        self.at += STEP
        for change in self._changes:
            change()
        return self._encoder.page()

    def history(self, steps: int) -> bytes:
        """The pages of so many steps in one, each with its time, without comments."""
        return b"".join(self._stamped() for _ in range(steps))

    def _stamped(self) -> bytes:
        lines, when = self.page().splitlines(), b" %d\n" % (self.at * 1000)
        return b"".join(line + when for line in lines if not line.startswith(b"#"))

    def _keys(self, metric: Metric) -> Iterator[Key]:
        if metric.noun in _ABSENT:
            return iter(())
        together = _TOGETHER.get(metric.label_names)
        return iter(together) if together else itertools.product(*map(self._values, metric.labels))

    def _values(self, label: Label) -> tuple[str, ...]:
        if label is catalogue.SHARD:
            return tuple(map(str, self._shards))
        return _OPEN.get(label, label.values or (f"a {label.name}",))

    def _change(self, metric: Metric, key: Key) -> Callable[[], None]:
        """What happens to a series in a step."""
        if isinstance(metric, Gauge):
            return self._gauge(metric.name, self.instruments.gauge(metric).labels(*key))
        often = (
            0.02
            if any(word in metric.name or word in "".join(key) for word in _RARE)
            else self._random.random() ** 4 * 40
        )
        if isinstance(metric, Histogram):
            return self._histogram(self.instruments.histogram(metric).labels(*key), often)
        assert isinstance(metric, Counter)
        return self._counter(self.instruments.counter(metric).labels(*key), often)

    def _counter(self, cell: Any, often: float) -> Callable[[], None]:
        draw, most = self._random.random, 2 * often

        def grow() -> None:
            cell.value += int(draw() * most + draw())

        return grow

    def _histogram(self, cell: Any, often: float) -> Callable[[], None]:
        draw, guess, most = self._random.random, self._random.lognormvariate, 2 * min(often, 5)

        def observe() -> None:
            for _ in range(int(draw() * most + draw())):
                cell.observe(guess(-2.5, 1))

        return observe

    def _gauge(self, name: str, cell: Any) -> Callable[[], None]:
        draw = self._random.random
        still = {**_STILL, "discord_shards": self._count, "process_start_time_seconds": self._began - 86400}.get(name)
        if still is not None:
            return lambda: cell.set(still)
        if name in _AGES:
            return lambda: cell.set(round(self.at - draw() * _AGES[name], 3))
        if name.endswith("_seconds"):
            return lambda: cell.set(draw() / 10)
        level = int(1000 * draw())
        return lambda: cell.set(level + int(10 * draw()))
