"""What is outside of the model is found, named, and given its bounds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from advisor.hot_spots import find_hot_spots, hot_spots, in_words, with_timed_model
from advisor.replay import Isolation, Replayer
from advisor.workload import Workload
from frugalwatch.profile.recorded import Cell, Frame, Process, Slice
from tests.advisor.kit import written
from tests.advisor.test_sandbox import needs_namespaces

SITE = "/usr/lib/python3.11/site-packages"
MAIN = Frame("/home/me/app.py", "main", 1, 5)
CLEAN = Frame("/home/me/app.py", "clean", 20, 22)
FORWARD = Frame(f"{SITE}/torch/nn/modules/module.py", "_call_impl", 1, 2)
STACKS = {
    (MAIN, FORWARD): 20,
    (MAIN, CLEAN): 30,
    (MAIN, CLEAN, Frame("/usr/lib/python3.11/json/decoder.py", "decode", 1, 2)): 25,
    (MAIN, CLEAN, Frame(f"{SITE}/pandas/core/frame.py", "apply", 1, 2)): 24,
    (MAIN, Frame(f"{SITE}/onnxruntime/capi/session.py", "run", 1, 2)): 0,
    (Frame("<frozen importlib._bootstrap>", "_find_and_load", 1, 1),): 100,
    (MAIN, CLEAN, Frame("/usr/lib/python3.11/gzip.py", "read", 1, 2)): 1,
}


def recorded(stacks: dict[tuple[Frame, ...], int], samples: int = 10) -> Process:
    """A process with so many percent, of a second of CPU time, in each stack."""
    process = Process(1, 0, 100.0, "3.11", "/usr/lib/python3.11", ())
    cells = []
    for stack, percent in stacks.items():
        node = 0
        for frame in stack:
            process.parents.append(node)
            process.frames.append(frame)
            node = len(process.parents) - 1
        cells.append(Cell(node, 0, percent * 10_000_000, 0, percent * samples))
    count = sum(cell.samples for cell in cells)
    seconds = sum(cell.cpu_ns for cell in cells) / 1e9
    each = seconds / count
    process.slices.append(Slice(0, 10**9, tuple(cells), count, seconds, count * each**2))
    return process


def test_shares_are_of_the_work_and_not_of_imports() -> None:
    found = hot_spots([recorded(STACKS)])
    assert found is not None
    assert found.outside.share == pytest.approx(0.80)
    assert found.outside.low < 0.80 < found.outside.high
    assert [(s.name, round(s.share, 2)) for s in found.spots] == [
        ("your own code", 0.30),
        ("json", 0.25),
        ("pandas", 0.24),
    ]
    assert found.imports == pytest.approx(0.5)
    assert found.dominates


def test_it_says_that_it_is_not_the_model_and_what_could_touch_it() -> None:
    found = hot_spots([recorded(STACKS)])
    assert found is not None
    first, *others = in_words(found.as_json())
    assert first.startswith("Not the model: 80 % [")
    assert "app.py:20 clean" in others[0]
    assert "numba" in others[0]
    assert "orjson" in others[1]
    assert "polars" in others[2]


def test_where_the_model_dominates_it_says_no_such_thing() -> None:
    found = hot_spots([recorded({(MAIN, FORWARD): 90, (MAIN, CLEAN): 10})])
    assert found is not None
    assert not found.dominates
    assert in_words(found.as_json())[0].startswith("10 % [")


def test_a_model_whose_calls_were_timed_has_the_share_that_they_took() -> None:
    sampled = hot_spots([recorded(STACKS)])
    assert sampled is not None
    # Half of the 4 s were imports; of the 2 s of work 0.2 s were calls.
    found = with_timed_model(sampled, [{"cpu_s": 0.2, "process_cpu_s": 4.0}])
    assert found.outside.share == pytest.approx(0.9)
    assert found.outside.low < 0.9 < found.outside.high
    assert sum(s.share for s in found.spots) == pytest.approx(0.79 * 0.9 / 0.8)
    assert with_timed_model(sampled, []) == sampled
    assert with_timed_model(sampled, [{"cpu_s": 9.0, "process_cpu_s": 4.0}]) == sampled


def test_too_few_samples_say_nothing() -> None:
    assert hot_spots([]) is None
    assert hot_spots([recorded({(MAIN, CLEAN): 30, (MAIN, FORWARD): 3}, samples=1)]) is None


PROGRAM = """
import json, time
text = json.dumps([[i, str(i)] for i in range(2000)])
def parse():
    return json.loads(text)
until = time.process_time() + 3
while time.process_time() < until:
    parse()
    for i in range(3):
        sum(range(100))
print("done")
"""


@needs_namespaces
@pytest.mark.timeout(300)
def test_a_program_that_parses_is_told_to_look_there(tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FRUGALWATCH", "PYTHON"))}
    work = Workload((sys.executable, written(tmp_path, "p.py", PROGRAM)), str(tmp_path), kept)
    (tmp_path / "private").mkdir()
    replayer = Replayer(work, Isolation(), str(tmp_path / "private"), hook=True)
    found = find_hot_spots(replayer)
    if found is None:
        pytest.skip("too few samples on a machine this busy")
    assert found.dominates
    assert found.spots[0].name == "json"
    assert found.spots[0].share > 0.5
