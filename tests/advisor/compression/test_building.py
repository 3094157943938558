"""A recipe runs in a replay of the program; Ctrl-C keeps its steps, and it goes on from them."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from advisor.advise import candidates
from advisor.artefacts.manifest import read_manifest
from advisor.compression import building
from advisor.compression.building import compress, lent_folder
from advisor.preparing import with_sample
from advisor.replay import Isolation, Replayer
from advisor.techniques.base import Facts
from advisor.techniques.pruning import Pruning
from advisor.techniques.swapping import export, target
from advisor.workshop import Artefact, CannotBuildError, Cost, Workshop, keep_only, remove_if_empty
from tests.advisor.test_inside_program import workload
from tests.advisor.test_sandbox import needs_namespaces

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("torch_pruning")

PROGRAM = """
import torch
torch.manual_seed(0)
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 64, 3, padding=1), torch.nn.BatchNorm2d(64), torch.nn.ReLU(),
            torch.nn.Conv2d(64, 64, 3, padding=1), torch.nn.ReLU())
        self.head = torch.nn.Linear(64, 4)
    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))
net = Net().eval()
with torch.no_grad():
    net.head.weight.mul_(9)
    total = sum(float(net(x).sum()) for x in torch.randn(320, 1, 3, 10, 10))
print(f"{total:.2f}")
"""


def facts_of(folder: Path) -> tuple[Replayer, Facts]:
    (folder / "private").mkdir()
    replays = Replayer(
        workload(folder, "infer.py", PROGRAM), Isolation(), str(folder / "private"), hook=True
    )
    first = replays.replay(watch=True, look=True)
    assert first.ok, first.tail()
    known = Facts({}, 1, 1, 1, frozenset(), replays.inside, frozenset())
    return replays, with_sample(known, replays, lambda _: None)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"why_not": "it is strange"}, "Net is left as it is: it is strange"),
        (
            {"stopped": "its time was up"},
            "Net is left as it is: its time was up, before a step was done: a larger --budget",
        ),
        (
            {"stopped": "step 1 was rolled back: 9 % other classes"},
            "Net is left as it is: step 1 was rolled back: 9 % other classes",
        ),
        ({}, "Net is left as it is: Killed"),
    ],
)
def test_a_model_that_nothing_was_made_of_has_a_reason(found: dict[str, object], said: str) -> None:
    assert building._reason("Net", found, "some log\nKilled\n") == said


def interrupted_once(path: str) -> threading.Thread:
    """Ctrl-C as soon as a first step is kept."""

    def watch() -> None:
        ends_s = time.monotonic() + 240
        while not os.path.exists(path) and time.monotonic() < ends_s:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@needs_namespaces
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_keeps_the_steps_and_a_second_run_goes_on(tmp_path: Path) -> None:
    replays, known = facts_of(tmp_path)
    place = tmp_path / "A1"
    place.mkdir()
    base = export(known, Workshop(str(place), known.sample, replays, lambda _: None))

    def run(steps: int) -> tuple[Workshop, object]:
        bench = Workshop(str(place), known.sample, replays, lambda _: None)
        options = {
            "lent": lent_folder(bench, "torch_pruning"),
            "limit": 1.0,
            "limits": {},  # whatever it answers: this is about steps
            "plan": {"epochs": 1, "most_steps": steps, "kinds": ["channels"]},
        }
        return bench, compress(bench, target(known), base, "pruning", options)

    thread = interrupted_once(str(place / "pruning-0" / "steps.json"))
    bench, made = run(steps=99)
    thread.join()
    assert bench.interrupted
    assert [step.name for step in made.steps][:1] == ["step-1"]
    before = len(made.steps)
    assert read_manifest(str(place / "pruning-0")) is None  # not done
    assert read_manifest(made.steps[0].folder) is not None  # but this is
    spent = json.loads((place / "pruning-0" / "spent.json").read_text())
    assert spent["wall_s"] > spent["cpu_s"] / 2 > 0

    remove_if_empty(str(place))
    assert os.path.exists(made.steps[0].folder)
    bench, made = run(steps=before)
    assert not bench.interrupted
    assert len(made.steps) == before
    assert made.stopped == f"{before} steps are enough"
    assert made.cost.wall_s > spent["wall_s"]
    assert 30 < len(made.learnt) <= 64  # a fifth of 320
    assert read_manifest(str(place / "pruning-0")) is not None
    keep_only(str(place), [])
    assert os.path.exists(made.steps[0].folder)  # whatever is recommended: the user picks


def test_a_package_is_lent_alone() -> None:
    with pytest.raises(CannotBuildError, match="needs no-such-package beside frugalwatch"):
        lent_folder(Workshop("", None, None, lambda _: None), "no_such_package")  # type: ignore[arg-type]


def test_a_cost_without_a_counter_has_no_joules() -> None:
    both = Cost(1.0, 2.0, 3.0).plus(Cost(1.0, 1.0, None))
    assert (both.cpu_s, both.wall_s, both.energy_j) == (2.0, 3.0, None)
    assert Artefact("", both).cost.in_words("learning") == "learning: 2 CPU-seconds, done already"


def test_pruning_says_why_it_is_not_tried() -> None:
    assert not Pruning().applies(Facts({}, 1, 1)).yes
    assert candidates(Facts({}, 1, 1), family="compress")[0] == []
