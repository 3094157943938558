"""The recipe: the smallest student whose answers keep to the limit, and what is known of it.

On each ladder of candidates the middle is taught first, then the middle of what is left: with
capacity answers get better, so that a few lessons find the smallest that will do. All that pass are
kept, since inputs which none of them saw decide in the end.
"""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any  # modules are of the job's own torch

from ..compressing.job import (  # noqa: TID252 - another name in a job
    CannotCompressError,
    replace_json,
)
from ..compressing.recovery import Settings, judged  # noqa: TID252
from ..compressing.work import multiplications  # noqa: TID252
from . import candidates
from .candidates import Candidate
from .confidence import rule_of
from .inputs import PERTURBATIONS, learning_set, perturbed

TRIED = "tried.json"  # also what did not pass: it is not taught twice
# Steps of learning by where it begins, and the highest rate of change.
_EPOCHS = {False: 60, True: 20}
_RATES = {False: 4e-3, True: 4e-4}
_LEAST_EPOCHS = 3
_MOST_COPIES = 30
# Multiplications a second that are planned with: what one thread of a small machine does. Planned
# and not measured, so that the same seed and budget make the same students.
_ANSWERING, _LEARNING = 2e10, 6e9
_ROW_S = 1e-4  # what a row costs beside its multiplications
_TEACHER_SHARE = 0.2  # of the time: for the teacher's answers
_LESSONS = 3  # that a ladder takes
_WORTH_IT = 0.95  # of the CPU time


def build(job: Any) -> dict[str, Any]:
    """Teach students; what was found. Raises CannotCompressError where none passes."""
    ladders, reasons = candidates.ladders(job)
    if not ladders:
        raise CannotCompressError("; ".join(reasons) or "there is no student for it")
    planned_s = max(1.0, job.planned_s)
    work = multiplications(job, job.module) / max(1, _rows(job))
    rows = sum(pair.batch.rows for pair in job.learn)
    copies = int(min(_MOST_COPIES, _TEACHER_SHARE * planned_s * _ANSWERING / (rows * work)))
    job.say(f"asking the model {rows * (copies + 1)} inputs like those captured")
    each_s = (1 - _TEACHER_SHARE) * planned_s / _LESSONS  # later ladders get what is left
    lesson = Lesson(job, learning_set(job, copies), each_s, work)
    for ladder in ladders:
        least = lesson.smallest()
        _search(lesson, [each for each in ladder if each.work < least])
    if not any(step["passes"] for step in job.steps) and not _fronts(job):
        drifts = [each["drift"] for each in lesson.tried.values()]
        if not drifts:
            raise CannotCompressError("there was no time to teach a student: a larger --budget")
        best = min(drifts, key=lambda each: float(each["value"]))
        measure = str(best["measure"])
        raise CannotCompressError(
            f"none of {len(drifts)} students keeps the limit of {job.limit_of(measure):.1%}; the"
            f" best has {best['value']:.1%} {measure}"
        )
    stopped = "its time was up" if job.out_of_time() else "the smallest that keeps the limit"
    return {
        "stopped": stopped,
        "tried": list(lesson.tried.values()),
        "copies": copies,
        "not_offered": reasons,
    }


def _fronts(job: Any) -> list[dict[str, Any]]:
    """Students that can stand in front of the original, whether they pass alone or not."""
    return [step for step in job.steps if step.get("cascade")]


def _search(lesson: Lesson, rungs: list[Candidate]) -> None:
    """Halve a ladder until the smallest that passes is known, or the time is up."""
    low, high = 0, len(rungs)  # those below `low` fail, those from `high` on pass or are too large
    while low < high and not lesson.job.out_of_time():
        middle = (low + high) // 2
        if lesson.passes(rungs[middle]):
            high = middle
        else:
            low = middle + 1


