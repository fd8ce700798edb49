"""The generated parts of the README. `python -m examples.discord_simulator.docs` writes them anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .control import PATHS
from .events import EVENTS
from .incidents import INCIDENTS
from .traffic import MIX

if TYPE_CHECKING:
    from collections.abc import Sequence

README = Path(__file__).with_name("README.md")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _incidents() -> str:
    rows = [
        (
            f"`{one.name}`",
            ", ".join(f"`{each.name}={each.default}`" for each in one.parameters) or "-",
            "until stopped" if one.lasting else "once",
            one.help,
        )
        for one in INCIDENTS.values()
    ]
    return _table(("incident", "parameters", "lasts", "what happens"), rows)


def _control() -> str:
    return _table(("request", "what it does"), [(f"`{path}`", text) for path, text in PATHS.items()])


def _events() -> str:
    return ", ".join(f"`{name}`" for name in sorted(EVENTS))


def _mix() -> str:
    return ", ".join(f"`{name}` {share:.0%}" for name, share in MIX.items())


PARTS = {"incidents": _incidents, "control": _control, "events": _events, "mix": _mix}


def rendered(text: str) -> str:
    """Return the README's text with its generated parts made anew."""
    for name, make in PARTS.items():
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}<!-- {name} -->\n{make()}\n{end}{after}"
    return text


if __name__ == "__main__":
    README.write_text(rendered(README.read_text("utf-8")), "utf-8")
