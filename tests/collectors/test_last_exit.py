"""The state file: what one process leaves, the next one tells."""

from __future__ import annotations

import json
import logging
import typing
from pathlib import Path

import pytest

from argus_exporter import catalogue
from argus_exporter.collectors.last_exit import LastExit
from argus_exporter.instruments import Instruments
from argus_exporter.settings import Settings
from tests.clients import values

if typing.TYPE_CHECKING:
    from collections.abc import Callable

NAME = "discord_last_exit_info"


def process(state_dir: Path | str, **options: str) -> tuple[LastExit, Instruments]:
    instruments = Instruments()
    family = instruments.gauge(catalogue.LAST_EXIT_INFO)
    return LastExit(family, Settings(state_dir=state_dir, **options)), instruments  # type: ignore[arg-type]


def test_the_first_process_has_nothing_to_tell(tmp_path: Path) -> None:
    exit_, instruments = process(tmp_path)
    exit_.open(1, 0)
    assert values(instruments, NAME) == {}


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (lambda exit_: None, ("killed", "none")),
        (lambda exit_: exit_.close(), ("closed", "none")),
        (lambda exit_: exit_.note("fatal_close", "4004"), ("fatal_close", "4004")),
        (lambda exit_: (exit_.note("fatal_close", "4014"), exit_.close()), ("fatal_close", "4014")),
    ],
    ids=["killed", "closed", "fatal", "fatal, then closed"],
)
def test_the_next_process_tells_how_this_one_ended(
    end: Callable[[LastExit], object], told: tuple[str, str], tmp_path: Path
) -> None:
    first, _ = process(tmp_path)
    first.open(1, 0)
    end(first)
    second, instruments = process(tmp_path)
    second.open(1, 0)
    second.open(1, 0)
    assert values(instruments, NAME) == {told: 1}


def test_processes_of_a_fleet_do_not_share_a_file(tmp_path: Path) -> None:
    for cluster, shard_id, user_id in (("", 0, 1), ("", 8, 1), ("", 0, 2), ("a/../b", 0, 1), ("ä", 0, 1)):
        process(tmp_path, cluster=cluster)[0].open(user_id, shard_id)
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"reason": 1}', "\udcff"])
def test_a_file_that_makes_no_sense_is_nothing_to_tell(text: str, tmp_path: Path) -> None:
    process(tmp_path)[0].open(1, 0)
    (path,) = tmp_path.iterdir()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    second, instruments = process(tmp_path)
    second.open(1, 0)
    assert values(instruments, NAME) == {}
    assert json.loads(path.read_text()) == {"reason": "killed", "code": "none"}


def test_a_reason_of_another_version_is_other(tmp_path: Path) -> None:
    process(tmp_path)[0].open(1, 0)
    (path,) = tmp_path.iterdir()
    path.write_text(json.dumps({"reason": "abducted", "code": "9999"}))
    second, instruments = process(tmp_path)
    second.open(1, 0)
    assert values(instruments, NAME) == {("other", "other"): 1}


def test_a_directory_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    exit_, _ = process(blocked / "below")
    with caplog.at_level(logging.WARNING):
        exit_.open(1, 0)
        exit_.open(1, 0)
        exit_.note("fatal_close", "4004")
        exit_.close()
    (message,) = caplog.messages
    assert str(blocked) in message


def test_what_comes_after_the_close_is_not_written(tmp_path: Path) -> None:
    first, _ = process(tmp_path)
    first.open(1, 0)
    first.close()
    first.note("fatal_close", "4004")
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text()) == {"reason": "closed", "code": "none"}


def test_the_directory_is_made_with_those_above_it(tmp_path: Path) -> None:
    process(tmp_path / "not" / "there")[0].open(1, 0)
    assert len(list((tmp_path / "not" / "there").iterdir())) == 1


def test_off_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    exit_, _ = process("off")
    exit_.open(1, 0)
    exit_.close()
    assert list(tmp_path.iterdir()) == []
