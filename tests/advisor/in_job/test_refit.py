"""Layers fitted again to what pruning left of their inputs, without a step of learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("torch_pruning")
pytest.importorskip("onnxruntime")

from advisor.in_job.compressing import candidates, pruning
from advisor.in_job.compressing.channels import Graph
from advisor.in_job.compressing.operations import apply, prepared
from advisor.in_job.compressing.recovery import teacher_loss
from advisor.in_job.compressing.refit import refit
from tests.advisor.in_job.compressing_kit import job, tokens, transformer

pytestmark = pytest.mark.filterwarnings("ignore")

# The second half of the middle says what the first half says.
HALF = [{"kind": "channels", "at": "0", "remove": list(range(32, 64))}]


def doubled() -> Any:
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 16))
    with torch.no_grad():
        net[0].weight[32:] = net[0].weight[:32]
        net[0].bias[32:] = net[0].bias[:32]
    return net.eval()


def rows(count: int) -> list[tuple[Any, ...]]:
    import torch

    torch.manual_seed(1)
    return [(torch.randn(1, 16),) for _ in range(count)]


def loss(work: Any, model: Any) -> float:
    return teacher_loss(model, work.answer, work.held, work.outputs)


def test_what_the_others_can_say_too_is_said_by_them(tmp_path: Path) -> None:
    with job(tmp_path, doubled(), rows(300)) as work:
        cut = prepared(work)
        apply(work, cut, HALF)
        assert loss(work, cut) > 0.1
        assert refit(work, prepared(work), cut) == ("2",)
        assert loss(work, cut) < 0.001
        assert cut[2].in_features == 32


def test_a_few_inputs_are_not_learnt_by_heart(tmp_path: Path) -> None:
    with job(tmp_path, doubled(), rows(60), copies=0) as work:
        cut = prepared(work)
        apply(work, cut, HALF)
        before = cut[2].weight.clone()
        assert refit(work, prepared(work), cut) == ()
        assert cut[2].weight.equal(before)


def test_a_step_that_keeps_the_limit_once_fitted_needs_no_learning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = doubled()
    net[0].weight.data[4:32] *= 0.05  # and what little they say is left over
    plan = {"most_steps": 1, "ratio": 0.25}
    with job(tmp_path, net, rows(300), plan=plan, limit=0.25) as work:
        monkeypatch.setattr(work, "measured", lambda *_: [0.5, 0.5])  # it is small
        pruning.build(work)
        [step] = work.steps
    assert step["fitted"] == ["2"]
    assert step["recovery"]["steps"] == 0
    assert step["drift"]["value"] <= 0.25


def test_the_layer_behind_heads_and_widths_is_fitted_in_the_order_of_a_call(tmp_path: Path) -> None:
    with job(tmp_path, transformer(), tokens(48), copies=7) as work:
        cut = prepared(work)
        attention = "layers.1.attention"
        operations = [
            {"kind": "heads", "at": attention, "remove": [0]},
            {"kind": "channels", "at": "layers.0.up", "remove": list(range(32))},
        ]
        apply(work, cut, operations)
        harm = loss(work, cut)
        assert refit(work, prepared(work), cut) == ("layers.0.down", f"{attention}.out_proj")
        assert loss(work, cut) < harm


def test_channels_are_worth_what_they_give_on(tmp_path: Path) -> None:
    import torch

    net = doubled()
    with torch.no_grad():
        net[2].weight[:, 5] = 0.0  # large inside, and nobody reads it
        net[0].weight[5] *= 10
    with job(tmp_path, net, rows(300)) as work:
        graph = Graph(work, net)
        assert graph.linear_behind("0") == ["2"]
        worth = candidates.scores(work, net, "channels", "0", "output", graph)
        assert candidates.least(worth, 1) == [5]
