"""How often stacks are looked at: as asked for, and less where looking takes too much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frugalwatch.inside.path._frugalwatch import stacks
from frugalwatch.inside.path._frugalwatch.stacks import StackSampler


class _Line:
    def check_process(self) -> None:
        return


def sampler(folder: Path, **more: float) -> Any:
    return StackSampler(100.0, str(folder), _Line(), **more)  # type: ignore[arg-type]


def test_it_looks_less_often_where_that_takes_more_than_its_share(tmp_path: Path) -> None:
    own = sampler(tmp_path, most_own_share=0.01)
    own._adapt(0.02)  # twice what it may
    assert own._period_ns == 20_000_000
    own._adapt(0.5)  # by four at most at a time
    assert own._period_ns == 80_000_000
    for _ in range(20):
        own._adapt(0.001)
    assert own._period_ns == 10_000_000  # and never more often than asked for


def test_a_replay_may_be_told_a_larger_share(tmp_path: Path) -> None:
    own = sampler(tmp_path, most_own_share=0.1)
    own._adapt(0.09)
    assert own._period_ns == 10_000_000
    own._adapt(0.2)
    assert own._period_ns == 20_000_000


@pytest.mark.parametrize("share", [0, 1.5, "0.1"])
def test_a_share_that_is_none_is_refused(share: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a share of the CPU time"):
        stacks.start({"folder": str(tmp_path), "share": share}, _Line())  # type: ignore[arg-type]
