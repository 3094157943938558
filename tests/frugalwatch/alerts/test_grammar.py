"""What people may write as an alert, and what they are told where it is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalwatch.alerts.grammar import BadAlertError, parse_alert


@pytest.mark.parametrize(
    ("text", "kind", "subject", "threshold", "window_s"),
    [
        ("p95>200ms", "latency", "", 0.2, 60.0),
        ("p99(request) > 0.5 s over 5min", "latency", "request", 0.5, 300.0),
        ("p50(step)>900us", "latency", "step", 0.0009, 60.0),
        ("Wh/request>0.002", "energy", "request", 7.2, 60.0),
        ("mJ/token>5 over 1h", "energy", "token", 0.005, 3600.0),
        ("metric(loss)>2", "metric", "loss", 2.0, 60.0),
        ("metric(val acc)<0.9", "metric", "val acc", 0.9, 60.0),
        ("metric(x)<-1e-3", "metric", "x", -0.001, 60.0),
        ("drift(accuracy)>5%", "drift", "accuracy", 0.05, 60.0),
    ],
)
def test_alerts_are_read_in_si_units(
    text: str, kind: str, subject: str, threshold: float, window_s: float
) -> None:
    found = parse_alert(text)
    assert (found.kind, found.subject, found.window_s) == (kind, subject, window_s)
    assert found.threshold == pytest.approx(threshold)
    assert found.above == (">" in text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("p95>200", "200ms or 200s"),
        ("p95>=200ms", "p95>200ms"),
        ("p90>1s", "p50, p95 and p99"),
        ("p95(requests)>1s", "did you mean request?"),
        ("p95>-1s", "p95>200ms"),
        ("wh/request>1", "Wh/request"),
        ("J/steps>1", "did you mean step?"),
        ("J/step>5J", "J/step>5"),
        ("loss>2", "metric(loss) or drift(loss)"),
        ("drift(loss)>0.05", "drift(loss)>5%"),
        ("drift(loss)<5%", "drift(loss)>5%"),
        ("metric(x)>1 over 0.1s", "p95>200ms"),
        ("p95", "p95>200ms"),
        ("", "p95>200ms"),
    ],
)
def test_what_is_no_alert_is_answered_with_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(BadAlertError) as raised:
        parse_alert(text)
    assert hint in raised.value.hint


@given(st.text("p95(step)>< =.J/Wh%overmins0", max_size=20))
def test_no_text_does_anything_but_parse_or_raise_the_one_error(text: str) -> None:
    try:
        hint = parse_alert(text).text or "none is needed"
    except BadAlertError as error:
        hint = error.hint
    assert hint
