"""``python -m tests.soak [--count N]``: send a million interactions, and see that memory stays and sums are right."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import sys
from typing import Final

from tests.soak.soak import Mark, soaking

GROWTH: Final = 6.0
"""MB by which the memory may grow after the first tenth."""
_MB: Final = 1 << 20


def main() -> int:
    """Run, and tell by the exit code whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="how many interactions (%(default)s)")
    logging.getLogger("discord").setLevel(logging.CRITICAL)  # it would tell of every failure
    logging.getLogger("argus_exporter").setLevel(logging.ERROR)  # and the watchdog, of every stall of a busy machine
    return asyncio.run(_run(parser.parse_args().count))


async def _run(count: int) -> int:
    async with soaking() as soak:
        for _ in range(10):
            await soak.send(soak.source.any() for _ in range(count // 10))
            _tell(soak.mark())
        wrong = soak.over()
    first, last = soak.marks[0], soak.marks[-1]
    grown = (last.rss - first.rss) / _MB
    print(f"\n{grown:+.1f} MB after the first tenth (at most {GROWTH:+.1f} MB)")
    for (name, key), booked in sorted(soak.source.book.items()):
        if name.startswith("discord_interaction"):
            print(f"{name + str(key):70} {booked:>9}")
    sums = sum(soak.source.book.values())
    print(f"{len(soak.source.book)} sums over {sums} are {'equal' if not wrong else 'NOT EQUAL'}")
    print("\n".join(itertools.islice(wrong, 50)))
    return 1 if wrong or grown > GROWTH else 0


def _tell(mark: Mark) -> None:
    print(
        f"{mark.count:>9} interactions  {mark.seconds:>6.0f} s  {mark.count / mark.seconds:>6.0f}/s  "
        f"RSS {mark.rss / _MB:>6.1f} MB  {mark.followed:>6} remembered  {mark.series:>5} series",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
