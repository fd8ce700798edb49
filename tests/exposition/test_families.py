from __future__ import annotations

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
    SummaryMetricFamily,
    UnknownMetricFamily,
)
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Exemplar

from argus_exporter.exposition.families import RefusedError, names_of, render, without_created


def text_of(family: Metric, *, openmetrics: bool = False) -> str:
    return b"".join(render(family, openmetrics=openmetrics)).decode()


def parsed(text: str) -> dict[str, Metric]:
    return {family.name: family for family in parse_openmetrics(f"{text}# EOF\n")}


def every_type() -> list[Metric]:
    labelled = CounterMetricFamily("requests", 'Help with "quotes", \\ and\na line.', labels=["path", "code"])
    labelled.add_metric(['/a"\\\n', "é"], 3)
    labelled.add_metric(["/b", ""], 1e22, exemplar=Exemplar({"trace": "xy"}, 1.5, 12.25), timestamp=1.5)
    return [
        labelled,
        CounterMetricFamily("empty_of_samples", "Help.", labels=["a"]),
        GaugeMetricFamily("depth", "", value=float("nan")),
        GaugeMetricFamily("low_seconds", "Help.", value=float("-inf"), unit="seconds"),
        HistogramMetricFamily("wait", "Help.", buckets=[("1", 2, Exemplar({}, 0.5)), ("+Inf", 3)], sum_value=4.5),
        GaugeHistogramMetricFamily("sizes", "Help.", buckets=[("1", 2), ("+Inf", 3)], gsum_value=4.5),
        SummaryMetricFamily("took", "Help.", count_value=2, sum_value=1e-7),
        InfoMetricFamily("build", "Help.", value={"version": "1"}),
        StateSetMetricFamily("state", "Help.", value={"on": True, "off": False}),
        UnknownMetricFamily("who_knows", "Help.", value=1),
    ]


@pytest.mark.parametrize("family", every_type(), ids=lambda family: family.name)
def test_every_type_reads_as_prometheus_client_writes_it(family: Metric) -> None:
    registry = CollectorRegistry()
    registry._collector_to_names[type("Just", (), {"collect": lambda _: [family]})()] = []
    assert text_of(family).encode() == prometheus_client.generate_latest(registry)
    assert f"{text_of(family, openmetrics=True)}# EOF\n".encode() == openmetrics_exposition.generate_latest(registry)
    assert list(parse_text(text_of(family)))
    read = parsed(text_of(family, openmetrics=True))[family.name].samples
    assert [each[:2] for each in read] == [each[:2] for each in family.samples]


def test_created_series_are_taken_off_a_copy_and_the_users_own_object_stays_as_it_is() -> None:
    family = CounterMetricFamily("requests", "Help.", value=1, created=123.0)
    before = list(family.samples)
    kept = without_created(family)
    assert [sample.name for sample in kept.samples] == ["requests_total"]
    assert family.samples == before
    assert "_created" not in text_of(kept) + text_of(kept, openmetrics=True)


def test_a_gauge_of_the_users_that_is_named_created_stays() -> None:
    family = GaugeMetricFamily("account_created", "Help.", value=5)
    assert without_created(family) is family


def test_the_names_of_a_family_are_those_of_both_formats_and_of_its_samples() -> None:
    assert names_of(CounterMetricFamily("a", "Help.", labels=["x"])) == {"a", "a_total"}
    assert names_of(InfoMetricFamily("a", "Help.")) == {"a", "a_info"}
    assert names_of(HistogramMetricFamily("a", "Help.", [("+Inf", 1)], 1)) == {"a", "a_bucket", "a_count", "a_sum"}
    assert names_of(GaugeMetricFamily("a", "Help.", 1)) == {"a"}


def test_a_counter_whose_samples_do_not_end_in_total_has_no_type_in_openmetrics() -> None:
    family = Metric("requests", "Help.", "counter")
    family.add_sample("requests", {"a": "b"}, 1, exemplar=Exemplar({}, 1))
    family.add_sample("requests_seen", {}, 2)
    families = parsed(text_of(family, openmetrics=True))
    assert {name: (each.type, each.samples[0].value) for name, each in families.items()} == {
        "requests": ("unknown", 1),
        "requests_seen": ("unknown", 2),
    }
    assert text_of(family).splitlines()[2:] == ['requests{a="b"} 1.0', "requests_seen 2.0"]


def test_a_unit_that_is_not_in_the_name_is_not_said_in_openmetrics() -> None:
    family = GaugeMetricFamily("depth", "Help.", value=1)
    family.unit = "metres"
    assert parsed(text_of(family, openmetrics=True))["depth"].samples[0].value == 1


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_large_family_comes_in_pieces_with_one_header(*, openmetrics: bool) -> None:
    family = GaugeMetricFamily("depth", "# a help\nof two lines", labels=["n"])
    for n in range(300):
        family.add_metric([f"{n}\n# TYPE x gauge"], n)
    pieces = list(render(family, openmetrics=openmetrics))
    assert [piece.count(b"\n") for piece in pieces] == [130, 128, 44]
    (read,) = (parse_openmetrics if openmetrics else parse_text)(
        b"".join(pieces).decode() + ("# EOF\n" if openmetrics else "")
    )
    assert read.samples == family.samples
    assert len(family.samples) == 300


def test_a_large_gauge_histogram_stays_whole_because_text_writes_it_as_three_families() -> None:
    family = GaugeHistogramMetricFamily("sizes", "Help.", labels=["n"])
    for n in range(100):
        family.add_metric([str(n)], [("1", 2), ("+Inf", 3)], 4)
    assert len(list(render(family, openmetrics=False))) == 1


def sampled(name: str = "a", labels: dict[str, object] | None = None, value: object = 1, kind: str = "gauge") -> Metric:
    family = Metric("a", "Help.", kind)
    family.add_sample(name, labels or {}, value)  # type: ignore[arg-type]
    return family


@pytest.mark.parametrize("openmetrics", [False, True])
@pytest.mark.parametrize(
    "family",
    [
        sampled(value=None),
        sampled(value="many"),
        sampled(labels={"x": 1}),
        sampled(labels={"x": "\ud800"}),
        sampled(labels={"x": "\0"}),
        sampled(labels={"": "y"}),
        sampled(name=""),
        sampled(value="0x1"),
    ],
    ids=str,
)
def test_what_cannot_be_written_is_refused(family: Metric, *, openmetrics: bool) -> None:
    with pytest.raises((RefusedError, TypeError, ValueError, AttributeError)):
        text_of(family, openmetrics=openmetrics)


@pytest.mark.parametrize(
    "line",
    [
        "a b 1",
        'a{x="y"b="z"} 1',
        'a{x="y} 1',
        'a{x="\\q"} 1',
        'a{1x="y"} 1',
        "1a 1",
        "a one",
        "a 1 2 3",
        "",
        "# EOF",
        "# a comment",
        "a 1 # {} ",
        "# TYPE a b c",
        "# HELP a \0",
        "# UNIT a b c",
    ],
)
def test_a_line_that_prometheus_could_not_read_refuses_the_whole_family(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus_client, "generate_latest", lambda _: f"a 1\n{line}\na 2\n".encode())
    with pytest.raises(RefusedError, match="could not read"):
        text_of(sampled())


def test_a_line_that_never_ends_is_looked_at_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    line = 'a{x="' + 'y",x="' * 50_000 + "} 1"
    monkeypatch.setattr(prometheus_client, "generate_latest", lambda _: f"{line}\n".encode())
    with pytest.raises(RefusedError):
        text_of(sampled())
