"""The error log: its lines, its caps, its file, its thread."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import re
import sys
import threading
import typing
import weakref
from pathlib import Path
from typing import Any

import psutil
import pytest

from argus_exporter.errors import (
    MOST_A_MINUTE,
    MOST_BYTES,
    MOST_KNOWN,
    MOST_WAITING,
    Caps,
    ErrorLog,
    fingerprint,
)
from argus_exporter.exporter import Exporter
from tests.clients import until, value

WRITTEN, SUPPRESSED = "argus_exporter_error_log_written_total", "argus_exporter_error_log_suppressed_total"
OWN_ERRORS = "argus_exporter_collector_errors_total"


def made(log: Path | str, **options: Any) -> Exporter:
    return Exporter(port="off", state_dir="off", error_log=log, disable="loop", **options)


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def caught(error: BaseException, depth: int = 0) -> BaseException:
    """The error with a traceback."""
    try:
        _deep(error, depth)
    except BaseException as raised:  # noqa: BLE001
        return raised
    raise AssertionError


def _deep(error: BaseException, depth: int) -> None:
    if depth:
        _deep(error, depth - 1)
    raise error


def differ(number: int) -> BaseException:
    """Errors of as many classes as there are numbers."""
    return caught(type(f"Error{number}", (LookupError,), {})(number))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


# ---------------------------------------------------------------------------------------------- caps


def test_the_same_error_is_told_once_a_minute_and_the_next_line_says_how_many_were_left_out() -> None:
    clock = Clock()
    caps = Caps(clock)
    assert [caps.admit("a"), caps.admit("a"), caps.admit("a"), caps.admit("b")] == [0, None, None, 0]
    clock.now += 59.9
    assert caps.admit("a") is None
    clock.now += 0.1
    assert caps.admit("a") == 3
    clock.now += 60
    assert caps.admit("a") == 0


def test_no_more_than_thirty_are_told_in_any_minute() -> None:
    clock = Clock()
    caps = Caps(clock)
    told = []
    for number in range(300):
        told += [clock.now] if caps.admit(number) is not None else []
        clock.now += 1
    assert len(told) == 150
    assert max(len([each for each in told if then <= each < then + 60]) for then in told) == MOST_A_MINUTE
    clock.now += 60
    assert caps.admit(299) == 1


def test_a_thousand_errors_are_remembered_those_seen_last() -> None:
    clock = Clock()
    caps = Caps(clock)
    assert caps.admit("kept") == 0
    for number in range(MOST_KNOWN - 1):
        caps.admit(number)
    assert caps.admit("kept") is None
    for number in range(MOST_KNOWN - 1):
        caps.admit(-number - 1)
    clock.now += 60
    assert caps.admit("kept") == 1
    for number in range(MOST_KNOWN):
        caps.admit(str(number))
    assert len(caps._told) == MOST_KNOWN
    clock.now += 60
    assert caps.admit("kept") == 0


def test_the_caps_hold_for_threads_and_a_finalizer_may_ask_while_its_thread_does() -> None:
    caps = Caps()
    admitted: list[int | None] = []
    threads = [threading.Thread(target=lambda: admitted.extend(caps.admit("a") for _ in range(2000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 8000
    assert admitted.count(0) == 1
    assert caps._told["a"].left_out == 7999
    with caps._lock:
        assert caps.admit("b") == 0


def test_errors_are_the_same_by_class_innermost_lines_and_command() -> None:
    one, two = (caught(LookupError(text)) for text in ("a", "b"))
    assert fingerprint(one, "ping") == fingerprint(two, "ping")
    assert fingerprint(one, "ping") != fingerprint(one, "pong")
    assert fingerprint(one, "ping") != fingerprint(caught(KeyError("a")), "ping")
    assert fingerprint(one, "ping") != fingerprint(LookupError("a").with_traceback(None), "ping")
    assert fingerprint(caught(LookupError(), 20)) == fingerprint(caught(LookupError(), 30))
    assert len(str(fingerprint(one, "x" * 10**6))) < 2000


# ---------------------------------------------------------------------------------------------- lines


async def test_a_line_says_what_where_when_and_whose(tmp_path: Path) -> None:
    log = tmp_path / "errors.jsonl"
    context = {"command": "shop sell", "type": "slash", "outcome": "bot_error", "shard": 3, "item": "a sword"}
    async with made(log, bot="Albert", cluster="7") as exporter:
        exporter.capture_error(caught(LookupError("no such item")), {**context, "event": "", "none": None})
    (line,) = lines(log)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line.pop("traceback").splitlines()[-2:] == ["    raise error", "LookupError: no such item"]
    assert line == {
        "error": "builtins.LookupError",
        "message": "no such item",
        "source": "command",
        "command": "shop sell",
        "type": "slash",
        "outcome": "bot_error",
        "shard": "3",
        "bot": "Albert",
        "cluster": "7",
        "context": {"item": "a sword", "none": "None"},
    }


async def test_a_captured_error_without_context_says_that_it_was_captured(tmp_path: Path) -> None:
    async with made(tmp_path / "log") as exporter:
        exporter.capture_error(LookupError())
    (line,) = lines(tmp_path / "log")
    assert set(line) == {"time", "error", "message", "source", "traceback"}
    assert (line["source"], line["traceback"]) == ("capture", "LookupError\n")


@pytest.mark.parametrize(
    ("context", "source"),
    [({"command": "a", "type": "slash"}, "command"), ({"type": "modal"}, "interaction"), ({"source": "x"}, "x")],
)
async def test_a_line_says_what_kind_of_code_it_was(tmp_path: Path, context: dict[str, str], source: str) -> None:
    async with made(tmp_path / "log") as exporter:
        exporter.capture_error(LookupError(), context)
    assert [line["source"] for line in lines(tmp_path / "log")] == [source]


async def test_the_active_trace_is_in_the_line(tmp_path: Path) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    async with made(tmp_path / "log") as exporter:
        with TracerProvider().get_tracer("bot").start_as_current_span("command") as span:
            exporter.capture_error(LookupError())
        exporter.capture_error(KeyError(), {"trace_id": "of the receipt"})
    active, given = lines(tmp_path / "log")
    assert active["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert given["trace_id"] == "of the receipt"


async def test_long_and_hostile_texts_are_cut_and_escaped(tmp_path: Path) -> None:
    hostile = 'a"\n{"b": \0\ud800\u2028é'
    async with made(tmp_path / "log") as exporter:
        exporter.capture_error(LookupError(hostile), {"command": hostile, hostile: hostile})
        exporter.capture_error(caught(KeyError("x" * 10**6), 300), {"command": "y" * 1000})
        exporter.capture_error(ValueError(), {f"key{number:02}" + "z" * 300: "v" * 300 for number in range(50)})
    first, second, third = lines(tmp_path / "log")
    assert first["message"] == first["command"] == hostile
    assert first["context"] == {hostile: hostile}
    assert (len(second["message"]), len(second["command"])) == (501, 201)
    assert second["message"].endswith("…")
    assert len(second["traceback"]) == 8003
    assert second["traceback"].startswith("Traceback (most recent call last):")
    assert second["traceback"].endswith("xxx'\n")
    assert len(third["context"]) < 21
    assert {len(word) for pair in third["context"].items() for word in pair} == {201}


async def test_the_innermost_of_very_many_frames_are_shown(tmp_path: Path) -> None:
    def odd(number: int) -> None:
        even(number - 1) if number else _deep(LookupError("here"), 0)

    def even(number: int) -> None:
        odd(number)

    async with made(tmp_path / "log") as exporter:
        with pytest.raises(LookupError) as raised:
            odd(400)
        exporter.capture_error(raised.value)
    (line,) = lines(tmp_path / "log")
    assert line["traceback"].count("in odd") < 30
    assert line["traceback"].endswith("    raise error\nLookupError: here\n")


class HostileError(Exception):
    def __str__(self) -> str:
        raise SystemError


async def test_capture_error_never_raises(tmp_path: Path) -> None:
    class Odd:
        def __str__(self) -> str:
            raise SystemError

    async with made(tmp_path / "log") as exporter:
        exporter.capture_error(HostileError(), {"command": Odd(), "own": Odd()})
        for error, context in (("no exception", None), (None, None), (KeyError(), 5), (KeyError(), ["x"])):
            exporter.capture_error(typing.cast("BaseException", error), typing.cast("Any", context))
        assert value(exporter.instruments, OWN_ERRORS, "errors") == 4
    (line,) = lines(tmp_path / "log")
    assert line["message"].endswith("HostileError>")
    assert line["command"].endswith("Odd>")
    assert line["context"]["own"].endswith("Odd>")


async def test_what_is_left_out_is_counted_and_told_in_the_next_line_of_the_same(tmp_path: Path) -> None:
    clock = Clock()
    async with made(tmp_path / "log") as exporter:
        exporter._error_log._caps = Caps(clock)
        assert (value(exporter.instruments, WRITTEN), value(exporter.instruments, SUPPRESSED)) == (0, 0)
        for _ in range(4):
            exporter.capture_error(caught(LookupError()))
        clock.now += 60
        exporter.capture_error(caught(LookupError()))
        await until(lambda: value(exporter.instruments, WRITTEN) == 2 or exporter.sample())
        assert value(exporter.instruments, SUPPRESSED) == 3
    first, second = lines(tmp_path / "log")
    assert "suppressed" not in first
    assert second["suppressed"] == 3


async def test_the_same_error_of_another_command_or_event_is_another(tmp_path: Path) -> None:
    error = caught(LookupError())
    async with made(tmp_path / "log") as exporter:
        for context in ({"command": "a"}, {"command": "b"}, {"event": "c"}, {"event": "d"}, {}):
            exporter.capture_error(error, context)
    assert len(lines(tmp_path / "log")) == 5


async def test_at_most_thirty_lines_a_minute_are_written(tmp_path: Path) -> None:
    async with made(tmp_path / "log") as exporter:
        for number in range(100):
            exporter.capture_error(differ(number))
        await exporter.close()
        assert value(exporter.instruments, SUPPRESSED) == 70
        assert value(exporter.instruments, WRITTEN) == 30
    assert len(lines(tmp_path / "log")) == 30


# ---------------------------------------------------------------------------------------------- the file


async def test_it_is_off_by_default_and_then_there_is_no_thread_and_no_series() -> None:
    async with Exporter(port="off", state_dir="off", disable="loop") as exporter:
        exporter.capture_error(LookupError())
        assert not [each for each in threading.enumerate() if each.name == "argus_exporter.errors"]
        assert value(exporter.instruments, WRITTEN) is None
        assert value(exporter.instruments, SUPPRESSED) is None


async def test_it_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    async with made("-") as exporter:
        exporter.capture_error(LookupError("to stderr"))
    assert json.loads(capsys.readouterr().err)["message"] == "to stderr"
    assert not sys.stderr.closed


async def test_a_file_is_appended_to_and_becomes_the_old_one_when_it_is_full(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("x" * (MOST_BYTES - 5000) + "\n", encoding="utf-8")
    for number in range(2):
        async with made(log) as exporter:
            exporter.capture_error(differ(number))
    assert len(log.read_bytes()) > MOST_BYTES - 5000
    async with made(log) as exporter:
        for number in range(MOST_A_MINUTE):
            exporter.capture_error(differ(number))
    assert 0 < len(lines(log)) < MOST_A_MINUTE
    assert MOST_BYTES - 5000 < (tmp_path / "log.1").stat().st_size <= MOST_BYTES
    assert names(tmp_path) == ["log", "log.1"]


async def test_where_it_cannot_write_it_says_so_once_counts_and_goes_on_trying(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "not" / "there"
    async with made(log) as exporter:
        await until(lambda: "argus_exporter.errors" in [record.name for record in caplog.records])
        for number in range(3):
            exporter.capture_error(differ(number))
        await until(lambda: exporter.sample() or value(exporter.instruments, SUPPRESSED) == 3)
        log.parent.mkdir()
        exporter.capture_error(differ(4))
        await until(lambda: exporter.sample() or value(exporter.instruments, WRITTEN) == 1)
        assert value(exporter.instruments, SUPPRESSED) == 3
    assert len(lines(log)) == 1
    told = [record.getMessage() for record in caplog.records if record.name == "argus_exporter.errors"]
    assert len(told) == 1
    assert (
        told[0]
        == f"cannot write the error log (will go on trying): {log.parent} is not there, or may not be written to"
    )


async def test_what_only_the_first_line_finds_out_is_told_once_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with made(tmp_path) as exporter:
        for number in range(3):
            exporter.capture_error(differ(number))
        await until(lambda: exporter.sample() or value(exporter.instruments, SUPPRESSED) == 3)
    (told,) = [record.getMessage() for record in caplog.records if record.name == "argus_exporter.errors"]
    assert "cannot write the error log (will go on trying): IsADirectoryError" in told


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
async def test_a_full_disk_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.symlink_to("/dev/full")
    async with made(log) as exporter:
        exporter.capture_error(differ(1))
        await until(lambda: exporter.sample() or value(exporter.instruments, SUPPRESSED) == 1)
        log.unlink()
        exporter.capture_error(differ(2))
    (line,) = lines(log)
    assert line["message"] == "2"
    assert value(exporter.instruments, WRITTEN) == 1


async def test_a_disk_that_hangs_holds_nobody_up_and_lines_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("argus_exporter.errors.CLOSE_SECONDS", 0.05)
    go, held = threading.Event(), threading.Event()

    def hang(self: object, record: logging.LogRecord) -> None:
        held.set()
        go.wait(30)

    monkeypatch.setattr("argus_exporter.errors._File.emit", hang)
    exporter = made(tmp_path / "log")
    monkeypatch.setattr(exporter._error_log._caps, "admit", lambda _: 0)
    async with exporter:
        exporter.capture_error(LookupError())
        await until(held.is_set)
        for _ in range(MOST_WAITING + 50):
            exporter.capture_error(LookupError())
        assert value(exporter.instruments, SUPPRESSED) == 50
    assert "its last lines may be missing" in caplog.text
    go.set()
    await until(lambda: value(exporter.instruments, WRITTEN) == MOST_WAITING + 1)


async def test_lines_that_come_before_the_start_wait_for_it_and_those_at_the_end_are_written(tmp_path: Path) -> None:
    exporter = made(tmp_path / "log")
    exporter.capture_error(differ(1))
    for number in (2, 3):
        async with exporter:
            exporter.capture_error(differ(number))
        exporter.capture_error(differ(10 * number))
    assert [line["message"] for line in lines(tmp_path / "log")] == ["1", "2", "20", "3"]


async def test_any_thread_may_capture_and_nothing_is_lost(tmp_path: Path) -> None:
    async with made(tmp_path / "log") as exporter:
        threads = [
            threading.Thread(target=lambda: [exporter.capture_error(caught(LookupError())) for _ in range(100)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
    assert value(exporter.instruments, WRITTEN) == 1
    assert value(exporter.instruments, SUPPRESSED) == 399


async def test_many_reloads_leave_no_thread_and_no_handle(tmp_path: Path) -> None:
    before, writers = threading.active_count(), []
    for number in range(200):
        async with made(tmp_path / "log") as exporter:
            writers.append(weakref.ref(exporter._error_log._writer))
            exporter.capture_error(differ(number))
    gc.collect()
    assert threading.active_count() == before
    assert [each for each in writers if each() is not None] == []
    assert len(lines(tmp_path / "log")) == 200
    assert str(tmp_path / "log") not in [each.path for each in psutil.Process().open_files()]


async def test_a_system_without_threads_to_give_is_counted_and_the_exporter_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: ErrorLog) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ErrorLog, "start", start)
    async with made(tmp_path / "log") as exporter:
        assert value(exporter.instruments, OWN_ERRORS, "errors") == 1
