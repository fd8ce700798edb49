r"""What a series is called on the wire, in four flavours of StatsD.

A line is ``head value | type tail``. One line of each flavour, of ``discord_commands_total`` with the prefix ``bots``:

===========  ========================================================================================================
plain        ``bots.discord_commands_total.shop-20buy.slash.ok:3|c``
graphite     ``bots.discord_commands_total;command=shop=20buy;type=slash;outcome=ok:3|c``
dogstatsd    ``bots.discord_commands_total:3|c|#command:shop buy,type:slash,outcome:ok``
influx       ``bots.discord_commands_total,command=shop buy,type=slash,outcome=ok:3|c``
===========  ========================================================================================================

**Labels.** The constant ones come first, ``bot`` and then ``cluster``, where they are set; then those of the metric, in
the order in which README.md lists them. Plain folds their values alone into the path, an empty one as ``-``; the others
leave empty ones out, as Prometheus does. What the bot has on ``prometheus_client.REGISTRY`` gets the constant labels
too, which Prometheus would give it with its target.

**Counters** go out as ``|c`` with what was added since the last flush, a new one at 0 too, **gauges** as ``|g`` with
what they are. What stays the same goes out once in ``ARGUS_STATSD_REFRESH`` (60 s), a counter as ``0|c``, so that a
server which began anew has all series again. A negative gauge is set to 0 first, in the same datagram, because StatsD
takes a sign for a change.

**Histograms** in dogstatsd and influx are the counters that a scrape has: ``<name>_bucket`` with the label ``le``
(cumulative), ``<name>_count`` and ``<name>_sum``. In plain and graphite, which could not use them:

=========================================  ==========================================================================
``<name>.count``, ``<name>.sum``           counters: how many were observed, and their sum (mostly seconds)
``<name>.p50``, ``<name>.p95``,            gauges: quantiles of what was observed since the last flush, estimated from
``<name>.p99``                             the buckets as ``histogram_quantile`` does; not sent if there was nothing
=========================================  ==========================================================================

These endings stand between name and labels: ``discord_command_duration_seconds.p95.slash``,
``discord_command_duration_seconds.p95;type=slash``.

**In Graphite**, behind npm's ``statsd`` with ``legacyNamespace: false``, a counter is
``stats.counters.<name>.count`` (what was added in a flush of the daemon) and ``stats.counters.<name>.rate`` (the same a
second), a gauge ``stats.gauges.<name>``. The endings come behind the whole path in plain
(``stats.counters.discord_commands_total.ping.slash.ok.count``) and before the tags in graphite
(``stats.counters.discord_commands_total.count;command=ping;type=slash;outcome=ok``).

**Escapes.** What a flavour gives a meaning to is written as the bytes of its UTF-8 in hex, each after a mark that
stands for nothing else: ``-`` in the values of plain and in the names of graphite's tags, ``=`` in names of both and
in the values of graphite, ``%`` in dogstatsd and influx. So no two series have one name, and none can end a line or
begin another. Plain and graphite keep ASCII letters, digits and ``_`` (names, and values in graphite, ``. -`` too):
npm's ``statsd`` takes out what else there is, and netdata ends a name at ``=``. DogStatsD escapes only ``, | %`` and
what is not printable, so that labels are those of a scrape. Graphite has a tag ``name`` of its own; a label of that
name becomes ``name-``.
"""

from __future__ import annotations

import string
import typing
from types import MappingProxyType
from typing import Final, NamedTuple

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_WORD: Final = frozenset(string.ascii_letters + string.digits + "_")
_GRAPHITE_TAGS: Final = frozenset({"name"})
"""Tags that Graphite gives a meaning to: graphite-web, graphite/tags/utils.py."""


class _Escape:
    """Writes characters that are not kept as their bytes in hex, each after a mark, which is not kept either."""

    def __init__(self, mark: str, keeps: Callable[[str], bool]) -> None:
        self._mark = mark
        self._keeps = keeps
        self._usual = frozenset(filter(keeps, map(chr, range(128))))

    def __call__(self, text: str) -> str:
        """The text, the mark alone where there is none."""
        return text if text and self._usual.issuperset(text) else text.translate(self) or self._mark

    def __getitem__(self, code: int) -> str:
        """What stands for a character: ``str.translate`` asks for it."""
        if self._keeps(character := chr(code)):
            return character
        return "".join([f"{self._mark}{byte:02X}" for byte in character.encode("utf-8", "surrogatepass")])


def _only(characters: frozenset[str]) -> Callable[[str], bool]:
    return characters.__contains__


def _printable_but(characters: str) -> Callable[[str], bool]:
    return lambda character: character.isprintable() and character not in characters


class Flavour(NamedTuple):
    """How a flavour spells a name and its labels.

    :param key: spells the name of a label; None where only the values go out.
    :param begin: what stands before the labels, if there are any.
    :param behind: whether they stand at the end of the line.
    :param buckets: whether histograms go out as buckets; otherwise as quantiles.
    :param whole: whether counters go out in whole numbers, what is left over with the next flush, because receivers
        cut off the rest (Telegraf: plugins/inputs/statsd/statsd.go).
    :param most: bytes that receivers read of a datagram (collectd: src/statsd.c; the Datadog agent, if not told else).
    """

    name: Callable[[str], str]
    key: Callable[[str], str] | None
    value: Callable[[str], str]
    begin: str
    between: str
    equals: str
    behind: bool = False
    buckets: bool = False
    whole: bool = False
    reserved: frozenset[str] = frozenset()
    most: int = 8192

    def parts(self, name: str, labels: Sequence[tuple[str, str]]) -> tuple[bytes, bytes]:
        """What stands before and behind ``value | type | @rate`` in the lines of a series.

        Never the same for two names, or for two sets of values of the same labels; an empty value is no label. A dot in
        a name is kept, which only names of :class:`~argus_exporter.statsd.AsyncStatsClient` have.
        """
        tags = self.between.join(filter(None, [self._tag(*label) for label in labels]))
        head, tail = self.name(name), f"{self.begin}{tags}" if tags else ""
        return (f"{head}:".encode(), tail.encode()) if self.behind else (f"{head}{tail}:".encode(), b"")

    def _tag(self, key: str, value: str) -> str:
        if self.key is None:
            return self.value(value)
        if not value:
            return ""
        return f"{self.key(key)}{'-' if key in self.reserved else ''}{self.equals}{self.value(value)}"


_PATH: Final = _Escape("=", _only(_WORD | {"-", "."}))
_NAME: Final = _Escape("%", _only(_WORD | {"-", "."}))

FLAVOURS: Final[Mapping[str, Flavour]] = MappingProxyType(
    {
        "plain": Flavour(_PATH, None, _Escape("-", _only(_WORD)), ".", ".", "", most=4096),
        "graphite": Flavour(_PATH, _Escape("-", _only(_WORD)), _PATH, ";", ";", "=", reserved=_GRAPHITE_TAGS),
        "dogstatsd": Flavour(
            *(_NAME, _Escape("%", _only(_WORD)), _Escape("%", _printable_but(",|%"))),
            *("|#", ",", ":"),
            behind=True,
            buckets=True,
        ),
        "influx": Flavour(
            *(_NAME, _Escape("%", _only(_WORD)), _Escape("%", _printable_but(",=:|%#[]"))),
            *(",", ",", "="),
            buckets=True,
            whole=True,
        ),
    }
)
"""The flavours by name, as ``ARGUS_STATSD_FLAVOUR`` has them."""
