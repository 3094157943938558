"""The module run by ONNX Runtime in 32-bit floats: the same answers but for rounding."""

from __future__ import annotations

from dataclasses import replace

from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.swapping import (
    built,
    export,
    found,
    is_transformer,
    order,
    refuse_swap,
    refused,
)
from advisor.workshop import CannotBuildError, Workshop

_ONE = "ONNX Runtime"
RISK = "calls of another form than those seen run as written; new weights need a new export"


class OnnxRuntime:
    """32-bit floats, one thread; and all CPUs without busy waiting, for who needs it sooner."""

    name = "ONNX Runtime"

    def __init__(self) -> None:
        self._facts: Facts | None = None

    def applies(self, facts: Facts) -> Applicability:
        return refuse_swap(facts) or found(facts)

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        self._facts = facts
        one = Variant(
            name=_ONE,
            technique=self.name,
            change=Change(),
            needs="onnxruntime",
            for_good="load the exported model instead of the torch module:",
            risk=RISK,
            pays_later=True,
        )
        if facts.cpus < 2:
            return (one,)
        return (one, _all_cpus(one, facts.cpus))

    def prepare(self, variant: Variant, workshop: Workshop) -> Variant | Applicability:
        facts = self._facts
        assert facts is not None
        threads = 1 if variant.name == _ONE else facts.cpus
        try:
            artefact = export(facts, workshop)
            if is_transformer(artefact.about):
                asked = {**order(facts, artefact, self.name), "keep": "faster"}
                try:
                    artefact = workshop.build("onnx-fused", "onnx_fused", asked)
                except CannotBuildError as reason:
                    workshop.tell(f"not fused: {reason}")
        except CannotBuildError as reason:
            return refused(reason)
        found = built(facts, variant, artefact, threads=threads)
        return found if found.cost is not None else replace(found, cost=1.0)


def _all_cpus(variant: Variant, cpus: int) -> Variant:
    return replace(variant, name=f"ONNX Runtime, {cpus} threads without spinning")
