"""What a Graphite answers, where the bots push to one."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from grafana.preview.prometheus import Refused, Series

if TYPE_CHECKING:
    import aiohttp

    from grafana.preview.board import Target, View

_TAG_VALUES: Final = re.compile(r"tag_values\((\w+), (.+)\)")


class Graphite:
    """A graphite-web that runs, at a URL."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http

    async def _get(self, path: str, asked: list[tuple[str, str]]) -> Any:
        async with self._http.get(f"{self._url}/{path}", params=asked) as response:
            text = await response.text()
        if response.status != 200:  # noqa: PLR2004 - HTTP's
            raise Refused(f"{response.status}: {dict(asked)}")
        return json.loads(text)

    async def ask(self, target: Target, view: View) -> list[Series]:
        """What a panel's target finds; series that have no values are left out, as are those values.

        :raises Refused: if it says no.
        """
        span = [("from", f"{view.start:.0f}"), ("until", f"{view.end:.0f}")]
        asked = [("target", view.query(target.expr)), ("format", "json"), ("noCache", "1"), *span]
        found = [(one["target"], one["datapoints"]) for one in await self._get("render", asked)]
        series = [(name, tuple((float(at), float(y)) for y, at in points if y is not None)) for name, points in found]
        return [Series({"__name__": name}, points) for name, points in series if points]

    async def values(self, query: str) -> list[str]:
        """What a variable's query finds: the values of a tag.

        :raises Refused: if it is of another kind.
        """
        asked = _TAG_VALUES.fullmatch(query)
        if asked is None:
            raise Refused(f"no query of a variable: {query}")
        exprs = [("expr", one) for one in asked[2].split(", ")]
        return list(await self._get("tags/autoComplete/values", [("tag", asked[1]), *exprs]))
