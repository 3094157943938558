"""Inputs evened out: the answers stay, the peaks go, and shared weights stay right."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.artefacts.smoothing import channel_peaks, smooth
from advisor.artefacts.timing import session

onnx = pytest.importorskip("onnx")
np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime")

SPIKY = 3  # the channel of the input that is a hundred times as large as others


def twice(width: int = 16) -> Any:
    """y = (x @ W) @ W + x: two products that share their weights, and a way around them."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weight = np.random.default_rng(0).normal(0, 0.1, (width, width)).astype("f4")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("MatMul", ["a", "w"], ["b"], name="second"),
        helper.make_node("Add", ["b", "x"], ["y"]),
    ]
    shape = ["batch", "length", width]
    graph = helper.make_graph(
        nodes,
        "twice",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def feed(seed: int) -> dict[str, Any]:
    x = np.random.default_rng(seed).normal(size=(2, 5, 16)).astype("f4")
    x[..., SPIKY] *= 100
    return {"x": x}


def unevenness(peaks: Any) -> float:
    return float(peaks.max() / np.median(peaks))


def test_answers_stay_and_peaks_go() -> None:
    model = twice()
    before = session(model.SerializeToString()).run(None, feed(9))[0]
    peaks = channel_peaks(model, [feed(1), feed(2)])
    assert sorted(peaks) == ["a", "x"]
    assert int(peaks["x"].argmax()) == SPIKY
    assert smooth(model, peaks, 0.8) == 2
    onnx.checker.check_model(model)
    after = session(model.SerializeToString()).run(None, feed(9))[0]
    assert np.allclose(before, after, rtol=1e-4, atol=1e-4)
    first = next(node for node in model.graph.node if node.name == "first")
    even = channel_peaks(model, [feed(1), feed(2)])[first.input[0]]
    assert unevenness(even) < unevenness(peaks["x"]) / 5


def test_what_is_no_product_with_weights_is_left_alone() -> None:
    model = twice()
    assert smooth(model, {"y": np.ones(16)}, 0.8) == 0
    assert model == twice()
