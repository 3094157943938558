"""Weights of matrix products in 8-bit whole numbers, in blocks with a scale each.

Inputs are scaled by block too, within each product (`accuracy_level` 4), which loses less than one
scale for all. Smaller blocks lose less and take longer: the largest that keeps the limit of quality
on captured inputs is taken, where there are any to ask; they judge nothing later.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any  # what JSON gives back, and onnx

from advisor.artefacts.choosing import scorer_of
from advisor.artefacts.finishing import finished
from advisor.artefacts.timing import session
from advisor.workshop import CannotBuildError

BLOCK = 128
_SMALLER = (64, 32)
_IN_8_BITS = 4  # what the products themselves compute in

_WANTED = {"onnx_ir": "onnx-ir"}  # what the quantizer needs besides, as pip knows it


def build(order: Mapping[str, Any]) -> dict[str, object]:
    """Quantize the weights of the model in `order["source"]`."""
    source, folder = str(order["source"]), str(order["folder"])
    target = os.path.join(folder, "model.onnx")
    scorer = scorer_of(order) if order.get("judged_by") else None
    for block in (BLOCK, *_SMALLER):
        in_blocks(os.path.join(source, "model.onnx"), target, bits=8, block=block)
        if scorer is None or scorer.judged(session(target)).sure:
            break
    return about(order, bits=8, block=block)


def about(order: Mapping[str, Any], *, bits: int, block: int) -> dict[str, object]:
    """What was made in `order["folder"]`. Raises CannotBuildError where it is no faster."""
    import onnx
    import onnxruntime

    source, folder = str(order["source"]), str(order["folder"])
    shutil.copyfile(os.path.join(source, "signature.json"), os.path.join(folder, "signature.json"))
    kind = f"{bits} bits in blocks of {block}, accuracy level 4"
    return {
        "how": f"onnxruntime MatMulNBitsQuantizer, {kind}",
        "versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        **finished(order),
    }


def in_blocks(source: str, target: str, *, bits: int, block: int) -> None:
    """Write the model with the weights of its matrix products in blocks of so many.

    Raises CannotBuildError where the quantizer is not there.
    """
    import onnx

    try:
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    except ModuleNotFoundError as error:
        what = _WANTED.get(error.name or "", "onnxruntime 1.22 or later")
        raise CannotBuildError(f"needs {what} beside frugalwatch") from error

    quantizer = MatMulNBitsQuantizer(
        onnx.load(source),
        bits=bits,
        block_size=block,
        is_symmetric=True,
        accuracy_level=_IN_8_BITS,
    )
    quantizer.process()
    quantizer.model.save_model_to_file(target, False)
