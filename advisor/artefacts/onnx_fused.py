"""Transformer fusions: attention, normalisation and activation as one operator each.

They match only graphs that TorchScript exported with plain attention and a mask, so what was fused
is counted, never assumed. Little is won by them alone; they make quantized attention possible.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any  # what JSON gives back, and onnx

from advisor.artefacts.layer_norms import keep_apart_if_faster
from advisor.artefacts.timing import compared
from advisor.workshop import CannotBuildError

# The optimizer's name of a family; BERT's patterns match most encoders.
_FAMILIES = {"gpt2": "gpt2", "vit": "vit", "t5": "t5", "bart": "bart", "clip": "clip"}


def build(order: Mapping[str, Any]) -> dict[str, object]:
    """Fuse the model in `order["source"]`. `keep`: "faster" refuses where nothing is gained."""
    import onnx
    import onnxruntime

    source, folder = str(order["source"]), str(order["folder"])
    target = os.path.join(folder, "model.onnx")
    counts = fuse(os.path.join(source, "model.onnx"), target, order.get("about") or {})
    if not counts.get("Attention") and not counts.get("MultiHeadAttention"):
        raise CannotBuildError("no attention of it could be fused")
    shutil.copyfile(os.path.join(source, "signature.json"), os.path.join(folder, "signature.json"))
    apart = keep_apart_if_faster(folder, order["samples"])
    found = compared(source, folder, order["samples"])
    if order.get("keep") == "faster" and not found["cpu_ratio"] < 0.98:
        raise CannotBuildError(f"fused it takes {found['cpu_ratio']:.2f} times the CPU time")
    return {
        "how": "onnxruntime.transformers.optimizer.optimize_model",
        "versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        "fused": counts,
        "norms_kept_apart": apart,
        **found,
    }


def fuse(source: str, target: str, about: Mapping[str, Any]) -> dict[str, int]:
    """Write the fused model; how many operators of each kind were made."""
    from onnxruntime.transformers import optimizer

    family = _FAMILIES.get(str(about.get("model_type", "")), "bert")
    model = optimizer.optimize_model(
        source,
        model_type=family,
        num_heads=int(about.get("heads") or 0),
        hidden_size=int(about.get("hidden_size") or 0),
        opt_level=0,
    )
    counts = {k: int(v) for k, v in model.get_fused_operator_statistics().items() if v}
    model.save_model_to_file(target)
    return counts
