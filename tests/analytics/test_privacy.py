"""Who wrote it: what is let through of a user's id, and what is never said of a database."""

from __future__ import annotations

import hashlib
import hmac
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from argus_exporter.analytics.privacy import REMEMBERED, Users, told

KEY = "a key of sixteen"
ids = st.integers(1, 2**63 - 1)


@given(ids)
def test_off_lets_nobody_through_and_plain_everybody(user_id: int) -> None:
    assert (Users("off").let_through(user_id), Users("off").kept, Users("off").plain) == (0, False, False)
    assert (Users("plain").let_through(user_id), Users("plain").kept, Users("plain").plain) == (user_id, True, True)
    assert (Users("hash", KEY).kept, Users("hash", KEY).plain) == (True, False)


@given(ids)
def test_a_hash_is_of_63_bits_and_only_who_has_the_key_can_make_it(user_id: int) -> None:
    hashed = Users("hash", KEY).let_through(user_id)
    assert 0 < hashed < 2**63
    assert hashed != user_id
    assert hashed == Users("hash", KEY).let_through(user_id) != Users("hash", f"{KEY}!").let_through(user_id)
    without = [hashlib.sha256(text).digest() for text in (str(user_id).encode(), user_id.to_bytes(8, "big"))]
    assert hashed not in {int.from_bytes(digest[:8], "big") >> 1 for digest in without}


@given(st.sets(ids, min_size=2, max_size=50))
def test_different_users_stay_different(users: set[int]) -> None:
    let_through = Users("hash", KEY).let_through
    assert len({let_through(user) for user in users}) == len(users)


def test_nobody_stays_nobody() -> None:
    assert [Users(mode, KEY).let_through(0) for mode in ("off", "hash", "plain")] == [0, 0, 0]


def test_no_hash_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hmac, "digest", lambda *_: bytes(32))
    assert Users("hash", KEY).let_through(5) == 1


def test_a_hash_is_the_same_in_another_process_and_today_as_tomorrow() -> None:
    user = 80351110224678912
    code = f"from argus_exporter.analytics.privacy import Users; print(Users('hash', {KEY!r}).let_through({user}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == Users("hash", KEY).let_through(user) == 2386950469371220602


def test_hashes_are_remembered_of_a_bounded_number_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    digest = hmac.digest
    monkeypatch.setattr(hmac, "digest", lambda key, text, name: asked.append(text) or digest(key, text, name))
    let_through = Users("hash", KEY).let_through
    for _ in range(3):
        let_through(1)
    assert len(asked) == 1
    for user in range(2, REMEMBERED + 2):
        let_through(user)
    let_through(1)
    assert asked.count(b"1") == 2


URL = "postgresql://me:p%40ss@db:5432/bots?sslmode=require&password=other"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError("db:5432 refused"), "ConnectionRefusedError: db:5432 refused"),
        (OSError(f"cannot reach {URL}"), "OSError: cannot reach ***"),
        (OSError("p@ss and p%40ss of me:p@ss, me:p%40ss"), "OSError: *** and *** of ***, ***"),
        (OSError("?sslmode=require&password=other"), "OSError: ?***"),
        (TimeoutError(), "TimeoutError: no answer in time"),
        (EOFError(), "EOFError"),
        (ValueError("two\n  lines\t\0"), r"ValueError: two lines \x00"),
        (ValueError("x" * 1000), f"ValueError: {'x' * 288}…"),
    ],
)
def test_what_went_wrong_is_told_in_a_line_without_a_secret(error: Exception, text: str) -> None:
    assert told(error, URL) == text


def test_a_user_without_a_password_is_no_secret() -> None:
    assert told(OSError("me and some"), "postgresql://me@db/bots") == "OSError: me and some"


@example("postgresql://db/bots")
@given(st.text(max_size=50))
def test_any_error_of_any_url_is_told_in_a_line(text: str) -> None:
    assert told(OSError(text), "clickhouse://a/b").isprintable()
