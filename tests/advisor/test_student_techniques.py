"""Students, cascades and exits of an unmodified program: taught in a replay, put in its place."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.agreement import compare
from advisor.artefacts.manifest import read_manifest
from advisor.compression.building import limits
from advisor.gates.gate import gate
from advisor.gates.options import GateOptions
from advisor.gates.result import GateResult
from advisor.inside import Inside, Root
from advisor.preparing import with_sample
from advisor.replay import Isolation, Replayer
from advisor.sampling import Sample, SampledCall, SampledModule
from advisor.techniques.base import Facts
from advisor.techniques.cascade import Cascade
from advisor.techniques.early_exit import EarlyExit
from advisor.techniques.student import Student, factory
from advisor.workshop import Workshop
from tests.advisor.test_inside_program import workload
from tests.advisor.test_sandbox import needs_namespaces

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

# Much work for what one linear layer can do: a student has to find that out.
PROGRAM = """
import torch
torch.manual_seed(0)
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(1, 48, 3, padding=1), torch.nn.ReLU(),
            torch.nn.Conv2d(48, 48, 3, padding=1), torch.nn.ReLU())
        self.head = torch.nn.Linear(64, 4)
    def forward(self, x):
        return self.head(x.flatten(1)) + 1e-3 * self.body(x).mean((1, 2, 3)).unsqueeze(1)
net = Net().eval()
kinds = torch.zeros(4, 1, 8, 8)
for at in range(4):
    kinds[at, :, 2 * at : 2 * at + 2] = 1.0
with torch.no_grad():
    net.head.weight.copy_(kinds.flatten(1))
    chosen = torch.arange(640) % 4
    rows = kinds[chosen] + 0.3 * torch.randn(640, 1, 8, 8)
    total = sum(int(net(row[None]).argmax()) for row in rows)
print(total)
"""
FACTORY = """
import torch
def small(model):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4))
"""


@needs_namespaces
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_student_and_a_cascade_answer_in_the_unmodified_program(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    place = tmp_path / "A1"
    place.mkdir()
    (tmp_path / "mine.py").write_text(FACTORY)
    replays = Replayer(
        workload(tmp_path, "infer.py", PROGRAM), Isolation(), str(tmp_path / "private"), hook=True
    )
    first = replays.replay(watch=True, look=True)
    assert first.ok, first.tail()
    known = Facts({}, 1, 1, 1, frozenset(), replays.inside, frozenset())
    known = with_sample(known, replays, lambda _: None)
    bench = Workshop(str(place), known.sample, replays, lambda _: None)
    bench.compress_s, bench.gate = 60.0, GateOptions(max_drop_points=5)
    bench.student = f"{tmp_path / 'mine.py'}:small"

    student, cascade, exit_ = Student(), Cascade(), EarlyExit()
    assert student.applies(known).yes
    (alone,) = _prepared(student, known, bench)
    assert alone.lossy
    assert alone.artefact is not None
    assert alone.calibrated
    manifest = read_manifest(alone.artefact)
    assert manifest is not None
    assert manifest["about"]["kind"] == "the user's"
    assert "seed 0" in manifest["how"]

    (front,) = _prepared(cascade, known, bench)
    assert "asks" in front.name
    assert "alarm where it asks for more than" in front.risk
    assert front.artefact is not None
    assert sorted(os.listdir(front.artefact)) == [
        *("cascade.json", "large", "load.py", "manifest.json", "model.onnx"),
        *("signature.json", "swap.py"),
    ]
    for variant in (alone, front):
        changed = replays.replay(variant.change, look=True)
        assert changed.state == "ok", changed.why or changed.tail()
        pairs = compare(first.outputs, changed.outputs).pairs
        found = gate(pairs, bench.gate, "judging", variant.calibrated)
        assert isinstance(found, GateResult)
        assert found.value > 0.95
        assert found.judged > 300

    exit_.variants(known)
    refused = exit_.prepare(exit_.variants(known)[0], bench)
    assert not isinstance(refused, tuple)
    assert "a student in front does the same" in refused.reason


def _prepared(technique: Student | Cascade, known: Facts, bench: Workshop) -> tuple:  # type: ignore[type-arg]
    found = technique.prepare(technique.variants(known)[0], bench)
    assert isinstance(found, tuple), found
    return found


def facts(calls: int, parameters: int = 1_000_000) -> Facts:
    made = tuple(
        SampledCall(n, 0, 1000, f"digest-{n}", {"in.0": ("F32", (1, 8))}, f"{n}-in", f"{n}-out")
        for n in range(calls)
    )
    module = SampledModule(0, "Net", "/nowhere", {"parameters": parameters, "layers": {}}, made)
    sample = Sample("/nowhere", (module,), packages={"onnxruntime": "1.22"})
    inside = Inside((Root("Net", {"evaluation no_grad": calls}, parameters=parameters),))
    return Facts({}, 2, 2, 2, frozenset(), inside, frozenset({"avx512_vnni"}), sample)


@pytest.mark.parametrize("technique", [Student(), Cascade(), EarlyExit()])
def test_too_few_inputs_and_too_small_models_are_left_alone(
    technique: Student | Cascade,
) -> None:
    assert technique.applies(facts(640)).yes
    assert "too few" in technique.applies(facts(64)).reason
    assert "too few to spare" in technique.applies(facts(640, 5_000)).reason
    learning = facts(640)
    assert learning.inside is not None
    learning = replace(learning, inside=replace(learning.inside, learns=True))
    assert "it trains" in technique.applies(learning).reason


def test_limits_are_those_of_the_gate_that_will_judge() -> None:
    assert limits(GateOptions(1.0))["other classes"] == pytest.approx(0.01)
    assert limits(GateOptions(1.0))["other neighbours"] == pytest.approx(0.03)
    named = GateOptions(1.0, "overlap", 0.8)
    assert limits(named)["other neighbours"] == pytest.approx(0.2)


def test_a_workload_file_brings_its_own_student(tmp_path: Path) -> None:
    from advisor.workload import Workload
    from advisor.workloads.source import Source

    file = tmp_path / "workload.py"
    file.write_text("def load_model(): ...\ndef inputs(): ...\ndef make_student(model): ...\n")
    source = Source("workload file", str(file), "python", "3.11", "own")
    told = Workload(("python",), str(tmp_path), {}, source=source)
    (tmp_path / "private").mkdir()
    replays = Replayer(told, Isolation(), str(tmp_path / "private"), hook=True)
    bench = Workshop(str(tmp_path), None, replays, lambda _: None)
    assert factory(bench) == f"{file}:make_student"
    bench.student = "/other.py:small"
    assert factory(bench) == "/other.py:small"
