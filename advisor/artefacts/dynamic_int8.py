"""Linear layers in 8-bit whole numbers, whose inputs are scaled anew at each call.

Weights per channel, symmetric. Needs no data. On a transformer the fused model is quantized where
there is one, so that attention is too. `DefaultTensorType`: without it a fused model is refused.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any  # what JSON gives back, and onnx

from advisor.artefacts.onnx_fused import fuse
from advisor.artefacts.timing import compared
from advisor.workshop import CannotBuildError

# Below this it is not worth a replay, since its answers are worse.
WORTH_IT = 0.95


def build(order: Mapping[str, Any]) -> dict[str, object]:
    """Quantize the model in `order["source"]`, fused first where that works."""
    import onnx
    import onnxruntime

    source, folder = str(order["source"]), str(order["folder"])
    plain, target = os.path.join(source, "model.onnx"), os.path.join(folder, "model.onnx")
    shutil.copyfile(os.path.join(source, "signature.json"), os.path.join(folder, "signature.json"))
    tried: list[tuple[dict[str, float], str, dict[str, int]]] = []
    quantize(plain, target)
    tried.append((compared(source, folder, order["samples"]), "plain", {}))
    if order.get("transformer"):
        fused, other = os.path.join(folder, "fused.onnx"), os.path.join(folder, "other.onnx")
        counts = fuse(plain, fused, order.get("about") or {})
        if counts.get("Attention"):
            os.rename(target, other)
            quantize(fused, target)
            tried.append((compared(source, folder, order["samples"]), "fused", counts))
            if tried[1][0]["cpu_ratio"] > tried[0][0]["cpu_ratio"]:
                os.replace(other, target)
                tried.pop()
            else:
                os.remove(other)
        os.remove(fused)
    figures, graph, counts = tried[-1]
    refuse_if_slow(figures, order)
    return {
        "how": "onnxruntime.quantization.quantize_dynamic, QInt8 per channel",
        "versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        "graph": graph,
        "fused": counts,
        **figures,
    }


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


def refuse_if_slow(figures: Mapping[str, float], order: Mapping[str, Any] | None = None) -> None:
    """Raise CannotBuildError where captured inputs take as long as before, unless one insists."""
    insists = order is not None and order.get("insist")
    if figures["cpu_ratio"] > WORTH_IT and not insists:
        raise CannotBuildError(
            f"on {figures['calls']:.0f} captured calls it takes {figures['cpu_ratio']:.2f} times"
            " the CPU time of ONNX Runtime with 32-bit floats"
        )
