"""Linear layers in 8 bits: scaled at each call, and in finer blocks where that loses most.

Between dynamic int8, which is fastest, and weight-only int8, which loses least. Products are ranked
by what the answers lose by each; as few of them are put in blocks as keep the limit of quality on
captured inputs, which judge nothing later.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any  # what JSON gives back, and onnx

from advisor.artefacts.choosing import scorer_of
from advisor.artefacts.dynamic_int8 import quantize, refuse_if_slow
from advisor.artefacts.onnx_fused import fuse
from advisor.artefacts.samples import feeds, first_row, read_signature
from advisor.artefacts.sensitivity import Product, by_damage, products
from advisor.artefacts.timing import compared, session
from advisor.artefacts.weight_int8 import BLOCK, in_blocks
from advisor.workshop import CannotBuildError

# Looked up in tables: there is nothing to multiply, and rounding them loses for nothing.
_TABLES = ("EmbedLayerNormalization", "Gather")
_LEAST_PRODUCTS = 4


def build(order: Mapping[str, Any]) -> dict[str, object]:
    """Quantize the model in `order["source"]`, judged as `choosing` says."""
    import onnx
    import onnxruntime

    source, folder = str(order["source"]), str(order["folder"])
    target, whole = os.path.join(folder, "model.onnx"), os.path.join(folder, "whole.onnx")
    shutil.copyfile(os.path.join(source, "signature.json"), os.path.join(folder, "signature.json"))
    counts = fuse(os.path.join(source, "model.onnx"), whole, order.get("about") or {})
    model = onnx.load(whole)
    if len(products(model)) < _LEAST_PRODUCTS:
        raise CannotBuildError("it has too few matrix products to tell them apart")
    tables = [node.name for node in model.graph.node if node.op_type in _TABLES]
    scorer = scorer_of(order)
    signature = read_signature(source)
    inputs = [first_row(signature, each) for each in feeds(signature, list(order["samples"]))]
    ranked = by_damage(model, inputs)

    def keeps(number: int) -> bool:
        print(f"trying {number} of {len(ranked)} products in blocks", flush=True)
        chosen = [product.name for product in ranked[:number]]
        quantize(whole, target, leave=[*tables, *chosen])
        if chosen:
            in_blocks(target, target, bits=8, block=BLOCK)
        return scorer.judged(session(target)).sure

    number = fewest(ranked, keeps)
    os.remove(whole)
    figures = compared(source, folder, order["samples"])
    refuse_if_slow(figures, order)
    return {
        "how": f"QInt8 per channel, inputs scaled at each call; {number} of {len(ranked)} products"
        f" as weights in blocks of {BLOCK}",
        "versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        "in_blocks": [product.name for product in ranked[:number]],
        "fused": counts,
        **figures,
    }


def fewest(ranked: Sequence[Product], keeps: Callable[[int], bool]) -> int:
    """How many of the first have to be in blocks. The last model tried is the one for it.

    Raises CannotBuildError where none have to be, or all are too few.
    """
    if keeps(0):
        raise CannotBuildError("dynamic int8 keeps the limit without it")
    if not keeps(len(ranked)):
        raise CannotBuildError(
            f"with all {len(ranked)} products in blocks it is not sure to keep the limit"
        )
    last, too_few, enough = len(ranked), 0, len(ranked)
    while enough - too_few > 1:
        last = (too_few + enough) // 2
        too_few, enough = (too_few, last) if keeps(last) else (last, enough)
    if last != enough:
        keeps(enough)
    return enough
