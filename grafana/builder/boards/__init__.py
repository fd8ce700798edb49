"""The boards, one file each."""

from __future__ import annotations

from typing import Final

from grafana.builder.boards import (
    analytics,
    commands,
    custom,
    exporter,
    graphite,
    overview,
    process,
    rest,
    shards,
    tasks,
)

BOARDS: Final = (
    *(module.BOARD for module in (overview, shards, commands, rest, process, tasks, custom, exporter, graphite)),
    *analytics.BOARDS,
)
"""In the order of the README."""
