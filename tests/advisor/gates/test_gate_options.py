"""What --max-drop and --gate come to."""

from __future__ import annotations

import pytest

from advisor.gates.options import GateOptions, parse_gate
from frugalwatch.errors import UsageError


def test_a_point_is_what_is_documented_for_each_kind() -> None:
    one, two = GateOptions(), GateOptions(2.0)
    assert one.least("agreement") == one.least("tokens") == 0.99
    assert one.least("overlap") == 0.97
    assert one.least("error") == 0.01
    assert (two.least("agreement"), two.least("overlap")) == (0.98, 0.94)
    assert GateOptions(0).least("overlap") == 1


@pytest.mark.parametrize(
    ("text", "measure", "limit", "pool"),
    [
        ("overlap>=0.9", "overlap", 0.9, "mean"),
        ("overlap >= 90%", "overlap", 0.9, "mean"),
        ("overlap>=.97,pool=first", "overlap", 0.97, "first"),
        ("agreement>=99.5%", "agreement", 0.995, "mean"),
        ("error<=2%", "error", 0.02, "mean"),
        ("tokens>=1", "tokens", 1.0, "mean"),
    ],
)
def test_gates_are_read_and_written_again(text: str, measure: str, limit: float, pool: str) -> None:
    found = parse_gate(text)
    assert (found.measure, found.limit, found.pool) == (measure, pytest.approx(limit), pool)
    assert parse_gate(found.as_text()) == found


def test_a_named_limit_counts_for_its_own_measure_only() -> None:
    found = parse_gate("overlap>=0.9", 2.0)
    assert (found.least("overlap"), found.least("agreement")) == (0.9, 0.98)


@pytest.mark.parametrize(
    "text",
    ["", "cosine>=0.9", "overlap<=0.9", "error>=0.1", "overlap>=90", "agreement>=0.9,pool=first"],
)
def test_what_is_no_gate_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_gate(text)
    assert "overlap>=0.9" in refused.value.hint
