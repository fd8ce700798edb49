"""What a PostgreSQL answers, where a bot records into one, guild by guild."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from grafana.preview.prometheus import Refused, Series
from grafana.preview.tables import Rows, Table

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping

    from grafana.preview.board import Target, View

Row = dict[str, Any]
_connect: Callable[[str], Coroutine[Any, Any, Any]] = getattr(asyncpg, "connect")  # noqa: B009 - it has no types


@contextlib.asynccontextmanager
async def postgres(url: str) -> AsyncGenerator[Postgres]:
    """Be connected to one."""
    connection = await _connect(url)
    try:
        yield Postgres(connection)
    finally:
        await connection.close()


class Postgres:
    """One that runs, asked over a connection of asyncpg's."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def ask(self, target: Target, view: View) -> list[Series]:
        """What a panel's statement finds: series over time, or rows.

        :raises Refused: if it says no.
        """
        rows = await self._rows(view.query(target.expr))
        return _series(rows) if target.format == "time_series" else _table(rows, view.end)

    async def values(self, query: str) -> list[str]:
        """What a variable's statement finds."""
        return [str(next(iter(row.values()))) for row in await self._rows(query)]

    async def _rows(self, sql: str) -> list[Row]:
        try:
            return [dict(row) for row in await self._connection.fetch(sql)]
        except asyncpg.PostgresError as error:
            raise Refused(str(error)) from None


def _series(rows: Iterable[Row]) -> list[Series]:
    """A series for each column of numbers, or for each text that stands beside one."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        at, *values = row.values()
        text = next((value for value in values if isinstance(value, str)), None)
        for name, value in _numbers(row).items():
            found.setdefault(text or name, []).append((_seconds(at), value))
    return [Series({"series": name}, tuple(points)) for name, points in found.items()]


def _table(rows: list[Row], end: float) -> Rows:
    """The rows as they are, and a series for each by its first text and number."""
    shown = tuple({name: _shown(value) for name, value in row.items() if value is not None} for row in rows)
    found = Rows(Table(tuple(rows[0]) if rows else (), shown))
    for row in rows:
        text = next((value for value in row.values() if isinstance(value, str)), None)
        numbers = [*_numbers(row).values()]
        found += [Series({} if text is None else {"name": text}, ((end, number),)) for number in numbers[:1]]
    return found


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in row.items()
        if name != "time" and value is not None and not isinstance(value, (str, datetime))
    }


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return value if isinstance(value, str) else float(value)


def _seconds(at: Any) -> float:
    return at.timestamp() if isinstance(at, datetime) else float(at)
