"""Parts of the module taken out step by step, each step learnt again from its own old answers.

Channels, attention heads, MLP widths and whole layers. Nothing but captured inputs is needed. Every
accepted step is kept; the last one and some before it that drift far less are tried, also in 8-bit
whole numbers where the CPU has units.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace

from advisor.compression.building import (
    Compressed,
    Step,
    calls_of,
    compress,
    lent_folder,
    worth_trying,
)
from advisor.gates.splits import CALIBRATION_SHARE
from advisor.sampling import SampledModule
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.compression_stack import is_searched
from advisor.techniques.onnx_int8 import DynamicInt8, StaticInt8, calibration_calls
from advisor.techniques.onnx_runtime import RISK
from advisor.techniques.swapping import (
    TINY_PARAMETERS,
    built,
    export,
    found,
    has_int8_units,
    in_training_mode,
    looks_like_transformer,
    order,
    parameters,
    refuse_swap,
    refused,
    target,
)
from advisor.workshop import CannotBuildError, Workshop

_LEAST_PARAMETERS = 20_000
_LEAST_LEARNT = 48
_TRIED = 3  # of the accepted steps
LEARNT_RISK = "inputs unlike those captured may be answered worse: watch them"


class Pruning:
    """The accepted steps of structured pruning, run by ONNX Runtime."""

    name = "pruning"

    def __init__(self) -> None:
        self._facts: Facts | None = None

    def applies(self, facts: Facts) -> Applicability:
        return refuse_swap(facts) or refuse_learning(facts) or found(facts)

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        self._facts = facts
        return (
            Variant(
                name="pruned",
                technique=self.name,
                change=Change(),
                needs="onnxruntime",
                for_good="load the pruned model instead of the torch module:",
                risk=f"{LEARNT_RISK}; {RISK}",
                pays_later=True,
                lossy=True,
                answers="pruned",
            ),
        )

    def prepare(self, variant: Variant, workshop: Workshop) -> tuple[Variant, ...] | Applicability:
        facts = self._facts
        assert facts is not None
        try:
            made = compress(
                workshop,
                target(facts),
                export(facts, workshop),
                "pruning",
                {"lent": lent_folder(workshop, "torch_pruning")},
                training=in_training_mode(facts),
            )
        except CannotBuildError as reason:
            return refused(reason)
        if workshop.interrupted:
            return ()
        floats: list[Variant] = []
        whole: list[Variant] = []
        for step in worth_trying(made.steps[::-1], _TRIED):
            floats.append(step_variant(facts, variant, made, step))
            whole += in_int8(facts, floats[-1], step, workshop)
        # In 32-bit floats the boldest one only, unless that is all there is.
        return (*whole, *(floats[:1] if whole else floats))


def refuse_learning(facts: Facts) -> Applicability | None:
    """Why a module cannot learn from its own answers; None where it may."""
    count = parameters(facts)
    if count < _LEAST_PARAMETERS:
        return Applicability(False, f"{target(facts).kind} has {count:,} weights: too few to spare")
    learn, held = (_rows(target(facts), part) for part in ("calibration", "screening"))
    if learn < _LEAST_LEARNT or not held:
        many = math.ceil((_LEAST_LEARNT - learn) / CALIBRATION_SHARE)
        return Applicability(
            False,
            f"{learn} different inputs to learn from, beside those that judge, are too few: give it"
            f" about {many:,} more",
        )
    return None


def step_variant(facts: Facts, variant: Variant, made: Compressed, step: Step) -> Variant:
    """A variant that runs one accepted step."""
    weights = f"{step.about.get('parameters', 0) / 1e6:.2g} M weights"
    own = replace(variant, name=f"{variant.name}, {step.name} ({weights})", calibrated=made.learnt)
    own = built(facts, own, step.artefact(made.cost))
    return replace(own, one_off=made.cost.in_words("learning and building"))


def in_int8(facts: Facts, variant: Variant, step: Step, workshop: Workshop) -> list[Variant]:
    """The variant of a step in 8-bit whole numbers as well; none where that is no use."""
    if is_searched(facts):  # there each step is tried in every precision
        return []
    if not has_int8_units(facts) or step.about.get("parameters", 0) < TINY_PARAMETERS:
        return []
    asked = order(facts, step.artefact(), variant.technique)
    builder = DynamicInt8.builder
    if not looks_like_transformer(facts):
        builder = StaticInt8.builder
        calls = calibration_calls(target(facts))
        asked["calibration"] = [str(call.inputs_path) for call in calls]
        asked["digests"] = [call.inputs_digest for call in calls]
    name = f"{os.path.basename(os.path.dirname(step.folder))}-{step.name}-int8"
    try:
        artefact = workshop.build(name, builder, asked)
    except CannotBuildError as reason:
        workshop.tell(f"{step.name} in int8: {reason}")
        return []
    own = built(facts, replace(variant, name=f"{variant.name}, int8"), artefact)
    return [replace(own, one_off=variant.one_off, cost=None)]  # it was of the step, not of ours


def _rows(module: SampledModule, part: str) -> int:
    """How many different inputs of one part were captured."""
    shapes = [next(iter(call.shapes.values()), ("", ()))[1] for call in calls_of(module, part)]
    return sum(shape[0] if shape else 1 for shape in shapes)
