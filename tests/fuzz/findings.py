"""Inputs at which something escaped once, with what it was."""

from __future__ import annotations

from typing import Any

from tests.fuzz.options import PASSWORD

FINDINGS: tuple[tuple[str, str, Any], ...] = (
    (
        "labels",
        "a value of any length was on the page",
        ("b", 0, ((0, "x" * 5_000, "", 1), (2, "\ud800" * 129, "\0", 1))),
    ),
    ("settings", "a password with a slash in it was shown", (("port", f"off//u:a/{PASSWORD}@h"),)),
    ("settings", "a password with a space in it was shown", (("port", f"off//u:a {PASSWORD}@h"),)),
    (
        "http",
        "a body that is not compressed as it says was logged with a traceback, and one that is was unpacked",
        (b"PUT /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Encoding: deflate\r\n\r\nhello",),
    ),
)
