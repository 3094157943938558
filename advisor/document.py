"""The advice as JSON: schema `frugalwatch.advice/1`, described in docs/explanation/advisor.md.

It is what is stored, printed with --json, and what the terminal report is drawn from. Units are in
the key names; ratios are "with the change" over "as written"; null is unknown.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any  # what JSON gives back

from advisor.footprint import file_bytes
from advisor.inside import Inside
from advisor.needs import Needs
from advisor.points import pareto_points, timeline
from advisor.quality import metric_of_baseline
from advisor.ranking import (
    BAND,
    Baseline,
    Judgement,
    Question,
    against_itself,
    baseline,
    resolution,
)
from advisor.statistics import Ratio
from advisor.stored_trials import Earlier
from advisor.techniques.base import Applicability, export_lines
from advisor.trials import BASE, BASELINES, Trial, Trials
from advisor.verdicts import WORTH_IT
from advisor.work_kind import WorkKind
from advisor.workload import Workload
from advisor.workshop import Cost
from frugalwatch import __version__
from frugalwatch.machine import cpu_name, memory_bytes

SCHEMA = "frugalwatch.advice/1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a technique answered on whether it applies."""

    technique: str
    applicability: Applicability


@dataclass(frozen=True, slots=True)
class Work:
    """What a replay's work is counted in, how much of it there was, and of what kind it is.

    `unit` is None and `count` 0 where nothing was counted.
    """

    unit: str | None = None
    count: int = 0
    kind: WorkKind = "unknown"

    def as_json(self) -> dict[str, object]:
        return {"kind": self.kind, "unit": self.unit, "count": self.count}


@dataclass(frozen=True, slots=True)
class Setting:
    """What the search was given, for whoever wants to repeat it; `earlier`: before a --resume.

    `building` is what making what was tried has cost: exports, quantizing, learning.
    """

    budget: str = ""
    cpus: int | None = None
    inside: Inside | None = None
    earlier: Earlier = field(default_factory=Earlier)
    building: Cost = field(default_factory=lambda: Cost(energy_j=0.0))


def advice_document(
    *,
    number: int,
    workload: Workload,
    question: Question,
    trials: Trials,
    judgements: Sequence[Judgement],
    answers: Sequence[Answer],
    one_thread: str | None,
    notes: Sequence[str],
    state: str,
    isolation: str,
    metric_pattern: str | None,
    wall_s: float,
    work: Work | None = None,
    stop_after: str | None = None,
    setting: Setting | None = None,
) -> dict[str, object]:
    """Everything that `advise` found."""
    setting = setting or Setting()
    itself = against_itself(trials, question)
    unused = setting.earlier.without(trials.all)
    wall_s += sum(t.taken_s or 0.0 for t in unused)
    spent = _spent([*unused, *trials.all], wall_s, setting.building)
    recommended = [j for j in judgements if j.verdict in WORTH_IT]
    others = [j for j in judgements if j.verdict not in WORTH_IT]
    names = [b.name for b in BASELINES]
    as_written = baseline(trials, names, BASE.name)
    on_front = pareto_points(as_written, judgements, resolution(itself) or 0.0)
    return {
        "schema": SCHEMA,
        "advice": f"A{number}",
        "state": state,
        "command": list(workload.masked),
        "cwd": workload.cwd,
        "stdin": workload.stdin_path,
        "run": workload.run_id,
        "host": os.uname().nodename,
        "unit": question.unit,
        "kind": "replayed in program",
        "stop_after": stop_after,
        "work": (work or Work()).as_json(),
        "workload": None if workload.source is None else workload.source.as_json(),
        "isolation": isolation,
        "rounds": trials.rounds("confirmation"),
        "screening_rounds": trials.rounds("screening"),
        "trials": len(trials.all) + len(unused),
        "against_itself": None if itself is None else itself.as_json(),
        "resolution": resolution(itself),
        "baselines": [
            _baseline(found)
            for found in (
                as_written,
                None if one_thread is None else baseline(trials, [one_thread], "one thread"),
            )
            if found is not None
        ],
        "metric": metric_of_baseline(trials.all),
        "metric_pattern": metric_pattern,
        "tolerance": question.tolerance,
        "max_drop_points": question.gate.max_drop_points,
        "gate": question.gate.as_text(),
        "recommendations": [
            {**_recommendation(place, j, question, spent), "on_front": _is_on(on_front, j)}
            for place, j in enumerate(recommended, 1)
        ],
        "not_recommended": [{**_judgement(j), "on_front": _is_on(on_front, j)} for j in others],
        "pareto": on_front,
        "tried": _reasons(a for a in answers if a.applicability.yes),
        "not_tried": _reasons(a for a in answers if not a.applicability.yes),
        "spent": spent,
        "building": {"cpu_s": setting.building.cpu_s, "energy_j": setting.building.energy_j},
        "notes": [*notes, *_beyond(as_written, question)],
        "limits": question.limits.as_json(),
        "power_model": None
        if question.power is None
        else {"idle_w": question.power.idle_w, "active_w": question.power.active_w},
        "seed": question.seed,
        "budget": setting.budget,
        "cpus": setting.cpus,
        "machine": {"cpu": cpu_name(), "memory_bytes": memory_bytes()},
        "versions": {
            "frugalwatch": __version__,
            "python": platform.python_version(),
            "torch": setting.inside.torch if setting.inside else None,
        },
        "time_shares": dict(setting.inside.shares) if setting.inside else {},
        "timeline": timeline(sorted([*unused, *trials.all], key=_began)),
    }


