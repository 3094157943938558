"""Built models are opened by the run time that their signature names."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from advisor.artefacts.engines import has_model, opened
from advisor.workshop import CannotBuildError
from tests.advisor.compression_stack.kit import WIDTH, write_model

np = pytest.importorskip("numpy")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def folder_for(tmp_path: Path, engine: str) -> Path:
    folder = Path(write_model(tmp_path / "model", 64))
    path = folder / "signature.json"
    signature = {**json.loads(path.read_text(encoding="utf-8")), "engine": engine}
    path.write_text(json.dumps(signature), encoding="utf-8")
    return folder


class StandIn:
    """What is asked of OpenVINO; its models answer twice and three times their input."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.options: dict[str, object] = {}
        self.memory = {0: np.zeros(2), 1: np.zeros(2)}

    def Core(self) -> StandIn:
        return self

    def read_model(self, path: str) -> str:
        self.read.append(path)
        return path

    def compile_model(self, _model: str, device: str, options: dict[str, object]) -> Any:
        assert device == "CPU"
        self.options = options
        outer = self

        class Compiled:
            inputs = (SimpleNamespace(any_name="x"),)
            outputs = (SimpleNamespace(any_name="twice"), SimpleNamespace(any_name="thrice"))

            def __call__(self, feed: dict[str, Any]) -> dict[int, Any]:
                assert list(feed) == ["x"]
                outer.memory[0][:], outer.memory[1][:] = 2 * feed["x"], 3 * feed["x"]
                return outer.memory

        return Compiled()


def test_openvino_computes_on_one_thread_in_32_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = StandIn()
    monkeypatch.setitem(sys.modules, "openvino", engine)  # type: ignore[arg-type]
    folder = folder_for(tmp_path, "openvino")
    model = opened(str(folder))
    assert engine.read == [str(folder / "model.onnx")]
    assert engine.options["INFERENCE_NUM_THREADS"] == 1
    assert engine.options["INFERENCE_PRECISION_HINT"] == "f32"
    assert [each.name for each in model.get_outputs()] == ["twice", "thrice"]
    first = model.run(None, {"x": np.array([1.0, 2.0]), "unused": None})
    (thrice,) = model.run(["thrice"], {"x": np.array([5.0, 5.0])})
    assert [each.tolist() for each in first] == [[2.0, 4.0], [3.0, 6.0]]
    assert thrice.tolist() == [15.0, 15.0]


def test_a_model_in_openvinos_own_form_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = StandIn()
    monkeypatch.setitem(sys.modules, "openvino", engine)  # type: ignore[arg-type]
    folder = folder_for(tmp_path, "openvino")
    (folder / "model.xml").touch()
    opened(str(folder))
    assert engine.read == [str(folder / "model.xml")]


def test_without_its_run_time_a_model_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # type: ignore[arg-type]
    with pytest.raises(CannotBuildError, match="needs openvino beside frugalwatch"):
        opened(str(folder_for(tmp_path, "openvino")))


def test_an_unknown_run_time_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotBuildError, match="run by tensorrt"):
        opened(str(folder_for(tmp_path, "tensorrt")))


def test_a_model_without_a_name_is_onnx_runtimes(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "plain", 64)
    (scores,) = opened(folder).run(["scores"], {"x": np.zeros((3, WIDTH), "f4")})
    assert scores.shape == (3, 10)
    assert has_model(folder)
    assert not has_model(str(tmp_path))
