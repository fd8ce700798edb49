"""The catalogue: what stands in it, and what cannot be declared."""

from __future__ import annotations

import math
import re
from collections import Counter as Tally

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_exporter import catalogue
from argus_exporter.catalogue import METRICS, Counter, Gauge, Histogram, Label, Metric, closed

NOUNS = set(catalogue.COLLECTORS) - {"registry"}

# The contract with dashboards and alerts: names and labels, written out once more on purpose.
PROMISED = {
    "discord_bot_info": ("gauge", "bot", "discord_py", "python", "exporter"),
    "discord_gateway_events_total": ("counter", "event"),
    "discord_gateway_closes_total": ("counter", "code", "initiator"),
    "discord_shards": ("gauge",),
    "discord_guilds": ("gauge",),
    "discord_shard_status": ("gauge", "shard"),
    "discord_shard_latency_seconds": ("gauge", "shard"),
    "discord_shard_last_ack_timestamp_seconds": ("gauge", "shard"),
    "discord_shard_last_dispatch_timestamp_seconds": ("gauge", "shard"),
    "discord_shard_dispatches_total": ("counter", "shard"),
    "discord_shard_connections_total": ("counter", "shard", "kind"),
    "discord_shard_outages_total": ("counter", "shard"),
    "discord_shard_downtime_seconds_total": ("counter", "shard"),
    "discord_shard_guilds": ("gauge", "shard"),
    "discord_shard_guilds_unavailable": ("gauge", "shard"),
    "discord_shard_send_rate_limited": ("gauge", "shard"),
    "discord_session_start_limit": ("gauge",),
    "discord_session_start_limit_remaining": ("gauge",),
    "discord_session_start_limit_reset_timestamp_seconds": ("gauge",),
    "discord_session_start_limit_max_concurrency": ("gauge",),
    "discord_last_exit_info": ("gauge", "reason", "code"),
    "discord_shard_ready_seconds": ("gauge", "shard"),
    "discord_startup_guilds_expected": ("gauge", "shard"),
    "discord_startup_guilds_available": ("gauge", "shard"),
    "discord_shard_identify_wait_seconds": ("gauge", "shard"),
    "discord_shard_reconnect_queue": ("gauge",),
    "discord_member_chunk_requests_total": ("counter",),
    "discord_gateway_rate_limited_total": ("counter",),
    "discord_interactions_total": ("counter", "type"),
    "discord_interactions_handled_total": ("counter", "type", "outcome"),
    "discord_interactions_in_flight": ("gauge",),
    "discord_interaction_delivery_seconds": ("histogram",),
    "discord_interaction_ack_seconds": ("histogram", "type"),
    "discord_interaction_duration_seconds": ("histogram", "type"),
    "discord_interaction_deadline_missed_total": ("counter", "type"),
    "discord_interactions_unanswered_total": ("counter", "type"),
    "discord_interaction_ack_failures_total": ("counter", "status"),
    "argus_exporter_interactions_evicted_total": ("counter", "type"),
    "discord_commands_total": ("counter", "command", "type", "outcome"),
    "discord_command_duration_seconds": ("histogram", "type"),
    "discord_command_duration_by_command_seconds": ("histogram", "command"),
    "discord_command_errors_total": ("counter", "command", "error"),
    "discord_commands_in_flight": ("gauge",),
    "discord_commands_registered": ("gauge", "type"),
    "discord_http_requests_total": ("counter", "method", "route", "status"),
    "discord_http_request_duration_seconds": ("histogram", "method", "route"),
    "discord_http_wait_seconds": ("histogram", "reason"),
    "discord_http_rate_limited_total": ("counter", "scope"),
    "discord_http_invalid_requests_total": ("counter",),
    "discord_http_requests_in_flight": ("gauge",),
    "discord_http_global_rate_limited": ("gauge",),
    "discord_http_buckets": ("gauge",),
    "discord_api_clock_skew_seconds": ("gauge",),
    "discord_members": ("gauge",),
    "discord_cached_users": ("gauge",),
    "discord_cached_messages": ("gauge",),
    "discord_views": ("gauge",),
    "discord_modals": ("gauge",),
    "discord_task_loop_running": ("gauge", "loop"),
    "discord_task_loop_dead": ("gauge", "loop"),
    "discord_task_loop_retrying": ("gauge", "loop"),
    "discord_task_loop_interval_seconds": ("gauge", "loop"),
    "discord_task_loop_last_success_timestamp_seconds": ("gauge", "loop"),
    "discord_task_loop_iterations_total": ("counter", "loop"),
    "discord_task_loop_failures_total": ("counter", "loop"),
    "discord_task_loop_overruns_total": ("counter", "loop"),
    "discord_voice_connections": ("gauge",),
    "discord_voice_playing": ("gauge",),
    "discord_event_errors_total": ("counter", "event"),
    "discord_event_listener_seconds": ("histogram", "event"),
    "discord_unhandled_errors_total": ("counter", "source"),
    "argus_exporter_error_log_written_total": ("counter",),
    "argus_exporter_error_log_suppressed_total": ("counter",),
    "discord_log_records_total": ("counter", "logger", "level"),
    "discord_event_loop_lag_seconds": ("histogram",),
    "discord_event_loop_blocked_seconds_total": ("counter",),
    "discord_asyncio_tasks": ("gauge",),
    "process_cpu_seconds_total": ("counter",),
    "process_resident_memory_bytes": ("gauge",),
    "process_virtual_memory_bytes": ("gauge",),
    "process_start_time_seconds": ("gauge",),
    "process_open_fds": ("gauge",),
    "process_max_fds": ("gauge",),
    "argus_exporter_analytics_queued_total": ("counter", "table"),
    "argus_exporter_analytics_written_total": ("counter", "table"),
    "argus_exporter_analytics_lost_total": ("counter", "table", "reason"),
    "argus_exporter_analytics_queue_rows": ("gauge",),
    "argus_exporter_info": ("gauge", "version", "python"),
    "argus_exporter_collector_up": ("gauge", "collector"),
    "argus_exporter_collector_errors_total": ("counter", "collector"),
    "argus_exporter_sample_seconds": ("gauge", "collector"),
    "argus_exporter_series": ("gauge",),
    "argus_exporter_label_overflow_total": ("counter", "metric"),
    "argus_exporter_left_out_total": ("counter", "metric"),
}

