"""Structured pruning, a little at a time: take out, learn, judge, keep or roll back, measure.

Each step takes out the same share of what hurts least for what it saves, and learns from the
teacher's cached answers. A step whose answers drift too far is rolled back and tried once at half
the share with twice the learning; a step that saves no time is the last one.
"""

from __future__ import annotations

import copy
import statistics
from typing import Any, NamedTuple  # torch and modules are of the job's own version

from . import candidates
from .candidates import Candidate
from .channels import Graph
from .job import CannotCompressError, Job
from .losses import Drift
from .operations import apply, prepared
from .recovery import Settings, batch_norms, refresh_norms, teacher_loss

CRITERIA = ("taylor", "l2", "l1", "activation")
_WORTH_IT = 0.97  # of the CPU time of the step before
_MOST_STEPS = 16


class Plan(NamedTuple):
    """How to prune: `ratio` a step, `epochs` of learning, `criterion` "auto" or one of CRITERIA.

    `retry` is whether a step that fails is tried once more at half the ratio. `kinds` are what may
    be taken out.
    """

    ratio: float = 0.15
    epochs: int = 3
    rate: float = 0.0  # 0: what suits the model
    criterion: str = "auto"
    retry: bool = True
    most_steps: int = _MOST_STEPS
    kinds: tuple[str, ...] = ("channels", "heads", "layers")


class Attempt(NamedTuple):
    """One changed model and what it was changed by."""

    model: Any
    operations: list[dict[str, Any]]
    drift: Drift
    about: dict[str, Any]


def build(job: Job) -> dict[str, Any]:
    """Prune the job's module step by step, from the last accepted step on.

    Returns why it `stopped`, what was `rolled_back`, and the `sensitivity` of each part.
    """
    known = {k: v for k, v in dict(job.options.get("plan") or {}).items() if k in Plan._fields}
    plan = Plan(**known)
    candidates.refuse_strange(job)
    model = prepared(job)
    operations: list[dict[str, Any]] = []
    if job.steps:
        operations = list(job.steps[-1]["operations"])
        apply(job, model, operations)
        model.load_state_dict(job.state(job.steps[-1]))
        model.eval()
    log: dict[str, Any] = {"rolled_back": [], "sensitivity": [], "left_out": {}}
    stopped = ""
    while not stopped:
        stopped, model, operations = _step(job, plan, model, operations, log)
    return {"stopped": stopped, "seed": job.seed, **log}


def _step(
    job: Job, plan: Plan, model: Any, operations: list[dict[str, Any]], log: dict[str, Any]
) -> tuple[str, Any, list[dict[str, Any]]]:
    """One more step: why it was the last one, or nothing; the model and operations from then on."""
    number = len(job.steps) + 1
    if number > plan.most_steps:
        return f"{plan.most_steps} steps are enough", model, operations
    job.say(f"step {number}: what each part is worth")
    found = candidates.find(job, model)
    log["left_out"] = {**log["left_out"], **found.left_out}
    usable = [each for each in found.candidates if each.kind in plan.kinds]
    if not log["sensitivity"]:
        log["sensitivity"] = [each.as_json() for each in usable]
    if job.out_of_time():
        return "its time was up", model, operations
    if not usable:
        why = next(iter(log["left_out"].values()), "")
        return f"nothing can be taken out of it{': ' + why if why else ''}", model, operations
    for attempt in range(2 if plan.retry else 1):
        ratio, epochs = plan.ratio / (1 + attempt), plan.epochs * (1 + attempt)
        seed = job.seed + 1000 * number + attempt
        tried = _attempt(job, plan, model, usable, ratio, epochs, seed)
        if tried is None:
            return "nothing more can be taken out of it", model, operations
        said = f"{100 * tried.drift.value:.1f} % {tried.drift.measure}"
        if acceptable(job, tried.drift):
            every = [*operations, *tried.operations]
            about = {"operations": every, "drift": tried.drift.as_json(), **tried.about}
            step = job.exported(f"step-{number}", tried.model, about)
            if step["before_ratio"] > _WORTH_IT:
                job.drop(step)
                saves = f"it takes {step['before_ratio']:.2f} times the CPU time"
                log["rolled_back"].append({"step": number, "ratio": ratio, "why": saves})
                return f"step {number} pays nothing: {saves} of the one before", model, operations
            job.keep(step, tried.model)
            job.say(f"step {number} kept: {step['cpu_ratio']:.2f} of the CPU time, {said}")
            return "", tried.model, every
        why = f"{said} on {tried.drift.rows} held-out inputs"
        log["rolled_back"].append({"step": number, "ratio": ratio, "why": why})
        job.say(f"step {number} rolled back: {said}")
        if tried.about["recovery"]["ended_early"]:
            return "its time was up", model, operations
    return f"step {number} was rolled back: {why}", model, operations


