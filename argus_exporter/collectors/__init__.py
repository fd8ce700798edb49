"""The collectors, in plain sight. One noun, one file."""

from __future__ import annotations

from typing import Final

from argus_exporter.collectors.base import Collector, Context
from argus_exporter.collectors.cache import CacheCollector
from argus_exporter.collectors.commands import CommandsCollector
from argus_exporter.collectors.errors import ErrorsCollector
from argus_exporter.collectors.gateway import GatewayCollector
from argus_exporter.collectors.interactions import InteractionsCollector
from argus_exporter.collectors.logs import LogsCollector
from argus_exporter.collectors.loop import LoopCollector
from argus_exporter.collectors.process import ProcessCollector
from argus_exporter.collectors.rest import RestCollector
from argus_exporter.collectors.shards import ShardsCollector
from argus_exporter.collectors.tasks import TasksCollector
from argus_exporter.collectors.voice import VoiceCollector

PROCESS_COLLECTORS: Final[tuple[type[Collector], ...]] = (
    LoopCollector,
    ProcessCollector,
    TasksCollector,
    ErrorsCollector,
    LogsCollector,
)
"""What needs no client: they run in manual mode too. Where there is one, it is theirs from the start."""

CLIENT_COLLECTORS: Final[tuple[type[Collector], ...]] = (
    GatewayCollector,
    ShardsCollector,
    InteractionsCollector,
    CommandsCollector,
    CacheCollector,
    VoiceCollector,
    RestCollector,
)
"""What watches a discord.py client."""

COLLECTORS: Final = (*CLIENT_COLLECTORS, *PROCESS_COLLECTORS)

__all__ = ("CLIENT_COLLECTORS", "COLLECTORS", "PROCESS_COLLECTORS", "Collector", "Context")
