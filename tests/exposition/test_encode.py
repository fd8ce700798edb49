"""The encoder: our bytes against a careful reader, and against prometheus_client's own rendering and parsers.

``python -m tests.exposition.test_encode`` writes the golden pages anew.
"""

from __future__ import annotations

import io
import math
import re
import string
import typing
from pathlib import Path

import prometheus_client
import prometheus_client.openmetrics.exposition
import prometheus_client.openmetrics.parser
import prometheus_client.parser
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.core import CollectorRegistry
from prometheus_client.utils import floatToGoString

from argus_exporter import catalogue
from argus_exporter.catalogue import METRICS, Counter, Gauge, Histogram, Label
from argus_exporter.exposition import encode
from argus_exporter.exposition.encode import HISTOGRAMS_A_SLICE, SCALARS_A_SLICE, Encoder, end_of, escape
from argus_exporter.instruments import Instruments, TracedCell, buckets_of

if typing.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Sample = tuple[str, tuple[tuple[str, str], ...], float]

GOLDEN = Path(__file__).parent.parent / "golden"
FORMATS = pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])

WIDE = (Label("one", 5000, "many"), Label("two", 5000, "many"))
COUNTED = Counter("test_counted_total", r'Counted: 100 % \ "quoted" {braces}.', "gateway", WIDE, series=5000)
LEVEL = Gauge("test_level", "Level.", "gateway", WIDE, series=5000)
TIMED = Histogram("test_timed_seconds", "Timed.", "gateway", WIDE, series=5000, edges=(0, 0.25, 1, 2.5, 1e6))
PLAIN_COUNTED = Counter("plain_counted_total", "Counted.", "gateway")
PLAIN_LEVEL = Gauge("plain_level", "Level.", "gateway")
PLAIN_TIMED = Histogram("plain_timed_seconds", "Timed.", "gateway", edges=(0.5,))

# ------------------------------------------------------------------------------------------------ a careful reader

_VALUE = r'"(?:[^"\\\n]|\\["\\n])*"'
_LABEL = rf"[a-zA-Z_][a-zA-Z0-9_]*={_VALUE}"
_PAIR = re.compile(rf"([a-zA-Z_][a-zA-Z0-9_]*)=({_VALUE})")
_EXEMPLAR = rf" # \{{{_LABEL}\}} ([^ \n]+) ([^ \n]+)"
_SAMPLE = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? ([^ \n]+)(?:{_EXEMPLAR})?")
_NUMBER = re.compile(r"[+-]Inf|NaN|-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?")
_ESCAPED = {r"\\": "\\", r"\n": "\n", r"\"": '"'}


def value_of(text: str) -> float:
    assert _NUMBER.fullmatch(text), text
    number = float(text)
    assert math.isfinite(number) == (text[-1] in string.digits)  # Go refuses digits that are beyond all floats
    return number


def sample_of(line: str) -> Sample:
    match = _SAMPLE.fullmatch(line)
    assert match, line
    labels = sorted((name, unescaped(value[1:-1])) for name, value in _PAIR.findall(match[2] or ""))
    return match[1], tuple(labels), value_of(match[3])


def unescaped(text: str) -> str:
    return re.sub(r"\\.", lambda pair: _ESCAPED[pair[0]], text)


def lines_of(page: bytes) -> list[str]:
    assert page == b"" or page.endswith(b"\n")
    assert b"\0" not in page
    return page.decode().split("\n")[:-1]


def samples_of(page: bytes) -> list[Sample]:
    return [sample_of(line) for line in lines_of(page) if not line.startswith("#")]


def comparable(samples: Iterable[Sample]) -> list[tuple[str, tuple[tuple[str, str], ...], str]]:
    """Samples that can be compared: nan equals nan, and the two zeros differ."""
    return [(name, labels, repr(float(value))) for name, labels, value in samples]


