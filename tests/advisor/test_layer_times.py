"""Which layers take a model's time, from calls that a profile watched."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from advisor.layer_times import time_by_layer
from frugalwatch.profile.recorded import Process


def watched(*own_ns: int, backward_ns: int = 0) -> Process:
    """A process whose model of that many layers was called twice; the first call is no sample."""
    names = [["", "Net", 0], *([str(i), "Linear", 10] for i in range(1, len(own_ns)))]
    rows = [[i, 1, own, own, 0, backward_ns, None] for i, own in enumerate(own_ns)]
    lines: list[Any] = [
        ["root", 0, names],
        ["call", 0, 0, 0, 0, [[i, 1, 999, 999, 0, 0, None] for i in range(len(own_ns))]],
        ["call", 0, 1, 0, backward_ns, rows],
    ]
    return cast(Process, SimpleNamespace(layers=lines))


def test_shares_are_of_each_layers_own_time_the_largest_first() -> None:
    found = time_by_layer([watched(10, 30, 60), watched(10, 30, 60)])
    assert [(one["name"], one["kind"]) for one in found[:3]] == [
        ("Net.2", "Linear"),
        ("Net.1", "Linear"),
        ("Net", "Net"),
    ]
    assert [one["share"] for one in found[:3]] == pytest.approx([0.6, 0.3, 0.1])


def test_going_backward_counts_too() -> None:
    found = {one["name"]: one["share"] for one in time_by_layer([watched(10, 30, backward_ns=30)])}
    assert found["Net"] == pytest.approx(0.4)


def test_without_models_there_is_nothing() -> None:
    assert time_by_layer([]) == []
    assert time_by_layer([cast(Process, SimpleNamespace(layers=[]))]) == []
