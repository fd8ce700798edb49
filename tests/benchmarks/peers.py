"""The virtual environment in which ours and the peers run side by side: same interpreter, same discord.py."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
HOME: Final = ROOT / ".bench" / "venv"
_REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")


def interpreter() -> Path:
    """Return the environment's interpreter; it is made at the first run, and when what it needs changes."""
    python = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    mark, wanted = HOME / "made-for.txt", _wanted()
    if not (python.exists() and mark.exists() and mark.read_text() == wanted):
        print(f"making {HOME} with the peers (once) ...", file=sys.stderr, flush=True)
        venv.create(HOME, clear=True, with_pip=True)
        install = [str(python), "-m", "pip", "install", "-qq", "-r", str(_REQUIREMENTS), *_own_dependencies()]
        subprocess.run(install, check=True)
        mark.write_text(wanted)
    return python


def _own_dependencies() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dependencies: list[str] = project["dependencies"]
    return dependencies


def _wanted() -> str:
    return "\n".join([platform.python_version(), _REQUIREMENTS.read_text(), *_own_dependencies()])
