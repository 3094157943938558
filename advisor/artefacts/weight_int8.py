"""Weights of matrix products in 8-bit whole numbers, in blocks with a scale each.

Inputs are scaled by block too, within each product (`accuracy_level` 4), which loses less than one
scale for all. Needs no data.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any  # what JSON gives back, and onnx

from advisor.artefacts.dynamic_int8 import refuse_if_slow
from advisor.artefacts.timing import compared
from advisor.workshop import CannotBuildError

_BLOCK = 128  # of 8 bits; 32 loses less, and saves half as much
_IN_8_BITS = 4  # what the products themselves compute in

_WANTED = {"onnx_ir": "onnx-ir"}  # what the quantizer needs besides, as pip knows it


def build(order: Mapping[str, Any]) -> dict[str, object]:
    """Quantize the weights of the model in `order["source"]`."""
    return quantized(order, bits=8, block=_BLOCK)


def quantized(order: Mapping[str, Any], *, bits: int, block: int) -> dict[str, object]:
    """The same for so many bits, with a scale for so many weights."""
    import onnx
    import onnxruntime

    try:
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    except ModuleNotFoundError as error:
        what = _WANTED.get(error.name or "", "onnxruntime 1.22 or later")
        raise CannotBuildError(f"needs {what} beside frugalwatch") from error

    source, folder = str(order["source"]), str(order["folder"])
    model = onnx.load(os.path.join(source, "model.onnx"))
    quantizer = MatMulNBitsQuantizer(
        model, bits=bits, block_size=block, is_symmetric=True, accuracy_level=_IN_8_BITS
    )
    quantizer.process()
    quantizer.model.save_model_to_file(os.path.join(folder, "model.onnx"), False)
    shutil.copyfile(os.path.join(source, "signature.json"), os.path.join(folder, "signature.json"))
    figures = compared(source, folder, order["samples"])
    refuse_if_slow(figures, order)
    kind = f"{bits} bits in blocks of {block}, accuracy level 4"
    return {
        "how": f"onnxruntime MatMulNBitsQuantizer, {kind}",
        "versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        **figures,
    }
