"""Why the process before this one ended, from a small file.

A fatal close code ends the client and with it our server, so no scrape ever sees it. It is written to a file at that
moment, and the next process tells.
"""

from __future__ import annotations

import json
import logging
import os
import re
import typing
from typing import Final

if typing.TYPE_CHECKING:
    from pathlib import Path

    from argus_exporter.instruments import GaugeFamily
    from argus_exporter.settings import Settings

KILLED: Final = "killed"
"""What the file says while the process runs: if the next one reads it, nobody was left to write anything else."""

_log: Final = logging.getLogger(__name__)


class LastExit:
    """The state file of one process of one bot.

    The file's name is made of the bot's user id and of the cluster's name (or the first shard's number where there is
    none), so that the processes of a fleet do not share one.
    """

    def __init__(self, family: GaugeFamily, settings: Settings) -> None:
        self._family = family
        self._dir = settings.state_dir
        self._cluster = re.sub(r"[^A-Za-z0-9._-]", "_", settings.cluster)
        self._path: Path | None = None
        self._last = (KILLED, "none")

    def open(self, user_id: int, shard_id: int) -> None:
        """Read what the last process left, publish it, and leave word for the case that we are killed. Once."""
        if self._dir is None or self._path is not None:
            return
        self._path = self._dir / f"last-exit-{user_id}-{self._cluster or f'shard{shard_id}'}.json"
        before = _read(self._path)
        if before is not None:
            self._family.labels(*before).set(1)
        self.note(KILLED, "none")

    def note(self, reason: str, code: str) -> None:
        """Write down why this process ends, should it end now."""
        self._last = (reason, code)
        if self._path is None:
            return
        try:
            _write(self._path, {"reason": reason, "code": code})
        except OSError as error:
            _log.warning("cannot keep the reason of the last exit in %s: %s", self._path, error)
            self._path, self._dir = None, None

    def close(self) -> None:
        """Leave word of a proper end; what was said of a fatal close stays."""
        if self._last[0] == KILLED:
            self.note("closed", "none")
        self._path = None


def _read(path: Path) -> tuple[str, str] | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return str(said["reason"]), str(said["code"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, said: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_text(json.dumps(said), encoding="utf-8")
    beside.replace(path)
