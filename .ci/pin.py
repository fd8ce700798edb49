"""Pins what `make setup` installs: installs the newest of everything on each supported Python, and unifies.

Writes .ci/constraints.txt. A package whose version differs between Pythons gets one line for each of them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pythons

ROOT = Path(__file__).parents[1]
TARGET = ROOT / ".ci" / "constraints.txt"
HEAD = "# What `make setup` installs, on Python {}. Written by `make constraints`.\n"
PINNED_TOO = ("pip",)
"""What pip freeze leaves out unless it is asked for, and `make setup` installs."""

Pins = dict[str, str]


def freeze(python: str) -> Pins:
    """What a clean virtual environment of this interpreter holds after all that is for development went in."""
    with tempfile.TemporaryDirectory() as folder:
        own = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "venv", folder], check=True)
        subprocess.run([own, "-m", "pip", "install", "-qq", "--upgrade", *PINNED_TOO], check=True)
        command = [own, "-m", "pip", "install", "-qq", "--group", "dev", "--group", "engine", "--editable", "."]
        subprocess.run(command, check=True, cwd=ROOT)
        frozen = subprocess.run(
            [own, "-m", "pip", "freeze", "--all", "--exclude-editable"], check=True, capture_output=True, text=True
        )
    pins = dict(line.split("==", 1) for line in frozen.stdout.splitlines() if "==" in line)
    pins.pop("setuptools", None)  # a virtual environment of Python 3.11 brings it, nothing here needs it
    return pins


def unify(frozen: dict[str, Pins]) -> list[str]:
    """One line for a package that is the same wherever it is, one for each Python for the others."""
    names = sorted({name for pins in frozen.values() for name in pins}, key=str.lower)
    return [line for name in names for line in _lines(name, frozen)]


def _lines(name: str, frozen: dict[str, Pins]) -> list[str]:
    found = {python: pins[name] for python, pins in frozen.items() if name in pins}
    if len(set(found.values())) == 1:
        return [f"{name}=={next(iter(found.values()))}"]
    return [f'{name}=={version} ; python_version == "{python}"' for python, version in found.items()]


def main() -> int:
    """Pin, on every supported Python; the lines hold for no Python that is not here."""
    missing = [version for version in pythons.SUPPORTED if not pythons.find(version)]
    if missing:
        print(f"constraints: Python {', '.join(missing)} not found, and the pins must hold on it", file=sys.stderr)
        return 1
    frozen = {version: freeze(pythons.find(version) or "") for version in pythons.SUPPORTED}
    TARGET.write_text(HEAD.format(", ".join(pythons.SUPPORTED)) + "\n".join(unify(frozen)) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
