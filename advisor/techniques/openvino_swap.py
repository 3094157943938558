"""The module run by OpenVINO in 32-bit floats, where the program's environment has it."""

from __future__ import annotations

from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.onnx_runtime import RISK
from advisor.techniques.swapping import built, copied, export, found, refuse_swap, refused
from advisor.workshop import CannotBuildError, Workshop


class OpenVino:
    """One thread. It reads the exported ONNX model itself."""

    name = "OpenVINO"

    def __init__(self) -> None:
        self._facts: Facts | None = None

    def applies(self, facts: Facts) -> Applicability:
        return refuse_swap(facts, "openvino") or found(facts)

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        self._facts = facts
        return (
            Variant(
                name="OpenVINO",
                technique=self.name,
                change=Change(),
                needs="openvino",
                for_good="load the exported model instead of the torch module:",
                risk=RISK,
                pays_later=True,
            ),
        )

    def prepare(self, variant: Variant, workshop: Workshop) -> Variant | Applicability:
        assert self._facts is not None
        try:
            source = export(self._facts, workshop)
            artefact = workshop.once("openvino", lambda to: copied(source, to, "openvino"))
        except CannotBuildError as reason:
            return refused(reason)
        return built(self._facts, variant, artefact)
