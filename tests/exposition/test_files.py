"""What is read from files is read again when they change, and holds while they make no sense."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from argus_exporter.exposition import files


async def test_the_file_is_looked_at_once_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tokens"
    file.write_text("a")
    monkeypatch.setattr(files, "LOOK_SECONDS", 3600)
    watched = files.Watched([file], file.read_text)
    file.write_text("bb")
    assert await watched.fresh() == "a"
    monkeypatch.setattr(watched, "_next", time.monotonic())
    assert await watched.fresh() == "bb"
    file.write_text("ccc")
    assert await watched.fresh() == "bb"
    watched.close()


async def test_files_that_fail_to_load_are_told_once_and_looked_at_until_they_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files, "LOOK_SECONDS", 0)
    caplog.set_level(logging.INFO, "argus_exporter.exposition.files")
    file = tmp_path / "number"
    file.write_text("1")
    watched = files.Watched([None, file], lambda: int(file.read_text()))
    for text, meaning in (("20", 20), ("none", 20), ("none", 20), ("nothing", 20), ("300", 300), ("nothing", 300)):
        file.write_text(text)
        assert await watched.fresh() == watched.current == meaning
    told = [record.levelname for record in caplog.records]
    assert told == ["INFO", "WARNING", "WARNING", "INFO", "WARNING"]
    file.unlink()
    assert await watched.fresh() == 300
    watched.close()


async def test_a_file_that_stays_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOOK_SECONDS", 0)
    file, read = tmp_path / "file", list[str]()
    file.write_text("a")
    watched = files.Watched([file], lambda: read.append(file.read_text()))
    for _ in range(3):
        await watched.fresh()
    assert read == ["a"]
    file.write_text("long")
    for _ in range(3):
        await watched.fresh()
    assert read == ["a", "long"]
    watched.close()


async def test_without_files_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOOK_SECONDS", 0)
    watched = files.Watched([None], lambda: 1)
    assert await watched.fresh() == 1
    assert watched._worker._thread is None


async def test_a_first_reading_that_fails_is_the_caller_s(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.Watched([tmp_path / "none"], (tmp_path / "none").read_text)
