"""Parts are taken out of a model step by step, each step learnt again, judged, kept or undone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("torch_pruning")

from advisor.in_job.compressing import candidates, heads, pruning
from advisor.in_job.compressing.job import CannotCompressError, read_steps
from advisor.in_job.compressing.losses import Drift
from advisor.in_job.compressing.operations import apply, prepared
from tests.advisor.in_job.compressing_kit import (
    clusters,
    job,
    residual_network,
    taught,
    tokens,
    transformer,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of the exporter and of torch-pruning
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def teacher() -> Any:
    return taught(residual_network(), *clusters(256, 1), steps=40)


def pictures(count: int = 96) -> list[tuple[Any, ...]]:
    return [(each[None],) for each in clusters(count, 7)[0]]


def weights(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


# A timing of a busy machine decides nothing in these tests.
@pytest.fixture(autouse=True)
def every_step_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "_WORTH_IT", 99.0)


@pytest.mark.parametrize(
    ("value", "measure", "kept"),
    [
        (0.15, "other neighbours", True),
        (0.25, "other neighbours", False),
        (0.15, "other classes", False),
        (0.015, "other classes", True),
        (0.03, "relative error", False),
    ],
)
def test_a_step_keeps_the_limit_of_what_its_drift_measures(
    tmp_path: Path, teacher: Any, value: float, measure: str, kept: bool
) -> None:
    limits = {"other classes": 0.01, "other neighbours": 0.1}
    with job(tmp_path, teacher, pictures(32), limits=limits) as work:
        assert pruning.acceptable(work, Drift(value, 1000, measure, 0.0)) is kept


def test_a_network_gets_smaller_and_answers_as_before(tmp_path: Path, teacher: Any) -> None:
    import torch

    with job(tmp_path, teacher, pictures(), plan={"epochs": 3, "most_steps": 2}) as work:
        found = pruning.build(work)
        assert found["stopped"] == "2 steps are enough"
        assert len(work.steps) == 2
        sizes = [step["parameters"] for step in work.steps]
        assert weights(teacher) > sizes[0] > sizes[1]
        assert all(step["drift"]["value"] <= 0.05 for step in work.steps)
        names = {each["name"] for each in found["sensitivity"]}
        assert {"stem.0 (channels)", "stages.1.first (channels)", "stages.1"} <= names
        assert "stages.2" in found["left_out"]  # it halves the picture: nothing fits without it
        model = work.swap.load(work.folder_of(work.steps[-1]))
        inputs = torch.cat([call[0] for call in pictures()])
        same = (model(inputs).argmax(1) == teacher(inputs).argmax(1)).float().mean()
        assert same > 0.9


def test_naive_pruning_fails_and_is_undone(tmp_path: Path, teacher: Any) -> None:
    naive = {"ratio": 0.6, "epochs": 0, "retry": False, "criterion": "l2", "kinds": ["channels"]}
    with job(tmp_path, teacher, pictures(), plan=naive) as work:
        found = pruning.build(work)
        assert work.steps == []
        assert "step 1 was rolled back" in found["stopped"]
        assert "% other classes" in found["stopped"]
        assert not os.path.exists(os.path.join(work.folder, "step-1"))


def test_a_step_that_fails_is_tried_once_at_half_the_ratio(
    tmp_path: Path, teacher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "acceptable", lambda job, drift: False)
    with job(tmp_path, teacher, pictures(48), plan={"epochs": 1}) as work:
        found = pruning.build(work)
    assert [each["ratio"] for each in found["rolled_back"]] == [0.15, 0.075]
    assert work.steps == []


def test_it_stops_where_steps_pay_nothing(
    tmp_path: Path, teacher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_WORTH_IT", 0.0)
    monkeypatch.setattr(pruning, "acceptable", lambda job, drift: True)
    with job(tmp_path, teacher, pictures(48), plan={"epochs": 1}) as work:
        found = pruning.build(work)
    assert "step 1 pays nothing" in found["stopped"]
    assert len(found["rolled_back"]) == pruning._PATIENCE
    assert work.steps == []


def test_a_killed_run_goes_on_from_its_last_step_to_the_same_end(
    tmp_path: Path, teacher: Any
) -> None:
    two, one = {"epochs": 1, "most_steps": 2}, {"epochs": 1, "most_steps": 1}
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    with job(tmp_path / "whole", teacher, pictures(48), plan=two, limit=1.0) as work:
        pruning.build(work)
        whole = work.state(work.steps[-1])
    with job(tmp_path / "cut", teacher, pictures(48), plan=one, limit=1.0) as work:
        pruning.build(work)
        (Path(work.folder) / "step-2.new").mkdir()  # what it was at when it was killed
    with job(tmp_path / "cut", teacher, pictures(48), plan=two, limit=1.0) as work:
        assert [step["name"] for step in work.steps] == ["step-1"]
        pruning.build(work)
        cut = work.state(work.steps[-1])
        assert [step["name"] for step in read_steps(work.folder)] == ["step-1", "step-2"]
    assert whole.keys() == cut.keys()
    assert all(bool((whole[name] == cut[name]).all()) for name in whole)


def test_what_was_taken_out_is_enough_to_make_the_model_again(tmp_path: Path, teacher: Any) -> None:
    with job(tmp_path, teacher, pictures(48), limit=1.0, plan={"epochs": 1, "most_steps": 1}) as w:
        pruning.build(w)
        with open(os.path.join(w.folder, "step-1", "step.json"), encoding="utf-8") as file:
            stored = json.load(file)
        model = prepared(w)
        apply(w, model, stored["operations"])
        model.load_state_dict(w.state(w.steps[0]))
        assert weights(model) == stored["parameters"]
        shutil.rmtree(w.folder)


@pytest.mark.parametrize("fused", [False, True])
def test_heads_widths_and_layers_of_a_transformer_come_out_right(
    tmp_path: Path, fused: bool
) -> None:
    import torch

    model = transformer(fused)
    with job(tmp_path, model, tokens()) as work:
        found = candidates.find(work, prepared(work))
        kinds = {(each.kind, each.at) for each in found.candidates}
        assert ("heads", "layers.0.attention") in kinds
        assert ("channels", "layers.2.up") in kinds
        assert ("layers", "layers") in kinds
        width = next(c for c in found.candidates if c.kind == "channels" and c.size == 32)
        assert width.saved > 0.2  # the residual width hangs on everything
        smaller = prepared(work)
        operations = [
            {"kind": "heads", "at": "layers.0.attention", "remove": [1, 3]},
            {"kind": "layers", "at": "layers", "remove": [1]},
            {"kind": "channels", "at": "layers.1.up", "remove": list(range(16))},
            {"kind": "channels", "at": width.at.replace("layers.2", "layers.1"), "remove": [0, 5]},
        ]
        apply(work, smaller, operations)
        assert smaller.layers[0].attention.num_heads == 2
        assert smaller.layers[0].attention.out_proj.in_features == 16
        assert len(smaller.layers) == 2
        assert smaller.layers[1].up.out_features == 48
        assert smaller.table.weight.shape == (50, 30)
        assert smaller.layers[0].norm.normalized_shape == (30,)
        (ids,) = tokens(1)[0]
        assert smaller(ids)["logits"].shape == model(ids)["logits"].shape
        assert torch.isfinite(smaller(ids)["logits"]).all()


def test_heads_that_are_worth_nothing_go_first() -> None:
    import torch

    model = transformer()
    with torch.no_grad():
        model.layers[1].attention.v_proj.weight[8:16] = 0
        model.layers[1].attention.q_proj.weight[8:16] = 0
        model.layers[1].attention.k_proj.weight[8:16] = 0
        model.layers[1].attention.out_proj.weight[:, 8:16] = 0
        model.layers[1].attention.v_proj.bias[8:16] = 0
    (ids,) = tokens(1)[0]
    before = model(ids)["logits"]
    attention = heads.find(model)[1]
    (least,) = candidates.least(heads.worth(model, attention, 2), 1)
    assert least == 1
    heads.take_out(model, attention.name, [least])
    assert torch.allclose(before, model(ids)["logits"], atol=1e-5)


def test_a_table_that_is_tied_to_the_head_keeps_its_form(tmp_path: Path) -> None:
    with job(tmp_path, transformer(tied=True), tokens()) as work:
        candidates.refuse_strange(work)
        found = candidates.find(work, prepared(work))
        assert {"heads", "layers"} <= {each.kind for each in found.candidates}
        assert ("channels", "layers.0.up") in {(c.kind, c.at) for c in found.candidates}


def branching() -> Any:
    import torch

    class Branching(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(8, 32), torch.nn.Linear(8, 32)
            self.head = torch.nn.Linear(32, 4)

        def forward(self, x: Any) -> Any:
            return self.head(self.first(x) if float(x.mean()) > 0 else self.second(x))

    return Branching().eval()


def shared() -> Any:
    import torch

    class Shared(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = torch.nn.Linear(16, 16), torch.nn.Linear(16, 4)

        def forward(self, x: Any) -> Any:
            for _ in range(3):
                x = torch.relu(self.layer(x))
            return self.head(x)

    return Shared().eval()


def two_names() -> Any:
    import torch

    model = torch.nn.Sequential(
        torch.nn.Linear(16, 16), torch.nn.ReLU(), torch.nn.Linear(16, 16), torch.nn.Linear(16, 4)
    )
    model[2].weight = model[0].weight
    return model.eval()


@pytest.mark.parametrize(
    ("make", "width", "reason"),
    [
        (branching, 8, "which of its layers run depends on the input"),
        (shared, 16, "its layer layer is run several times with the same weights"),
        (two_names, 16, "its weights 0.weight and 2.weight are shared"),
    ],
)
def test_what_cannot_be_pruned_is_left_alone_with_a_reason(
    tmp_path: Path, make: Any, width: int, reason: str
) -> None:
    import torch

    torch.manual_seed(0)
    calls = [(torch.randn(1, width),) for _ in range(48)]
    with job(tmp_path, make(), calls, copies=0) as work:
        with pytest.raises(CannotCompressError, match=reason):
            pruning.build(work)
        assert work.steps == []


def test_an_equal_share_goes_by_what_hurts_least_for_what_it_saves() -> None:
    cheap = candidates.Candidate("channels", "cheap", 64, saved=0.1, harm=0.01)
    dear = candidates.Candidate("channels", "dear", 64, saved=0.1, harm=1.0)
    found = pruning.shares([cheap, dear], 0.15)
    assert found[cheap] == 16
    assert pruning.shares([cheap, dear], 0.1) == {cheap: 16}
    few = candidates.Candidate("heads", "few", 4, saved=0.1, harm=0.1)
    assert pruning.shares([few], 0.15) == {few: 1}
    assert pruning.shares([], 0.15) == {}
