"""``python -m tests.soak``: let a bot live through an hour of events and incidents; nothing may grow, nothing be lost.

Ctrl-C ends it before its time. ``--count N`` instead sends interactions alone, as fast as they go, at the bot's parser:
see :mod:`tests.soak.soak`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import itertools
import logging
import secrets
import signal
import sys
from collections import Counter
from typing import Final

from tests.soak.endurance import Plan, Run
from tests.soak.soak import Mark, soaking

SHARE: Final = 0.8
"""Of the events a second, how many must have come in the end, with all incidents: 2,000 of those that are usual."""
GROWTH: Final = 6.0
"""MB by which the memory may grow after the first tenth of the interactions."""
_MB: Final = 1 << 20


def main() -> int:
    """Run, and tell by the exit code whether all is well."""
    whole = Plan()
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=whole.seconds, help="of traffic (%(default).0f)")
    parser.add_argument("--rate", type=float, default=whole.rate, help="events a second (%(default).0f)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 16), help="of all that is random")
    parser.add_argument(
        "--growth", type=float, default=whole.growth, help="MB allowed in the second half (%(default).0f)"
    )
    parser.add_argument("--count", type=int, default=0, help="how many interactions alone")
    given = parser.parse_args()
    logging.getLogger("discord").setLevel(logging.CRITICAL)  # it would tell of every failure
    logging.getLogger("argus_exporter").setLevel(logging.ERROR)  # and the watchdog, of every stall of a busy machine
    logging.getLogger("examples").setLevel(logging.ERROR)
    if given.count:
        return asyncio.run(_send(given.count))
    plan = dataclasses.replace(whole, seconds=given.seconds, rate=given.rate, seed=given.seed, growth=given.growth)
    return asyncio.run(_live(plan))


# ---------------------------------------------------------------------------------------------- an hour


async def _live(plan: Plan) -> int:
    print(plan, flush=True)
    run = Run(plan, lambda text: print(text, flush=True))
    with contextlib.suppress(NotImplementedError):  # on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, run.over.set)
    await run.run()
    happened = Counter(text.partition(" ")[0] for text in run.incidents.happened)
    print(f"{happened.total()} incidents healed:", ", ".join(f"{name} {count}" for name, count in happened.items()))
    trends = run.trends()
    moved = [trend for trend in trends if len(set(trend.values)) > 1]
    print(f"\n{'':60} {'first':>9} {'most':>9} {'last':>9} {'second half':>12}", *moved, sep="\n")
    print(f"{len(trends) - len(moved)} more have not changed at all")
    wanted = plan.rate * SHARE
    print(f"\n{run.rate:.0f} events/s were received, at least {wanted:.0f} are wanted; {run.scrapes} scrapes")
    wrong = [*run.grown(), *run.wrong, *([f"only {run.rate:.0f} events/s"] if run.rate < wanted else [])]
    print("\n".join(["NOT WELL:", *wrong]) if wrong else "All is well.")
    return bool(wrong)


# ---------------------------------------------------------------------------------------------- interactions alone


async def _send(count: int) -> int:
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
