"""Who wrote it: how much of that leaves the process, and what is never said of a database."""

from __future__ import annotations

import hmac
import typing
from functools import lru_cache, partial
from typing import Final
from urllib.parse import unquote, urlsplit

if typing.TYPE_CHECKING:
    from collections.abc import Callable

REMEMBERED: Final = 10_000
"""Hashes that are kept, of the users seen last: about 2 MB."""

_LONGEST: Final = 300
_SHOWN: Final = "***"


class Users:
    """Lets the ids of users through as the settings want it.

    :param mode: ``off`` lets none through, ``hash`` a keyed hash of each, ``plain`` all as they are.
    :param key: of the hashes.
    :ivar plain: whether ids stay as they are; only then are rows kept that hold little more than who somebody is.
    :ivar let_through: takes an id, or 0 for nobody, and gives the one to be stored, 63 bits, or 0.
    """

    def __init__(self, mode: str, key: str = "") -> None:
        self.plain: Final = mode == "plain"
        self.kept: Final = mode != "off"
        hashing = lru_cache(REMEMBERED)(partial(_hashed, key.encode()))
        self.let_through: Final[Callable[[int], int]] = int if self.plain else hashing if self.kept else _nobody


def _nobody(_: int) -> int:
    return 0


def _hashed(key: bytes, user_id: int) -> int:
    """HMAC-SHA-256 of the id's digits, the first 63 bits of it, and never 0."""
    if not user_id:
        return 0
    digest = hmac.digest(key, str(user_id).encode(), "sha256")
    return int.from_bytes(digest[:8], "big") >> 1 or 1


def told(error: BaseException, url: str) -> str:
    """What went wrong in one short line, without what the database's URL has of secrets."""
    said = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else "")
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    parts = urlsplit(url)
    secrets = {parts.netloc.rpartition("@")[0], parts.password, url} if parts.password else {url}
    secrets |= {parts.query} - {""}
    for secret in sorted(secrets | {unquote(each) for each in secrets}, key=len, reverse=True):
        text = text.replace(secret, _SHOWN)
    text = " ".join(text.split())
    text = text if text.isprintable() else text.encode("unicode_escape").decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\N{HORIZONTAL ELLIPSIS}"
