"""REST v10: what every request goes through. The routes themselves are in `routes/`."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from .events import Stage, build
from .interactions import Place, attachment
from .ratelimits import Bucket, Limit, RateLimits

if TYPE_CHECKING:
    from .gateway import Gateway
    from .payloads import Json

log = logging.getLogger(__name__)
MAJOR = ("channel_id", "guild_id", "webhook_id", "token")
Answer = object
"""What a route returns: None for 204, `(status, body)`, or a body for 200."""


class ApiError(Exception):
    """An error answer: HTTP status, Discord's JSON code, message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


UNAUTHORIZED = ApiError(401, 0, "401: Unauthorized")
NOT_FOUND = ApiError(404, 0, "404: Not Found")


def unknown(code: int, what: str) -> ApiError:
    """A 404 such as 10008 Unknown Message."""
    return ApiError(404, code, f"Unknown {what}")


@dataclass
class Request:
    """One REST request that was seen. `json` is its body, `duration` is in seconds; status 0 is none: it was cut."""

    method: str
    path: str
    route: str
    status: int = 0
    json: Any = None
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    duration: float = 0.0
    scope: str | None = None
    """The `X-RateLimit-Scope` of a 429."""

    def is_a(self, kind: type) -> bool:
        """Whether the body is an object (dict) or a list."""
        return isinstance(self.json, kind)


@dataclass(frozen=True)
class Route:
    """One route. `auth` False: the token is in the path. `exempt`: outside the global limit."""

    method: str
    path: str
    handler: Callable[[Call], Answer | Awaitable[Answer]]
    auth: bool = True
    exempt: bool = False
    limit: Limit | None = None

    @property
    def name(self) -> str:
        """Method and path template."""
        return f"{self.method} {self.path}"


Handler = Callable[["Call"], Any]
ROUTES: list[Route] = []


def route(
    method: str, path: str, *, auth: bool = True, exempt: bool = False, limit: Limit | None = None
) -> Callable[[Handler], Handler]:
    """Declare a route under `/api/v10`."""

    def declare(handler: Handler) -> Handler:
        ROUTES.append(Route(method, path, handler, auth, exempt, limit))
        return handler

    return declare


class Call:
    """One request as its route sees it."""

    def __init__(self, api: Rest, request: web.Request, seen: Request) -> None:
        self.api = api
        self.request = request
        self.seen = seen
        self.stage = api.stage
        self.world = api.stage.world

    def id(self, name: str) -> int:
        """A path parameter that is an id. Raises ApiError for one that is none."""
        try:
            return int(self.request.match_info[name])
        except ValueError:
            raise ApiError(400, 50035, "Invalid Form Body") from None

    def text(self, name: str) -> str:
        """A path parameter."""
        return self.request.match_info[name]

    def query(self, name: str, default: str = "") -> str:
        """A query parameter."""
        return self.request.query.get(name, default)

    @property
    def json(self) -> Json:
        """The body, an empty one for none."""
        return cast("Json", self.seen.json) if self.seen.is_a(dict) else {}

    @property
    def items(self) -> list[Json]:
        """The body where it is a list."""
        return cast("list[Json]", self.seen.json) if self.seen.is_a(list) else []

    def dispatch(self, name: str, data: Json, guild_id: int | None) -> None:
        """Send the event that this request causes."""
        self.api.gateway.fan_out(name, json.dumps(data), guild_id)

    def emit(self, name: str, place: Place, given: Json) -> Json:
        """Let an event happen, and send it."""
        payload = build(self.stage, name, place, given)
        self.dispatch(name, payload, place.guild_id)
        return payload


@dataclass
class Faults:
    """What is wrong with REST at the moment; incidents set it."""

    delay: float = 0.0
    """Seconds added to every answer."""
    answers: list[Callable[[Route, web.Request], web.Response | None]] = field(
        default_factory=list[Callable[["Route", web.Request], "web.Response | None"]]
    )
    """Asked first; an answer from one of them is sent instead of the real one."""
    planned: dict[str, deque[web.Response]] = field(default_factory=dict[str, deque[web.Response]])
    """The answers to the next requests, by route; before all others."""


