"""The exported module in 8-bit whole numbers, whose answers are judged by a limit.

Four ways. Scaled at each call (dynamic): for linear layers. Scaled once from captured inputs
(static): for convolutions; transformers lose too much by it. Weights in blocks: loses least. Mixed:
in blocks where scaling at each call loses most.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from advisor.compression.building import calls_of
from advisor.sampling import SampledCall, SampledModule
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.onnx_runtime import RISK
from advisor.techniques.swapping import (
    TINY_PARAMETERS,
    built,
    export,
    found,
    has_convolutions,
    has_int8_units,
    looks_like_transformer,
    order,
    parameters,
    refuse_swap,
    refused,
    target,
)
from advisor.workshop import Artefact, CannotBuildError, Workshop

MOST_CALIBRATION = 256  # rows; more change the ranges little
_MOST_JUDGED = 512


class OnnxInt8:
    """What they have in common."""

    name = ""
    builder = ""
    risk = ""

    def __init__(self) -> None:
        self._facts: Facts | None = None

    def applies(self, facts: Facts) -> Applicability:
        return refuse_swap(facts) or self._refused(facts) or _units_or_not(facts)

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        self._facts = facts
        return (
            Variant(
                name=self.name,
                technique=self.name,
                change=Change(),
                needs="onnxruntime",
                for_good="load the quantized model instead of the torch module:",
                risk=f"{self.risk}; {RISK}",
                pays_later=True,
                lossy=True,
            ),
        )

    def prepare(self, variant: Variant, workshop: Workshop) -> Variant | Applicability:
        assert self._facts is not None
        try:
            source = export(self._facts, workshop)
            return self._build(self._facts, variant, workshop, source)
        except CannotBuildError as reason:
            return refused(reason)

    def _build(
        self, facts: Facts, variant: Variant, workshop: Workshop, source: Artefact
    ) -> Variant:
        name = self.builder.replace("_", "-")
        asked = order(facts, source, self.name)
        return built(facts, variant, workshop.build(name, self.builder, asked))

    def _refused(self, facts: Facts) -> Applicability | None:
        """What speaks against it beside what speaks against any swap."""
        if parameters(facts) < TINY_PARAMETERS:
            count = f"{parameters(facts):,}"
            reason = f"{target(facts).kind} has {count} weights: scaling costs more than it saves"
            return Applicability(False, reason, possible=True)
        if not has_int8_units(facts):
            reason = "this CPU has no instructions for products of 8-bit numbers (VNNI, AMX)"
            return Applicability(False, reason, possible=True)
        return None


class DynamicInt8(OnnxInt8):
    """Linear layers; inputs are scaled at each call."""

    name = "dynamic int8"
    builder = "dynamic_int8"
    risk = "scores and neighbours move"

    def _refused(self, facts: Facts) -> Applicability | None:
        layers = target(facts).about.get("layers") or {}
        if not looks_like_transformer(facts) and has_convolutions(layers):
            reason = "its convolutions would take longer: static int8 suits them"
            return Applicability(False, reason, possible=True)
        return super()._refused(facts)


class TransformerInt8(OnnxInt8):
    """Weights of matrix products in blocks."""

    def _refused(self, facts: Facts) -> Applicability | None:
        if not looks_like_transformer(facts):
            reason = "most of its weights are in no matrix products"
            return Applicability(False, reason, possible=True)
        return super()._refused(facts)


class JudgedInt8(TransformerInt8):
    """How a model is built depends on what captured inputs lose by it."""

    def _build(
        self, facts: Facts, variant: Variant, workshop: Workshop, source: Artefact
    ) -> Variant:
        chosen = [*calls_of(target(facts), "screening"), *calibration_calls(target(facts))]
        chosen = sorted(chosen, key=lambda call: call.number)[:_MOST_JUDGED]
        asked = {
            **order(facts, source, self.name),
            "judged_by": {
                "screening": [[c.number, c.inputs_digest, str(c.inputs_path)] for c in chosen],
                "gate": asdict(workshop.gate),
            },
        }
        artefact = workshop.build(self.builder.replace("_", "-"), self.builder, asked)
        variant = replace(variant, calibrated=tuple(call.inputs_digest for call in chosen))
        return built(facts, variant, artefact)


class WeightInt8(JudgedInt8):
    """In blocks as large as the limit lets them be."""

    name = "weight-only int8"
    builder = "weight_int8"
    risk = "scores move a little"


class MixedInt8(JudgedInt8):
    """Inputs evened out, and in blocks where scaling at each call still loses most."""

    name = "mixed int8"
    builder = "mixed_int8"
    risk = "scores and neighbours move"


class StaticInt8(OnnxInt8):
    """Convolutions; inputs are scaled once, from captured ones."""

    name = "static int8"
    builder = "static_int8"
    risk = "inputs unlike those of calibration may be answered worse"

    def _refused(self, facts: Facts) -> Applicability | None:
        if looks_like_transformer(facts):
            reason = "attention loses too much by scales that are fixed once"
            return Applicability(False, reason, possible=True)
        return super()._refused(facts)

    def _build(
        self, facts: Facts, variant: Variant, workshop: Workshop, source: Artefact
    ) -> Variant:
        chosen = calibration_calls(target(facts))
        digests = [call.inputs_digest for call in chosen]
        asked = {
            **order(facts, source, self.name),
            "calibration": [str(call.inputs_path) for call in chosen],
            "digests": digests,
        }
        artefact = workshop.build("static-int8", self.builder, asked)
        variant = replace(variant, calibrated=tuple(digests))
        return built(facts, variant, artefact)


def calibration_calls(module: SampledModule) -> list[SampledCall]:
    """Calls that calibrate, and so take no part in screening or judging."""
    return calls_of(module, "calibration")[:MOST_CALIBRATION]


def _units_or_not(facts: Facts) -> Applicability:
    return found(facts, f", and the CPU has {has_int8_units(facts)}")
