"""What a Prometheus answers, and the values of variables that are asked of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from grafana.preview.board import ALL, Board, Json, Target, Variable, View

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

_LABEL_VALUES: Final = re.compile(r"\s*label_values\((?:(.+?),)?\s*([a-zA-Z_]\w*)\)\s*", re.DOTALL)


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels, and times with values."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


class Refused(Exception):  # noqa: N818  it is the query's fault
    """The server's own words against a query."""


class Server(Protocol):
    """What a board asks."""

    async def ask(self, target: Target, view: View) -> list[Series]:
        """What a panel's query finds."""
        ...

    async def values(self, query: str) -> list[str]:
        """What a variable's query finds."""
        ...


class Prometheus:
    """One that runs, at a URL."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._api = f"{url.rstrip('/')}/api/v1/"
        self._http = http

    async def get(self, path: str, **params: str) -> Any:
        """What it answers, without the envelope.

        :raises Refused: if it says no.
        """
        async with (
            self._http.post(self._api + path, data=params)
            if path.startswith("query")
            else self._http.get(self._api + path, params=params) as response
        ):
            answer = await response.json()
        if answer["status"] != "success":
            raise Refused(f"{answer['error']}: {params.get('query', path)}")
        return answer["data"]

    async def instant(self, expr: str, at: float) -> list[Series]:
        """The value of each series at a time."""
        data = await self.get("query", query=expr, time=f"{at:.3f}")
        if data["resultType"] == "scalar":
            return [_series({}, [data["result"]])]
        return [_series(one["metric"], [one["value"]]) for one in data["result"]]

    async def range(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        """The values of each series, a step between two."""
        span = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        data = await self.get("query_range", query=expr, **span)
        return [_series(one["metric"], one["values"]) for one in data["result"]]

    async def ask(self, target: Target, view: View) -> list[Series]:
        """What a panel's query finds, asked as Grafana asks it: a graph's points stand at multiples of the step."""
        expr = view.query(target.expr)
        if target.instant:
            return await self.instant(expr, view.end)
        start = view.start // view.step * view.step
        return await self.range(expr, start, view.end, view.step)

    async def values(self, query: str) -> list[str]:
        """What a variable's query finds: the values of a label.

        :raises Refused: if it is of another kind.
        """
        asked = _LABEL_VALUES.fullmatch(query)
        if asked is None:
            raise Refused(f"no query of a variable: {query}")
        found = await self.get(f"label/{asked[2]}/values", **({"match[]": asked[1]} if asked[1] else {}))
        return list(found)


def _series(labels: Mapping[str, str], points: list[Any]) -> Series:
    return Series(labels, tuple((float(at), float(value)) for at, value in points))


async def resolve(board: Board, server: Server, view: View, given: Mapping[str, str]) -> View:
    """The view with the board's variables: as they stand, as they are given, or all of them.

    Those that are asked for come last: they may name the others.
    """
    for raw in sorted(board.variables, key=lambda one: bool(one["type"] == "query")):
        variable = await _resolved(raw, server, view, given)
        view = replace(view, variables={**view.variables, variable.name: variable})
    return view


async def _resolved(raw: Json, server: Server, view: View, given: Mapping[str, str]) -> Variable:
    options = tuple(await variable_values(raw, server, view))
    name = raw["name"]
    chosen = tuple(given[name].split(",")) if name in given else _chosen(raw, options)
    several = bool(raw.get("multi") or raw.get("includeAll"))
    return Variable(name, options, chosen, several, raw.get("allValue") or "")


def _chosen(raw: Json, options: tuple[str, ...]) -> tuple[str, ...]:
    chosen = _current(raw)
    if raw["type"] == "textbox":
        return chosen or (str(raw.get("query", "")),)
    if raw.get("includeAll") and chosen in ((), (ALL,)):
        return (ALL,)
    kept = tuple(one for one in chosen if one in options)
    return kept or options[:1]


def _current(raw: Json) -> tuple[str, ...]:
    current: Json = raw.get("current") or {}
    value: list[str] | str = current.get("value") or []
    return (value,) if isinstance(value, str) else tuple(value)


async def variable_values(raw: Json, server: Server, view: View) -> list[str]:
    """What a variable can be."""
    if raw["type"] == "query":
        return _picked(await server.values(view.query(query_of(raw))), raw.get("regex") or "")
    if raw["type"] == "custom":
        return [one.strip() for one in str(raw["query"]).split(",")]
    return list(_current(raw) or (str(raw.get("query", "")),))


def query_of(raw: Json) -> str:
    """The query of a variable, in either of the forms that Grafana writes."""
    query: Json | str = raw["query"]
    return query if isinstance(query, str) else str(query["query"])


def _picked(values: list[str], regex: str) -> list[str]:
    """What a variable's `regex` leaves of the values: its first group where it has one."""
    found = [re.search(regex.strip("/"), value) for value in values]
    return list(dict.fromkeys(match[1] if match.re.groups else match.string for match in found if match))
