"""What is found beside the search: how requests are served matters where the model does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from advisor import beside as found_beside
from advisor.gates.options import GateOptions
from advisor.hot_spots import HotSpots, Spot


def beside(spots: HotSpots | None, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[str]]:
    served: list[str] = []
    monkeypatch.setattr(found_beside, "find_hot_spots", lambda *_, **__: spots)
    monkeypatch.setattr(found_beside, "serve", lambda *_, **__: served.append("asked"))
    facts: Any = SimpleNamespace(inside=SimpleNamespace(learns=False), sample=None)
    replayer: Any = None
    found = found_beside.beside(
        replayer,
        facts,
        time_s=60,
        left_s=20.0,
        latency_limit_s=None,
        seed=0,
        swaps=(),
        gates=GateOptions(),
        tell=lambda _: None,
    )
    return found, served


def spots(low: float) -> HotSpots:
    outside = Spot("outside of the model", low + 0.02, low, low + 0.04)
    return HotSpots(outside, (), 0.1, 10.0, 1000.0)


def test_requests_to_a_model_that_hardly_matters_are_not_replayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, served = beside(spots(0.93), monkeypatch)
    assert found["trace"]["reason"] == "its modules use 7 % of the CPU time of its work at most"
    assert found["trace"]["recommendations"] == []
    assert served == []


@pytest.mark.parametrize("low", [0.5, None])
def test_where_the_model_matters_or_nobody_knows_they_are(
    low: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, served = beside(None if low is None else spots(low), monkeypatch)
    assert served == ["asked"]
    assert (found["hot_spots"] is None) == (low is None)
