"""Weights of matrix products in 4 bits, for transformers whose products wait for their weights.

ONNX Runtime's own kernels rather than torchao's: those for CPUs want bfloat16 inputs, which most
CPUs have to emulate, and they lose the other fusions.
"""

from __future__ import annotations

from advisor.techniques.base import Applicability, Facts
from advisor.techniques.onnx_int8 import TransformerInt8
from advisor.techniques.swapping import parameters, target

# Fewer weights stay in the caches of the CPU, so that reading them costs nothing that 4 bits save.
_LEAST_WEIGHTS = 10_000_000


class WeightInt4(TransformerInt8):
    """As in 8 bits, with half of the weights' bytes."""

    name = "weight-only int4"
    builder = "weight_int4"
    risk = "scores move more than in 8 bits"

    def _refused(self, facts: Facts) -> Applicability | None:
        refused = super()._refused(facts)
        if refused is None and parameters(facts) < _LEAST_WEIGHTS:
            kind, count = target(facts).kind, f"{parameters(facts):,}"
            reason = f"{kind} has {count} weights, which caches hold: 8 bits read them as fast"
            return Applicability(False, reason, possible=True)
        return refused
