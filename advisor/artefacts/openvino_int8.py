"""The exported model in 8 bits by NNCF, for OpenVINO: after training, or its weights alone.

`order["mode"]`: "ptq" scales inputs of layers by captured ones, for transformers in NNCF's own way;
"weights" needs no data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any  # what JSON gives back, openvino and NumPy's arrays

from advisor.artefacts.engines import OPENVINO_MODEL, OpenVinoModel
from advisor.artefacts.finishing import refuse_if_slow
from advisor.artefacts.manifest import inputs_digest
from advisor.artefacts.samples import feeds, read_signature
from advisor.artefacts.timing import compared
from advisor.workshop import CannotBuildError

_LEAST_INPUTS = 16
_MOST_INPUTS = 300


def build(order: Mapping[str, Any]) -> dict[str, object]:
    """Quantize the model in `order["source"]` by the inputs in `order["calibration"]`."""
    import nncf
    import openvino

    source, folder = str(order["source"]), str(order["folder"])
    signature = read_signature(source)
    model = openvino.Core().read_model(os.path.join(source, "model.onnx"))
    result: dict[str, object] = {
        "versions": {"nncf": nncf.__version__, "openvino": openvino.__version__},
    }
    if order["mode"] == "weights":
        made = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
        result["how"] = "nncf.compress_weights, INT8_SYM"
    else:
        inputs = list(feeds(signature, list(order["calibration"])))[:_MOST_INPUTS]
        rows = sum(_rows(feed) for feed in inputs)
        if rows < _LEAST_INPUTS:
            raise CannotBuildError(f"only {rows} inputs to calibrate by; it needs {_LEAST_INPUTS}")
        kind = nncf.ModelType.TRANSFORMER if order.get("transformer") else None
        dataset = nncf.Dataset(inputs)
        made = nncf.quantize(model, dataset, model_type=kind, subset_size=len(inputs))
        result["how"] = f"nncf.quantize{', TRANSFORMER' if kind else ''}"
        digest = inputs_digest([str(each) for each in order["digests"]])
        result["calibration"] = {"inputs": rows, "calls": len(inputs), "digest": digest}
    openvino.save_model(made, os.path.join(folder, OPENVINO_MODEL), compress_to_fp16=False)
    with open(os.path.join(folder, "signature.json"), "w", encoding="utf-8") as file:
        json.dump({**signature, "engine": "openvino"}, file, indent=1)
    figures = compared(source, folder, order["samples"], OpenVinoModel(made))
    refuse_if_slow(figures, order)
    return {**result, **figures}


def _rows(feed: Mapping[str, Any]) -> int:
    return max((int(each.shape[0]) for each in feed.values() if each.ndim), default=1)
