"""The house is as CONTRIBUTING.md says: imports, names, sizes, and a map that leads somewhere."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argus_exporter import catalogue
from argus_exporter.collectors import COLLECTORS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "argus_exporter"
MOST_LINES = 40
MAKERS = {"dict", "list", "set", "Counter", "defaultdict", "deque"}
TEXTS = {".py", ".md", ".txt", ""}
NOT_COLLECTORS = {"statsd", "analytics", "exporter", "registry"}
UNWANTED = re.compile(r"\b(TODO|FIXME|XXX)\b|/work/|/root/")


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_the_imports_keep_their_contracts() -> None:
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    says = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    done = subprocess.run([sys.executable, "-c", says], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_one_word_leads_through_the_house() -> None:
    nouns = [noun for noun in catalogue.COLLECTORS if noun not in NOT_COLLECTORS]
    assert {collector.noun for collector in COLLECTORS} == set(nouns)
    for noun in nouns:
        module = importlib.import_module(f"argus_exporter.collectors.{noun}")
        assert getattr(module, f"{noun.title()}Collector").noun == noun
        assert (ROOT / "tests" / "collectors" / f"test_{noun}.py").is_file(), noun
        assert any(metric.noun == noun for metric in catalogue.METRICS), noun
        assert f"### {noun}\n" in (ROOT / "README.md").read_text(encoding="utf-8"), noun


def test_every_metric_belongs_to_a_noun() -> None:
    assert {metric.noun for metric in catalogue.METRICS} <= set(catalogue.COLLECTORS)


def test_no_function_is_longer_than_forty_lines() -> None:
    assert [name for name, lines in _functions() if lines > MOST_LINES] == []


def _functions() -> Iterator[tuple[str, int]]:
    for path in sources():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_no_module_holds_state() -> None:
    assert [found for path in sources() for found in _mutable(path)] == []


def _mutable(path: Path) -> list[str]:
    """Names that a module binds to something new and empty, or that a function rebinds."""
    module = tree(path)
    empty = [node for node in module.body if isinstance(node, ast.Assign | ast.AnnAssign) and _is_empty(node.value)]
    rebound = [node for node in ast.walk(module) if isinstance(node, ast.Global)]
    return [f"{path.relative_to(ROOT)}:{node.lineno}" for node in [*empty, *rebound]]


def _is_empty(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Dict):
        return not value.keys
    if isinstance(value, ast.List | ast.Set):
        return not value.elts
    makers = {"dict", "list", "set", "Counter", "defaultdict", "deque"}
    return (
        isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in makers and not value.args
    )


def test_no_collector_starts_a_task_for_an_event() -> None:
    for path in (PACKAGE / "collectors").glob("*.py"):
        assert "add_listener" not in path.read_text(encoding="utf-8"), path


def test_the_map_for_contributors_names_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w.]+/[\w./]*|[\w.]+\.(?:py|md|toml|txt))`", text))
    assert len(named) > 15
    assert sorted(name for name in named if not _exists(name)) == []


def _exists(name: str) -> bool:
    """Whether a path is there; one without a folder, or a folder of the package, may be the package's."""
    return (ROOT / name).exists() or (PACKAGE / name).exists()


def test_the_picture_of_the_house_names_every_module() -> None:
    picture = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```")[3]
    shown = set(re.findall(r"(?m)^  ([\w.]+)/? ", picture))
    there = {path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert shown == there


def test_nothing_is_left_over() -> None:
    found = [path for path in _texts() if UNWANTED.search(path.read_text(encoding="utf-8"))]
    assert [str(path.relative_to(ROOT)) for path in found] == []


def _texts() -> list[Path]:
    folders = ("argus_exporter", "examples", "tests", ".ci")
    below = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in TEXTS]
    files = [*below, *ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]
    return [path for path in files if path.is_file() and path != Path(__file__)]


def test_every_target_of_the_makefile_is_explained() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"(?m)^\.PHONY: (.*)$", text)
    assert set(phony.split()) == set(re.findall(r"(?m)^([a-z]+):.* ## ", text))
