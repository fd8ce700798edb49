"""The boards, one file each."""

from __future__ import annotations

from typing import Final

from grafana.builder.boards import commands, custom, exporter, graphite, overview, process, rest, shards, tasks

BOARDS: Final = tuple(
    module.BOARD for module in (overview, shards, commands, rest, process, tasks, custom, exporter, graphite)
)
"""In the order of the README."""