ONE = Label("one", 5, "five of them")


@pytest.mark.parametrize("name", PROMISED)
def test_every_promised_metric_is_declared_with_its_type_and_labels(name: str) -> None:
    metric = next(metric for metric in METRICS if metric.name == name)
    assert (metric.kind, *metric.label_names) == PROMISED[name]


def test_every_metric_of_the_module_is_in_the_list_once_and_in_order() -> None:
    declared = [value for value in vars(catalogue).values() if isinstance(value, Metric)]
    assert list(METRICS) == declared
    assert max(Tally(metric.name for metric in METRICS).values()) == 1


def test_no_two_metrics_can_have_a_sample_name_in_common() -> None:
    reserved = Tally(name for metric in METRICS for name in metric.reserved_names)
    assert [name for name, times in reserved.items() if times > 1] == []


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_has_a_known_noun_and_a_name_in_base_units(metric: Metric) -> None:
    assert metric.noun in NOUNS
    assert metric.name.startswith(("discord_", "process_", "argus_exporter_"))
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(
        r"_(ms|milliseconds|minutes|hours|kb|mb|percent|ratio|gauge|counter|histogram)(_|\Z)", metric.name
    )
    assert metric.kind != "histogram" or metric.name.endswith(("_seconds", "_bytes"))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_help_text_is_a_sentence(metric: Metric) -> None:
    assert re.fullmatch(r"[A-Z0-9].*\.", metric.help)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_no_label_carries_an_identity(metric: Metric) -> None:
    assert not {"guild", "user", "channel", "message", "custom_id", "id", "member"} & set(metric.label_names)


def test_known_values_are_told_once_and_in_order() -> None:
    for values in (catalogue.GATEWAY_EVENTS, catalogue.COLLECTORS, catalogue.CLOSE_CODES):
        assert len(set(values)) == len(values)
    assert list(catalogue.GATEWAY_EVENTS) == sorted(catalogue.GATEWAY_EVENTS)
    assert {str(code) for code in catalogue.FATAL_CLOSE_CODES} < set(catalogue.CLOSE_CODES)


def test_a_closed_label_is_bound_by_the_number_of_its_values() -> None:
    label = closed("kind", ("a", "b"), "two of them")
    assert (label.bound, label.values, label.why) == (2, ("a", "b"), "two of them")


@pytest.mark.parametrize("name", ["", "0a", "a-b", "a.b", "é", "a\n", "__name", "le", "a b", 'a"'])
def test_a_label_that_prometheus_would_refuse_cannot_be_declared(name: str) -> None:
    with pytest.raises(ValueError, match="not a label name"):
        Label(name, 1, "why")


