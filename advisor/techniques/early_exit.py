"""Early exit: a head on a layer in the middle, which answers where it is sure.

A plain first version, for where no student can be had: the first blocks of the module with a head
of one linear layer on their pooled states, in front of the whole module as in a cascade. What the
first blocks have computed is not handed on, so a hard request pays for them twice.
"""

from __future__ import annotations

from advisor.compression.building import Compressed
from advisor.techniques.base import Applicability, Facts, Variant
from advisor.techniques.cascade import Cascade
from advisor.techniques.student import students
from advisor.workshop import CannotBuildError, Workshop


class EarlyExit(Cascade):
    """The exit that costs least together with the calls of the whole module that it causes."""

    name = "early exit"
    recipe = "exits"
    title = "early exit"

    def prepare(self, variant: Variant, workshop: Workshop) -> tuple[Variant, ...] | Applicability:
        facts = self._facts
        assert facts is not None
        if workshop.interrupted:
            return ()
        if _has_front(facts, workshop):
            return Applicability(False, "a student in front does the same for less")
        return super().prepare(variant, workshop)


def _has_front(facts: Facts, workshop: Workshop) -> bool:
    """Whether a student can stand in front of the module."""
    try:
        made: Compressed = students(facts, workshop)
    except CannotBuildError:
        return False
    return any(step.about.get("cascade") for step in made.steps)
