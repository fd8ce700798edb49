"""``python -m grafana.builder`` writes the dashboards; with ``--check`` it only says which are old."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from grafana.builder.boards import BOARDS

FOLDER: Final = Path(__file__).parents[1]
_OURS: Final = "*dashboards/*.json"


def built() -> dict[str, str]:
    """The text of every dashboard, by its folder and the name of its file."""
    return {f"{board.folder}/{board.noun}.json": json.dumps(board.as_json(), indent=2) + "\n" for board in BOARDS}


def differing(folder: Path) -> list[str]:
    """The files of a folder that are not what would be built; those that nothing builds too."""
    wanted = built()
    there = {_name(path): path.read_text(encoding="utf-8") for path in folder.glob(_OURS)}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def write(folder: Path) -> None:
    """Write every dashboard, and take away those that nothing builds any more."""
    wanted = built()
    for path in folder.glob(_OURS):
        if _name(path) not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """Write or check; 1 where a dashboard is old."""
    parser = argparse.ArgumentParser(prog="python -m grafana.builder", description="Builds Grafana's dashboards.")
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where a dashboard is old")
    if not parser.parse_args(arguments).check:
        write(folder)
        return 0
    old = differing(folder)
    if old:
        sys.stderr.write(f"old: {', '.join(old)}; run: make dashboards\n")
    return int(bool(old))


if __name__ == "__main__":
    raise SystemExit(main())
