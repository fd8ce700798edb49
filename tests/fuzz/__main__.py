"""``python -m tests.fuzz [TARGET ...] [--count N] [--seed S] [--replay FILE|HEX]``: look for what breaks things.

The exit code is 1 if one was found; it is shown, with the line that tries it again.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.engines import Result, by_chance, by_coverage, is_guided
from tests.fuzz.table import TARGETS
from tests.fuzz.target import Target


def main(arguments: Sequence[str] | None = None, targets: dict[str, Target[Any]] = TARGETS) -> int:
    """Try inputs, show how far it is, and then the table."""
    parser = _parser(targets)
    given = parser.parse_args(arguments)
    if odd := {*given.target} - targets.keys():
        parser.error(f"no target is called {', '.join(odd)}: there are {', '.join(targets)}")
    chosen = [targets[name] for name in given.target or targets]
    if given.replay is not None:
        return replay(chosen[0], _bytes_of(given.replay))
    guided = is_guided() and targets is TARGETS
    if not guided:
        say("atheris is not here (it has wheels for CPython on Linux): inputs come by chance, and nobody counts edges.")
    seed = random.SystemRandom().getrandbits(31) if given.seed is None else given.seed
    results: list[Result] = []
    for target in chosen:
        results.append((by_coverage if guided else by_chance)(target, given.count, seed, say))
        _tell(target, results[-1])
    say(report(results))
    return 1 if any(each.found is not None for each in results) else 0


def replay(target: Target[Any], data: bytes) -> int:
    """Try one input again; what escapes, escapes."""
    value = target.input_of(data)
    say(f"{target.name}: {value!r}")
    with target.opened() as check:
        check(value)
    say("nothing escapes")
    return 0


def _tell(target: Target[Any], result: Result) -> None:
    if result.found is not None:
        say(result.trace.rstrip())
        say(f"{target.name}: {target.input_of(result.found)!r}")
        say(f"again: python -m tests.fuzz {target.name} --replay {result.found.hex() or '00'}")
    say(_row(result))


def report(results: Sequence[Result]) -> str:
    """A table."""
    head = f"{'target':10} {'seed':>10} {'inputs':>10} {'s':>7} {'inputs/s':>9} {'edges':>7}  found"
    return "\n".join(["", head, *map(_row, results)])


def _row(result: Result) -> str:
    rate = result.count / result.seconds if result.seconds else 0.0
    edges = "-" if result.edges is None else f"{result.edges:,}"
    numbers = f"{result.seed:>10} {result.count:>10,} {result.seconds:>7.0f} {rate:>9,.0f} {edges:>7}"
    return f"{result.name:10} {numbers}  {'nothing' if result.found is None else 'an input'}"


def say(line: str) -> None:
    """Say it now."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _bytes_of(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return Path(text).read_bytes()


def _parser(targets: dict[str, Target[Any]]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    about = "\n".join(f"{each.name}: {each.about}" for each in targets.values())
    parser.add_argument("target", nargs="*", help=f"without, all of these:\n{about}")
    parser.add_argument("--count", type=int, default=1_000_000, help="inputs of each (%(default)s)")
    parser.add_argument("--seed", type=int, help="makes the same inputs again, where the corpus is the same")
    parser.add_argument("--replay", metavar="FILE|HEX", help="try one input of the target again")
    return parser


if __name__ == "__main__":
    logging.getLogger("argus_exporter").setLevel(logging.CRITICAL)  # what is hostile is logged, and a million times
    sys.exit(main())
