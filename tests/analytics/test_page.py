"""The page about privacy says what is recorded.

``python -m tests.analytics.test_page`` writes its table anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from argus_exporter.analytics.events import TABLES, Kind, Table
from argus_exporter.settings import Settings, variable_of

PAGE = Path(__file__).parents[2] / "examples" / "analytics" / "PRIVACY.md"
SECTION = re.compile(r"(?s)(?<=<!-- recorded:start -->\n).*?(?=<!-- recorded:end -->)")


def row(table: Table) -> str:
    said = (table.row.__doc__ or "").partition("\n")[0]
    columns = [f"{column.name}{'*' * (column.kind is Kind.USER)}" for column in table.columns]
    return f"| `{table.name}` | `{table.event}` | {said} | {', '.join(columns)} |\n".replace("*", r"\*")


def recorded() -> str:
    return "| table | with | a row | columns |\n| --- | --- | --- | --- |\n" + "".join(map(row, TABLES))


def test_the_page_about_privacy_has_every_column_of_every_table() -> None:
    (section,) = SECTION.findall(PAGE.read_text(encoding="utf-8"))
    assert section == recorded(), "python -m tests.analytics.test_page writes it anew"


def test_the_page_about_privacy_speaks_of_settings_that_are_there() -> None:
    named = set(re.findall(r"ARGUS_\w+", PAGE.read_text(encoding="utf-8")))
    assert len(named) > 5
    assert named <= {variable_of(name) for name in Settings.__dataclass_fields__}


if __name__ == "__main__":
    PAGE.write_text(SECTION.sub(lambda _: recorded(), PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
