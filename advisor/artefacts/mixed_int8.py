"""Linear layers in 8 bits: inputs evened out, scaled at each call, in blocks where that loses most.

Between dynamic int8, which is fastest, and weight-only int8, which loses least. Evening out costs
next to nothing and may be enough. Else products are ranked by what the answers lose by each, and as
few of them are put in blocks as keep the limit of quality. Both look at captured inputs, which
judge nothing later.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any  # what JSON gives back, and onnx

from advisor.artefacts.choosing import scorer_of
from advisor.artefacts.dynamic_int8 import quantize
from advisor.artefacts.finishing import finished
from advisor.artefacts.onnx_fused import fuse
from advisor.artefacts.samples import feeds, first_row, read_signature
from advisor.artefacts.sensitivity import Product, by_damage, products
from advisor.artefacts.smoothing import USUAL_STRENGTH, channel_peaks, smooth
from advisor.artefacts.timing import session
from advisor.artefacts.weight_int8 import BLOCK, in_blocks
from advisor.workshop import CannotBuildError

if TYPE_CHECKING:
    from advisor.gates.result import GateResult

# Looked up in tables: there is nothing to multiply, and rounding them loses for nothing.
_TABLES = ("EmbedLayerNormalization", "Gather")
_LEAST_PRODUCTS = 4
_STRENGTHS = (USUAL_STRENGTH, 0.65, 0.95)


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
    inputs = list(feeds(signature, [str(path) for _, _, path in order["judged_by"]["screening"]]))

    def judged(blocks: Sequence[str] = ()) -> GateResult:
        quantize(whole, target, leave=[*tables, *blocks])
        if blocks:
            in_blocks(target, target, bits=8, block=BLOCK)
        return scorer.judged(session(target))

    plain = judged()
    if plain.sure:
        raise CannotBuildError("dynamic int8 keeps the limit without it")
    strength, best = _evened_out(model, whole, inputs, judged, plain)
    ranked: list[Product] = []
    number = 0
    if not best.sure:
        ranked = by_damage(onnx.load(whole), [first_row(signature, each) for each in inputs])

        def keeps(number: int) -> bool:
            print(f"trying {number} of {len(ranked)} products in blocks", flush=True)
            return judged([product.name for product in ranked[:number]]).sure

        number = fewest(ranked, keeps)
    os.remove(whole)
    evened = f"inputs evened out (SmoothQuant, {strength:g}), " if strength else ""
    return {
        "how": f"{evened}QInt8 per channel, inputs scaled at each call; {number} of"
        f" {len(products(model))} products as weights in blocks of {BLOCK}",
        "versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        "in_blocks": [product.name for product in ranked[:number]],
        "strength": strength,
        "fused": counts,
        **finished(order),
    }


def _evened_out(
    model: Any,
    whole: str,
    inputs: Sequence[Mapping[str, Any]],
    judged: Callable[[], GateResult],
    plain: GateResult,
) -> tuple[float | None, GateResult]:
    """Write the model to `whole` as it loses least, with the strength for it; None for none."""
    import onnx

    peaks = channel_peaks(model, inputs)
    chosen: float | None = None
    best = plain

    def write(strength: float | None) -> None:
        changed = type(model).FromString(model.SerializeToString())
        if strength is not None:
            smooth(changed, peaks, strength)
        onnx.save(changed, whole)

    for strength in _STRENGTHS:
        print(f"evening out its inputs, strength {strength:g}", flush=True)
        write(strength)
        found = judged()
        if found.sure:
            return strength, found
        if _drift(found) < _drift(best):
            chosen, best = strength, found
    write(chosen)
    return chosen, best


def _drift(result: GateResult) -> float:
    """What grows with the difference, of results of one gate."""
    return result.value if result.measure == "error" else -result.value


def fewest(ranked: Sequence[Product], keeps: Callable[[int], bool]) -> int:
    """How many of the first, one at least, have to be in blocks. The last one tried is it.

    Raises CannotBuildError where all are too few.
    """
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
