"""A smaller model that has learnt to answer as the program's own does, in its place.

Students are derived from the module alone, or made by the user's own factory; teacher is the
module, data are captured inputs, labels there are none. Those that keep the limit are tried, also
in 8-bit whole numbers where the CPU has units and the student is no trifle.
"""

from __future__ import annotations

from advisor.compression.building import Compressed, Step, compress, worth_trying
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.onnx_runtime import RISK
from advisor.techniques.pruning import in_int8, refuse_learning, step_variant
from advisor.techniques.swapping import (
    export,
    found,
    in_training_mode,
    refuse_swap,
    refused,
    target,
)
from advisor.workshop import CannotBuildError, Workshop

_TRIED = 3  # of the students that pass
# Of the time for changing the model: exporting and measuring students takes some, and plans err.
_PLANNED_SHARE = 0.7
_RISK = "it knows only what the captured inputs showed: watch inputs unlike them"


class Student:
    """The smallest students that keep the limit, or keep to it far better, run by ONNX Runtime."""

    name = "student"

    def __init__(self) -> None:
        self._facts: Facts | None = None

    def applies(self, facts: Facts) -> Applicability:
        return refuse_swap(facts) or refuse_learning(facts) or found(facts)

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        self._facts = facts
        return (
            Variant(
                name="student",
                technique=self.name,
                change=Change(),
                needs="onnxruntime",
                for_good="load the student instead of the torch module:",
                risk=f"{_RISK}; {RISK}",
                pays_later=True,
                lossy=True,
                answers="learnt",
            ),
        )

    def prepare(self, variant: Variant, workshop: Workshop) -> tuple[Variant, ...] | Applicability:
        facts = self._facts
        assert facts is not None
        try:
            made = students(facts, workshop)
        except CannotBuildError as reason:
            return refused(reason)
        if workshop.interrupted:
            return ()
        passed = by_work(made)
        if not passed:
            return Applicability(False, f"{target(facts).kind}: no student keeps the limit")
        chosen: list[Variant] = []
        for step in worth_trying(passed, _TRIED):
            own = step_variant(facts, variant, made, step)
            chosen += [own, *in_int8(facts, own, step, workshop)]
        return tuple(chosen)


def students(facts: Facts, workshop: Workshop, recipe: str = "students") -> Compressed:
    """What a recipe of `in_job/distilling` makes of the target. Raises CannotBuildError."""
    return compress(
        workshop,
        target(facts),
        export(facts, workshop),
        recipe,
        {
            "package": "distilling",
            "planned_s": _PLANNED_SHARE * workshop.compress_s,
            "copies": 0,  # the recipe makes changed inputs of its own
            "factory": factory(workshop),
        },
        training=in_training_mode(facts),
    )


def by_work(made: Compressed) -> list[Step]:
    """The students that keep the limit, the smallest first."""
    passed = [step for step in made.steps if step.about.get("passes", True)]
    return sorted(passed, key=lambda each: float(each.about["work"]))


def factory(workshop: Workshop) -> str:
    """FILE:function that makes the user's own students: named, or in a workload.py; else empty."""
    from advisor.workloads.recognise import defined_in

    if workshop.student:
        return workshop.student
    source = workshop.replayer.workload.source
    if source is not None and source.kind == "workload file":
        name = "make_student"
        return f"{source.path}:{name}" if name in defined_in(source.path) else ""
    return ""
