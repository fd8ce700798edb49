"""What the user has on a registry of prometheus_client, on our page."""

from __future__ import annotations

import functools
import logging
import time
import typing
from typing import Any, Final, TypeVar

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, REGISTRY
from prometheus_client.core import InfoMetricFamily

from argus_exporter.exposition.collector import PROCESS_NAMES, RegistryCollector
from argus_exporter.exposition.families import names_of, readings_of, render, without_created
from argus_exporter.exposition.worker import JobError, Worker

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import CollectorRegistry, Metric

    from argus_exporter.instruments import Instruments, Reading

PATIENCE: Final = 5.0
"""Seconds that a page waits for the user's registry."""

_NAMES_TOLD: Final = 100
_TURN: Final = 0.001
_NAP: Final = 0.0002

_log: Final = logging.getLogger(__name__)


_T = TypeVar("_T")
_Result = tuple[list[Any], list[BaseException]]


class _Collects(typing.Protocol):
    def collect(self) -> Iterable[Metric]: ...


class UserRegistry:
    """What the user has on a registry of prometheus_client, as text for our page.

    Names that are on the page already are left out, whatever the format. Collectors may be slow, may block and may
    raise: they run in a thread of their own, within :data:`PATIENCE`. Where the registry holds nothing but what
    prometheus_client itself put there, no thread is needed, and about 0.3 ms are.

    :param errors: is told what was caught, on the event loop's thread.
    """

    def __init__(
        self,
        instruments: Instruments,
        errors: Callable[[str, BaseException], None],
        *,
        registry: CollectorRegistry = REGISTRY,
        patience: float = PATIENCE,
    ) -> None:
        self._instruments: Final = instruments
        self._errors: Final = errors
        self._registry: Final = registry
        self._worker: Final = Worker[_Result]("argus_exporter registry", patience)
        self._told: set[str] = set()

    async def render(self, *, openmetrics: bool) -> list[bytes]:
        """The text in pieces of whole lines, without an end mark. Never raises; what is missing is reported."""
        return await self._each_family(openmetrics, functools.partial(render, openmetrics=openmetrics))

    async def readings(self) -> list[Reading]:
        """The samples, of what a page would show. Never raises; what is missing is reported."""
        return await self._each_family("readings", readings_of)

    async def _each_family(self, key: object, form: Callable[[Metric], Iterable[_T]]) -> list[_T]:
        pieces: list[_T] = []
        errors: list[BaseException] = []
        try:
            pieces, errors = await self._collect(key, form)
        except JobError as error:
            errors = [error.__cause__ or error]
        except Exception as error:  # noqa: BLE001 - the page is served without it
            errors = [error]
        for caught in errors:
            self._errors("registry", caught)
        return pieces

    def close(self) -> None:
        """Let the thread end, if there is one and when it can."""
        self._worker.close()

    async def _collect(self, key: object, form: Callable[[Metric], Iterable[Any]]) -> _Result:
        taken = set(self._instruments.names)
        collectors = [each for each in _collectors(self._registry) if not self._is_ours(each, taken)]
        work = _Work(collectors, taken, self._leave_out, form)
        if all(each is GC_COLLECTOR or each is PLATFORM_COLLECTOR or isinstance(each, _Target) for each in collectors):
            return work.run()
        return await self._worker.ask(key, work.run_politely)

    def _is_ours(self, collector: _Collects, taken: set[str]) -> bool:
        if isinstance(collector, RegistryCollector):
            return collector.instruments is self._instruments
        return collector is PROCESS_COLLECTOR and taken >= PROCESS_NAMES

    def _leave_out(self, name: str) -> None:
        if name not in self._told and len(self._told) < _NAMES_TOLD:
            self._told.add(name)
            _log.warning("prometheus_client: %s is not served, because its name is on the page already", name)


class _Work:
    """One look at some collectors. What one of them raises costs the others nothing.

    :param taken: the names that are on the page already.
    :param leave_out: is told the name of each family that is not served because its name is taken.
    :param form: makes of a family what is wanted of it.
    """

    def __init__(
        self,
        collectors: list[_Collects],
        taken: set[str],
        leave_out: Callable[[str], None],
        form: Callable[[Metric], Iterable[Any]],
    ) -> None:
        self._collectors = collectors
        self._taken = taken
        self._leave_out = leave_out
        self._form = form
        self._pieces: list[Any] = []
        self._errors: list[BaseException] = []

    def run(self, rest: Callable[[], None] = lambda: None) -> _Result:
        """What was made and what was raised; ``rest`` is called after each piece."""
        for family in self._families():
            try:
                self._add(family, rest)
            except Exception as error:  # noqa: BLE001 - a family that cannot be written
                self._errors.append(error)
        return self._pieces, self._errors

    def run_politely(self) -> _Result:
        """The same for a thread: the event loop's has its turn about every millisecond."""
        return self.run(_Naps().rest)

    def _families(self) -> Iterator[Metric]:
        for collector in self._collectors:
            try:
                yield from collector.collect()
            except Exception as error:  # noqa: BLE001 - the user's code
                self._errors.append(error)

    def _add(self, family: Metric, rest: Callable[[], None]) -> None:
        family = without_created(family)
        names = names_of(family)
        if self._taken.isdisjoint(names):
            pieces: list[Any] = []
            for piece in self._form(family):
                pieces.append(piece)
                rest()
            self._pieces += pieces
            self._taken |= names
        elif PROCESS_NAMES.isdisjoint(names):
            self._leave_out(family.name)


class _Naps:
    """Lets the interpreter's lock go when a millisecond of work is done; a yield without time gives it to nobody."""

    def __init__(self) -> None:
        self._woke = time.monotonic()

    def rest(self) -> None:
        if time.monotonic() - self._woke >= _TURN:
            time.sleep(_NAP)
            self._woke = time.monotonic()


class _Target:
    """What a registry says about its target; prometheus_client keeps it apart from the collectors."""

    def __init__(self, labels: dict[str, str]) -> None:
        self._labels = labels

    def collect(self) -> list[Metric]:
        return [InfoMetricFamily("target", "Target metadata", value=self._labels)]


def _collectors(registry: CollectorRegistry) -> list[_Collects]:
    """The collectors of a registry, each on its own, so that one which raises costs no other.

    prometheus_client has no public name for them, and its lock is held while a collector is registered, which may be a
    slow one: hence the attributes, read without the lock, and the whole registry as one where there are none.
    """
    attributes = vars(registry)
    if "_collector_to_names" not in attributes:
        return [registry]
    target: dict[str, str] | None = attributes.get("_target_info")
    return [*([_Target(target)] if target else []), *attributes["_collector_to_names"]]
