"""Small weights as zeros, learnt again step by step: a smaller file once it is compressed.

On a CPU nothing is computed faster by it, so it is built only for somebody who insists, and the
report tells the size of the file beside what was measured.
"""

from __future__ import annotations

from dataclasses import replace

from advisor.compression.building import compress
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.pruning import LEARNT_RISK, refuse_learning, step_variant
from advisor.techniques.swapping import export, in_training_mode, refuse_swap, refused, target
from advisor.workshop import CannotBuildError, Workshop


class Unstructured:
    """The last accepted step of zeros by size and gradient, run by ONNX Runtime."""

    name = "zeros learnt again"

    def __init__(self) -> None:
        self._facts: Facts | None = None

    def applies(self, facts: Facts) -> Applicability:
        no = refuse_swap(facts) or refuse_learning(facts)
        if no is not None:
            return no
        reason = (
            "it gains nothing in time or energy on this machine, whose CPU multiplies zeros as it"
            " does other numbers; its compressed file gets smaller"
        )
        return Applicability(False, reason, possible=True)

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        self._facts = facts
        return (
            Variant(
                name="zeros",
                technique=self.name,
                change=Change(),
                needs="onnxruntime",
                for_good="load the model with zeros instead of the torch module:",
                risk=LEARNT_RISK,
                pays_later=True,
                lossy=True,
                answers="pruned",
            ),
        )

    def prepare(self, variant: Variant, workshop: Workshop) -> Variant | Applicability:
        facts = self._facts
        assert facts is not None
        try:
            made = compress(
                workshop,
                target(facts),
                export(facts, workshop),
                "unstructured",
                training=in_training_mode(facts),
            )
        except CannotBuildError as reason:
            return refused(reason)
        last = made.steps[-1]
        own = step_variant(facts, variant, made, last)
        zeros = 100 * float(last.about.get("zeros", 0.0))
        size, plain = (
            float(last.about.get(name, 0)) / 1e6
            for name in ("compressed_bytes", "plain_compressed_bytes")
        )
        file = f"compressed, its file has {size:.3g} MB instead of {plain:.3g} MB"
        return replace(
            own,
            name=f"{zeros:.0f} % of its weights zero",
            for_good=f"for the size of the file alone ({file}), load the model with zeros:",
        )
