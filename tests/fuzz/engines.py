"""What makes the bytes: atheris, which looks where they lead, or chance."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.fuzz.target import Target

ROOT = Path(__file__).parents[2]
CORPORA = ROOT / ".fuzz"
LONGEST = 400
"""Bytes of which an input is made."""

_EVERY = 10.0
"""Seconds between two lines that tell how far it is."""
_KEPT = 40
"""Lines of what else it says that are shown where something escapes."""
_STATUS = re.compile(r"#(\d+)\s+(\w+)\s.*?cov: (\d+)")

Say = Callable[[str], None]


@dataclasses.dataclass
class Result:
    """How it went.

    :ivar edges: of the package's code that were reached; None where nobody looked.
    :ivar found: the bytes of an input that something escaped at.
    """

    name: str
    seed: int
    count: int = 0
    seconds: float = 0.0
    edges: int | None = None
    found: bytes | None = None
    trace: str = ""


def is_guided() -> bool:
    """Whether atheris is here."""
    return importlib.util.find_spec("atheris") is not None


# ------------------------------------------------------------------------------------------ chance


def by_chance(target: Target[Any], count: int, seed: int, say: Say) -> Result:
    """Try random bytes, until something escapes."""
    result, chance = Result(target.name, seed), random.Random(seed)
    began = told = time.monotonic()
    with target.opened() as check:
        while result.count < count and result.found is None:
            data = chance.randbytes(chance.randrange(LONGEST))
            result.count += 1
            try:
                check(target.input_of(data))
            except Exception as error:  # noqa: BLE001 - it is what is looked for
                result.found, result.trace = data, "".join(traceback.format_exception(error)[-5:])
            if time.monotonic() - told >= _EVERY:
                told = time.monotonic()
                say(f"{target.name}: {result.count:,} inputs")
    result.seconds = time.monotonic() - began
    return result


# ------------------------------------------------------------------------------------------ atheris


def by_coverage(target: Target[Any], count: int, seed: int, say: Say) -> Result:
    """Try what atheris makes of the inputs that led somewhere, in a process of its own, until something escapes."""
    result, began = Result(target.name, seed), time.monotonic()
    corpus = CORPORA / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        flags = (
            f"-runs={count}",
            f"-seed={seed}",
            f"-max_len={LONGEST}",
            f"-artifact_prefix={folder}{os.sep}",
            "-timeout=60",
            "-rss_limit_mb=1024",
        )
        command = [sys.executable, "-m", "tests.fuzz.guided", target.name, *flags, str(corpus)]
        with subprocess.Popen(
            command, cwd=ROOT, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True, errors="replace"
        ) as run:
            assert run.stdout is not None
            result.trace = followed(run.stdout, result, say)
        if run.returncode:
            result.found = next((path.read_bytes() for path in Path(folder).iterdir()), b"")
    result.seconds = time.monotonic() - began
    return result


def followed(lines: Iterable[str], result: Result, say: Say) -> str:
    """Tell how far it is; what else it said at the end, which is the traceback where there is one."""
    told, others = time.monotonic(), list[str]()
    for line in lines:
        if (status := _STATUS.match(line)) is None:
            others = others if line.startswith(("INFO", "WARNING")) else [*others[-_KEPT:], line]
            continue
        result.count, result.edges = int(status[1]), int(status[3])
        if time.monotonic() - told >= _EVERY:
            told = time.monotonic()
            say(f"{result.name}: {result.count:,} inputs, {result.edges:,} edges")
    return "".join(others)
