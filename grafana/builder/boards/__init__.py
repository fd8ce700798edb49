"""The boards, one file each."""

from __future__ import annotations

from typing import Final

from grafana.builder.boards import overview, shards

BOARDS: Final = (overview.BOARD, shards.BOARD)
"""In the order of the README."""
