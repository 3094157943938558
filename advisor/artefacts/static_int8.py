"""Convolutions and linear layers in 8-bit whole numbers, scaled once from captured inputs.

Quantize and dequantize operators (QDQ) around each layer; weights per channel, activations unsigned
by the range that they had in calibration. For networks of convolutions: transformers lose too much.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any  # what JSON gives back, and NumPy's arrays

from advisor.artefacts.finishing import finished
from advisor.artefacts.manifest import inputs_digest
from advisor.artefacts.samples import feeds, read_signature
from advisor.workshop import CannotBuildError

_LEAST_INPUTS = 16


def build(order: Mapping[str, Any]) -> dict[str, object]:
    """Quantize the model in `order["source"]` by the inputs in `order["calibration"]`."""
    import onnx
    import onnxruntime
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    source, folder = str(order["source"]), str(order["folder"])
    signature = read_signature(source)
    inputs = list(feeds(signature, list(order["calibration"])))
    rows = sum(_rows(feed) for feed in inputs)
    if rows < _LEAST_INPUTS:
        raise CannotBuildError(f"only {rows} inputs to calibrate by; it needs {_LEAST_INPUTS}")
    prepared = os.path.join(folder, "prepared.onnx")
    quant_pre_process(os.path.join(source, "model.onnx"), prepared)
    target = os.path.join(folder, "model.onnx")
    quantize_static(
        prepared,
        target,
        _Reader(iter(inputs)),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    os.remove(prepared)
    shutil.copyfile(os.path.join(source, "signature.json"), os.path.join(folder, "signature.json"))
    digests = [str(each) for each in order["digests"]]
    return {
        "how": "onnxruntime.quantization.quantize_static, QDQ, QInt8 per channel, QUInt8",
        "versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        "calibration": {
            "inputs": rows,
            "calls": len(inputs),
            "digest": inputs_digest(digests),
        },
        **finished(order),
    }


def _rows(feed: Mapping[str, Any]) -> int:
    return max((int(each.shape[0]) for each in feed.values() if each.ndim), default=1)


class _Reader:
    """Inputs one by one, as the quantizer asks for them."""

    def __init__(self, inputs: Iterator[dict[str, Any]]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, Any] | None:
        return next(self._inputs, None)
