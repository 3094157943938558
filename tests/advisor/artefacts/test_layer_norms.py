"""Norms apart from sums: the same answers, nothing that the run time joins again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor.artefacts import layer_norms
from advisor.artefacts.layer_norms import keep_apart, keep_apart_if_faster
from advisor.artefacts.timing import session

onnx = pytest.importorskip("onnx")
np = pytest.importorskip("numpy")
ort = pytest.importorskip("onnxruntime")

WIDTH = 16
JOINED = "SkipLayerNormalization"


def model(nodes: list[Any], answers: list[str], opset: int = 17) -> Any:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    random = np.random.default_rng(0)
    values = {name: random.normal(1, 0.3, WIDTH).astype("f4") for name in ("scale", "shift", "b")}
    shape = [2, "length", WIDTH]
    graph = helper.make_graph(
        nodes,
        "norms",
        [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "r")],
        [helper.make_tensor_value_info(name, kind, None) for name in answers],
        [onnx.numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def joined(inputs: list[str], outputs: list[str]) -> Any:
    return onnx.helper.make_node(JOINED, inputs, outputs, domain="com.microsoft", epsilon=1e-3)


def summed() -> list[Any]:
    make = onnx.helper.make_node
    norm = make("LayerNormalization", ["s", "scale", "shift"], ["y"], axis=-1, epsilon=1e-3)
    return [make("Add", ["x", "r"], ["s"]), norm]


def answers(of: Any) -> list[Any]:
    random = np.random.default_rng(1)
    feed = {name: random.normal(0, 0.1, (2, 5, WIDTH)).astype("f4") for name in ("x", "r")}
    return list(session(of.SerializeToString()).run(None, feed))


def run_as(of: Any, path: Path) -> list[str]:
    """The operators that the run time makes of it."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    ort.InferenceSession(of.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(str(path)).graph.node]


@pytest.mark.parametrize("given", [["x", "r", "scale", "shift", "b"], ["x", "r", "scale", "shift"]])
def test_what_is_joined_comes_apart_with_the_same_answers(given: list[str]) -> None:
    made = model([joined(given, ["y", "", "", "s"])], ["y", "s"])
    before = answers(made)
    assert keep_apart(made) == 1
    assert JOINED not in {node.op_type for node in made.graph.node}
    for old, new in zip(before, answers(made), strict=True):
        assert np.allclose(old, new, atol=1e-5)


def test_the_run_time_joins_a_sum_that_is_added_and_not_one_that_was_kept_apart(
    tmp_path: Path,
) -> None:
    made = model(summed(), ["y"])
    assert JOINED in run_as(made, tmp_path / "before.onnx")  # else there is nothing to do any more
    before = answers(made)
    assert keep_apart(made) == 1
    assert JOINED not in run_as(made, tmp_path / "after.onnx")
    assert np.allclose(before[0], answers(made)[0], atol=1e-5)


def test_what_it_cannot_say_otherwise_stays() -> None:
    statistics = model([joined(["x", "r", "scale", "shift"], ["y", "mean"])], ["y", "mean"])
    old = model([joined(["x", "r", "scale", "shift"], ["y"])], ["y"], opset=16)
    halves = model(summed(), ["y"])
    for value in halves.graph.initializer:
        half = onnx.numpy_helper.to_array(value).astype("f2")
        value.CopyFrom(onnx.numpy_helper.from_array(half, value.name))
    for made in (statistics, old, halves):
        as_before = made.SerializeToString()
        assert keep_apart(made) == 0
        assert made.SerializeToString() == as_before


@pytest.mark.parametrize(
    ("ratio", "distance", "kept"), [(0.7, 1e-6, 1), (0.99, 1e-6, 0), (0.7, 0.5, 0)]
)
def test_it_is_kept_where_it_is_faster_and_answers_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ratio: float, distance: float, kept: int
) -> None:
    onnx.save(model(summed(), ["y"]), str(tmp_path / "model.onnx"))
    seen = {"cpu_ratio": ratio, "distance": distance, "calls": 1}
    monkeypatch.setattr(layer_norms, "compared", lambda *_, **__: seen)
    assert keep_apart_if_faster(str(tmp_path), ["a call"]) == kept
    kinds = {node.op_type for node in onnx.load(str(tmp_path / "model.onnx")).graph.node}
    assert ("Sum" in kinds) == bool(kept)
