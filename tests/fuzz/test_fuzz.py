"""Nothing escapes at any target, found as it is found by ``make fuzz``; and what escapes would be seen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import main
from tests.fuzz.engines import LONGEST, Result, followed
from tests.fuzz.findings import FINDINGS
from tests.fuzz.source import Source
from tests.fuzz.table import TARGETS
from tests.fuzz.target import Target, always

EXAMPLES = 500

some_bytes = st.binary(max_size=LONGEST) | st.binary(min_size=LONGEST // 4, max_size=LONGEST)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_escapes(name: str) -> None:
    target = TARGETS[name]
    with target.opened() as check:

        @settings(deadline=None, max_examples=EXAMPLES)
        @given(some_bytes)
        def holds(data: bytes) -> None:
            check(target.input_of(data))

        holds()


@pytest.mark.parametrize(("name", "what", "value"), FINDINGS, ids=[what for _, what, _ in FINDINGS])
def test_what_escaped_once_does_no_more(name: str, what: str, value: Any) -> None:
    with TARGETS[name].opened() as check:
        check(value)


# ------------------------------------------------------------------------------------------ the engines


def check_small(value: int) -> None:
    assert value < 200, "too large"


SMALL = {"small": Target("small", "it is small", lambda source: source.number(255), always(check_small))}


def test_what_escapes_is_shown_with_the_line_that_tries_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["small", "--count", "10000", "--seed", "7"], SMALL) == 1
    said = capsys.readouterr().out
    assert "AssertionError: too large" in said
    again = said.partition("again: python -m tests.fuzz ")[2].split("\n")[0].split()
    with pytest.raises(AssertionError, match="too large"):
        main(again, SMALL)
    assert f"small: {bytes.fromhex(again[2])[0]}\n" in said
    assert said.endswith("-  an input\n")


def test_where_nothing_escapes_the_table_says_what_was_tried(capsys: pytest.CaptureFixture[str]) -> None:
    calm = {"calm": Target("calm", "nothing", Source.rest, always(len))}
    assert main(["--count", "50", "--seed", "7"], calm) == 0
    name, seed, count, *_, edges, found = capsys.readouterr().out.splitlines()[-1].split()
    assert (name, seed, count, edges, found) == ("calm", "7", "50", "-", "nothing")


def test_an_unknown_target_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nosuch"])
    assert "nosuch" in capsys.readouterr().err


def test_what_libfuzzer_says_is_followed() -> None:
    lines = [
        "INFO: Instrumenting argus_exporter.settings\n",
        "#2\tINITED cov: 19 ft: 19 corp: 1/1b exec/s: 0 rss: 103Mb\n",
        "#1048576\tpulse  cov: 165 ft: 401 corp: 60/2Kb lim: 400 exec/s: 1203 rss: 110Mb\n",
        "AssertionError: too large\n",
    ]
    result = Result("small", 7)
    assert followed(lines, result, print) == "AssertionError: too large\n"
    assert (result.count, result.edges) == (1_048_576, 165)


def test_bytes_that_are_used_up_choose_the_first_of_everything() -> None:
    source = Source(b"\x02")
    assert [source.choice("abc") for _ in range(3)] == ["c", "a", "a"]
    assert source.text(["x"]) == ""
    assert source.rest() == b""


def test_a_text_has_words_and_characters_of_every_kind_and_length() -> None:
    assert Source(bytes([4, 1, 170, 65, 210, 0x52, 2, 230, 0, 0xD8, 0, 5])).text(["x", "word"]) == "wordA\u0001\ud800"
    assert len(Source(bytes([2, 0, 255, 130])).text(["x" * 20])) == 20 + 8 * 130