def canonical(page: bytes) -> list[str]:
    """The page's lines with the two things that may differ made one: the order of labels, the spelling of numbers."""
    return [line if line.startswith("#") else _canonical(line) for line in lines_of(page)]


def _canonical(line: str) -> str:
    if line.startswith(("test_traced_", "plain_traced_")) and " # " in line:
        line, _, exemplar = line.rpartition(" # ")
        labels, observed, at = exemplar.rsplit(" ", 2)
        return f"{_canonical(line)} # {labels} {value_of(observed)!r} {value_of(at)!r}"
    head, _, number = line.rpartition(" ")
    name, _, labels = head.partition("{")
    pairs = sorted(match[0] for match in _PAIR.finditer(labels))
    return f"{name}{{{','.join(pairs)}}} {value_of(number)!r}"


def reference_page(instruments: Instruments, *, openmetrics: bool) -> bytes:
    registry = CollectorRegistry()
    registry.register(instruments)
    if openmetrics:
        return prometheus_client.openmetrics.exposition.generate_latest(registry)
    return prometheus_client.generate_latest(registry)


def parsed_by_prometheus_client(page: bytes, *, openmetrics: bool) -> list[Sample]:
    parser = prometheus_client.openmetrics.parser if openmetrics else prometheus_client.parser
    # newline="\n": prometheus_client's own text_string_… would do the same
    families = parser.text_fd_to_metric_families(io.StringIO(page.decode(), newline="\n"))
    return [
        (sample.name, tuple(sorted(sample.labels.items())), float(sample.value))
        for family in families
        for sample in family.samples
    ]


def check_page(instruments: Instruments, page: bytes, *, openmetrics: bool) -> None:
    reference = reference_page(instruments, openmetrics=openmetrics)
    assert canonical(page) == canonical(reference)
    assert comparable(samples_of(page)) == comparable(samples_of(reference))
    check_headers(lines_of(page), openmetrics=openmetrics)
    check_counts(samples_of(page))


def check_headers(lines: list[str], *, openmetrics: bool) -> None:
    """One HELP and one TYPE a family, in this order, with samples of that family behind them, and the end mark once."""
    body = lines[:-1] if openmetrics else lines
    assert openmetrics == (lines[-1:] == ["# EOF"])
    assert "# EOF" not in body
    text = "\n".join("#" if line.startswith("# HELP") else "+" if line.startswith("# TYPE") else "." for line in body)
    assert re.fullmatch(r"(#\n\+\n\.\n?(\.\n?)*)*", text)
    families = [line.split(" ")[2] for line in body if line.startswith("# TYPE")]
    assert families == [line.split(" ")[2] for line in body if line.startswith("# HELP")]
    assert len(set(families)) == len(families)
    names = [re.split("[{ ]", line.removeprefix("# HELP ").removeprefix("# TYPE "))[0] for line in body]
    assert not any(name.endswith("_created") for name in names)


def check_counts(samples: list[Sample]) -> None:
    counts = {
        (name.removesuffix("_count"), labels): value for name, labels, value in samples if name.endswith("_count")
    }
    for name, labels, value in samples:
        if ("le", "+Inf") in labels:
            rest = tuple(pair for pair in labels if pair[0] != "le")
            assert counts[name.removesuffix("_bucket"), rest] == value


# ------------------------------------------------------------------------------------------------ populations

NASTY = ["", '"', "\\", "\n", "%", "%s", "%%", "{}", "{", "}", "\0", "\x85", "\u2028", "\ud800", "\udfff", "\U0001f600"]
NASTY += [
    '\\"',
    "\\n",
    ",",
    '",x="',
    "\r",
    "\r\n",
    " ",
    "\t",
    "None",
    "} None",
    "\n# EOF\n",
    "# HELP x",
    "other",
    "\x1c",
    "é",
]
any_text = st.text(st.characters(exclude_categories=()), max_size=8)
label_values = st.sampled_from(NASTY) | any_text | st.lists(st.sampled_from(NASTY), max_size=3).map("".join)
huge = st.sampled_from([10**308, 2**1024, 10**400, 10**5000, 2**53 + 1])
floats = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)
counts = st.integers(0, 2**70) | huge | st.floats(0, allow_nan=False)
levels = st.none() | st.integers() | huge | huge.map(lambda number: -number) | floats | st.booleans()


