"""What a gate's finding does to the verdict, to the document, and in a real program."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advisor.agreement import Agreement, compare
from advisor.budget import Budget
from advisor.gates.gate import gate
from advisor.gates.options import GateOptions
from advisor.gates.result import GateResult
from advisor.options import Options
from advisor.outputs import forget_outputs
from advisor.quality import Computed
from advisor.ranking import Judgement, Question, judge_all
from advisor.replay import Isolation, Replayer
from advisor.same_answers import same_answers
from advisor.search import Plan
from advisor.techniques.base import Change, Facts, Variant
from advisor.workload import Workload
from tests.advisor.gates.kit import calls
from tests.advisor.kit import ScriptedReplays, search, variant, written

np = pytest.importorskip("numpy")

KEY = ("logits", "row")


def lossy(name: str) -> Variant:
    plain = variant(name)
    switched = replace(plain.change, switches={"replace": {}})
    return replace(plain, change=switched, lossy=True)


def agreement(inputs: int, flips: int) -> Agreement:
    scores = np.random.default_rng(0).normal(size=(inputs, 10)).astype(np.float32)
    changed = scores.copy()
    changed[:flips] = -changed[:flips]
    pairs = tuple(calls({KEY: scores}, {KEY: changed}))
    return Agreement(inputs, inputs - flips, 0.01, 0.02, inputs, inputs - flips, pairs)


FOUND = {"good": agreement(1000, 0), "bad": agreement(1000, 300), "few": agreement(200, 1)}
FOUND["good"] = replace(FOUND["good"], identical=0)  # moved, but no class with it


def test_only_a_lossy_change_that_kept_its_limit_is_recommended() -> None:
    variants = [lossy(name) for name in FOUND]
    hunt = search(ScriptedReplays(dict.fromkeys(FOUND, 0.5)), Plan(Budget(1000), rounds=8, seed=2))
    hunt.look()
    hunt.confirm(variants)
    computed = Computed(Agreement(10, 10), FOUND)
    question = Question("cpu_s", 1, computed=computed)
    judged = judge_all(hunt.trials, variants, variants, question, None)
    found: dict[str, Judgement] = {j.variant.name: j for j in judged}
    assert found["good"].verdict == "recommended"
    assert found["bad"].verdict == "changes the answers"
    assert "limit 99 %" in found["bad"].reason
    assert found["few"].verdict == "not confirmed"
    assert "too few to tell" in found["few"].reason
    assert found["few"].main is not None  # what it would save is shown


def test_no_time_is_spent_on_measuring_what_is_beyond_its_limit() -> None:
    hunt = search(ScriptedReplays(dict.fromkeys(FOUND, 0.5)))
    hunt.look()
    hunt.own_agreement = Agreement(10, 10)
    hunt.agreements.update(FOUND)
    options = Options(Plan(), Isolation())
    facts = Facts({}, 2, 2)
    kept = same_answers(hunt, options, [lossy(name) for name in FOUND], facts)
    assert [v.name for v in kept] == ["good"]
    allowed = replace(options, gate=GateOptions(50.0))
    kept = same_answers(hunt, allowed, [lossy("good"), lossy("bad")], facts)
    assert [v.name for v in kept] == ["good", "bad"]
    insisting = replace(facts, included=frozenset({"bad"}))
    kept = same_answers(hunt, options, [lossy(name) for name in FOUND], insisting)
    assert [v.name for v in kept] == ["good", "bad"]


CLASSIFIER = """
import torch
torch.set_num_threads(1)
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.last = torch.nn.Linear(16, 4)
    def forward(self, x):
        return self.last(x)
torch.manual_seed(0)
net = Net().eval()
inputs = torch.randn(640, 16)
with torch.no_grad():
    print(sum(int(net(batch).argmax(1).sum()) for batch in inputs.split(4)))
"""

NOISY = """
import copy, torch
def make(module, args, kwargs, options):
    twin = copy.deepcopy(module)
    with torch.no_grad():
        twin.last.weight += options["noise"] * torch.randn(4, 16)
    return twin.forward
"""


def test_noise_in_a_real_program_is_let_through_or_not(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    factory = written(tmp_path, "noisy.py", NOISY) + ":make"
    program = written(tmp_path, "infer.py", CLASSIFIER)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FRUGALWATCH", "PYTHON"))}
    private = tmp_path / "private"
    private.mkdir()
    work = Workload((sys.executable, program), str(tmp_path), kept)
    replayer = Replayer(work, Isolation(), str(private), hook=True)
    own = replayer.replay(watch=True, look=True).outputs

    def judged(noise: float) -> tuple[Agreement, GateResult]:
        switch: dict[str, Any] = {"factory": factory, "options": {"noise": noise}}
        replayed = replayer.replay(Change(switches={"replace": switch}), look=True)
        assert replayed.ok, replayed.tail()
        found = compare(own, replayed.outputs)
        forget_outputs(replayed.outputs)  # rows are enough for a gate
        result = gate(found.pairs, GateOptions())
        assert isinstance(result, GateResult), result
        return found, result

    moved, little = judged(1e-4)
    assert not moved.exact
    assert (little.kind, little.acceptable) == ("classification", True)
    assert little.judged == pytest.approx(448, abs=32)
    _, much = judged(0.3)
    assert much.acceptable is False
    assert much.value < 0.95