class Rest:
    """The REST side of the simulator."""

    def __init__(self, stage: Stage, gateway: Gateway) -> None:
        self.stage = stage
        self.gateway = gateway
        self.limits = RateLimits(gateway.limits)
        self.faults = Faults()
        self.requests: deque[Request] = deque(maxlen=10_000)
        self.uploads: dict[int, tuple[str, bytes]] = {}
        self.webhooks: dict[int, Json] = {}
        self.url = ""

    def add_to(self, app: web.Application) -> None:
        """Add every route to an application."""
        for one in ROUTES:
            for version in ("v10", "v9"):
                app.router.add_route(one.method, f"/api/{version}{one.path}", self._handler(one))
        nowhere = Route("*", "/{rest:.*}", _nowhere, auth=False)
        app.router.add_route("*", "/api/{rest:.*}", self._handler(nowhere))

    def _handler(self, one: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._serve(one, request)

        return handle

    async def _serve(self, one: Route, request: web.Request) -> web.Response:
        started = time.perf_counter()
        seen = Request(request.method, request.path, one.name, headers=dict(request.headers))
        await self._read(request, seen)
        if self.faults.delay:
            await asyncio.sleep(self.faults.delay)
        response = await self._answer(one, request, seen)
        response.headers["Date"] = formatdate(self.stage.world.clock.time(), usegmt=True)
        seen.status, seen.duration = response.status, time.perf_counter() - started
        seen.scope = response.headers.get("X-RateLimit-Scope")
        self._count_invalid(response)
        self.requests.append(seen)
        if isinstance(response, Cut):
            seen.status = 0
            response.cut(request)
        return response

    async def _answer(self, one: Route, request: web.Request, seen: Request) -> web.Response:
        planned = self.faults.planned.get(one.name)
        if planned:
            return self._with_bucket(one, request, planned.popleft())
        if self.limits.banned:
            return cloudflare()
        for fault in self.faults.answers:
            response = fault(one, request)
            if response is not None:
                return self._with_bucket(one, request, response)
        if one.auth and request.headers.get("Authorization") != f"Bot {self.gateway.token}":
            return error(UNAUTHORIZED)
        return self._limited(one, request) or await self._allowed(one, request, seen)

    def _with_bucket(self, one: Route, request: web.Request, response: web.Response) -> web.Response:
        """Add an exhausted bucket's headers to a 429 of the bot's own or of a shared resource, as Discord does."""
        if response.headers.get("X-RateLimit-Scope") in ("user", "shared"):
            headers = self._bucket(one, request).headers(self.stage.world.clock.time())
            response.headers.update(headers | {"X-RateLimit-Remaining": "0"})
        return response

    def _limited(self, one: Route, request: web.Request) -> web.Response | None:
        wait = 0.0 if one.exempt else self.limits.take_global()
        if wait:
            return too_many(wait, scope="global")
        bucket = self._bucket(one, request)
        if bucket.take():
            return None
        return too_many(bucket.reset_after, scope="user", headers=bucket.headers(self.stage.world.clock.time()))

    def _bucket(self, one: Route, request: web.Request) -> Bucket:
        major = "/".join(request.match_info[name] for name in MAJOR if name in request.match_info)
        return self.limits.bucket(one.name, major, one.limit)

    async def _allowed(self, one: Route, request: web.Request, seen: Request) -> web.Response:
        try:
            answer = one.handler(Call(self, request, seen))
            if asyncio.iscoroutine(answer):
                answer = await answer
            response = _response(answer)
        except ApiError as problem:
            response = error(problem)
        except (LookupError, TypeError, ValueError) as problem:
            log.warning("%s: a body that cannot be used: %r", one.name, problem)
            response = error(ApiError(400, 50035, "Invalid Form Body"))
        response.headers.update(self._bucket(one, request).headers(self.stage.world.clock.time()))
        return response

    def _count_invalid(self, response: web.Response) -> None:
        shared = response.headers.get("X-RateLimit-Scope") == "shared"
        if response.status in (401, 403, 429) and not shared and "Via" in response.headers:
            self.limits.invalid()

    async def _read(self, request: web.Request, seen: Request) -> None:
        if request.content_type == "multipart/form-data":
            await self._read_form(request, seen)
            return
        body = await request.read()
        if body:
            seen.json = _loads(body)

    async def _read_form(self, request: web.Request, seen: Request) -> None:
        form = await request.post()
        for name, value in form.items():
            if isinstance(value, web.FileField):
                seen.files[value.filename] = value.file.read()
            elif name == "payload_json":
                seen.json = _loads(value)

    def store(self, seen: Request, channel_id: str) -> list[Json]:
        """Keep the uploaded files, and describe them as attachments that the simulated CDN serves."""
        described: list[Json] = []
        for name, content in seen.files.items():
            file_id = self.stage.world.ids.new()
            self.uploads[file_id] = (name, content)
            url = f"{self.url}/cdn/attachments/{channel_id}/{file_id}/{name}"
            described.append(attachment(file_id, name, len(content), url))
        return described


def _nowhere(_: Call) -> Answer:
    raise NOT_FOUND


def _loads(body: str | bytes | bytearray) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _response(answer: object) -> web.Response:
    if isinstance(answer, web.Response):
        return answer
    if answer is None:
        return web.Response(status=204, headers={"Via": "1.1 google"})
    status, body = cast("tuple[int, object]", answer) if isinstance(answer, tuple) else (200, answer)
    return _json(body, status)


def _json(body: object, status: int, extra: dict[str, str] | None = None) -> web.Response:
    # discord.py takes a body for JSON only if its type is exactly this, without a charset.
    headers = {"Via": "1.1 google", **(extra or {})}
    return web.Response(body=json.dumps(body).encode(), status=status, content_type="application/json", headers=headers)


def error(problem: ApiError) -> web.Response:
    """An error as Discord answers it."""
    body = {"message": problem.message, "code": problem.code}
    return _json(body, problem.status)


def too_many(retry_after: float, *, scope: str, headers: dict[str, str] | None = None) -> web.Response:
    """A 429. `retry_after` is in seconds; `scope` is user, global or shared."""
    wait = round(max(retry_after, 0.001), 3)
    body: Json = {"message": "You are being rate limited.", "retry_after": wait, "global": scope == "global"}
    extra = {"Retry-After": str(max(round(wait), 1)), "X-RateLimit-Scope": scope}
    extra |= {"X-RateLimit-Global": "true"} if scope == "global" else {}
    return _json(body, 429, extra | (headers or {}))


class Cut(web.Response):
    """No answer: the connection is cut."""

    def cut(self, request: web.Request) -> None:
        """Cut it."""
        if request.transport is not None:
            request.transport.abort()


def failure(status: int) -> web.Response:
    """A server's error, such as 502, with the text that a proxy answers."""
    return web.Response(status=status, text="upstream error", headers={"Via": "1.1 google"})


def cloudflare() -> web.Response:
    """Cloudflare's own 429: HTML, no `Via`, no rate-limit headers but Retry-After."""
    page = "<!doctype html><html><head><title>Error 1015</title></head><body>You are being rate limited</body></html>"
    return web.Response(status=429, text=page, content_type="text/html", headers={"Retry-After": "3600"})
