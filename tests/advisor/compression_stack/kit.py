"""Spaces and outcomes to search through, and small models as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from advisor.compression_stack.points import ORIGINAL, Base, Outcome, Point, Space

WIDTH, CLASSES = 16, 10
_FACTORS = {"float": 1.0, "static int8": 0.45, "dynamic int8": 0.7, "weight-only int8": 0.9}


def space(bases: int = 4) -> Space:
    """The original and pruned steps, each with half the weights of the one before."""
    names = [ORIGINAL, *[f"pruned {n}" for n in range(1, bases)]]
    found = [Base(name, f"/{name}", 1 << (20 - at)) for at, name in enumerate(names)]
    return Space(tuple(found), ("float", "static int8", "dynamic int8"))


def outcome(point: Point) -> Outcome:
    """Smaller is cheaper and drifts more; dynamic int8 is refused for the smallest."""
    step = 0 if point.base == ORIGINAL else int(point.base.rpartition(" ")[2])
    if step >= 3 and point.precision == "dynamic int8":
        return Outcome(refused="it takes longer")
    drift = 0.004 * step * step + (0.002 if point.precision != "float" else 0.0)
    cost = 0.6**step * _FACTORS[point.precision]
    return Outcome(cost, drift, limit=0.01, hopeless=drift > 0.03, folder=f"/{point.name}")


def write_model(folder: Path, hidden: int, seed: int = 0) -> str:
    """A layer of `hidden` units of which only the first 64 count; fewer answer otherwise."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    chance = np.random.default_rng(seed)
    first = chance.normal(size=(WIDTH, 2048)).astype("f4")[:, :hidden]
    second = chance.normal(size=(2048, CLASSES)).astype("f4")
    second[64:] = 0
    weights = [
        numpy_helper.from_array(np.ascontiguousarray(first), "first"),
        numpy_helper.from_array(np.ascontiguousarray(second[:hidden]), "second"),
    ]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "first"], ["wide"]),
            helper.make_node("Relu", ["wide"], ["kept"]),
            helper.make_node("MatMul", ["kept", "second"], ["scores"]),
        ],
        "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", WIDTH])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", CLASSES])],
        weights,
    )
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / "model.onnx"))
    signature: dict[str, Any] = {
        "class": "Net",
        "parameters": ["x"],
        "defaults": {},
        "inputs": [{"name": "x", "path": ["x"], "dtype": "torch.float32", "dims": [None, WIDTH]}],
        "constants": [],
        "output": {"tensor": "scores"},
        "weights_digest": "none",
    }
    (folder / "signature.json").write_text(json.dumps(signature), encoding="utf-8")
    return str(folder)
