"""Linear layers in 8-bit whole numbers, whose inputs are scaled anew at each call.

Weights per channel, symmetric. Needs no data; where there are captured inputs to learn from, those
of products are evened out if that loses less. On a transformer the fused model is quantized where
there is one, so that attention is too. `DefaultTensorType`: without it a fused model is refused.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any  # what JSON gives back, and onnx

from advisor.artefacts.finishing import finished
from advisor.artefacts.onnx_fused import fuse
from advisor.artefacts.samples import feeds, read_signature
from advisor.artefacts.smoothing import USUAL_STRENGTH, channel_peaks, smooth
from advisor.artefacts.timing import compared


def build(order: Mapping[str, Any]) -> dict[str, object]:
    """Quantize the model in `order["source"]`, fused first where that works.

    `order["calibration"]`: captured inputs to even out those of products by, if there are any.
    """
    import onnx
    import onnxruntime

    source, folder = str(order["source"]), str(order["folder"])
    plain, target = os.path.join(source, "model.onnx"), os.path.join(folder, "model.onnx")
    fused, other = os.path.join(folder, "fused.onnx"), os.path.join(folder, "other.onnx")
    shutil.copyfile(os.path.join(source, "signature.json"), os.path.join(folder, "signature.json"))
    quantize(plain, target)
    figures, graph, counts = compared(source, folder, order["samples"]), "plain", {}
    if order.get("transformer"):
        made = fuse(plain, fused, order.get("about") or {})
        if made.get("Attention"):
            os.rename(target, other)
            quantize(fused, target)
            found = compared(source, folder, order["samples"])
            if found["cpu_ratio"] > figures["cpu_ratio"]:
                os.replace(other, target)
            else:
                figures, graph, counts = found, "fused", made
    evened = ""
    if order.get("calibration"):
        os.replace(target, other)
        inputs = list(feeds(read_signature(source), list(order["calibration"])))
        _quantize_evened(fused if graph == "fused" else plain, target, inputs)
        found = compared(source, folder, order["samples"])
        if found["distance"] < figures["distance"]:
            evened = f"inputs evened out (SmoothQuant, {USUAL_STRENGTH:g}), "
        else:
            os.replace(other, target)
    for path in (fused, other):
        if os.path.exists(path):
            os.remove(path)
    return {
        "how": f"{evened}onnxruntime.quantization.quantize_dynamic, QInt8 per channel",
        "versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        "graph": graph,
        "fused": counts,
        **finished(order),
    }


def _quantize_evened(source: str, target: str, inputs: Sequence[Mapping[str, Any]]) -> None:
    import onnx

    model = onnx.load(source)
    smooth(model, channel_peaks(model, inputs), USUAL_STRENGTH)
    onnx.save(model, target)
    quantize(target, target)


def quantize(source: str, target: str, leave: Sequence[str] = ()) -> None:
    """Write the quantized model; the nodes named in `leave` stay as they are."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source,
        target,
        weight_type=QuantType.QInt8,
        per_channel=True,
        nodes_to_exclude=list(leave),
        extra_options={"DefaultTensorType": 1},  # float
    )
