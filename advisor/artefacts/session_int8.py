"""The file of a session in 8-bit whole numbers: static by kept inputs, or else dynamic."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any  # what JSON gives back, and NumPy's arrays

from advisor.artefacts.dynamic_int8 import quantize
from advisor.artefacts.manifest import inputs_digest
from advisor.artefacts.samples import read_tensors
from advisor.workshop import CannotBuildError

_LEAST_INPUTS = 16
_LOAD = '''"""Loads the quantized model. Needs onnxruntime and nothing else."""

import os

import onnxruntime


def load():
    folder = os.path.dirname(os.path.abspath(__file__))
    return onnxruntime.InferenceSession(os.path.join(folder, "model.onnx"))
'''


def build(order: Mapping[str, Any]) -> dict[str, object]:
    """Quantize `order["model"]`; by the inputs in `order["calibration"]` if there are any."""
    import onnx
    import onnxruntime

    folder = str(order["folder"])
    target = os.path.join(folder, "model.onnx")
    _refuse_quantized(onnx.load(str(order["model"]), load_external_data=False))
    result: dict[str, object] = {
        "versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        "of": str(order["model"]),
    }
    if order["calibration"]:
        inputs = [read_tensors(path)[0] for path in order["calibration"]]
        rows = sum(max((len(a) for a in feed.values() if a.ndim), default=1) for feed in inputs)
        if rows < _LEAST_INPUTS:
            raise CannotBuildError(f"only {rows} inputs to scale by; it needs {_LEAST_INPUTS}")
        _static(str(order["model"]), target, iter(inputs))
        digest = inputs_digest([str(each) for each in order["digests"]])
        result["calibration"] = {"inputs": rows, "calls": len(inputs), "digest": digest}
        result["how"] = "onnxruntime.quantization.quantize_static, QDQ, QInt8 per channel, QUInt8"
    else:
        quantize(str(order["model"]), target)
        result["how"] = "onnxruntime.quantization.quantize_dynamic, QInt8 per channel"
    with open(os.path.join(folder, "load.py"), "w", encoding="utf-8") as file:
        file.write(_LOAD)
    return result


def _refuse_quantized(model: Any) -> None:
    kinds = {node.op_type for node in model.graph.node}
    found = sorted(k for k in kinds if "Integer" in k or k.startswith(("Quantize", "QLinear")))
    if found:
        raise CannotBuildError(f"the model is quantized already ({found[0]})")


def _static(model: str, target: str, inputs: Iterator[dict[str, Any]]) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = f"{target}.prepared"
    quant_pre_process(model, prepared)
    quantize_static(
        prepared,
        target,
        _Reader(inputs),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    os.remove(prepared)


class _Reader:
    """Inputs one by one, as the quantizer asks for them."""

    def __init__(self, inputs: Iterator[dict[str, Any]]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, Any] | None:
        return next(self._inputs, None)
