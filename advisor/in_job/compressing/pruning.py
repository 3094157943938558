"""Structured pruning, a little at a time: take out, learn, judge, keep or roll back, measure.

Each step takes out the same share of what hurts least for what it saves. Linear layers behind it
are fitted to what is left; where that keeps the limit it is enough, else the model learns from the
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
from .recovery import Recovered, Settings, batch_norms, refresh_norms, teacher_loss
from .refit import refit

CRITERIA = ("taylor", "l2", "l1", "activation", "output")
_WORTH_IT = 0.97  # of the CPU time of the step before
_MOST_STEPS = 16
_PATIENCE = 2  # steps in a row that save no time
_LOOK_AGAIN = 3  # steps after which each part is tried alone once more
_LOOKED_AT = 64  # rows that a way to take out is judged by
_LARGE = 5_000_000  # weights
_CHANNELS_OF = {"channels": 1, "heads": 32}  # what one of a kind counts as, about


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


class _Move(NamedTuple):
    """What may be taken out in one step; `harm` is its loss, `fitted` the layers behind it."""

    model: Any
    operations: list[dict[str, Any]]
    criterion: str
    saved: float
    harm: float
    fitted: tuple[str, ...] = ()


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
    pruner = _Pruner(job, plan, model, operations)
    stopped = ""
    while not stopped:
        stopped = pruner.step()
    return {"stopped": stopped, "seed": job.seed, **pruner.log}


class _Pruner:
    """The loop's state: the model, what was taken out of it so far, and what was found out.

    Steps that saved no time are not kept, but gone on from once: blocks of channels make time fall
    in stairs.
    """

    def __init__(self, job: Job, plan: Plan, model: Any, operations: list[dict[str, Any]]) -> None:
        self._job, self._plan = job, plan
        self._model, self._operations = model, operations
        # As it would be, had it never been cut short.
        before = dict(job.steps[-1].get("state") or {}) if job.steps else {}
        self._known = [Candidate(*each) for each in before.get("known", ())]
        self._tries = int(before.get("tries", 0))
        self._unpaid = 0
        self.log: dict[str, Any] = {"rolled_back": [], "sensitivity": [], "left_out": {}}

    def step(self) -> str:
        """One more step: why it was the last one, or nothing."""
        job, plan = self._job, self._plan
        number = len(job.steps) + 1
        if number > plan.most_steps:
            return f"{plan.most_steps} steps are enough"
        usable = self._usable(number)
        if job.out_of_time():
            return "its time was up"
        if not usable:
            why = next(iter(self.log["left_out"].values()), "")
            return f"nothing can be taken out of it{': ' + why if why else ''}"
        self._tries += 1
        why = ""
        for attempt in range(2 if plan.retry else 1):
            ratio, epochs = plan.ratio / (1 + attempt), plan.epochs * (1 + attempt)
            seed = job.seed + 1000 * self._tries + attempt
            tried = _attempt(job, plan, self._model, usable, ratio, epochs, seed)
            if tried is None:
                return "nothing more can be taken out of it"
            if acceptable(job, tried.drift):
                return self._take(number, ratio, tried)
            said = f"{100 * tried.drift.value:.1f} % {tried.drift.measure}"
            why = f"{said} on {tried.drift.rows} held-out inputs"
            self._note(number, ratio, why)
            job.say(f"step {number} rolled back: {said}")
            if tried.about["recovery"]["ended_early"]:
                return "its time was up"
        return f"step {number} was rolled back: {why}"

    def _take(self, number: int, ratio: float, tried: Attempt) -> str:
        job = self._job
        every = [*self._operations, *tried.operations]
        self._model, self._operations = tried.model, every
        if any(each["kind"] == "layers" for each in tried.operations):
            self._known = []  # the others stand at other places now
        about = {
            "operations": every,
            "state": {"known": [list(each) for each in self._known], "tries": self._tries},
            "drift": tried.drift.as_json(),
            **tried.about,
        }
        step = job.exported(f"step-{number}", tried.model, about)
        if step["before_ratio"] <= _WORTH_IT:
            self._unpaid = 0
            job.keep(step, tried.model)
            said = f"{100 * tried.drift.value:.1f} % {tried.drift.measure}"
            job.say(f"step {number} kept: {step['cpu_ratio']:.2f} of the CPU time, {said}")
            return ""
        job.drop(step)
        self._unpaid += 1
        saves = f"it takes {step['before_ratio']:.2f} times the CPU time"
        self._note(number, ratio, saves)
        if self._unpaid < _PATIENCE:
            return ""
        return f"step {number} pays nothing: {saves} of the one before"

    def _usable(self, number: int) -> list[Candidate]:
        job = self._job
        if self._known and self._tries % _LOOK_AGAIN:
            self._known = candidates.resized(job, self._model, self._known)
            return self._known
        job.say(f"step {number}: what each part is worth")
        found = candidates.find(job, self._model)
        self.log["left_out"] = {**self.log["left_out"], **found.left_out}
        self._known = [each for each in found.candidates if each.kind in self._plan.kinds]
        if not self.log["sensitivity"]:
            self.log["sensitivity"] = [each.as_json() for each in self._known]
        return self._known

    def _note(self, number: int, ratio: float, why: str) -> None:
        self.log["rolled_back"].append({"step": number, "ratio": ratio, "why": why})


def acceptable(job: Job, drift: Drift) -> bool:
    """Whether a step may stay: twice the limit, since what is judged in the end is judged anew.

    One input of few is always let pass.
    """
    return drift.value <= max(2 * job.limit_of(drift.measure), 1.5 / max(1, drift.rows))


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
    found = _found(job, model, _moves(job, plan, model, usable, ratio))
    if not found:
        return None
    best = min(found, key=lambda each: each.harm / each.saved)
    changed, operations, criterion, fitted = (
        best.model,
        best.operations,
        best.criterion,
        best.fitted,
    )
    drift, learnt = job.drift(changed), Recovered(0.0, 0, 0.0, 0.0, ended_early=False)
    enough = fitted and not batch_norms(changed) and drift.value <= job.limit_of(drift.measure)
    if not enough:
        job.say(f"learning again after {_in_words(operations)} went ({criterion})")
        rate = plan.rate or _rate(changed)
        again = copy.deepcopy(changed)
        learnt = job.recover(again, Settings(epochs, rate, seed))
        after = job.drift(again)
        if not fitted or after.value <= drift.value:  # few inputs can teach the wrong thing
            changed, drift = again, after
    about = {
        "criterion": criterion,
        "ratio": ratio,
        "fitted": list(fitted),
        "recovery": learnt.as_json(),
        "seed": seed,
    }
    return Attempt(changed, operations, drift, about)


def _rate(model: Any) -> float:
    """The highest rate that suits it: what is large and was taught much forgets at a high one."""
    if batch_norms(model):
        return 2e-3
    return 2e-4 if sum([p.numel() for p in model.parameters()]) >= _LARGE else 5e-4


def _found(job: Job, model: Any, moves: list[tuple[str, list[dict[str, Any]]]]) -> list[_Move]:
    """The best way to take out parts, and that of whole layers, each fitted to what is left."""
    whole = candidates.operations_of(job, model)
    some = candidates.few(job, _LOOKED_AT)
    best: dict[bool, _Move] = {}
    for criterion, operations in moves:
        trial = copy.deepcopy(model)
        apply(job, trial, operations)
        refresh_norms(trial, job.answer, some)
        saved = 1 - candidates.operations_of(job, trial) / whole
        harm = teacher_loss(trial, job.answer, some, job.outputs)
        move = _Move(trial, operations, criterion, saved, harm)
        layers = criterion == "layer"
        other = best.get(layers)
        if saved > 0 and (other is None or harm / saved < other.harm / other.saved):
            best[layers] = move
    found = []
    for move in best.values():
        fitted = refit(job, model, move.model)
        harm = teacher_loss(move.model, job.answer, some, job.outputs) if fitted else move.harm
        found.append(move._replace(harm=harm, fitted=fitted))
    return found


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
    """How many to take out of each part, so that of all together it is about `ratio`.

    In blocks, one by one, from the part that saves most for the harm that it does; what was taken
    already makes more of it worth less. No part loses more than twice the ratio, or one block.
    """
    wanted = ratio * sum(each.size * _CHANNELS_OF[each.kind] for each in parts)
    found = dict.fromkeys(parts, 0)
    values = {each: each.saved / (each.harm + 1e-6) for each in parts}
    middle = statistics.median(values.values()) if parts else 0.0

    def next_value(part: Candidate) -> float:
        step, taken = candidates.step_of(part.kind, part.size), found[part]
        most = max(step, 2 * ratio * part.size)
        if taken + step > min(most, part.size - step):
            return 0.0
        # Far from the others is not infinitely better: one trial does not tell that much.
        value = min(4 * middle, max(0.05 * middle, values[part]))
        return value * (1 - taken / part.size) ** 2 / (step * _CHANNELS_OF[part.kind])

    while sum(n * _CHANNELS_OF[each.kind] for each, n in found.items()) < wanted:
        best = max(parts, key=next_value)
        if next_value(best) <= 0:
            break
        found[best] += candidates.step_of(best.kind, best.size)
    return {each: count for each, count in found.items() if count}


def _in_words(operations: list[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for each in operations:
        counts[each["kind"]] = counts.get(each["kind"], 0) + len(each["remove"])
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


__all__ = ["CRITERIA", "CannotCompressError", "Plan", "acceptable", "build", "shares"]
