"""Both text formats, judged by the parsers of prometheus-client and, where it is, by promtool."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from frugalwatch.metrics import names
from frugalwatch.metrics.exposition import as_openmetrics, as_text, wants_openmetrics
from frugalwatch.metrics.families import Family, Sample
from frugalwatch.metrics.snapshot import HOLD_NS, Options, Snapshot
from tests.frugalwatch.metrics.kit import UTC_S, ledger, recording


def _families(at_s: float = 1e6, hold_ns: int = 0) -> list[Family]:
    conn = ledger(recording(1, range(100, 111)), recording(2, range(120, 131), ended=False))
    snapshot = Snapshot(
        Options(runs=True, runs_within_s=1e7, hold_ns=hold_ns),
        utc_ns=lambda: round((UTC_S + at_s) * 1e9),
    )
    return snapshot.read(conn)


def test_openmetrics_is_what_its_parser_takes() -> None:
    found = {
        f.name: f for f in openmetrics.text_string_to_metric_families(as_openmetrics(_families()))
    }
    energy = found[names.ENERGY.removesuffix("_total")]
    assert (energy.type, energy.unit) == ("counter", "joules")
    assert [(s.name, s.value) for s in energy.samples] == [(names.ENERGY, 200)]
    assert found["frugalwatch_build"].type == "info"
    assert len(found) == len(_families())


def test_the_older_text_is_what_its_parser_takes() -> None:
    found = {f.name: f for f in parser.text_string_to_metric_families(as_text(_families()))}
    energy = found[names.ENERGY.removesuffix("_total")]
    assert energy.type == "counter"
    assert energy.samples[0].labels["origin"] == "measured"


def test_the_time_of_an_explicit_zero_is_right_in_both_formats() -> None:
    young = _families(at_s=130, hold_ns=HOLD_NS)
    texts = (
        parser.text_string_to_metric_families(as_text(young)),
        openmetrics.text_string_to_metric_families(as_openmetrics(young)),
    )
    for families in texts:
        (sample,) = {f.name: f for f in families}[names.ENERGY.removesuffix("_total")].samples
        assert sample.value == 0
        assert float(sample.timestamp) == UTC_S + 100


@settings(deadline=None, max_examples=60)
@given(
    text=st.text(),
    value=st.one_of(st.floats(), st.integers(-(2**62), 2**62).map(float)),
    at_s=st.one_of(st.none(), st.floats(0, 4e9)),
)
def test_any_label_and_value_survives(text: str, value: float, at_s: float | None) -> None:
    family = Family("a_gauge", "gauge", text, (Sample({"label": text}, value, at_s),))
    spoken = text.encode("utf-8", "replace").decode().replace("\r", " ")
    for families in (
        parser.text_string_to_metric_families(as_text([family])),
        openmetrics.text_string_to_metric_families(as_openmetrics([family])),
    ):
        (sample,) = next(iter(families)).samples
        assert sample.labels == {"label": spoken}
        assert sample.value == value or math.isnan(value)
        if at_s is not None:
            assert float(sample.timestamp) == pytest.approx(at_s, abs=0.0006)


@pytest.mark.parametrize(
    ("accept", "openmetrics_is_wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4", False),
        # What Prometheus 2.42 sends.
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
            "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            True,
        ),
        ("text/plain;q=0.9, application/openmetrics-text;q=0.2", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=nonsense", False),
    ],
)
def test_the_format_is_the_one_asked_for(accept: str, openmetrics_is_wanted: bool) -> None:
    assert wants_openmetrics(accept) is openmetrics_is_wanted
