from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_exporter.exposition.negotiate import wants_gzip, wants_openmetrics

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_2_OLD = "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    "accept",
    [
        PROMETHEUS_2,
        PROMETHEUS_3,
        f"{PROTOBUF},{PROMETHEUS_3}",
        "application/openmetrics-text",
        "APPLICATION/OpenMetrics-Text ; Version=1.0.0",
        'application/openmetrics-text;version="1.0.0";charset=utf-8',
        "application/openmetrics-text,text/plain",
        "text/*,application/openmetrics-text",
        "application/*",
        "text/plain;q=0.5,application/openmetrics-text;q=0.51",
        "text/plain;q=0,*/*",
        "application/openmetrics-text;q=1.9;,text/plain;q=1;",
    ],
)
def test_who_wants_openmetrics_most_gets_it(accept: str) -> None:
    assert wants_openmetrics(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        BROWSER,
        "text/plain",
        "text/plain,application/openmetrics-text",
        "application/openmetrics-text;q=0.5,text/plain;q=0.51",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;q=0,*/*",
        "application/openmetrics-text;version=1.0.0;q=0.0",
        f"{PROTOBUF},text/plain;version=0.0.4;q=0.3",
        PROTOBUF,
        "*/*;q=0",
    ],
)
def test_everybody_else_gets_text(accept: str) -> None:
    assert not wants_openmetrics(accept)


@pytest.mark.parametrize("accept", [PROMETHEUS_2_OLD, "application/openmetrics-text;version=0.0.1"])
def test_an_offer_of_openmetrics_0_0_1_alone_gets_text_as_from_prometheus_client(accept: str) -> None:
    assert not wants_openmetrics(accept)


def test_a_text_version_that_is_not_served_is_no_wish_for_the_one_that_is() -> None:
    assert wants_openmetrics("text/plain;version=1.0.0,application/openmetrics-text;q=0.1")


@pytest.mark.parametrize("quality", ["x", "", ".", "7", "nan", "inf", "-1", "1e0", "٣"])
def test_an_entry_whose_weight_makes_no_sense_is_no_wish(quality: str) -> None:
    assert not wants_openmetrics(f"application/openmetrics-text;q={quality}")


def test_only_the_beginning_of_an_endless_header_is_read() -> None:
    assert not wants_openmetrics("," * 4096 + "application/openmetrics-text")


@given(st.text(alphabet=st.sampled_from(list('abc/*;=,.q01" \x00é')) | st.characters()))
def test_no_header_is_an_error(header: str) -> None:
    assert not wants_openmetrics(header)
    assert wants_gzip(header) in {True, False}


@pytest.mark.parametrize(
    "accept_encoding",
    ["gzip", "GZIP", "x-gzip", "deflate, gzip;q=0.1", "*", "br, *;q=0.1", "gzip;q=0.5, identity;q=0.5", "gzip;q=1.000"],
)
def test_gzip_is_used_where_it_is_allowed(accept_encoding: str) -> None:
    assert wants_gzip(accept_encoding)


@pytest.mark.parametrize(
    "accept_encoding",
    [
        "",
        "identity",
        "deflate, br",
        "gzip;q=0",
        "gzip; q=0.000",
        "gzip;q=0, *",
        "identity;q=1, gzip;q=0.9",
        "*;q=0",
        "gzip;q=no",
    ],
)
def test_gzip_is_not_used_where_it_is_not_allowed_or_not_wanted(accept_encoding: str) -> None:
    assert not wants_gzip(accept_encoding)
