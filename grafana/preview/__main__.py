"""`python -m grafana.preview`: pictures of the boards, from a simulated fleet or a Prometheus of your own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from examples.demo.children import Ended
from grafana.preview.board import Board, View, boards
from grafana.preview.draw import look, picture
from grafana.preview.fleet import Fleet, Options
from grafana.preview.postgres import postgres
from grafana.preview.prometheus import Prometheus, Server, resolve

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

RULES: Final = Path(__file__).parents[2] / "prometheus" / "rules"
_MOST_SHARDS: Final = 64
"""Shards that a process of the fleet has at most."""

_SEEN: Final = 20.0
"""Seconds until a graph with a point each 15 seconds has one of what was broken off."""


def main(argv: Sequence[str] | None = None) -> int:
    """Draw what is asked for; the exit code is 0, or 1 where there is no Prometheus, or no fleet."""
    given = _parser().parse_args(argv)
    given.scrape = given.scrape or (15.0 if given.prometheus else 2.0)
    try:
        asyncio.run(_draw(given))
    except (FileNotFoundError, Ended, TimeoutError) as problem:
        print(str(problem) or "the fleet did not start in time", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m grafana.preview", description=__doc__)
    add = parser.add_argument
    add("boards", nargs="*", help="words of the boards' uids, such as overview (default: all)")
    add("--shards", type=int, default=16, help="shards of the simulated bot (default: %(default)s)")
    add("--clusters", type=int, help="its processes; 0 is a plain bot without labels (default: by the shards)")
    add("--minutes", type=float, default=5.0, help="how long to watch before drawing (default: %(default)s)")
    add(
        "--trouble",
        type=float,
        default=5.0,
        help="seconds from one thing that goes wrong to the next, 0: never (default: %(default)s)",
    )
    add("--prometheus", metavar="URL", help="draw what this one knows, instead of a simulated fleet")
    add("--postgres", metavar="URL", help="draw the board of analytics from what this one knows")
    add("--scrape", type=float, help="seconds between two scrapes (default: 2, and 15 with --prometheus)")
    add("--unfold", action="store_true", help="open collapsed rows")
    add("--rows", type=int, default=1000, help="rows of the grid to draw at most, of 38 pixels each (default: all)")
    add("--var", action="append", default=[], metavar="NAME=VALUE", help="set a variable of the boards")
    add("--out", type=Path, default=Path("pictures"), help="where the pictures go (default: %(default)s)")
    return parser


async def _draw(given: argparse.Namespace) -> None:
    kind = "grafana-postgresql-datasource" if given.postgres else "prometheus"
    async with _source(given) as (server, searched):
        values = searched | dict(one.split("=", 1) for one in given.var)
        given.out.mkdir(parents=True, exist_ok=True)
        for board in boards():
            name = board.uid.removeprefix("argus-exporter-")
            if board.datasource == kind and (not given.boards or name in given.boards):
                await _draw_board(board, server, given, values, given.out / f"{name}.png")


async def _draw_board(
    board: Board, server: Server, given: argparse.Namespace, values: Mapping[str, str], path: Path
) -> None:
    end = time.time()
    view = View(end - given.minutes * 60, end, scrape=given.scrape)
    seen = await resolve(board, server, view, values)
    shown = await look(board, server, seen, unfold=given.unfold, rows=given.rows)
    picture(board, shown, seen).save(path)
    print(path, flush=True)


@contextlib.asynccontextmanager
async def _source(given: argparse.Namespace) -> AsyncGenerator[tuple[Server, dict[str, str]]]:
    """What to ask, and a guild to search for."""
    if given.postgres:
        async with postgres(given.postgres) as server:
            yield server, {}
        return
    if given.prometheus:
        async with aiohttp.ClientSession() as http:
            yield Prometheus(given.prometheus, http), {}
        return
    shards: int = given.shards
    clusters = _clusters(shards) if given.clusters is None else given.clusters
    options = Options(
        shards, clusters, guilds=max(20, shards * 3), trouble=given.trouble, scrape=given.scrape, rules=RULES
    )
    async with Fleet(options) as fleet:
        print(f"{shards} shards are up; watching for {given.minutes:g} minutes", flush=True)
        await asyncio.sleep(given.minutes * 60)
        if given.trouble and clusters:
            await fleet.hang(shards // 3)
            await fleet.break_off(shards * 3 // 4)
            await asyncio.sleep(_SEEN)
        yield fleet.server, {"guild_id": str(fleet.sim.guild_ids[shards * 5 // 8])}


def _clusters(shards: int) -> int:
    return 0 if shards == 1 else max(2, -(-shards // _MOST_SHARDS))


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # what goes wrong in the fleet is meant to
    sys.exit(main())
