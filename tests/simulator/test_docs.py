"""The README says what there is."""

from __future__ import annotations

from examples.discord_simulator.docs import PARTS, README, rendered
from examples.discord_simulator.incidents import INCIDENTS


def test_the_generated_parts_of_the_readme_are_fresh() -> None:
    text = README.read_text("utf-8")
    assert rendered(text) == text, "run: python -m examples.discord_simulator.docs"


def test_the_readme_has_a_place_for_every_part() -> None:
    text = README.read_text("utf-8")
    assert all(f"<!-- {part} -->" in text for part in PARTS)
    assert all(f"| `{name}` |" in text for name in INCIDENTS)
