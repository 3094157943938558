"""The order of trying: the same for a seed, also after a kill, and within its limits."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.compression_stack.points import Outcome, Point
from advisor.compression_stack.study import Searched, Terms, search
from tests.advisor.compression_stack.kit import outcome, space

pytest.importorskip("optuna")
pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]

_KILLED = """
import os, signal, sys
from advisor.compression_stack.study import Terms, search
from tests.advisor.compression_stack.kit import outcome, space

tried = []
def evaluate(point):
    tried.append(point)
    if len(tried) == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return outcome(point)

search(space(8), Terms(sys.argv[1], "one", seed=3, most_points=14), evaluate, lambda: False)
"""


def storage(folder: Path, name: str = "study") -> str:
    return f"sqlite:///{folder / name}.db"


def searched(url: str, seed: int = 3, most: int = 14, bases: int = 8) -> Searched:
    return search(space(bases), Terms(url, "one", seed, most), outcome, lambda: False)


def test_every_point_of_a_small_space_is_tried_once(tmp_path: Path) -> None:
    tried: list[Point] = []

    def evaluate(point: Point) -> Outcome:
        tried.append(point)
        return outcome(point)

    small = space(3)
    found = search(small, Terms(storage(tmp_path), "one"), evaluate, lambda: False)
    assert sorted(p.name for p in tried) == sorted(p.name for p in small.points())
    assert found.stopped == "every combination was tried"


def test_equal_seeds_try_the_same_points_in_the_same_order(tmp_path: Path) -> None:
    first, again = (list(searched(storage(tmp_path, n)).found) for n in ("a", "b"))
    assert first == again


def test_killed_search_goes_on_as_if_it_had_not_been_killed(tmp_path: Path) -> None:
    url = storage(tmp_path, "killed")
    done = subprocess.run([sys.executable, "-c", _KILLED, url], check=False)
    assert done.returncode == -signal.SIGKILL
    resumed, whole = searched(url), searched(storage(tmp_path, "whole"))
    assert resumed.taken_over == 8
    assert list(resumed.found) == list(whole.found)


def test_search_ends_when_its_time_is_up(tmp_path: Path) -> None:
    tried: list[Point] = []

    def evaluate(point: Point) -> Outcome:
        tried.append(point)
        return outcome(point)

    terms = Terms(storage(tmp_path), "one")
    found = search(space(8), terms, evaluate, lambda: len(tried) >= 10)
    assert len(found.found) == 10
    assert found.stopped == "its time was up, 14 of 24 were left"


def test_refusals_are_kept_and_not_tried_again(tmp_path: Path) -> None:
    url = storage(tmp_path)
    refused = Point("pruned 3", "dynamic int8")
    searched(url, most=100, bases=4)
    again = search(space(4), Terms(url, "one"), lambda _: pytest.fail("tried"), lambda: False)
    assert again.found[refused].refused == "it takes longer"


def test_other_models_are_another_space() -> None:
    assert space(4).digest() == space(4).digest() != space(5).digest()
