"""The rules as data, and the programs that judge them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "prometheus"
NEWER = ROOT / ".prometheus3" / "usr" / "bin"
"""Where ``.ci/prometheus3`` puts a Prometheus 3."""

TOKEN = re.compile(
    r"""(?x)
    "[^"]*" | \{[^}]*\} | \[[^\]]*\] | \boffset\s+\S+
    | \b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)
    | (?P<comparison>==|!=|>=|<=|>|<)
    | (?P<set>\b(?:and|unless)\b)
    | (?P<number>(?<![\w.:])\d+(?:\.\d+)?(?:e\d+)?\b)
    | (?P<name>[a-zA-Z_:][\w:]*)
    """
)
"""What an expression is made of; what is in quotes, braces, brackets or a list of labels has no name."""


@cache
def documents() -> dict[str, Any]:
    """Every file of rules, by its noun."""
    return {file.stem: yaml.safe_load(file.read_text("utf-8")) for file in sorted((FOLDER / "rules").glob("*.yml"))}


def rules_of(document: Any) -> list[dict[str, Any]]:
    """The rules of a file."""
    return [rule for group in document["groups"] for rule in group["rules"]]


@cache
def alerts() -> dict[str, dict[str, Any]]:
    """Every alert, by its name."""
    return {rule["alert"]: rule for each in documents().values() for rule in rules_of(each) if "alert" in rule}


@cache
def records() -> dict[str, dict[str, Any]]:
    """Every recording rule, by its name."""
    return {rule["record"]: rule for each in documents().values() for rule in rules_of(each) if "record" in rule}


def queries() -> list[str]:
    """The queries of the runbook."""
    blocks = re.findall(r"(?ms)^```promql\n(.*?)^```", (FOLDER / "RUNBOOK.md").read_text("utf-8"))
    return [line for block in blocks for line in block.splitlines()]
