"""What README.md says of faults is what the tests do."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def proofs() -> dict[str, list[str]]:
    """The tests of each fault in the table."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, section = text.partition("\n## What can go wrong\n")
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return {
        fault: re.findall(r"`([^`]+)`", proof) for fault, _, proof in (line[2:-2].split(" | ") for line in lines[1:])
    }


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name for node in functions if node.name.startswith("test_")}


def test_every_fault_has_a_test_that_is_there() -> None:
    assert len(proofs()) > 20
    for fault, named in proofs().items():
        assert named, fault
        for path, _, name in (each.partition("::") for each in named):
            assert name in names_in(ROOT / path), f"{fault}: {path} has no {name}"


def test_every_fault_that_is_tried_is_in_the_table() -> None:
    here = [path for path in sorted(Path(__file__).parent.glob("test_*.py")) if path != Path(__file__)]
    tried = {f"{path.relative_to(ROOT).as_posix()}::{name}" for path in here for name in names_in(path)}
    assert tried - {each for named in proofs().values() for each in named} == set()
