"""Embedding tables made narrower: for memory and the size of a file, not for time."""

from __future__ import annotations

from dataclasses import replace

from advisor.compression.building import compress
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.pruning import LEARNT_RISK, refuse_learning, step_variant
from advisor.techniques.swapping import export, in_training_mode, refuse_swap, refused, target
from advisor.workshop import CannotBuildError, Workshop


class Tables:
    """The narrowest tables that were accepted, run by ONNX Runtime."""

    name = "narrow tables"

    def __init__(self) -> None:
        self._facts: Facts | None = None

    def applies(self, facts: Facts) -> Applicability:
        no = refuse_swap(facts) or refuse_learning(facts)
        if no is not None:
            return no
        kind = target(facts).kind
        if "Embedding" not in (target(facts).about.get("layers") or {}):
            return Applicability(False, f"{kind} has no embedding table")
        reason = "a look-up takes no longer in a wide table: it saves memory alone"
        return Applicability(False, reason, possible=True)

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        self._facts = facts
        return (
            Variant(
                name=self.name,
                technique=self.name,
                change=Change(),
                needs="onnxruntime",
                for_good="for memory alone, load the model with narrow tables:",
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
                "tables",
                training=in_training_mode(facts),
            )
        except CannotBuildError as reason:
            return refused(reason)
        last = made.steps[-1]
        own = step_variant(facts, variant, made, last)
        return replace(own, name=f"{variant.name}, {last.about.get('narrower')} times")
