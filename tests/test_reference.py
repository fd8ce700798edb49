"""The tables in README.md."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import typing

import pytest

from argus_exporter.catalogue import METRICS
from argus_exporter.reference import COMMAND, README, insides_text, main, metrics_text, settings_text, with_tables
from argus_exporter.settings import Settings, variable_of

if typing.TYPE_CHECKING:
    from pathlib import Path

EMPTY = (
    "# Title\n\n<!-- metrics:start -->\nold\n<!-- metrics:end -->\n\n"
    "prose\n\n<!-- settings:start --><!-- settings:end -->\n<!-- insides:start --><!-- insides:end -->\n"
)


def rows_of(text: str) -> list[list[str]]:
    rows = [re.split(r" (?<!\\)\| ", line[2:-2]) for line in text.split("\n") if line.startswith("| `")]
    assert {len(row) for row in rows} in ({3}, {4})
    return rows


def test_the_tables_in_the_readme_are_not_old() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_tables(text) == text, f"run: {COMMAND}"


def test_every_metric_is_told_once_in_order_with_its_type_and_meaning() -> None:
    told = [(row[0], row[1], row[3]) for row in rows_of(metrics_text())]
    assert told == [(f"`{metric.name}`", metric.kind, metric.help) for metric in METRICS]


def test_every_metric_stands_under_the_heading_of_its_noun() -> None:
    heading = ""
    nouns = {}
    for line in metrics_text().split("\n"):
        heading = line.removeprefix("### ") if line.startswith("### ") else heading
        nouns[line.split("`")[1] if line.startswith("| `") else ""] = heading
    assert all(nouns[metric.name] == metric.noun for metric in METRICS)
    assert metrics_text().count("### ") == len({metric.noun for metric in METRICS})


def test_labels_are_told_with_their_bounds_and_short_lists_with_their_values() -> None:
    labels = {row[0].strip("`"): row[2] for row in rows_of(metrics_text())}
    assert labels["discord_shards"] == ""
    assert (
        labels["discord_shard_connections_total"]
        == "`shard` (at most 4096: shards of this process), `kind` (identify, resume)"
    )
    assert labels["discord_gateway_events_total"] == "`event` (at most 80: Discord's names of gateway dispatches)"


def test_every_setting_is_told_with_its_default_and_meaning() -> None:
    fields = dataclasses.fields(Settings)
    assert rows_of(settings_text()) == [
        [f"`{variable_of(field.name)}`", field.metadata["shown"], field.metadata["help"]] for field in fields
    ]


def test_each_private_attribute_is_told_in_one_row_with_what_is_left_without_it() -> None:
    lines = insides_text().split("\n")
    assert lines[:2] == ["| read or replaced | without it |", "| --- | --- |"]
    assert "| `DiscordWebSocket._keep_alive` | no ACK times; the latency is public |" in lines
    assert (
        "| `ShardInfo._parent` | shards that are connected at the load are seen from their next websocket on |" in lines
    )
    assert all(line.startswith("| `") and not line.endswith("|  |") for line in lines[2:])
    insides = (README.parent / "argus_exporter" / "discordpy" / "__init__.py").read_text()
    assert insides.count("\n``") == len(lines) - 2


def test_tables_have_a_head_and_a_rule() -> None:
    assert settings_text().startswith("| variable | default | meaning |\n| --- | --- | --- |\n| `ARGUS_HOST`")
    assert metrics_text().count("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n| `") == len(
        {metric.noun for metric in METRICS}
    )


def test_a_bar_in_a_text_does_not_end_its_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = dataclasses.replace(METRICS[0], help=r"This | that, and \1.")
    monkeypatch.setattr("argus_exporter.reference.METRICS", (odd,))
    assert with_tables(EMPTY).split("\n")[7].endswith(r"| This \| that, and \1. |")


def test_only_what_is_between_the_markers_changes() -> None:
    written = with_tables(EMPTY)
    outside = re.sub(r"(?s)(<!-- (\w+):start -->).*?(<!-- \2:end -->)", r"\1\3", written)
    assert outside == EMPTY.replace("\nold\n", "")
    assert f"<!-- metrics:start -->\n{metrics_text()}\n<!-- metrics:end -->" in written
    assert f"<!-- settings:start -->\n{settings_text()}\n<!-- settings:end -->" in written
    assert f"<!-- insides:start -->\n{insides_text()}\n<!-- insides:end -->" in written
    assert with_tables(written) == written


def test_sections_are_put_at_the_end_where_there_are_no_markers() -> None:
    written = with_tables("# Title\n\nprose\n\n\n")
    assert written.startswith("# Title\n\nprose\n\n## Metrics\n\n<!-- metrics:start -->\n")
    assert "<!-- metrics:end -->\n\n## Settings\n\n<!-- settings:start -->\n" in written
    assert "<!-- settings:end -->\n\n## Insides\n\n<!-- insides:start -->\n" in written
    assert written.endswith("<!-- insides:end -->\n")
    assert with_tables(written) == written


@pytest.mark.parametrize(
    "text",
    [
        "<!-- metrics:start -->",
        "<!-- metrics:end -->",
        "<!-- metrics:end --><!-- metrics:start -->",
        "<!-- metrics:start --><!-- metrics:start --><!-- metrics:end -->",
        "<!-- metrics:start --><!-- metrics:end --><!-- metrics:end -->",
    ],
)
def test_markers_without_a_partner_are_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text)
    assert main([str(readme)]) == 1
    assert "needs <!-- metrics:start --> and <!-- metrics:end --> once each, in this order" in capsys.readouterr().err
    assert readme.read_text() == text


def test_the_check_names_the_command_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(EMPTY)
    assert main(["--check", str(readme)]) == 1
    message = "The tables in README.md are old. Write them anew with: python -m argus_exporter.reference\n"
    assert capsys.readouterr().err == message
    assert readme.read_text() == EMPTY
    assert main([str(readme)]) == 0
    assert readme.read_bytes().decode() == with_tables(EMPTY)
    assert main(["--check", str(readme)]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_readme_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "absent.md")]) == 1
    assert "absent.md" in capsys.readouterr().err


def test_it_runs_as_a_module_on_the_projects_readme() -> None:
    done = subprocess.run([sys.executable, "-m", "argus_exporter.reference", "--check"], check=False, cwd=README.parent)
    assert done.returncode == 0, f"run: {COMMAND}"
