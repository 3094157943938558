"""How the building of an ONNX model ends: what answers sooner is kept, and what is slow refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # what JSON gives back

from advisor.artefacts.layer_norms import keep_apart_if_faster
from advisor.artefacts.timing import compared
from advisor.workshop import CannotBuildError

# Below this it is not worth a replay, since its answers are worse.
WORTH_IT = 0.95


def finished(order: Mapping[str, Any]) -> dict[str, object]:
    """The figures of the quantized model in `order["folder"]`, which has its signature there.

    Its layer norms are kept apart from sums if that is faster. Raises CannotBuildError where
    captured inputs take as long as before, unless the user insists.
    """
    source, folder = str(order["source"]), str(order["folder"])
    norms = keep_apart_if_faster(folder, order["samples"])
    figures = compared(source, folder, order["samples"])
    refuse_if_slow(figures, order)
    return {"norms_kept_apart": norms, **figures}


def refuse_if_slow(figures: Mapping[str, float], order: Mapping[str, Any] | None = None) -> None:
    """Raise CannotBuildError where captured inputs take as long as before, unless one insists."""
    insists = order is not None and order.get("insist")
    if figures["cpu_ratio"] > WORTH_IT and not insists:
        raise CannotBuildError(
            f"on {figures['calls']:.0f} captured calls it takes {figures['cpu_ratio']:.2f} times"
            " the CPU time of ONNX Runtime with 32-bit floats"
        )