@pytest.mark.parametrize(
    ("bound", "why", "said"),
    [
        *((bound, "why", "needs a bound of 1 to 100000") for bound in (0, -1, 100_001)),
        (1, "", "needs the reason for its bound"),
    ],
)
def test_a_label_without_a_bound_or_a_reason_cannot_be_declared(bound: int, why: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Label("one", bound, why)
    with pytest.raises(TypeError):
        Label("one")  # type: ignore[call-arg]


def test_a_label_cannot_have_more_values_than_its_bound() -> None:
    assert Label("one", 2, "why", ("a", "b")).bound == 2
    with pytest.raises(ValueError, match="3 values are more than its bound of 2"):
        Label("one", 2, "why", ("a", "b", "c"))


def test_a_label_cannot_have_a_value_that_would_be_too_long() -> None:
    closed("colour", ("red", "x" * 128), "two")
    with pytest.raises(ValueError, match="label 'colour': a value has at most 128 characters"):
        closed("colour", ("red", "x" * 129), "two")


@pytest.mark.parametrize(
    "name", ["", "0_total", "a-b_total", "a b_total", "é_total", "a_total\n", "_total", "a", "a_tota"]
)
def test_a_counter_whose_name_is_not_a_counters_cannot_be_declared(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        Counter(name, "Help.", "gateway")


@pytest.mark.parametrize("suffix", ["_total", "_created", "_bucket", "_count", "_sum"])
def test_a_gauge_or_histogram_cannot_have_the_ending_of_another_type(suffix: str) -> None:
    with pytest.raises(ValueError, match="a gauge's name does not end in"):
        Gauge(f"x{suffix}", "Help.", "gateway")
    with pytest.raises(ValueError, match="a histogram's name does not end in"):
        Histogram(f"x{suffix}", "Help.", "gateway", edges=(1.0,))


@pytest.mark.parametrize("text", ["", "two\nlines", "nul\0", "lone \ud800", "next\x85line", "line\u2028separator"])
def test_a_help_text_that_is_not_one_printable_line_cannot_be_declared(text: str) -> None:
    with pytest.raises(ValueError, match="needs a help text of one line"):
        Gauge("x", text, "gateway")


def test_a_label_cannot_stand_twice_in_a_metric() -> None:
    with pytest.raises(ValueError, match="has a label twice"):
        Gauge("x", "Help.", "gateway", (ONE, ONE))


@pytest.mark.parametrize(
    "edges", [(), (1.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan,), (1.0, math.nan), (-1.0, 1.0), (-math.inf,)]
)
def test_edges_that_are_not_ascending_finite_and_positive_cannot_be_declared(edges: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="needs finite edges in ascending order, none below zero"):
        Histogram("x", "Help.", "gateway", edges=edges)


def test_an_edge_may_be_zero() -> None:
    assert Histogram("x", "Help.", "gateway", edges=(0.0, 1.0)).edges == (0.0, 1.0)


def test_a_family_is_bound_by_the_product_of_its_labels_with_other_counted() -> None:
    assert Gauge("x", "Help.", "gateway", (ONE, Label("two", 9, "nine"))).series == 60
    assert Gauge("x", "Help.", "gateway").series == 1
    assert Gauge("x", "Help.", "gateway", (ONE,), series=3).series == 3


def test_a_family_that_could_hold_too_many_series_cannot_be_declared_without_a_bound_of_its_own() -> None:
    wide = (Label("one", 400, "why"), Label("two", 400, "why"))
    with pytest.raises(ValueError, match="could hold 160801 series, more than 100000"):
        Gauge("x", "Help.", "gateway", wide)
    assert Gauge("x", "Help.", "gateway", wide, series=100_000).series == 100_000
    for series in (100_001, -1):
        with pytest.raises(ValueError, match="give it a bound"):
            Gauge("x", "Help.", "gateway", wide, series=series)


@settings(deadline=None)
@given(st.text(max_size=20))
def test_any_name_is_either_refused_or_one_that_prometheus_takes(name: str) -> None:
    try:
        Gauge(name, "Help.", "gateway")
    except ValueError as error:
        assert repr(name) in str(error)  # noqa: PT017 - either way is right
    else:
        assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name, re.ASCII)


def test_a_family_reserves_the_names_that_its_samples_could_have() -> None:
    assert Counter("x_total", "Help.", "gateway").reserved_names == {"x", "x_total", "x_created"}
    assert Gauge("x", "Help.", "gateway").reserved_names == {"x"}
    histogram = Histogram("x", "Help.", "gateway", edges=(1.0,))
    assert histogram.reserved_names == {"x", "x_bucket", "x_count", "x_sum", "x_created"}


def test_only_a_counters_family_name_differs_from_its_name() -> None:
    assert Counter("x_total", "Help.", "gateway").family == "x"
    assert Gauge("x", "Help.", "gateway").family == "x"
