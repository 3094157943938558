"""What an advice with `--family all` came to: every change that was measured, and what it loses.

Read from the JSON of the advice; nothing here measures.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any  # what JSON gives back

from advice_rows import Gain, Row, against_one_thread, per_request
from compress_labels import Paired


@dataclass(frozen=True, slots=True)
class Tried:
    """One change that was confirmed. `loss` is what the gate says in words."""

    name: str
    verdict: str
    gain: Gain | None
    fair: Gain | None
    answers: str
    file_bytes: int | None
    number: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """What was not tried, and why."""

    technique: str
    reason: str


@dataclass(slots=True)
class CompressedRow:
    """All of one workload. `labels` are by the number of a recommendation."""

    row: Row
    tried: list[Tried] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    curve: list[Mapping[str, Any]] = field(default_factory=list)
    labels: dict[str, Paired] = field(default_factory=dict)
    per_token: str = ""
    spent: str = ""
    learning: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """Plain records; null is unknown."""
        return {
            "row": self.row.as_json(),
            "tried": [asdict(t) for t in self.tried],
            "refused": [asdict(r) for r in self.refused],
            "curve": [dict(c) for c in self.curve],
            "labels": {k: asdict(v) for k, v in self.labels.items()},
            "per_token": self.per_token,
            "spent": self.spent,
            "learning": self.learning,
        }


def tried(advice: Mapping[str, Any]) -> list[Tried]:
    """Every change with a figure, what is recommended first."""
    entries = [*advice.get("recommendations", ()), *advice.get("not_recommended", ())]
    return [
        Tried(
            str(entry["name"]),
            str(entry["verdict"]),
            per_request(entry),
            against_one_thread(entry, advice),
            str((entry.get("quality") or {}).get("reason", "")),
            entry.get("file_bytes"),
            str(entry.get("number") or ""),
        )
        for entry in entries
        if entry.get("ratio") or entry.get("per_unit")
    ]


def refused(advice: Mapping[str, Any]) -> list[Refused]:
    """What did not apply, or could not be built, of what changes the model."""
    return [Refused(str(e["technique"]), str(e["reason"])) for e in advice.get("not_tried", ())]


def learning(folder: str) -> list[str]:
    """What each recipe accepted and rolled back, and why it ended, from an advice's folder."""
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "*", "manifest.json"))):
        with open(path, encoding="utf-8") as file:
            about = json.load(file).get("about") or {}
        if "recipe" not in about:
            continue
        backs = about.get("rolled_back") or []
        why = f" ({backs[-1].get('why', '')})" if backs else ""
        found.append(
            f"{about['recipe']}: {len(about.get('steps', ()))} steps accepted, {len(backs)} rolled"
            f" back{why}; it ended: {about.get('stopped', '')}"
        )
    return found


def per_token(advice: Mapping[str, Any], tokens: int | None) -> str:
    """CPU time and energy of a token, as written and with the best change."""
    if not tokens or not advice.get("recommendations"):
        return ""
    best = advice["recommendations"][0]
    written = next(b for b in advice["baselines"] if b["name"] == "as written")
    gained = per_request(best)
    cpu_s = written.get("unit_cpu_s")
    if cpu_s is None or gained is None:
        return ""
    text = f"{1e3 * cpu_s / tokens:.3g} ms of CPU a token, then {_then(cpu_s, tokens, gained)} ms"
    joules, model = written.get("unit_energy_j"), advice.get("power_model")
    if joules is not None:
        return f"{text}; {joules / tokens:.3g} J a token, counted"
    if not model:
        return text
    # Above idle, at the middle of the model's band (x0.5 to x2): an estimate, and marked as one.
    joules = cpu_s * model["active_w"] / tokens
    return (
        f"{text}; ~{1e3 * joules:.2g} mJ a token, then ~{1e3 * joules / gained.value:.2g} mJ"
        " (modelled above idle, x0.5 to x2)"
    )


def _then(cpu_s: float, tokens: int, gained: Gain) -> str:
    return f"{1e3 * cpu_s / tokens / gained.value:.3g}"
