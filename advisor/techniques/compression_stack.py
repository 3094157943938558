"""Smaller models in other precisions, served in other ways: searched together, the best measured.

What other techniques accepted (steps of pruning, students) is where it starts from, so it comes
after them. The search is advisor/artefacts/compression_stack.py, in a building process.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from typing import Any  # what JSON gives back

from advisor.artefacts.manifest import read_manifest
from advisor.compression.building import calls_of
from advisor.compression_stack.points import (
    OPENVINO_INT8,
    ORIGINAL,
    STUDENT,
    SURVIVORS,
    Base,
    Point,
    Precision,
)
from advisor.techniques.base import (
    COMPRESSION_STACK,
    Applicability,
    Change,
    Facts,
    Technique,
    Variant,
)
from advisor.techniques.onnx_int8 import DynamicInt8, StaticInt8, WeightInt8, calibration_calls
from advisor.techniques.onnx_runtime import RISK
from advisor.techniques.openvino_int8 import MODE_SCALED, OpenVinoInt8
from advisor.techniques.swapping import (
    built,
    export,
    found,
    order,
    parameters,
    refuse_swap,
    refused,
    target,
)
from advisor.techniques.unpadding import Unpadding
from advisor.workshop import STEPS, Artefact, CannotBuildError, Workshop

_BUILDER, _FOLDER = "compression_stack", "compression-stack"
_MOST_SCREENING = 256  # calls
# Whose steps stand alone, and how they are called; exits and cascades ask the original too.
_RECIPES = {"pruning": "pruned", "students": STUDENT}
_NEEDS_OPTUNA = "needs optuna: pip install 'frugalwatch[advisor]'"


class CompressionStack:
    """Base, precision and practice, searched as one space."""

    name = COMPRESSION_STACK

    def __init__(self) -> None:
        self._facts: Facts | None = None

    def applies(self, facts: Facts) -> Applicability:
        if not has_optuna():
            return Applicability(False, _NEEDS_OPTUNA)
        return refuse_swap(facts) or found(facts)

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        self._facts = facts
        return (
            Variant(
                name=self.name,
                technique=self.name,
                change=Change(),
                needs="onnxruntime",
                for_good="load the smaller model instead of the torch module:",
                risk=f"inputs unlike those captured may be answered worse: watch them; {RISK}",
                pays_later=True,
                lossy=True,
            ),
        )

    def prepare(self, variant: Variant, workshop: Workshop) -> tuple[Variant, ...] | Applicability:
        facts = self._facts
        assert facts is not None
        bases = _smaller(workshop)
        if not bases:
            return Applicability(False, "there is no smaller model to stack anything on")
        try:
            original = export(facts, workshop)
            bases = [Base(ORIGINAL, original.folder, parameters(facts)), *bases]
            asked = self._order(facts, workshop, original, bases)
            artefact = workshop.build(_FOLDER, _BUILDER, asked, goes_on=True)
        except CannotBuildError as reason:
            return refused(reason)
        except KeyboardInterrupt:  # what was found is kept, and resumed from
            workshop.interrupted = True
            return ()
        workshop.curve = _curve(artefact)
        learnt = tuple(call.inputs_digest for call in calls_of(target(facts), "calibration"))
        made = [
            _stacked(facts, variant, each, artefact, learnt)
            for each in artefact.about["points"]
            if each["name"] in artefact.about["survivors"]
        ]
        if made:
            return tuple(made)
        return Applicability(False, "no combination costs less than its parts within the limit")

    def _order(
        self, facts: Facts, workshop: Workshop, original: Artefact, bases: list[Base]
    ) -> dict[str, object]:
        calibration = calibration_calls(target(facts))
        screening = calls_of(target(facts), "screening")[:_MOST_SCREENING]
        padded = Unpadding().applies(facts).yes
        return {
            **order(facts, original),
            "mode": MODE_SCALED,  # what OpenVINO's int8 is told
            "original": original.folder,
            "bases": [asdict(base) for base in bases],
            "precisions": _precisions(facts),
            "practices": ["as it comes", *(["un-padding"] if padded else [])],
            "screening": [[c.number, c.inputs_digest, str(c.inputs_path)] for c in screening],
            "calibration": [str(call.inputs_path) for call in calibration],
            "digests": [call.inputs_digest for call in calibration],
            "gate": asdict(workshop.gate),
            "seed": workshop.seed,
            "time_s": workshop.search_s,
            "storage": workshop.storage,
            "study": f"frugalwatch-{_key(workshop.folder)}",
        }


def has_optuna() -> bool:
    """Whether it is installed beside us; it is imported by the building process alone."""
    from importlib.util import find_spec

    return find_spec("optuna") is not None


def is_searched(facts: Facts) -> bool:
    """Whether combinations of smaller models and precisions are searched, so nobody else need."""
    return has_optuna() and COMPRESSION_STACK not in facts.excluded


def _smaller(workshop: Workshop) -> list[Base]:
    """The accepted steps of every technique that makes the model smaller."""
    bases = []
    for name in sorted(os.listdir(workshop.folder)):
        word = _RECIPES.get(name.rpartition("-")[0])
        folder = os.path.join(workshop.folder, name)
        for step in _steps(folder) if word else []:
            place = os.path.join(folder, str(step["name"]))
            about = (read_manifest(place) or {}).get("about") or {}
            if about.get("parameters") and os.path.exists(os.path.join(place, "model.onnx")):
                title = str(step["name"])
                title = title if str(word) in title else f"{word} {title}"
                bases.append(Base(title, place, int(about["parameters"])))
    return bases


def _steps(folder: str) -> list[dict[str, Any]]:
    try:
        with open(os.path.join(folder, STEPS), encoding="utf-8") as file:
            steps = json.load(file)
    except (OSError, ValueError):
        return []
    return [each for each in steps if isinstance(each, dict)] if isinstance(steps, list) else []


def _precisions(facts: Facts) -> list[Precision]:
    """Those that could apply to the original, whatever its size: a builder refuses what is slow."""
    known: list[tuple[Precision, Technique]] = [
        ("static int8", StaticInt8()),
        ("dynamic int8", DynamicInt8()),
        ("weight-only int8", WeightInt8()),
        (OPENVINO_INT8, OpenVinoInt8()),
    ]
    return ["float", *[name for name, technique in known if technique.applies(facts).yes]]


def _stacked(
    facts: Facts,
    variant: Variant,
    about: dict[str, Any],
    artefact: Artefact,
    learnt: tuple[str, ...],
) -> Variant:
    """The variant that runs one point of the search."""
    point = Point(about["base"], about["precision"], about["practice"])
    folder = Artefact(str(about["folder"]), artefact.cost)
    needs = "openvino" if point.precision == OPENVINO_INT8 else variant.needs
    own = replace(variant, name=point.name, needs=needs, calibrated=learnt, answers=point.answers)
    own = replace(built(facts, own, folder), cost=float(about["cost_ratio"]))
    if point.practice == "un-padding":
        served = Unpadding().variants(facts)[0]
        change = own.change.with_(served.change)
        own = replace(own, change=change, code=f"{own.code}\n{served.code}")
    return replace(own, one_off=artefact.cost.in_words("learning, building and searching"))


def _curve(artefact: Artefact) -> dict[str, object]:
    """What the report shows of the search: every point, and where it stopped."""
    about = artefact.about
    names = ("name", "base", "precision", "practice", "cost_ratio", "drift", "limit")
    kept = (*names, "hopeless", "sentence", "refused", "on_front", "measured")
    return {
        "points": [{k: each[k] for k in kept} for each in about["points"]],
        "space": about["space"],
        "stopped": about["stopped"],
        "seed": about["seed"],
        "study": about["study"],
        "measured_at_most": SURVIVORS,
        "cpu_s": artefact.cost.cpu_s,
    }


def _key(folder: str) -> str:
    """What no other advice has, also in a database that several share."""
    try:
        with open(os.path.join(folder, "advice.json"), encoding="utf-8") as file:
            return str(json.load(file)["key"])
    except (OSError, ValueError, KeyError):
        return os.path.basename(folder)
