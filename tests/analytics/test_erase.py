"""Erasing from the command line: who is asked, what is erased, what is said."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from typing import Any

import pytest

from argus_exporter.__main__ import main
from argus_exporter.analytics import erase
from argus_exporter.analytics.privacy import Users
from argus_exporter.analytics.sink import Erased
from tests.analytics.memory import Memory

URL = "clickhouse://me:s3cret@db/bots"
KEY = "x" * 16


class Erasing(Memory):
    """Remembers what it was to erase."""

    def __init__(self) -> None:
        super().__init__()
        self.erased: list[tuple[int | None, int | None]] = []
        self.takes = 0.0

    async def erase(self, *, guild_id: int | None = None, user_id: int | None = None) -> list[Erased]:
        await asyncio.sleep(self.takes)
        await super().erase()
        self.erased.append((guild_id, user_id))
        return [Erased("commands", 12), Erased("messages", 3)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Erasing:
    """The database of the environment."""
    made = Erasing()
    monkeypatch.setattr(erase, "sink_of", lambda settings, url: made)
    monkeypatch.setenv("ARGUS_ANALYTICS_URL", URL)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return made


def test_a_guild_is_erased_and_the_rows_are_told_by_table(
    database: Erasing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["erase", "--guild", "9007199254740993", "--yes"]) == 0
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()] == [
        ["TABLE", "ROWS", "ERASED"],
        ["commands", "12"],
        ["messages", "3"],
        ["all", "15"],
    ]
    assert err == ""
    assert database.erased == [(9007199254740993, None)]
    assert [call for call, _ in database.calls] == ["open", "erase", "close"]


def test_what_was_erased_is_told_as_json(database: Erasing, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["erase", "--guild", "5", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "database": "clickhouse://***@db/bots",
        "erased": "guild 5",
        "tables": {"commands": 12, "messages": 3},
        "rows": 15,
    }


def test_for_a_guild_no_key_is_needed(database: Erasing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGUS_ANALYTICS_USERS", "hash")
    assert main(["erase", "--guild", "5", "--yes"]) == 0
    assert database.erased == [(5, None)]


@pytest.mark.parametrize("users", ["hash", "plain"])
def test_a_user_is_erased_as_the_ids_are_kept(
    users: str, database: Erasing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ARGUS_ANALYTICS_USERS", users)
    monkeypatch.setenv("ARGUS_ANALYTICS_KEY", KEY)
    assert main(["erase", "--user", "7", "--yes"]) == 0
    assert database.erased == [(None, Users(users, KEY).let_through(7))]
    assert "commands" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "code"), [("y\n", 0), (" YES \n", 0), ("n\n", 1), ("\n", 1), ("", 1), ("yesterday\n", 1)]
)
def test_somebody_at_a_terminal_is_asked(
    answer: str, code: int, database: Erasing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["erase", "--guild", "5"]) == code
    asked = "Erase every row of guild 5 in clickhouse://***@db/bots? [y/N] "
    assert capsys.readouterr().err == asked + ("nothing was erased\n" if code else "")
    assert bool(database.erased) == (code == 0)


def test_where_nobody_can_be_asked_nothing_is_erased(database: Erasing, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["erase", "--guild", "5"]) == 2
    assert capsys.readouterr().err == "nobody is there to confirm: --yes erases without asking\n"
    assert database.calls == []


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"ARGUS_ANALYTICS_URL": ""}, "ARGUS_ANALYTICS_URL is not set: there is no database"),
        ({}, "ARGUS_ANALYTICS_USERS is off: no ids of users are kept; if they were, say how"),
        (
            {"ARGUS_ANALYTICS_USERS": "hash"},
            "ARGUS_ANALYTICS_USERS='hash' is not allowed: ARGUS_ANALYTICS_KEY is not set",
        ),
        ({"ARGUS_PORT": "http"}, "ARGUS_PORT='http' is not allowed: "),
    ],
)
@pytest.mark.usefixtures("database")
def test_settings_with_which_no_user_can_be_erased_are_told_in_a_line(
    environ: dict[str, str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    assert main(["erase", "--user", "5", "--yes"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(line)


def test_what_the_database_says_is_told_in_a_line_without_a_secret(
    database: Erasing, capsys: pytest.CaptureFixture[str]
) -> None:
    database.mode = "away"
    assert main(["erase", "--guild", "5", "--yes"]) == 1
    assert capsys.readouterr().err == "clickhouse://***@db/bots: ConnectionRefusedError: no *** at ***\n"
    assert database.erased == []


def test_a_database_that_does_not_answer_is_given_up(
    database: Erasing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(erase, "ATTEMPT_SECONDS", 0.05)

    async def hang(call: str) -> None:
        await asyncio.sleep(1000 if call == "open" else 0)

    monkeypatch.setattr(database, "_meet", hang)
    assert main(["erase", "--guild", "5", "--yes"]) == 1
    assert capsys.readouterr().err == "clickhouse://***@db/bots: TimeoutError: no answer in time\n"


def test_that_it_takes_long_is_said_now_and_then(
    database: Erasing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(erase, "PROGRESS_SECONDS", 0.05)
    database.takes = 0.2
    assert main(["erase", "--guild", "5", "--yes"]) == 0
    assert capsys.readouterr().err.startswith("erasing guild 5 for 0 s\n")


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "9223372036854775808", "1 OR 1=1", "", "٣"])
def test_what_is_no_id_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["erase", f"--guild={text}"])
    assert end.value.code == 2
    assert f"{text!r} is not an id of Discord" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--guild", "1", "--user", "2"]])
def test_either_a_guild_or_a_user_is_erased(arguments: list[str], capsys: pytest.CaptureFixture[Any]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["erase", *arguments])
    assert end.value.code == 2
    assert "--guild" in capsys.readouterr().err
