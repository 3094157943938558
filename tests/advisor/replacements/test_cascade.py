"""A student in front of the original: who answers which row, and when it raises the alarm."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch

from advisor.artefacts import cascade as builder
from advisor.in_job import export_onnx
from advisor.workshop import SWAP
from tests.advisor.artefacts.samples_kit import write_call

pytestmark = pytest.mark.filterwarnings("ignore")


class Sign(torch.nn.Module):
    """The first number decides; how clearly depends on `sharp`, and below zero on `wrong`."""

    def __init__(self, sharp: float, wrong: bool = False) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([sharp, -sharp]))
        self.wrong = wrong

    def forward(self, x: Any) -> Any:
        first = x[:, :1].abs() if self.wrong else x[:, :1]
        return {"logits": first * self.weight, "name": "x"}


class Built(NamedTuple):
    folder: str
    original: Any
    found: dict[str, Any]


def exported(module: Any, folder: Path) -> Any:
    folder.mkdir()
    options = {"folder": str(folder), "swap": SWAP}
    export_onnx.exported(module.eval(), (torch.randn(1, 3),), {}, options)
    return module


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """The student is wrong below zero, and sure of what is further than 1 from it."""
    original = exported(Sign(3.0), tmp_path / "original")
    exported(Sign(1.0, wrong=True), tmp_path / "student")
    path = tmp_path / "student" / "signature.json"
    signature = json.loads(path.read_text())
    digest = json.loads((tmp_path / "original" / "signature.json").read_text())["weights_digest"]
    path.write_text(json.dumps({**signature, "weights_digest": digest, "distance": 5.0}))
    folder = tmp_path / "cascade"
    folder.mkdir()
    rows = [torch.tensor([[1.5 if at % 10 else 0.1, 0.0, 0.0]]) for at in range(100)]
    calls = [write_call(tmp_path, at, (row,), {}) for at, row in enumerate(rows)]
    order = {
        "source": str(tmp_path / "original"),
        "student": str(tmp_path / "student"),
        "folder": str(folder),
        "rule": {"threshold": 0.88, "output": "logits", "shares": False, "escalated": 0.1},
        "judging": calls,
    }
    return Built(str(folder), original, builder.build(order))


def loaded(built: Built) -> Any:
    spec = importlib.util.spec_from_file_location("loaded_cascade", f"{built.folder}/load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make(built.original, (), {}, {"folder": built.folder})


def rows(*first: float) -> Any:
    return torch.tensor([[each, 0.0, 0.0] for each in first])


def test_how_often_it_asks_is_counted_with_bounds_and_sets_the_alarm(built: Built) -> None:
    assert built.found["escalated"] == pytest.approx(0.1)
    assert built.found["escalated_low"] < 0.1 < built.found["escalated_high"]
    assert built.found["alarm_rate"] == pytest.approx(1.5 * built.found["escalated_high"])


def test_a_sure_row_is_the_students_and_an_unsure_one_the_originals(built: Built) -> None:
    model = loaded(built)
    assert model(rows(2.0))["logits"].tolist() == [[2.0, -2.0]]  # the original says 6
    assert model(rows(0.5))["logits"].tolist() == [[1.5, -1.5]]
    assert (model.asked, model.escalated, model.refused) == (2, 1, "")


def test_only_unsure_rows_of_a_batch_go_to_the_original_and_come_back_in_place(
    built: Built,
) -> None:
    model = loaded(built)
    found = model(rows(2.0, 0.5, 3.0, -0.1))
    assert found["name"] == "x"
    expected = [[2.0, -2.0], [1.5, -1.5], [3.0, -3.0], [-0.3, 0.3]]
    assert torch.allclose(found["logits"], torch.tensor(expected))
    assert (model.asked, model.escalated) == (4, 2)


def test_a_number_that_is_none_is_never_sure(built: Built) -> None:
    model = loaded(built)
    assert model(rows(float("nan")))["logits"].isnan().all()
    assert model.escalated == 1


def test_other_requests_than_those_captured_raise_the_alarm_and_usual_ones_end_it(
    built: Built,
) -> None:
    model = loaded(built)
    model(rows(*[0.2] * 50))
    assert not model.alarm  # too few to say so
    model(rows(*[0.2] * 60))
    assert model.alarm
    for _ in range(10):
        model(rows(*[2.0] * 100))
    assert not model.alarm


def test_a_call_of_another_form_and_new_weights_go_to_the_module(built: Built) -> None:
    model = loaded(built)
    assert model(rows(2.0).double())["logits"].tolist() == [[6.0, -6.0]]
    assert "torch.float64" in model.refused
    assert model(rows(2.0))["logits"].tolist() == [[2.0, -2.0]]
    with torch.no_grad():
        built.original.weight.mul_(2)
    assert model(rows(2.0))["logits"].tolist() == [[12.0, -12.0]]
    assert "weights have changed" in model.refused
    with pytest.raises(Exception, match="not those that were exported"):
        loaded(built)