def acceptable(job: Job, drift: Drift) -> bool:
    """Whether a step may stay: twice the limit, since what is judged in the end is judged anew.

    One input of few is always let pass.
    """
    return drift.value <= max(2 * job.limit, 1.5 / max(1, drift.rows))


def _attempt(
    job: Job,
    plan: Plan,
    model: Any,
    usable: list[Candidate],
    ratio: float,
    epochs: int,
    seed: int,
) -> Attempt | None:
    """The best of what can be taken out at this ratio, after learning; None where nothing can."""
    moves = _moves(job, plan, model, usable, ratio)
    best: tuple[float, Any, list[dict[str, Any]], str] | None = None
    whole = candidates.operations_of(job, model)
    some = job.learn[:6]
    for criterion, operations in moves:
        trial = copy.deepcopy(model)
        apply(job, trial, operations)
        refresh_norms(trial, job.answer, some)
        saved = 1 - candidates.operations_of(job, trial) / whole
        harm = teacher_loss(trial, job.answer, some, job.outputs)
        if saved > 0 and (best is None or harm / saved < best[0]):
            best = (harm / saved, trial, operations, criterion)
    if best is None:
        return None
    _, changed, operations, criterion = best
    job.say(f"learning again after {_in_words(operations)} went ({criterion})")
    rate = plan.rate or (2e-3 if batch_norms(changed) else 5e-4)
    recovered = job.recover(changed, Settings(epochs, rate, seed))
    about = {
        "criterion": criterion,
        "ratio": ratio,
        "recovery": recovered.as_json(),
        "seed": seed,
    }
    return Attempt(changed, operations, job.drift(changed), about)


def _moves(
    job: Job, plan: Plan, model: Any, usable: list[Candidate], ratio: float
) -> list[tuple[str, list[dict[str, Any]]]]:
    """What may be taken out in one step: channels and heads by each criterion, or one layer."""
    parts = [each for each in usable if each.kind != "layers"]
    counts = shares(parts, ratio)
    criteria = CRITERIA if plan.criterion == "auto" else (plan.criterion,)
    found: list[tuple[str, list[dict[str, Any]]]] = []
    if counts:
        graph = Graph(job, model) if any(e.kind == "channels" for e in counts) else None
        candidates.with_gradients(job, model)
        for criterion in criteria:
            operations = [
                {
                    "kind": each.kind,
                    "at": each.at,
                    "remove": candidates.least(
                        candidates.scores(job, model, each.kind, each.at, criterion, graph), count
                    ),
                }
                for each, count in counts.items()
            ]
            # Channels after heads: what hangs together is looked at once then.
            operations.sort(key=lambda each: str(each["kind"]), reverse=True)
            found.append((criterion, operations))
        model.zero_grad(set_to_none=True)
    rows = [each for each in usable if each.kind == "layers"]
    if rows:
        mildest = min(rows, key=lambda each: each.harm / each.saved)
        found.append(("layer", [{"kind": "layers", "at": mildest.at, "remove": [mildest.place]}]))
    return found


def shares(parts: list[Candidate], ratio: float) -> dict[Candidate, int]:
    """How many to take out of each part: more where a trial saved much for the harm that it did.

    The most sensitive parts keep all; nobody loses more than one and a half times the ratio.
    """
    if not parts:
        return {}
    values = {each: each.saved / (each.harm + 1e-6) for each in parts}
    middle = statistics.median(values.values())
    found = {}
    for each, value in values.items():
        weight = min(1.5, max(0.0, (value / middle) ** 0.5)) if middle else 1.0
        if weight < 0.25:
            continue
        wanted = weight * ratio * each.size
        if each.kind == "heads":
            count = min(each.size - 1, round(wanted))
        else:
            count = candidates.rounded(each.size, wanted)
        if 0 < count < each.size:
            found[each] = count
    if not found:  # steps of eight are too coarse for it: the best part gives its least
        best = max(parts, key=lambda each: values[each])
        step = 1 if best.kind == "heads" else 8 if best.size >= 48 else 4 if best.size >= 16 else 1
        if best.size > step:
            found[best] = step
    return found


def _in_words(operations: list[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for each in operations:
        counts[each["kind"]] = counts.get(each["kind"], 0) + len(each["remove"])
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


__all__ = ["CRITERIA", "CannotCompressError", "Plan", "acceptable", "build", "shares"]