def decisive_ratio(row: Mapping[str, Any]) -> Mapping[str, float]:
    """The ratio of a recommendation on which its verdict rests, and that `verify` measures again.

    Of whole runs; of one unit of work where only that is clear; of time where it saves waiting.
    """
    decided_by = row.get("decided_by", "whole")
    if decided_by == "unit":
        found: Mapping[str, float] = row["per_unit"]["ratio"]
        return found
    whole: Mapping[str, float] = row["wall_ratio" if decided_by == "time" else "ratio"]
    return whole


def _reasons(answers: Iterable[Answer]) -> list[dict[str, str]]:
    return [{"technique": a.technique, "reason": a.applicability.reason} for a in answers]


def _beyond(as_written: Baseline | None, question: Question) -> list[str]:
    """That the program itself keeps no limit, which then no change need be blamed for."""
    if as_written is None:
        return []
    needs = as_written.needs
    beyond = question.limits.exceeded_by(needs.latency, needs.peak_memory_bytes)
    return [f"the program as written: {beyond}"] if beyond else []


def _is_on(points: Sequence[Mapping[str, object]], judgement: Judgement) -> bool:
    return any(p["name"] == judgement.variant.name and p["on_front"] for p in points)


def _began(trial: Trial) -> int:
    return trial.replay.started_utc_ns


def _spent(trials: Sequence[Trial], wall_s: float, building: Cost) -> dict[str, float | None]:
    """What finding it cost: replays, and what was built for them."""
    joules = [*(t.replay.energy_j for t in trials), building.energy_j]
    known = [j for j in joules if j is not None]
    return {
        "cpu_s": building.cpu_s + sum(t.replay.cpu_s or 0.0 for t in trials),
        "wall_s": wall_s,
        "energy_j": sum(known) if known and len(known) == len(joules) else None,
    }


def _baseline(found: Baseline) -> dict[str, object]:
    return {
        "name": found.name,
        "cpu_s": found.cpu_s,
        "wall_s": found.wall_s,
        "energy_j": found.energy_j,
        "unit_cpu_s": found.unit_cpu_s,
        "unit_energy_j": found.unit_energy_j,
        "unit_wall_s": found.unit_wall_s,
        **_needs(found.needs),
    }


def _needs(needs: Needs) -> dict[str, object]:
    return {
        "latency": None if needs.latency is None else needs.latency.as_json(),
        "peak_memory_bytes": needs.peak_memory_bytes,
    }


def _judgement(judgement: Judgement) -> dict[str, object]:
    variant, quality = judgement.variant, judgement.quality
    return {
        "name": variant.name,
        "technique": variant.technique,
        "change": variant.change.as_json(),
        "verdict": judgement.verdict,
        "reason": judgement.reason,
        "ratio": _ratio(judgement.main),
        "wall_ratio": _ratio(judgement.wall),
        "modelled_energy_ratios": [
            {"active_power_factor": k, **m.as_json()}
            for k, m in zip(BAND, judgement.modelled, strict=False)
        ],
        "versus_one_thread": _ratio(judgement.versus_one_thread),
        **_needs(judgement.needs),
        "artefact": variant.artefact,
        "file_bytes": None if variant.artefact is None else file_bytes(variant.artefact),
        "quality": {
            "finding": quality.finding,
            "reason": quality.reason,
            "metric": quality.metric,
            "drift": quality.drift,
            "lossless": quality.lossless,
            "outputs": None if quality.agreement is None else quality.agreement.as_json(),
            "by_gate": variant.lossy,
            "gate": None if quality.gate is None else quality.gate.as_json(),
            "calibrated": list(variant.calibrated),
        },
        "per_unit": {
            "ratio": _ratio(judgement.per_unit),
            "versus_one_thread": _ratio(judgement.unit_versus_one_thread),
            "saved": judgement.saved_per_unit,
            "start_extra": judgement.start,
            "first_start_extra": judgement.first_start,
            "pay_back_units": judgement.pay_back_units,
        },
    }


def _recommendation(
    place: int, judgement: Judgement, question: Question, spent: dict[str, float | None]
) -> dict[str, object]:
    variant = judgement.variant
    saved = judgement.saved
    cost = spent["energy_j"] if question.unit == "energy_j" else spent["cpu_s"]
    pay_back = None
    if judgement.decided_by == "whole" and saved is not None and saved[1] > 0 and cost is not None:
        pay_back = math.ceil(cost / saved[1])
    return {
        "number": place,
        "decided_by": judgement.decided_by,
        **_judgement(judgement),
        "saves_energy": judgement.saves_energy,
        "saved_per_run": None
        if saved is None
        else {"value": saved[0], "low": saved[1], "high": saved[2]},
        "pay_back_runs": pay_back,
        "needs": variant.needs,
        "one_off": variant.one_off,
        "risk": variant.risk,
        "for_good": variant.for_good,
        "shell": export_lines(variant.change),
        "code": variant.code,
    }


def _ratio(ratio: Ratio | None) -> dict[str, float | int] | None:
    return None if ratio is None else ratio.as_json()
