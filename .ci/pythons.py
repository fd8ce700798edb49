"""Which Pythons this machine has."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SUPPORTED = ("3.11", "3.12", "3.13")


@functools.cache
def find(version: str) -> str | None:
    """A working interpreter of a version such as ``3.12``, with venv: on the path, or among pyenv's; else None."""
    return next((str(python) for python in _candidates(version) if _works(python, version)), None)


def _candidates(version: str) -> Iterator[Path]:
    for name in (f"python{version}", "python3"):
        found = shutil.which(name)
        if found:
            yield Path(found)
    root = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser()
    yield from sorted(root.glob(f"versions/{version}*/bin/python"), reverse=True)


def _works(python: Path, version: str) -> bool:
    program = "import sys, venv, ensurepip; print(*sys.version_info[:2], sep='.')"
    said = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    return said.returncode == 0 and said.stdout.strip() == version