@st.composite
def populations(draw: st.DrawFn, observations: st.SearchStrategy[float]) -> Instruments:
    constant = draw(st.dictionaries(st.sampled_from(["bot", "cluster", "one", "zone"]), label_values, max_size=2))
    instruments = Instruments(constant)
    keys = st.tuples(label_values, label_values)
    for key, value in draw(st.dictionaries(keys, counts, max_size=8)).items():
        instruments.counter(COUNTED).labels(*key).value = value
    for key, level in draw(st.dictionaries(keys, levels, max_size=8)).items():
        instruments.gauge(LEVEL).labels(*key).set(level)
    for key, observed in draw(st.dictionaries(keys, st.lists(observations, max_size=6), max_size=4)).items():
        for number in observed:
            instruments.histogram(TIMED).labels(*key).observe(number)
    instruments.gauge(PLAIN_LEVEL).labels().set(draw(levels))
    instruments.histogram(PLAIN_TIMED).labels().observe(draw(observations))
    instruments.counter(PLAIN_COUNTED).labels().value = draw(counts)
    return instruments


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a few series, so that a few series reach their ends."""
    monkeypatch.setattr(encode._Scalars, "size", 3)
    monkeypatch.setattr(encode._Histograms, "size", 2)


def numbered(instruments: Instruments, series: range) -> None:
    for number in series:
        instruments.counter(COUNTED).labels(str(number), "x").value = number
        instruments.gauge(LEVEL).labels(str(number), "x").set(-number / 3)


def rendered(instruments: Instruments) -> Iterator[tuple[bool, bytes]]:
    encoder = Encoder(instruments)
    for openmetrics in (False, True):
        yield openmetrics, encoder.page(openmetrics=openmetrics)


# ---------------------------------------------------------------------------------------- against prometheus_client


@pytest.mark.usefixtures("small_runs")
@settings(deadline=None)
@given(populations(floats | st.integers(-(10**9), 10**9)))
def test_any_page_holds_what_prometheus_client_renders_of_the_same_cells(instruments: Instruments) -> None:
    for openmetrics, page in rendered(instruments):
        check_page(instruments, page, openmetrics=openmetrics)


TRACED = Histogram("test_traced_seconds", "Traced.", "gateway", WIDE, series=5000, edges=(0, 0.25, 1, 2.5, 1e6))
PLAIN_TRACED = Histogram("plain_traced_seconds", "Traced.", "gateway", edges=(0.5,))
traces = st.sampled_from(
    ["", "0af7651916cd43dd8448eb211c80319c", "1-5e9:.+/=", '"', "\\", "\n", "é", "\ud800", "x" * 120]
)


@st.composite
def traced(draw: st.DrawFn, observations: st.SearchStrategy[float]) -> Instruments:
    active = draw(traces)
    instruments = Instruments(draw(st.sampled_from([{}, {"bot": "b"}])), lambda: active)
    for observed in draw(st.lists(st.tuples(label_values, observations, traces), max_size=12)):
        instruments.histogram(TRACED).labels(observed[0], "x").observe(*observed[1:])
    instruments.histogram(PLAIN_TRACED).labels().observe(draw(observations))
    instruments.gauge(PLAIN_LEVEL).labels().set(1)
    return instruments


@pytest.mark.usefixtures("small_runs")
@settings(deadline=None)
@given(traced(floats))
def test_exemplars_are_written_as_prometheus_client_does(instruments: Instruments) -> None:
    for openmetrics, page in rendered(instruments):
        check_page(instruments, page, openmetrics=openmetrics)


@settings(deadline=None)
@given(traced(st.floats(0)))
def test_exemplars_are_read_by_prometheus_client_s_parser(instruments: Instruments) -> None:
    page = Encoder(instruments).page(openmetrics=True)
    families = prometheus_client.openmetrics.parser.text_string_to_metric_families(page.decode())
    found = {
        (sample.name, *sample.labels.values()): (sample.exemplar.labels["trace_id"], sample.exemplar.value)
        for family in families
        for sample in family.samples
        if sample.exemplar
    }
    kept = {
        (f"{metric.name}_bucket", *dict(family.pairs(key)).values(), le): (each.trace, each.value)
        for metric in (TRACED, PLAIN_TRACED)
        for family in [instruments.histogram(metric)]
        for key, cell in family.cells.items()
        for (le, _), each in zip(buckets_of(cell), typing.cast("TracedCell", cell).exemplars, strict=True)
        if each
    }
    assert found == kept
    assert b"trace_id" not in Encoder(instruments).page()


@settings(deadline=None)
@given(populations(st.floats(0) | st.just(math.nan)))
def test_any_page_is_read_by_the_parsers_of_prometheus_client(instruments: Instruments) -> None:
    for openmetrics, page in rendered(instruments):
        parsed = parsed_by_prometheus_client(page, openmetrics=openmetrics)
        assert comparable(parsed) == comparable(samples_of(page))


@pytest.mark.parametrize("more", [-1, 0, 1, SCALARS_A_SLICE, SCALARS_A_SLICE + 1])
@FORMATS
def test_families_around_the_size_of_a_slice_lose_and_double_nothing(more: int, *, openmetrics: bool) -> None:
    instruments = Instruments({"bot": "b"})
    numbered(instruments, range(SCALARS_A_SLICE + more))
    for number in range(HISTOGRAMS_A_SLICE + more):
        instruments.histogram(TIMED).labels(str(number), "x").observe(number)
    page = Encoder(instruments).page(openmetrics=openmetrics)
    check_page(instruments, page, openmetrics=openmetrics)
    assert len(samples_of(page)) == instruments.count_series()


@settings(deadline=None)
@given(st.lists(label_values, max_size=5))
def test_the_escaped_text_is_what_the_reader_undoes(values: list[str]) -> None:
    for value in values:
        assert re.fullmatch(_VALUE, f'"{escape(value)}"')
        assert unescaped(escape(value)) == value


@settings(deadline=None)
@example([0.0, -0.0, 5e-324, -1e308, 2**1024, -(2**1024)])
@example([10**400, -(10**400)])
@example([math.inf, -math.inf, math.nan])
@example([1e308, 1e308])
@given(st.lists(floats | st.integers() | huge, min_size=1))
def test_any_number_comes_back_exactly(values: list[float]) -> None:
    instruments = Instruments()
    for place, value in enumerate(values):
        instruments.gauge(LEVEL).labels(str(place), "x").value = value
    read = [value for _, _, value in samples_of(Encoder(instruments).page())]
    assert list(map(floatToGoString, read)) == [floatToGoString(_nearest(value)) for value in values]


def _nearest(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def test_whole_numbers_have_no_point_and_others_their_shortest_digits() -> None:
    instruments = Instruments()
    instruments.counter(PLAIN_COUNTED).labels().value = 12345678901234567890
    instruments.gauge(PLAIN_LEVEL).labels().set(0.1)
    samples = [line for line in lines_of(Encoder(instruments).page()) if not line.startswith("#")]
    assert samples == ["plain_counted_total 12345678901234567890", "plain_level 0.1"]


def test_an_observation_of_a_subclass_of_float_is_written_as_a_number() -> None:
    class Strange(float):
        def __repr__(self) -> str:
            return "Strange()"

        def __radd__(self, other: float) -> Strange:
            return Strange(float(self) + other)

    instruments = Instruments()
    cell = instruments.histogram(PLAIN_TIMED).labels()
    cell.observe(Strange(0.25))
    assert type(cell.sum) is Strange
    assert "plain_timed_seconds_sum 0.25" in lines_of(Encoder(instruments).page())


# ------------------------------------------------------------------------------------------------ what is left out


@FORMATS
def test_a_page_of_nothing_has_no_headers(*, openmetrics: bool) -> None:
    instruments = Instruments()
    instruments.counter(COUNTED)
    instruments.histogram(TIMED)
    instruments.gauge(LEVEL).labels("a", "b")
    assert Encoder(instruments).page(openmetrics=openmetrics) == (b"# EOF\n" if openmetrics else b"")


def test_the_end_mark_is_openmetrics_and_no_slice() -> None:
    instruments = Instruments()
    numbered(instruments, range(2))
    assert end_of(openmetrics=True) == b"# EOF\n"
    assert end_of(openmetrics=False) == b""
    assert not any(b"# EOF" in part for part in Encoder(instruments).slices(openmetrics=True))


def test_a_page_is_text_unless_openmetrics_is_asked_for() -> None:
    instruments = Instruments()
    numbered(instruments, range(2))
    text = Encoder(instruments).page(openmetrics=False)
    assert b"# TYPE test_counted_total counter\n" in text
    assert Encoder(instruments).page() == text == b"".join(Encoder(instruments).slices())


@pytest.mark.usefixtures("small_runs")
def test_a_gauge_that_turns_unknown_disappears_and_comes_back() -> None:
    instruments = Instruments()
    cells = [instruments.gauge(LEVEL).labels(str(number), "None") for number in range(7)]
    encoder = Encoder(instruments)
    for absent in ([], [1], [0, 1, 2], list(range(7)), [6], [0, 3], []):
        for number, cell in enumerate(cells):
            cell.set(None if number in absent else number)
        check_page(instruments, encoder.page(), openmetrics=False)
        assert [value for _, _, value in samples_of(encoder.page())] == [n for n in range(7) if n not in absent]


@pytest.mark.usefixtures("small_runs")
@settings(deadline=None)
@given(st.lists(st.integers(0, 7), max_size=5))
def test_series_that_come_between_two_pages_are_on_the_next(growth: list[int]) -> None:
    instruments = Instruments({"bot": "100%"})
    encoder = Encoder(instruments)
    total = 0
    for more in growth:
        numbered(instruments, range(total, total + more))
        for number in range(total, total + more):
            instruments.histogram(TIMED).labels(str(number), "x").observe(number)
        total += more
        check_page(instruments, encoder.page(), openmetrics=False)
        assert len(samples_of(encoder.page())) == instruments.count_series()


def test_families_that_come_between_two_pages_are_on_the_next() -> None:
    instruments = Instruments()
    encoder = Encoder(instruments)
    assert encoder.page() == b""
    instruments.counter(PLAIN_COUNTED).labels()
    assert "plain_counted_total 0" in lines_of(encoder.page())


# ------------------------------------------------------------------------------------------------ slices


def big() -> Instruments:
    instruments = Instruments()
    numbered(instruments, range(3 * SCALARS_A_SLICE + 1))
    for number in range(3 * HISTOGRAMS_A_SLICE + 1):
        instruments.histogram(TIMED).labels(str(number), "x").observe(number)
    return instruments


@FORMATS
def test_slices_are_whole_lines_of_few_series_and_make_the_page(*, openmetrics: bool) -> None:
    instruments = big()
    encoder = Encoder(instruments)
    slices = list(encoder.slices(openmetrics=openmetrics))
    assert b"".join(slices) + end_of(openmetrics=openmetrics) == encoder.page(openmetrics=openmetrics)
    assert all(part.endswith(b"\n") for part in slices)
    assert [len(samples_of(part)) for part in slices] == [
        *(2 * [SCALARS_A_SLICE, SCALARS_A_SLICE, SCALARS_A_SLICE, 1]),
        *(8 * HISTOGRAMS_A_SLICE, 8 * HISTOGRAMS_A_SLICE, 8 * HISTOGRAMS_A_SLICE, 8),
    ]


def test_no_histogram_is_divided_between_slices_while_it_is_observed() -> None:
    instruments = big()
    cells = list(instruments.histogram(TIMED).cells.values())
    for part in Encoder(instruments).slices():
        check_counts(samples_of(part))
        for cell in cells:
            cell.observe(0.5)


@pytest.mark.usefixtures("small_runs")
def test_two_pages_at_once_and_series_that_come_meanwhile_lose_and_double_nothing() -> None:
    instruments = Instruments()
    numbered(instruments, range(7))
    encoder = Encoder(instruments)
    first, second = encoder.slices(), encoder.slices(openmetrics=True)
    parts = [[next(first)], [next(second)]]
    numbered(instruments, range(7, 15))
    parts[1] += second
    parts[0] += first
    for page in map(b"".join, parts):
        samples = samples_of(page)
        assert len(set(samples)) == len(samples)
        assert {labels for _, labels, _ in samples} >= {(("one", str(number)), ("two", "x")) for number in range(7)}
        check_headers(lines_of(page), openmetrics=False)
    check_page(instruments, encoder.page(), openmetrics=False)


def test_the_text_of_new_series_is_made_slice_by_slice() -> None:
    instruments = Instruments()
    numbered(instruments, range(4 * SCALARS_A_SLICE))
    encoder = Encoder(instruments)
    next(encoder.slices())
    runs = encoder._texts["test_counted_total"]._runs
    assert [len(run.new) for run in runs] == [0, *3 * [SCALARS_A_SLICE]]


# ------------------------------------------------------------------------------------------------ golden pages


def golden_instruments() -> Instruments:
    """The whole catalogue with fixed numbers: every family, escapes, an absent gauge, each kind of number."""
    instruments = Instruments({"bot": 'the "bot"', "cluster": "1"})
    ask = {"counter": instruments.counter, "gauge": instruments.gauge, "histogram": instruments.histogram}
    for place, metric in enumerate(METRICS):
        values = [label.values[0] if label.values else f"{label.name} 1" for label in metric.labels]
        cell = ask[metric.kind](metric).labels(*values)  # type: ignore[operator]
        if metric.kind == "histogram":
            for value in (0.0005, 0.001, 0.3, 3, 30):
                cell.observe(value)
        else:
            cell.value = place if place % 3 else place + 0.25
    for place, level in enumerate((None, -1, 1e-9, 1e21, math.inf, -math.inf, math.nan)):
        instruments.gauge(catalogue.SHARD_LATENCY_SECONDS).labels(f"\\{place}\n%é").set(level)
    return instruments


def golden_pages() -> dict[str, bytes]:
    return {
        f"page.{'openmetrics' if openmetrics else 'text'}.txt": page
        for openmetrics, page in rendered(golden_instruments())
    }


@pytest.mark.parametrize("name", ["page.text.txt", "page.openmetrics.txt"])
def test_the_whole_catalogue_is_rendered_as_the_golden_page_has_it(name: str) -> None:
    anew = "the page has changed; if that is meant: python -m tests.exposition.test_encode"
    assert (GOLDEN / name).read_bytes().decode().split("\n") == golden_pages()[name].decode().split("\n"), anew


def test_the_golden_pages_are_what_prometheus_client_renders() -> None:
    instruments = golden_instruments()
    for openmetrics, page in rendered(instruments):
        check_page(instruments, page, openmetrics=openmetrics)


if __name__ == "__main__":
    for file_name, content in golden_pages().items():
        (GOLDEN / file_name).write_bytes(content)
