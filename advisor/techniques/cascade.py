"""A student in front of the original: it answers where it is sure, and asks the original else.

The threshold of its confidence is set on inputs that taught it nothing, of the screening part. A
student too small to stand alone may do here. How often it asks is counted on inputs that nothing
was set by; latencies include the calls of the original, since the whole is measured.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any  # what a recipe says of a student

from advisor.compression.building import Compressed, Step, calls_of
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.onnx_runtime import RISK
from advisor.techniques.pruning import refuse_learning
from advisor.techniques.student import students
from advisor.techniques.swapping import built, export, found, order, refuse_swap, refused, target
from advisor.workshop import Artefact, CannotBuildError, Workshop

_WORTH_IT = 0.9  # of the original's CPU time, as far as can be told before it is measured
_TRIED = 2


class Cascade:
    """The students that cost least together with the calls of the original that they cause."""

    name = "cascade"
    recipe = "students"
    title = "cascade"

    def __init__(self) -> None:
        self._facts: Facts | None = None

    def applies(self, facts: Facts) -> Applicability:
        return refuse_swap(facts) or refuse_learning(facts) or found(facts)

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        self._facts = facts
        return (
            Variant(
                name=self.title,
                technique=self.name,
                change=Change(),
                needs="onnxruntime",
                for_good="load the cascade instead of the torch module, and watch its `alarm`:",
                risk=f"hard requests pay for both models, which the slowest will feel; {RISK}",
                pays_later=True,
                lossy=True,
                answers="learnt",
            ),
        )

    def prepare(self, variant: Variant, workshop: Workshop) -> tuple[Variant, ...] | Applicability:
        facts = self._facts
        assert facts is not None
        try:
            made = students(facts, workshop, self.recipe)
            if workshop.interrupted:
                return ()
            fronts = sorted(_fronts(made), key=expected)
            if not fronts or expected(fronts[0]) > _WORTH_IT:
                return Applicability(False, self._why_not(facts, fronts))
            return tuple(
                self._assembled(facts, variant, workshop, made, each) for each in fronts[:_TRIED]
            )
        except CannotBuildError as reason:
            return refused(reason)

    def _assembled(
        self, facts: Facts, variant: Variant, workshop: Workshop, made: Compressed, step: Step
    ) -> Variant:
        source = export(facts, workshop)
        judging = [str(call.inputs_path) for call in calls_of(target(facts), "judging")]
        asked = {
            **order(facts, source),
            "student": step.folder,
            "rule": step.about["cascade"],
            "judging": judging,
        }
        name = f"{self.name.replace(' ', '-')}-{os.path.basename(step.folder)}"
        artefact = workshop.build(name, "cascade", asked)
        own = replace(
            variant,
            name=f"{variant.name}, {step.about['student']} ({escalation(artefact)})",
            calibrated=made.learnt,
            risk=f"{variant.risk}; {watch(artefact)}",
        )
        cost = made.cost.plus(artefact.cost)
        return replace(built(facts, own, artefact), one_off=cost.in_words("learning and building"))

    def _why_not(self, facts: Facts, fronts: list[Step]) -> str:
        if not fronts:
            return (
                f"{target(facts).kind}: no student is sure enough of its answers, or they are no"
                " scores of classes"
            )
        share = 100 * float(fronts[0].about["cascade"]["escalated"])
        return f"the best student would ask the original {share:.0f} % of the time"


def _fronts(made: Compressed) -> list[Step]:
    """Students that have a threshold."""
    return [step for step in made.steps if step.about.get("cascade")]


def expected(step: Step) -> float:
    """CPU time of the cascade over the original's, by what calibration saw."""
    rule: dict[str, Any] = step.about["cascade"]
    return float(step.about["cpu_ratio"]) + float(rule["escalated"])


def escalation(artefact: Artefact) -> str:
    """How often the original is asked, with bounds."""
    about = artefact.about
    if about.get("escalated") is None:
        return "unknown how often it asks"
    value, low, high = (100 * about[f"escalated{end}"] for end in ("", "_low", "_high"))
    return f"asks {value:.1f} % [{low:.1f}, {high:.1f}]"


def watch(artefact: Artefact) -> str:
    """What to look at in production."""
    return f"alarm where it asks for more than {100 * artefact.about['alarm_rate']:.0f} %"
