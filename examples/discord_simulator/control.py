"""The control endpoint: JSON under `/control/`, to drive a running simulator from outside."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .events import EVENTS
from .incidents import INCIDENTS

if TYPE_CHECKING:
    from .payloads import Json
    from .simulator import Simulator

Handler = Callable[[web.Request], Awaitable[object]]
PATHS = {
    "GET /control/": "this list",
    "GET /control/status": "sessions, traffic, requests, incidents that go on",
    "GET /control/incidents": "every incident with its parameters",
    "POST /control/incidents/{name}": "start one; the body holds its parameters and `seconds`",
    "DELETE /control/incidents/{name}": "stop those of this name; `all` stops all",
    "POST /control/events/{name}": "let an event happen; the body holds `guild`, `channel`, `member` and fields",
    "POST /control/dispatch": "send a raw event: `event`, `data`, and `shard` or `guild`",
    "POST /control/slash": "use a slash command: `path`, `options`, `guild`, `channel`, `member`",
    "POST /control/traffic": "send `rate` events per second; `mix`, `seed`",
    "DELETE /control/traffic": "stop the traffic",
}
"""What there is, and what it does."""


class ControlEndpoint:
    """Serves `/control/`. Errors are `{"error": …}`: 400 for a bad parameter, 404 for something unknown."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim

    def add_to(self, app: web.Application) -> None:
        """Add its routes to an application."""
        handlers: dict[str, Handler] = {
            "GET /control/": self._index,
            "GET /control/status": self._status,
            "GET /control/incidents": self._incidents,
            "POST /control/incidents/{name}": self._start,
            "DELETE /control/incidents/{name}": self._stop,
            "POST /control/events/{name}": self._event,
            "POST /control/dispatch": self._dispatch,
            "POST /control/slash": self._slash,
            "POST /control/traffic": self._start_traffic,
            "DELETE /control/traffic": self._stop_traffic,
        }
        for route in PATHS:
            method, path = route.split()
            app.router.add_route(method, path, _guarded(handlers[route]))

    async def _index(self, _: web.Request) -> object:
        return {"paths": PATHS, "incidents": sorted(INCIDENTS), "events": sorted(EVENTS)}

    async def _status(self, _: web.Request) -> object:
        return self._sim.status()

    async def _incidents(self, _: web.Request) -> object:
        return [
            {
                "name": one.name,
                "help": one.help,
                "lasting": one.lasting,
                "parameters": {each.name: each.default for each in one.parameters},
            }
            for one in INCIDENTS.values()
        ]

    async def _start(self, request: web.Request) -> object:
        given = await _body(request)
        seconds = given.pop("seconds", None)
        seconds = None if seconds is None else float(seconds)
        started = await self._sim.incident(request.match_info["name"], seconds=seconds, **given)
        return {"incident": started.name, "parameters": started.parameters, "seconds": seconds}

    async def _stop(self, request: web.Request) -> object:
        name = request.match_info["name"]
        if name != "all" and name not in INCIDENTS:
            raise LookupError(f"no incident {name!r}; there are {', '.join(sorted(INCIDENTS))}")
        return {"stopped": await self._sim.incidents.stop(None if name == "all" else name)}

    async def _event(self, request: web.Request) -> object:
        return await self._sim.event(request.match_info["name"], **await _body(request))

    async def _dispatch(self, request: web.Request) -> object:
        given = await _body(request)
        took = await self._sim.dispatch(
            given["event"], given.get("data") or {}, shard_id=given.get("shard"), guild=given.get("guild")
        )
        return {"sessions": took}

    async def _slash(self, request: web.Request) -> object:
        given = await _body(request)
        made = await self._sim.slash(given.pop("path"), given.pop("options", {}), **given)
        return {"id": str(made.interaction_id)}

    async def _start_traffic(self, request: web.Request) -> object:
        given = await _body(request)
        await self._sim.start_traffic(float(given.pop("rate")), **given)
        return {"traffic": self._sim.status()["traffic"]}

    async def _stop_traffic(self, _: web.Request) -> object:
        await self._sim.stop_traffic()
        return {"traffic": None}


def _guarded(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return web.json_response(await handler(request))
        except KeyError as problem:
            return web.json_response({"error": f"{problem.args[0]} is missing"}, status=400)
        except LookupError as problem:
            return web.json_response({"error": str(problem)}, status=404)
        except (ValueError, TypeError) as problem:
            return web.json_response({"error": str(problem)}, status=400)

    return handle


async def _body(request: web.Request) -> Json:
    text = await request.text()
    given: Any = json.loads(text) if text else {}
    if not isinstance(given, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004  the caller's text is wrong
    return given  # pyright: ignore[reportUnknownVariableType]
