"""When un-padding is offered, what it goes with, and that programs show where it is no good."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advisor.agreement import compare
from advisor.inside import Inside, Padding, Root
from advisor.replay import Isolation, Replayer
from advisor.techniques.base import Change, Facts
from advisor.techniques.unpadding import Unpadding
from advisor.workload import Workload
from tests.advisor.kit import written
from tests.advisor.test_sandbox import needs_namespaces

HALF = Padding(calls=10, rows=320, tokens=40_000, padded=15_200, right=True)
ENCODER = Root("Encoder", {"evaluation no_grad": 10}, padding=HALF)


def facts(root: Root, **inside: Any) -> Facts:
    return Facts({}, 2, 2, inside=Inside((root,), **inside))


def test_it_is_offered_with_the_share_of_padding() -> None:
    answer = Unpadding().applies(facts(ENCODER))
    assert answer.yes
    assert "38 % of the 40,000 tokens are padding" in answer.reason


@pytest.mark.parametrize(
    ("root", "why"),
    [
        (Root("Net", {"evaluation grad": 3}), "no mask"),
        (replace(ENCODER, padding=replace(HALF, padded=0)), "none of the 40,000"),
        (replace(ENCODER, padding=replace(HALF, padded=400)), "only 1 %"),
        (replace(ENCODER, padding=replace(HALF, right=False)), "end of its rows"),
    ],
)
def test_it_is_refused_with_what_was_seen(root: Root, why: str) -> None:
    answer = Unpadding().applies(facts(root))
    assert not answer.yes
    assert why in answer.reason


def test_a_training_keeps_its_batches() -> None:
    assert "it trains" in Unpadding().applies(facts(ENCODER, learns=True)).reason


def test_another_implementation_runs_the_parts_when_both_are_stacked() -> None:
    (unpadding,) = Unpadding().variants(facts(ENCODER))
    swap = {"factory": "/f.py:make", "class": "Encoder", "options": {"model": "m.onnx"}}
    swapped = Change(switches={"replace": swap})
    for stacked in (unpadding.change.with_(swapped), swapped.with_(unpadding.change)):
        found: Any = stacked.switches["replace"]
        assert found["factory"].endswith("unpadded.py:make")
        assert found["class"] == "Encoder"
        inner = {"factory": "/f.py:make", "options": {"model": "m.onnx"}}
        assert found["options"] == {"inner": inner}
    other = Change(switches={"replace": {**swap, "class": "Decoder"}})
    assert unpadding.change.with_(other).switches["replace"] == other.switches["replace"]


# Pools over all positions where it is told to, as no program should.
PROGRAM = """
import sys, torch
torch.manual_seed(0)
class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(50, 32)
        self.layer = torch.nn.TransformerEncoderLayer(32, 2, 64, batch_first=True)
    def forward(self, input_ids, attention_mask):
        return self.layer(self.words(input_ids), src_key_padding_mask=attention_mask == 0)
model = Encoder().eval()
lengths = [(3, 4, 100), (5, 90, 6), (100, 2, 2)]
with torch.inference_mode():
    for batch in lengths:
        ids = torch.full((3, 100), 7)
        mask = torch.tensor([[1] * n + [0] * (100 - n) for n in batch])
        states = model(ids, attention_mask=mask)
        if sys.argv[1] == "mask":
            print(f"{float((states * mask[:, :, None]).sum()):.1f}")
        else:
            print(f"{float(states.abs().mean()):.1f}")
"""


@needs_namespaces
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("pooling", "same"), [("mask", True), ("mean", False)])
def test_a_program_that_pools_over_padding_prints_something_else(
    tmp_path: Path, pooling: str, same: bool
) -> None:
    pytest.importorskip("torch")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FRUGALWATCH", "PYTHON"))}
    work = Workload(
        (sys.executable, written(tmp_path, "p.py", PROGRAM), pooling),
        str(tmp_path),
        {**kept, "OMP_NUM_THREADS": "1"},
    )
    (tmp_path / "private").mkdir()
    replayer = Replayer(work, Isolation(), str(tmp_path / "private"), hook=True)
    plain = replayer.replay(watch=True, look=True)
    known = replayer.inside
    assert known is not None
    seen = known.roots[0].padding
    assert seen == Padding(calls=3, rows=9, tokens=900, padded=900 - 312, right=True)
    (variant,) = Unpadding().variants(facts(known.roots[0]))
    switch = dict(variant.change.switches["replace"])  # type: ignore[call-overload]
    switch["options"] = {"call_cost_tokens": 5}
    changed = replayer.replay(Change(switches={"replace": switch}), look=True)
    assert changed.state == "ok"
    agreement = compare(plain.outputs, changed.outputs)
    assert agreement.calls == 3
    assert agreement.to_rounding  # what stands at padding is not compared
    assert (plain.output_sha256 == changed.output_sha256) is same
