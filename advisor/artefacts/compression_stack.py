"""Searches the stack of compression in this process, and keeps the models that are worth measuring.

`order`: `original` and `bases` (folders with exported models), `precisions`, `practices`,
`screening` (calls to compare answers on), `gate`, `seed`, `time_s`, `storage` (a database URL, or
null for a file in the folder), `study`, and what builders of 8-bit models are told.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any  # what JSON gives back

from advisor.artefacts.engines import has_model
from advisor.artefacts.manifest import write_manifest
from advisor.compression_stack.making import Maker
from advisor.compression_stack.points import (
    ORIGINAL,
    Base,
    Outcome,
    Point,
    on_front,
    space_of,
    survivors,
)
from advisor.compression_stack.scoring import Scorer
from advisor.compression_stack.study import Searched, Terms, search
from advisor.gates.options import GateOptions
from advisor.workshop import STEPS, SWAP, CannotBuildError

STUDY = "study.db"


def build(order: Mapping[str, Any]) -> dict[str, object]:
    """Search, then leave the survivors, each in a folder that runs in the module's place."""
    import optuna

    folder = str(order["folder"])
    bases = [Base(**each) for each in order["bases"]]
    scorer = Scorer(str(order["original"]), order["screening"], GateOptions(**order["gate"]))
    practices = order["practices"] if scorer.is_padded else ["as it comes"]
    space = space_of(bases, {**order, "practices": practices})
    maker = Maker(folder, order)
    terms = Terms(
        str(order["storage"] or f"sqlite:///{os.path.join(folder, STUDY)}"),
        f"{order['study']}-{space.digest()}",
        int(order["seed"]),
    )
    by_name = {base.name: base for base in bases}

    def evaluate(point: Point) -> Outcome:
        print(f"trying {point.name}", flush=True)
        try:
            return scorer.score(maker.folder_of(by_name[point.base], point), point.practice)
        except CannotBuildError as reason:
            return Outcome(refused=str(reason))

    ends_s = time.monotonic() + float(order["time_s"])
    searched = search(space, terms, evaluate, lambda: time.monotonic() >= ends_s)
    kept = _kept(searched, by_name, maker)
    _tidy(folder, searched, kept, order)
    best = on_front(searched.found)
    points = [
        {"name": p.name, **asdict(p), **asdict(o), "on_front": p in best, "measured": p in kept}
        for p, o in sorted(searched.found.items(), key=lambda each: each[1].cost_ratio)
    ]
    return {
        "how": f"a search of {len(searched.found)} of {len(space.points())} combinations by Optuna",
        "versions": {"optuna": optuna.__version__},
        "points": points,
        "survivors": [p.name for p in kept],
        "space": len(space.points()),
        "taken_over": searched.taken_over,
        "stopped": searched.stopped,
        "seed": int(order["seed"]),
        "study": terms.name,
    }


def _kept(searched: Searched, bases: Mapping[str, Base], maker: Maker) -> list[Point]:
    """The survivors whose model is there: one that an earlier process made is made anew if not."""
    kept = []
    for point in survivors(searched.found):
        try:
            if not has_model(searched.found[point].folder):
                maker.folder_of(bases[point.base], point)
        except CannotBuildError:
            continue
        kept.append(point)
    return kept


def _tidy(folder: str, searched: Searched, kept: list[Point], order: Mapping[str, Any]) -> None:
    """Delete the models that nobody will measure; describe the others."""
    folders = {searched.found[point].folder for point in kept}
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(path) and path not in folders:
            shutil.rmtree(path, ignore_errors=True)
    steps = []
    for point in kept:
        outcome = searched.found[point]
        if os.path.dirname(outcome.folder) != folder:
            continue  # a step of its own technique, only served otherwise
        shutil.copyfile(SWAP, os.path.join(outcome.folder, "load.py"))
        about = {"name": point.name, **asdict(point), **asdict(outcome)}
        write_manifest(
            outcome.folder,
            how=f"{point.name}, found by a search with seed {order['seed']}",
            cost={},
            about={k: v for k, v in about.items() if k != "folder"},
            versions={},
            calibration={"calls": len(order["calibration"])},
        )
        steps.append({"name": os.path.basename(outcome.folder), "title": point.name})
    with open(os.path.join(folder, STEPS), "w", encoding="utf-8") as file:
        json.dump(steps, file, indent=1)


__all__ = ["ORIGINAL", "build"]
