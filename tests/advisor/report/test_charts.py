"""Where the page's marks lie."""

from __future__ import annotations

import pytest

from advisor.report.charts import forest, fronts, shares, trace
from tests.advisor.report.kit import RATIO, document, recommendation


def test_an_interval_lies_to_scale_between_nothing_and_the_program_as_written() -> None:
    found = forest(document())
    int8, bf16 = found.rows
    assert (int8.mark, int8.kind, bf16.kind) == ("1", "good", "bad")
    # Of the axis that ends at 1.9 x 1.05, the largest end.
    assert int8.middle == pytest.approx(100 * 0.5 / (1.9 * 1.05), abs=0.1)
    assert int8.low < int8.middle < int8.high < found.one < bf16.low
    assert found.noise is not None
    assert found.noise[0] < found.one < found.noise[1]
    assert [tick.label for tick in found.ticks][:3] == ["0 %", "50 %", "100 %"]


def test_the_ratio_that_decided_is_the_one_that_is_drawn() -> None:
    later = recommendation(decided_by="unit", ratio={**RATIO, "value": 1.2, "high": 1.3})
    row = forest(document(recommendations=[later], not_recommended=[])).rows[0]
    assert row.what == "per call"
    assert row.text == "-60 % (-62..-58)"


def test_fronts_are_drawn_for_what_is_known_of_two_at_least() -> None:
    assert [f.title for f in fronts(document())] == [
        "latency (p95), ms",
        "peak memory, MiB",
        "answers lost, %",
    ]
    dots = {dot.label: dot for dot in fronts(document())[0].dots}
    assert set(dots) == {"w", "1", "a"}
    assert dots["1"].left < dots["w"].left < dots["a"].left
    assert dots["1"].top > dots["w"].top > dots["a"].top, "less is lower"
    assert [dot.on_front for dot in dots.values()].count(False) == 1
    points = [{**p, "memory_bytes": None, "loss": 0.0} for p in document()["pareto"]]
    assert [f.title for f in fronts(document(pareto=points))] == ["latency (p95), ms"]


def test_what_is_left_of_the_time_is_shown_as_the_rest() -> None:
    phases, packages, layers = shares(document())
    assert [(bar.name, bar.percent) for bar in layers.bars] == [("Net.0 (Conv2d)", 90.0)]
    assert [(bar.name, bar.percent) for bar in phases.bars] == [
        ("evaluation", 70.0),
        ("data wait", 20.0),
        ("the rest", 10.0),
    ]
    assert [(bar.name, bar.percent) for bar in packages.bars] == [
        ("csv", 60.0),
        ("the model", 20.0),
        ("re", 15.0),
    ]
    assert shares(document(time_shares={}, hot_spots=None)) == []


def test_each_replay_has_its_mark_in_time() -> None:
    found = trace(document())
    assert found is not None
    assert [row.name for row in found.rows] == ["as written", "int8 <fast> & small", "bf16"]
    first, last = found.rows[0].marks[0], found.rows[2].marks[0]
    assert (first.left, first.width) == (0, 25)
    assert (last.left, last.width, last.state) == (75, 25, "failed")
    assert trace(document(timeline=[])) is None
