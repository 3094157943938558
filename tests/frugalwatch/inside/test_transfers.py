"""Copies between devices under `--count transfers`: counted exactly, and nothing else changes."""

from __future__ import annotations

import pytest

from tests.frugalwatch.inside.kit import run_inside

pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(300)

# The device `meta` has no memory: a second device that every machine has.
PROGRAM = """
import copy, io, pickle, warnings
import torch
warnings.simplefilter("ignore")
x = torch.ones(4, 256)
for _ in range(5):
    x.to("meta")
x.to("cpu"), x.cpu(), x.to(torch.float64), x.clone().copy_(x)
torch.empty(4, 256, device="meta").copy_(other=x)
net = torch.nn.Linear(256, 256)
net.to("meta")
try:
    x.to("no such device")
except RuntimeError as error:
    print(type(error).__name__)

def moved(a):
    return torch.Tensor.to(a, torch.float64).to("cpu").sin().copy_(a).cpu()

print(torch._dynamo.explain(moved)(x).graph_break_count)
print(torch.equal(torch.compile(moved, backend="eager", fullgraph=True)(x), moved(x)))
print(torch.equal(copy.deepcopy(x), pickle.loads(pickle.dumps(x))))

class Casts(torch.nn.Module):
    def forward(self, a):
        return a.to(torch.float64)

print(torch.jit.trace(Casts(), x)(x).dtype, len(torch.export.export(Casts(), (x,)).graph.nodes))
"""


def test_copies_between_devices_are_counted_and_compile_as_before() -> None:
    plain = run_inside(PROGRAM, hooked=False)
    counted = run_inside(PROGRAM, hook={"count": ["transfers"]})
    assert plain.returncode == counted.returncode == 0, counted.stderr
    assert counted.stdout == plain.stdout
    assert counted.stderr == plain.stderr
    assert counted.told("problem") == []
    notes = [str(told[-1]) for told in counted.told("note")]
    # Five, one by copy_, and the weights and the bias of the layer.
    assert [note.split(":")[0] for note in notes] == ["8 transfers from cpu to meta"]
    size_mib = (6 * 4 * 256 * 4 + 256 * 257 * 4) / 2**20
    assert f" {size_mib:.3g} MiB," in notes[0]


def test_without_being_asked_for_the_methods_are_torchs_own() -> None:
    ran = run_inside("import torch; print(type(torch.Tensor.to).__name__)")
    assert ran.stdout == "method_descriptor\n"
