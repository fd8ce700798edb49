"""Breaks every rule in every way, and sees that a case of promtool's notices: ``make mutants``.

A rule is deleted, loses its ``for``, has each comparison turned round, each number doubled and halved (a threshold of
0 has neither: it becomes 1.5 and -1), each ``and`` turned into ``unless`` and back. A mutant that Prometheus
would not load has not died.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.prometheus.rules import FOLDER, TOKEN, documents, rules_of

TURNED = {"==": "!=", "!=": "==", ">": "<=", "<=": ">", "<": ">=", ">=": "<", "and": "unless", "unless": "and"}
ZERO = ("1.5", "-1")
RECORDINGS = ("recordings-days", "recordings")


@dataclass(frozen=True)
class Mutant:
    """A file of rules with one thing changed, in the rule of this name; what must notice."""

    rule: str
    cases: tuple[str, ...]
    noun: str
    change: str
    document: Any


def changed_expressions(expr: str) -> Iterator[tuple[str, str]]:
    """What can be changed in an expression, in words, and the expression with it."""
    before = ""
    for found in TOKEN.finditer(expr):
        text = found[0]
        for new in _instead_of(found.lastgroup, text, before):
            line = expr[: found.start()].count("\n") + 1
            yield f"{text} -> {new} in line {line}", expr[: found.start()] + new + expr[found.end() :]
        before = found.lastgroup or ""


def _instead_of(kind: str | None, text: str, before: str) -> tuple[str, ...]:
    if kind in {"comparison", "set"}:
        return (TURNED[text],)
    if kind != "number":
        return ()
    number = float(text)
    if not number:
        return ZERO if before == "comparison" else ()
    return f"{number * 2:.12g}", f"{number / 2:.12g}"


def changed_rules(rule: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """What can be changed in a rule, in words, and the rule with it; None is no rule."""
    yield "deleted", None
    if "for" in rule:
        yield "without for", {key: value for key, value in rule.items() if key != "for"}
    for change, expr in changed_expressions(rule["expr"]):
        yield change, {**rule, "expr": expr}


def mutants() -> Iterator[Mutant]:
    """Every mutant of every rule."""
    for noun, document in documents().items():
        for number, rule in enumerate(rules_of(document)):
            name = rule.get("alert") or rule["record"]
            cases = (name,) if "alert" in rule else RECORDINGS
            for change, new in changed_rules(rule):
                yield Mutant(name, cases, noun, change, _with(document, number, new))


def _with(document: Any, number: int, rule: dict[str, Any] | None) -> Any:
    changed = deepcopy(document)
    (group,) = changed["groups"]
    group["rules"][number : number + 1] = [] if rule is None else [rule]
    return changed


def lives(mutant: Mutant, folder: Path, promtool: str = "promtool") -> bool:
    """Whether no case of the rule's notices."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        rules, tests = Path(place, "rules"), Path(place, "tests")
        tests.mkdir()
        # no case of an alert needs the rules of another noun; those of recording rules do
        shutil.copytree(FOLDER / "rules", rules) if mutant.cases == RECORDINGS else rules.mkdir()
        file = rules / f"{mutant.noun}.yml"
        file.write_text(json.dumps(mutant.document), "utf-8")
        cases = (shutil.copy(FOLDER / "tests" / f"{case}.yml", tests) for case in mutant.cases)
        if all(_run(promtool, "test", "rules", str(case)) for case in cases):
            return True
        return not _run(promtool, "check", "rules", str(file))


def _run(*command: str) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def chosen(names: list[str], sample: int | None, seed: int = 0) -> list[Mutant]:
    """The mutants of these rules, or of all; if a sample is asked for, so many of them, always the same."""
    found = [mutant for mutant in mutants() if not names or mutant.rule in names]
    if sample is None or sample >= len(found):
        return found
    return random.Random(seed).sample(found, sample)


def survivors(found: list[Mutant], say: Callable[[str], object] = str) -> list[Mutant]:
    """Those that live. Tried by as many processes as there are cores; how far it is, is said."""
    living: list[Mutant] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        fates = pool.map(lambda mutant: lives(mutant, Path(folder)), found)
        for number, (mutant, alive) in enumerate(zip(found, fates, strict=True), 1):
            living += [mutant] * alive
            say(f"\r{number} of {len(found)}, {len(living)} live ")
    return living


def table(found: list[Mutant], living: list[Mutant]) -> str:
    """How many mutants each rule had, how many died, and what those that live have changed."""
    had = Counter(mutant.rule for mutant in found)
    left = {rule: [mutant.change for mutant in living if mutant.rule == rule] for rule in had}
    rows = [f"{rule:64}{had[rule] - len(left[rule]):3} of{had[rule]:3}  {'; '.join(left[rule])}" for rule in had]
    return "\n".join([f"{'rule':64} mutants died  those that live", *rows])


def main() -> int:
    """Try them, print the table; 1 where one lives."""
    parser = argparse.ArgumentParser(description="Break every rule in every way, and see that its cases notice.")
    parser.add_argument("rule", nargs="*", help="only these rules")
    parser.add_argument("--sample", type=int, help="only so many mutants, always the same")
    options = parser.parse_args()
    began, found = time.monotonic(), chosen(options.rule, options.sample)
    living = survivors(found, sys.stderr.write)
    died = f"{len(found) - len(living)} of {len(found)} mutants died, {time.monotonic() - began:.0f} s"
    sys.stdout.write(f"\n{table(found, living)}\n{died}\n")
    return bool(living)


if __name__ == "__main__":
    sys.exit(main())
