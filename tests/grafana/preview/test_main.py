"""The command line says in a line what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib")  # of the group dev only

from grafana.preview.__main__ import main


def test_without_a_prometheus_there_is_one_line_and_no_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--shards", "1", "--out", str(tmp_path / "pictures")]) == 1
    assert capsys.readouterr().err == "there is no program `prometheus` on the PATH\n"
    assert not (tmp_path / "pictures").exists()
