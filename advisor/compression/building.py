"""A recipe of `in_job/compressing` run on the program's module; every accepted step is kept.

It runs in a replay of the program, whose only folder that stays is the one where steps are kept, so
an advise that is killed goes on from the last of them. Ctrl-C ends it and keeps what there is.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any  # what JSON gives back

from advisor.artefacts.manifest import write_manifest
from advisor.gates.splits import part_of
from advisor.left_behind import number
from advisor.workshop import STEPS, SWAP, Artefact, CannotBuildError, Cost, Workshop
from frugalwatch.json_files import read_json

if TYPE_CHECKING:
    from advisor.gates.options import GateOptions
    from advisor.sampling import SampledCall, SampledModule

_ENTRY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "in_job")
COMPRESS = os.path.join(_ENTRY, "compress.py")
_ENDING_S = 60.0  # after its time is up: to end the step that it is at
_LATE = "its time was up"  # as recipes say it
_MOST_LEARNT = 512  # calls; more would be learnt from less often
_MOST_HELD = 256
_LARGE_PARAMETERS = 5_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """One accepted step: a folder that runs in the module's place, and what was found out of it.

    `about` has `cpu_ratio` (of the exported model as it was), `drift`, `parameters`, `bytes`.
    """

    name: str
    folder: str
    about: Mapping[str, Any]

    def artefact(self, cost: Cost | None = None) -> Artefact:
        """The step as an exported model, for what is built of it."""
        return Artefact(self.folder, cost or Cost(), dict(self.about.get("export") or {}))


@dataclass(frozen=True, slots=True)
class Compressed:
    """What a recipe made. `stopped` says why it ended; `learnt` are digests of its inputs."""

    artefact: Artefact
    steps: tuple[Step, ...]
    stopped: str
    learnt: tuple[str, ...]

    @property
    def cost(self) -> Cost:
        return self.artefact.cost


def compress(
    workshop: Workshop,
    module: SampledModule,
    base: Artefact,
    recipe: str,
    options: Mapping[str, object] = MappingProxyType({}),
    *,
    training: bool = False,
) -> Compressed:
    """Run a recipe on a module whose export is `base`, or take what an earlier run of it made.

    `options` are the recipe's own; `training` says that the program calls the module in that mode.
    Raises CannotBuildError where no step was accepted, with the reason.
    """
    name = f"{recipe}-{module.number}"
    learn, held = calls_of(module, "calibration")[:_MOST_LEARNT], calls_of(module, "screening")
    order = {
        "limit": 1 - workshop.gate.least("agreement"),
        "limits": limits(workshop.gate),
        "seed": workshop.seed,
        "planned_s": workshop.compress_s,
        "threads": _threads(module),
        **options,
        "recipe": recipe,
        "swap": SWAP,
        "base": base.folder,
        "learn": [str(call.inputs_path) for call in learn],
        "held": [str(call.inputs_path) for call in held[:_MOST_HELD]],
    }
    artefact = workshop.once(
        name, lambda folder: _made(workshop, module, order, folder, training), goes_on=True
    )
    steps = tuple(
        Step(str(each["name"]), os.path.join(artefact.folder, str(each["name"])), each)
        for each in artefact.about["steps"]
    )
    digests = tuple(dict.fromkeys(call.inputs_digest for call in learn if call.inputs_digest))
    return Compressed(artefact, steps, str(artefact.about.get("stopped", "")), digests)


def limits(gate: GateOptions) -> dict[str, float]:
    """What may change at most, by what the recipes measure: shares, and a relative error."""
    return {
        "other classes": 1 - gate.least("agreement"),
        "other neighbours": 1 - gate.least("overlap"),
        "relative error": gate.least("error"),
    }


def _threads(module: SampledModule) -> int:
    """A large module has work for all CPUs; in a small one they would wait for each other."""
    large = int(module.about.get("parameters") or 0) >= _LARGE_PARAMETERS
    return len(os.sched_getaffinity(0)) if large else 1


def worth_trying(steps: Sequence[Step], most: int) -> list[Step]:
    """Of steps that come with what saves most first: that one, and others that drift far less.

    What is judged in the end is judged on other inputs, where the boldest step may fail: each one
    after it drifts half as far at most as the one before. Where there are no such, it is the next.
    """
    chosen: list[Step] = []
    while steps and len(chosen) < most:
        bold = _drift(chosen[-1]) if chosen else math.inf
        left = [step for step in steps if step not in chosen]
        if not left:
            break
        chosen.append(next((step for step in left if _drift(step) <= bold / 2), left[0]))
    return chosen


def _drift(step: Step) -> float:
    return float((step.about.get("drift") or {}).get("value", 0.0))


def calls_of(module: SampledModule, part: str) -> list[SampledCall]:
    """Captured calls of one part of the inputs, each input once."""
    found: dict[str, SampledCall] = {}
    for call in module.kept:
        first = next(iter(call.shapes.values()), ("", ()))[1]
        rows = first[0] if first else 1
        if part_of(call.number, rows) == part and call.inputs_digest:
            found.setdefault(call.inputs_digest, call)
    return list(found.values())


def lent_folder(workshop: Workshop, package: str) -> str:
    """A folder that holds one pure Python package of ours and nothing else.

    Raises CannotBuildError where it is not installed here.
    """
    from importlib.util import find_spec

    spec = find_spec(package)
    if spec is None or spec.origin is None:
        name = package.replace("_", "-")
        raise CannotBuildError(
            f"needs {name} beside frugalwatch: pip install 'frugalwatch[advisor]'"
        )
    folder = workshop.replayer.new_folder("lent")
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(os.path.dirname(spec.origin), os.path.join(folder, package), ignore=skipped)
    return folder


def _made(
    workshop: Workshop,
    module: SampledModule,
    order: Mapping[str, object],
    folder: str,
    training: bool,
) -> Artefact:
    _note_killed(folder)
    earlier = _earlier(folder)
    time_s = workshop.compress_s - earlier.wall_s
    switch = {
        "factory": f"{COMPRESS}:make",
        "class": module.kind,
        "options": _order_file(workshop, {**order, "folder": folder, "time_s": max(0.0, time_s)}),
        "training": training,
    }
    began_s = time.monotonic()
    _forget(folder, "result.json")
    _forget(folder, "progress.json")
    try:
        replay = workshop.replayer.replay(
            ask={"switches": {"replace": switch}},
            limit_s=max(0.0, time_s) + _ENDING_S,
            open_also=(folder,),
            meanwhile=_progress(workshop, folder, str(order["recipe"])),
        )
        cost = Cost(replay.cpu_s or 0.0, replay.wall_s or 0.0, replay.energy_j)
        late = replay.state == "timeout"
        ended = f"{_LATE}: a larger --budget" if late else replay.tail()
    except KeyboardInterrupt:
        workshop.interrupted = True
        told = read_json(os.path.join(folder, "progress.json"))  # the least that it used
        cost = Cost(number(told.get("cpu_s")) or 0.0, time.monotonic() - began_s)
        ended = "it was interrupted"
    cost = cost.plus(earlier)
    _note_spent(folder, cost)
    _forget(folder, "progress.json")
    workshop.spent = workshop.spent.plus(cost)
    found = read_json(os.path.join(folder, "result.json"))
    steps = _steps(folder)
    if not steps:
        raise CannotBuildError(_reason(module.kind, found, ended))
    about: dict[str, object] = {
        "recipe": order["recipe"],
        "seed": order.get("seed", 0),
        "steps": steps,
        "stopped": found.get("stopped") or found.get("why_not") or _LATE,
        **{k: v for k, v in found.items() if k not in ("steps", "stopped", "why_not")},
    }
    versions = {"torch": str(getattr(workshop.sample, "torch", ""))}
    for step in steps:
        if not workshop.interrupted:  # then it is gone on from
            _forget(os.path.join(folder, str(step["name"])), "state.pt")
        _describe(os.path.join(folder, str(step["name"])), order, step, cost, versions)
    if workshop.interrupted:  # no manifest: it goes on from here when it is resumed
        return Artefact(folder, cost, about)
    write_manifest(
        folder,
        how=f"{order['recipe']}: {len(steps)} accepted steps",
        cost={"cpu_s": cost.cpu_s, "wall_s": cost.wall_s, "energy_j": cost.energy_j},
        about=about,
        versions=versions,
        calibration={"calls": len(_list(order["learn"]))},
    )
    return Artefact(folder, cost, about)


def _describe(
    folder: str,
    order: Mapping[str, object],
    step: Mapping[str, Any],
    cost: Cost,
    versions: Mapping[str, str],
) -> None:
    shutil.copyfile(SWAP, os.path.join(folder, "load.py"))
    write_manifest(
        folder,
        how=f"{order['recipe']}, step {step['name']}, seed {order.get('seed', 0)}",
        cost={"cpu_s": cost.cpu_s, "wall_s": cost.wall_s, "energy_j": cost.energy_j},
        about=dict(step),
        versions=versions,
        calibration={"calls": len(_list(order["learn"]))},
    )


def _order_file(workshop: Workshop, order: Mapping[str, object]) -> dict[str, str]:
    """The order as a file, since a variable of the environment has room for so much only."""
    path = os.path.join(workshop.replayer.new_folder("order"), "order.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(order, file)
    return {"order": path}


def _progress(workshop: Workshop, folder: str, recipe: str) -> Any:
    said = [""]

    def look() -> None:
        doing = str(read_json(os.path.join(folder, "progress.json")).get("doing", ""))
        if doing and doing != said[0]:
            said[0] = doing
            workshop.tell(f"{recipe}: {doing}")

    return look


def _steps(folder: str) -> list[dict[str, Any]]:
    try:
        with open(os.path.join(folder, STEPS), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return []
    whole = [e for e in found if os.path.exists(os.path.join(folder, str(e["name"]), "model.onnx"))]
    unread = ("operations", "state")  # of use to the recipe alone
    return [{k: v for k, v in each.items() if k not in unread} for each in whole]


def _reason(kind: str, found: Mapping[str, object], ended: str) -> str:
    if found.get("why_not"):
        return f"{kind} is left as it is: {found['why_not']}"
    if found.get("stopped"):
        early = ", before a step was done: a larger --budget" if found["stopped"] == _LATE else ""
        return f"{kind} is left as it is: {found['stopped']}{early}"
    last = ended.strip().splitlines()[-1:] or ["it ended without a word"]
    return f"{kind} is left as it is: {last[0][:200]}"


def _note_killed(folder: str) -> None:
    """Add what a run that was killed had used, as far as it told."""
    left = read_json(os.path.join(folder, "progress.json"))
    if left:
        used = Cost(number(left.get("cpu_s")) or 0.0, number(left.get("wall_s")) or 0.0)
        _note_spent(folder, _earlier(folder).plus(used))


def _earlier(folder: str) -> Cost:
    """What runs of the same recipe that were cut short have used."""
    known = read_json(os.path.join(folder, "spent.json"))
    return Cost(
        number(known.get("cpu_s")) or 0.0,
        number(known.get("wall_s")) or 0.0,
        number(known.get("energy_j")) if known else 0.0,
    )


def _note_spent(folder: str, cost: Cost) -> None:
    with open(os.path.join(folder, "spent.json"), "w", encoding="utf-8") as file:
        json.dump({"cpu_s": cost.cpu_s, "wall_s": cost.wall_s, "energy_j": cost.energy_j}, file)


def _forget(folder: str, name: str) -> None:
    path = os.path.join(folder, name)
    if os.path.exists(path):
        os.unlink(path)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
