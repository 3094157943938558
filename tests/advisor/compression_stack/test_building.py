"""A whole search over real models in one process: costs, drifts, and what is left in the folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from advisor.artefacts.compression_stack import build
from advisor.artefacts.manifest import read_manifest
from advisor.artefacts.samples import read_signature
from advisor.compression_stack.points import ORIGINAL, Base
from advisor.compression_stack.scoring import Scorer, parts
from advisor.gates.options import GateOptions
from advisor.workshop import CannotBuildError
from tests.advisor.artefacts.samples_kit import write_call
from tests.advisor.compression_stack.kit import WIDTH, write_model

np = pytest.importorskip("numpy")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("optuna")
pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    folder = tmp_path_factory.mktemp("calls")
    chance = np.random.default_rng(1)
    rows = chance.normal(size=(120, 1, WIDTH)).astype("f4")
    return [[n, f"d{n}", write_call(folder, n, (row,), {})] for n, row in enumerate(rows)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {str(n): write_model(folder / str(n), n) for n in (2048, 256, 8)}


def order(
    folder: Path, models: dict[str, str], calls: list[list[Any]], **more: object
) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    paths = [path for _, _, path in calls[:40]]
    bases = [
        Base(ORIGINAL, models["2048"], 2048),
        Base("pruning 1", models["256"], 256),
        Base("pruning 2", models["8"], 8),
    ]
    return {
        "folder": str(folder),
        "original": models["2048"],
        "bases": [asdict(base) for base in bases],
        "precisions": ["float", "static int8"],
        "practices": ["as it comes"],
        "screening": calls[40:],
        "samples": paths,
        "calibration": paths,
        "digests": [digest for _, digest, _ in calls[:40]],
        "gate": asdict(GateOptions(1.0)),
        "seed": 0,
        "time_s": 120,
        "storage": None,
        "study": "test",
        **more,
    }


def test_drift_is_nothing_for_what_answers_alike_and_much_for_what_does_not(
    models: dict[str, str], calls: list[list[Any]]
) -> None:
    scorer = Scorer(models["2048"], calls, GateOptions(1.0))
    alike, other = scorer.score(models["256"]), scorer.score(models["8"])
    assert alike.drift == 0
    assert not alike.hopeless
    assert other.drift > 0.2
    assert other.hopeless
    assert alike.limit == pytest.approx(0.01)
    assert alike.cost_ratio > 0


def test_inputs_of_another_form_are_told(models: dict[str, str], tmp_path: Path) -> None:
    strange = write_call(tmp_path, 1, (), {"y": np.zeros((1, 3), "f4")})
    with pytest.raises(CannotBuildError, match="no captured input"):
        Scorer(models["2048"], [[1, "d", strange]], GateOptions(1.0))


def test_search_tells_every_point_and_keeps_only_models_that_survive(
    tmp_path: Path, models: dict[str, str], calls: list[list[Any]]
) -> None:
    folder = tmp_path / "stack"
    found = build(order(folder, models, calls))
    points: dict[str, Any] = {p["name"]: p for p in found["points"]}  # type: ignore[attr-defined]
    assert found["space"] == 6
    assert points["pruning 2"]["hopeless"]
    # Whether int8 pays in so small a layer is the machine's business; what it kept is ours.
    for name in found["survivors"]:  # type: ignore[attr-defined]
        place = Path(points[name]["folder"])
        assert read_signature(str(place))["class"] == "Net"
        assert read_manifest(str(place)) is not None
        assert (place / "load.py").exists()
    kept = [each for each in folder.iterdir() if each.is_dir()]
    steps = json.loads((folder / "steps.json").read_text(encoding="utf-8"))
    assert sorted(each.name for each in kept) == sorted(each["name"] for each in steps)
    assert (folder / "study.db").exists()


def test_openvino_is_one_of_the_precisions(
    tmp_path: Path, models: dict[str, str], calls: list[list[Any]]
) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    asked = {"precisions": ["float", "OpenVINO int8"], "mode": "ptq", "insist": True}
    found = build(order(tmp_path / "stack", models, calls, **asked))
    points: dict[str, Any] = {p["name"]: p for p in found["points"]}  # type: ignore[attr-defined]
    point = points["pruning 1 + OpenVINO int8"]
    assert not point["refused"]
    assert 0 <= point["drift"] < 0.1  # its own answers, to 8 bits
    assert read_signature(point["folder"])["engine"] == "openvino"
    assert "pruning 1 + OpenVINO int8" in found["survivors"]  # type: ignore[operator]


def test_search_takes_over_what_an_earlier_one_found(
    tmp_path: Path, models: dict[str, str], calls: list[list[Any]]
) -> None:
    folder = tmp_path / "stack"
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    first = build(order(folder, models, calls, time_s=0, storage=url))
    assert first["stopped"] == "its time was up, 3 of 6 were left"
    second = build(order(folder, models, calls, storage=url))
    third = build(order(folder, models, calls, storage=url))
    assert (second["taken_over"], third["taken_over"]) == (3, 6)
    assert third["points"] == second["points"]
    assert not (folder / "study.db").exists()


def test_a_padded_batch_is_served_in_parts_of_like_length() -> None:
    mask = np.zeros((3, 100), "i8")
    for row, length in enumerate((3, 100, 4)):
        mask[row, :length] = 1
    feed = {"ids": np.arange(300).reshape(3, 100), "mask": mask, "kind": np.arange(3)}
    found = parts(feed, "mask")
    assert [part["mask"].shape for part in found] == [(1, 100), (2, 4)] or [
        part["mask"].shape for part in found
    ] == [(2, 4), (1, 100)]
    short = min(found, key=lambda part: part["ids"].shape[1])
    assert short["ids"].tolist() == [[0, 1, 2, 3], [200, 201, 202, 203]]
    assert short["kind"].tolist() == [0, 2]
    assert parts(feed, None) == [feed]
