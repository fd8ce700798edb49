"""What is served over HTTP: the page for those who may have it, the probes for all, and the server of both."""

from __future__ import annotations

import contextlib
import typing
from typing import Final

from aiohttp.web_response import Response

from argus_exporter.catalogue import REFUSALS, REQUESTS_REFUSED_TOTAL
from argus_exporter.exposition.auth import Guard
from argus_exporter.exposition.door import Door
from argus_exporter.exposition.health import Health
from argus_exporter.exposition.server import Server
from argus_exporter.exposition.tls import certificates
from argus_exporter.settings import supervisor

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.web_request import BaseRequest
    from aiohttp.web_response import StreamResponse

    from argus_exporter.exposition.health import Bot
    from argus_exporter.exposition.server import Handler
    from argus_exporter.instruments import Instruments
    from argus_exporter.settings import Settings


class Site:
    """All that listens.

    :param page: serves the metrics.
    :param bot: what the probes ask.
    :param errors: is told what was caught, from any thread.
    :raises SettingError: if a file that the settings name says nothing that makes sense.
    """

    def __init__(
        self,
        settings: Settings,
        instruments: Instruments,
        page: Handler,
        bot: Bot,
        errors: Callable[[BaseException], None],
    ) -> None:
        refused = instruments.counter(REQUESTS_REFUSED_TOTAL)
        self._refused: Final = {reason: refused.labels(reason) for reason in REFUSALS}
        self._systemd: Final = settings.systemd
        self._listens: Final = settings.port is not None
        self._errors: Final = errors
        self._guard: Final = Guard(settings, lambda: self._refuse("unauthorized"))
        self._certificates: Final = certificates(settings)
        self._health: Final = Health(settings, instruments, bot, self._door(), errors)
        self.metrics: Final = self._guard.guarded(page)
        """Serves the metrics to those who have the token, if one is set."""
        self._server: Final = Server(
            settings,
            self.metrics,
            probes=self._health.routes,
            certificates=self._certificates,
            guarded=self._guard.asks,
            refused=self._refuse,
        )

    @property
    def port(self) -> int | None:
        """The port that is bound; None while there is none."""
        return self._server.port

    async def probe(self, request: BaseRequest) -> StreamResponse:
        """Serve the probe that the last word of the path names."""
        handler = self._health.routes.get(f"/{request.path.rpartition('/')[2]}")
        return Response(status=404) if handler is None else await handler(request)

    def closed(self) -> StreamResponse:
        """The answer to all while the exporter is not running."""
        return Response(status=503, text="503: the exporter is not running\n")

    async def start(self) -> None:
        """Listen, or begin to try; and look after the loop, if anybody could ask."""
        watching = supervisor() if self._systemd else None
        try:
            if self._listens or watching is not None:
                self._health.start(watching)
        except Exception as error:  # noqa: BLE001 - the system gives no thread, or no socket: the page is still served
            self._errors(error)
        await self._server.start()

    async def close(self) -> None:
        """Close everything."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._guard.close)
            if self._certificates is not None:
                stack.callback(self._certificates.close)
            stack.push_async_callback(self._server.close)
            await self._health.close()

    def _door(self) -> Door:
        return Door(lambda: self._server.sockets, lambda: self._certificates.current if self._certificates else None)

    def _refuse(self, reason: str) -> None:
        self._refused[reason].value += 1