class Lesson:
    """Teaches candidates, once each; also those that a killed process has taught are known."""

    def __init__(self, job: Any, learn: list[Any], each_s: float, teacher_work: float) -> None:
        self.job = job
        self._learn = learn
        self._each_s = each_s
        self._teacher_work = teacher_work
        self._path = os.path.join(job.folder, TRIED)
        self._near = perturbed(job, 0.2, times=2)
        self.tried: dict[str, dict[str, Any]] = {}
        try:
            with open(self._path, encoding="utf-8") as file:
                self.tried = json.load(file)
        except (OSError, ValueError):
            pass

    def smallest(self) -> float:
        """The work of the smallest student that passes, over the teacher's."""
        return min([float(s["work"]) for s in self.job.steps if s["passes"]], default=math.inf)

    def passes(self, candidate: Candidate) -> bool:
        """Whether the student keeps to the limit once it was taught; then it is kept."""
        key = f"{candidate.kind}: {candidate.name}"
        if key not in self.tried:
            found = self._taught(candidate, key)
            if found is None:
                return False
            self.tried[key] = found
            replace_json(self._path, self.tried)
        return bool(self.tried[key]["passes"])

    def _taught(self, candidate: Candidate, key: str) -> dict[str, Any] | None:
        """What was found out of it; None where there was no time for it."""
        job = self.job
        job.torch.manual_seed(job.seed)
        student = candidate.make()
        epochs = self._epochs(candidate)
        job.say(f"teaching {candidate.name} ({candidate.work:.2g} of the work), {epochs} epochs")
        before = job.learn
        job.learn = self._learn
        try:
            settings = Settings(epochs, _RATES[candidate.from_teacher], job.seed)
            learnt = job.recover(student, settings)
        finally:
            job.learn = before
        drift = job.drift(student)
        if learnt.ended_early and not self._keeps(drift):
            return None
        near = judged(student, job.answer, self._near, job.outputs)
        about = {
            "kind": candidate.kind,
            "student": candidate.name,
            "work": candidate.work,
            "drift": drift.as_json(),
            "near_drift": near.value,
            "limit": job.limit_of(drift.measure),
            "seed": job.seed,
            "learnt": {**learnt.as_json(), "epochs": epochs},
            "inputs": sum(pair.batch.rows for pair in self._learn),
        }
        passed = self._keeps(drift)
        # Little is left to do once the time is up: what passes is kept, and no more is found out.
        rule = None if job.out_of_time() else rule_of(job, student)
        if passed or rule is not None:
            about["perturbed"] = [] if job.out_of_time() else self._perturbed(student)
            about["cascade"] = rule
            step = job.exported(_folder_name(key), student, {**about, "passes": passed})
            worth_it = step["cpu_ratio"] <= _WORTH_IT
            step["passes"] = passed = passed and worth_it
            (job.keep if worth_it else job.drop)(step)
        job.say(f"{candidate.name}: {drift.value:.1%} {drift.measure} of {drift.rows}")
        return {**about, "passes": passed}

    def _keeps(self, drift: Any) -> bool:
        """Within the limit, give or take what so few inputs can tell."""
        limit = self.job.limit_of(drift.measure)
        spread = math.sqrt(limit * (1 - limit) / max(1, drift.rows)) if 0 < limit < 1 else 0.0
        if drift.measure == "relative error":
            spread = 0.0
        return bool(drift.value <= limit + spread)

    def _perturbed(self, student: Any) -> list[dict[str, Any]]:
        """How often it still answers as the teacher does, on inputs that are ever stranger."""
        found = []
        for kind in PERTURBATIONS:
            drift = judged(
                student, self.job.answer, perturbed(self.job, kind.strength), self.job.outputs
            )
            found.append({"how": kind.name, "strength": kind.strength, **drift.as_json()})
        return found

    def _epochs(self, candidate: Candidate) -> int:
        """As many as fit into the time of a lesson, as it was planned."""
        rows = sum(pair.batch.rows for pair in self._learn)
        row_s = 3 * candidate.work * self._teacher_work / _LEARNING + _ROW_S
        most = _EPOCHS[candidate.from_teacher]
        return max(_LEAST_EPOCHS, min(most, int(self._each_s / (rows * row_s))))


def _rows(job: Any) -> int:
    tensors = job.flat.tensors()
    return int(tensors[0].shape[0]) if tensors and tensors[0].dim() else 1


def _folder_name(key: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", key.lower()).strip("-")
