"""The winner on other requests than those that were replayed, and how to roll it out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy")
pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

import torch

from advisor.artefacts import robustness
from advisor.in_job import export_onnx
from advisor.report.robustness import robust
from advisor.robustness import of_winner, rollout, warning
from advisor.workshop import SWAP, CannotBuildError
from tests.advisor.artefacts.samples_kit import write_call

pytestmark = pytest.mark.filterwarnings("ignore")
LIMITS = {"agreement": 0.99, "overlap": 0.97, "error": 0.01}


def exported(module: Any, folder: Path, *args: Any) -> str:
    folder.mkdir()
    export_onnx.exported(module.eval(), args, {}, {"folder": str(folder), "swap": SWAP})
    return str(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, list[str]]:
    """An original, another one that knows only what is near the captured rows, and the rows."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    centres = torch.randn(3, 6) * 2

    class Near(torch.nn.Module):
        def __init__(self, blur: float) -> None:
            super().__init__()
            self.register_buffer("centres", centres)
            self.blur = blur

        def forward(self, x: Any) -> Any:
            scores = -((x.unsqueeze(1) - self.centres) ** 2).sum(-1)
            # Away from what was captured it answers the first class.
            far = torch.relu(-scores.max(1, keepdim=True).values - 0.2) * self.blur
            return scores + far * torch.tensor([1.0, 0.0, 0.0])

    rows = centres[torch.arange(120) % 3] + 0.05 * torch.randn(120, 6)
    paths = [write_call(folder, at, (row[None],), {}) for at, row in enumerate(rows)]
    return (
        exported(Near(0.0), folder / "own", rows[:1]),
        exported(Near(1000.0), folder / "other", rows[:1]),
        paths,
    )


def order(source: str, artefact: str, paths: list[str]) -> dict[str, Any]:
    return {"source": source, "artefact": artefact, "judging": paths, "limits": LIMITS, "seed": 0}


def test_conditions_are_named_and_the_same_model_keeps_them_all(
    models: tuple[str, str, list[str]],
) -> None:
    own, _, paths = models
    found: Any = robustness.build(order(own, own, paths))["conditions"]
    assert [each["name"] for each in found] == [
        "as captured",
        "noise of 5% of their spread",
        "noise of 10% of their spread",
        "noise of 20% of their spread",
        "in batches of 8",
        "in mixed batches of 1 to 16",
    ]
    assert all(each["value"] == 1.0 and each["inputs"] == 120 for each in found)
    assert found[0]["worst_class"]["inputs"] == 40
    assert warning({"conditions": found}) == ""


def test_what_knows_captured_inputs_alone_is_found_out_by_noise(
    models: tuple[str, str, list[str]],
) -> None:
    own, other, paths = models
    found: Any = robustness.build(order(own, other, paths))["conditions"]
    assert found[0]["value"] == 1.0
    assert found[3]["value"] < 0.9
    assert "it knows what was captured" in warning({"conditions": found})


def test_a_cascade_is_as_good_as_the_original_where_it_asks_it(
    models: tuple[str, str, list[str]], tmp_path: Path
) -> None:
    import shutil

    own, other, paths = models
    folder = tmp_path / "cascade"
    shutil.copytree(other, folder)
    rule = {"threshold": 2.0, "output": "output", "shares": False}  # it is never sure
    (folder / "cascade.json").write_text(json.dumps(rule))
    found: Any = robustness.build(order(own, str(folder), paths))["conditions"]
    assert all(each["value"] == 1.0 for each in found)


def test_too_few_inputs_say_nothing(models: tuple[str, str, list[str]]) -> None:
    own, other, paths = models
    with pytest.raises(CannotBuildError, match="only 5 captured inputs"):
        robustness.build(order(own, other, paths[:5]))


def condition(name: str, value: float, high: float) -> dict[str, Any]:
    return {
        "name": name,
        "measure": "agreement",
        "value": value,
        "low": value - 0.02,
        "high": high,
        "limit": 0.99,
        "inputs": 500,
        "worst_class": {"class": 3, "inputs": 50, "value": 0.9, "low": 0.8, "high": 0.95},
    }


def test_the_worst_condition_warns_of_what_the_model_does_not_know() -> None:
    found = {
        "conditions": [
            condition("as captured", 0.995, 0.999),
            condition("noise of 5% of their spread", 0.98, 0.993),
            condition("noise of 20% of their spread", 0.9, 0.93),
        ]
    }
    assert warning(found).startswith("with inputs noise of 20% of their spread it no longer keeps")


def test_the_report_says_what_stays_and_how_to_go_back() -> None:
    row = {
        "technique": "cascade",
        "risk": "hard requests pay; alarm where it asks for more than 9 %",
        "latency": {"p99_s": 0.004},
    }
    document = {
        "robustness": {
            "of": "cascade, tiny",
            "conditions": [condition("as captured", 0.995, 0.999)],
            "rollout": rollout(row),
        }
    }
    found = robust(document)
    assert found is not None
    assert found.rows == [("as captured", "99.5 % [97.5, 99.9] the same class; class 3 90 % of 50")]
    text = " ".join(found.rollout)
    assert "1 %, 10 %, 50 %, 100 % of the traffic" in text
    assert "p99 of a request: 4 ms" in text
    assert "alarm where it asks for more than 9 %" in text
    assert "Back: keep the original loaded" in text


def test_what_is_lossless_or_was_not_built_needs_no_such_look() -> None:
    assert of_winner(None, None, {"recommendations": []}, None) is None  # type: ignore[arg-type]
    assert robust({}) is None
