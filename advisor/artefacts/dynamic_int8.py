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

from advisor.artefacts.finishing import refuse_if_slow
from advisor.artefacts.layer_norms import keep_apart_if_faster
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
    fused, even, other = (
        os.path.join(folder, f"{name}.onnx") for name in ("fused", "even", "other")
    )
    shutil.copyfile(os.path.join(source, "signature.json"), os.path.join(folder, "signature.json"))
    made = _quantized(plain, order, graph="plain", fused={})
    if order.get("transformer"):
        counts = fuse(plain, fused, order.get("about") or {})
        if counts.get("Attention"):
            os.rename(target, other)
            found = _quantized(fused, order, graph="fused", fused=counts)
            if found["cpu_ratio"] > made["cpu_ratio"]:
                os.replace(other, target)
            else:
                made = found
    evened = ""
    if order.get("calibration"):
        os.replace(target, other)
        inputs = list(feeds(read_signature(source), list(order["calibration"])))
        _even_out(fused if made["graph"] == "fused" else plain, even, inputs)
        found = _quantized(even, order, graph=made["graph"], fused=made["fused"])
        if found["distance"] < made["distance"]:
            made, evened = found, f"inputs evened out (SmoothQuant, {USUAL_STRENGTH:g}), "
        else:
            os.replace(other, target)
    for path in (fused, even, other):
        if os.path.exists(path):
            os.remove(path)
    refuse_if_slow(made, order)
    return {
        "how": f"{evened}onnxruntime.quantization.quantize_dynamic, QInt8 per channel",
        "versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        **made,
    }


def _quantized(plain: str, order: Mapping[str, Any], **about: object) -> dict[str, Any]:
    """What is known of the model that was quantized into `order["folder"]`, `about` included."""
    folder, samples = str(order["folder"]), order["samples"]
    quantize(plain, os.path.join(folder, "model.onnx"))
    apart = keep_apart_if_faster(folder, samples)
    figures = compared(str(order["source"]), folder, samples)
    return {**about, "norms_kept_apart": apart, **figures}


def _even_out(source: str, target: str, inputs: Sequence[Mapping[str, Any]]) -> None:
    import onnx

    model = onnx.load(source)
    smooth(model, channel_peaks(model, inputs), USUAL_STRENGTH)
    onnx.save(model, target)


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
