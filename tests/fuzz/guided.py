"""``python -m tests.fuzz.guided TARGET FLAGS_OF_LIBFUZZER``: one target under atheris."""

from __future__ import annotations

import contextlib
import logging
import sys

import atheris

with atheris.instrument_imports(include=["argus_exporter"]):
    from tests.fuzz.table import TARGETS


def main() -> None:
    """Try inputs until something escapes, or the number that the flags say is reached; libFuzzer ends the process."""
    target = TARGETS[sys.argv.pop(1)]
    logging.getLogger("argus_exporter").setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        check = stack.enter_context(target.opened())
        atheris.Setup(sys.argv, lambda data: check(target.input_of(data)))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
