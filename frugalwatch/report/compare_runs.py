"""Two or more recorded runs side by side: ratios, intervals where they are due, and differences.

Runs stand on sides: those that a person put there, else one side for each version of a command
(same words and folder, same commit, same machine), else each run for itself. The first side with a
run that ended well is what the others are held against.

The rules are those of `report.compare`. An interval takes three runs on either side, each side of
one command. Measured energy is compared only where every run has all of it, from the same kinds of
devices; otherwise CPU time is, since modelled energies would only compare the model with itself.
Runs that failed or go on are shown, and left out of every ratio.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from frugalwatch.config.settings import Settings
from frugalwatch.errors import LedgerError
from frugalwatch.report.attribution import OWN_MACHINE
from frugalwatch.report.compare import ENOUGH, Ratio, ratio_of
from frugalwatch.report.documents import run_document
from frugalwatch.report.format import command_line, percent

SCHEMA = "frugalwatch.comparison/1"
# In the order in which they are shown; the first that can be compared is the headline.
QUANTITIES = ("energy_j", "cpu_s", "duration_s", "energy_per_step_j", "co2e_g")
_OF_ENERGY = ("energy_j", "energy_per_step_j", "co2e_g")
# What a run object has that FrugalWatch wrote; one by another tool, or by hand, may not.
_NEEDED = ("run_id", "state", "exit_code", "command", "duration_s", "energy_j", "estimated_j")
_SENSORS = ("measured", "derived")


class ComparedRun(NamedTuple):
    """One run of a comparison. Any: the run object is JSON."""

    number: int
    side: str
    document: Mapping[str, Any]
    command_hash: str
    machine: int
    left_out: str

    @property
    def kind(self) -> tuple[object, ...]:
        """What makes two runs runs of the same version of a command."""
        return (self.command_hash, self.machine, self.document.get("git_commit"))


class SideRatio(NamedTuple):
    """One quantity of one side over that of the first; `why` says what is missing of it."""

    quantity: str
    side: str
    against: str
    found: Ratio | None
    counts: tuple[int, int]
    why: str


class Comparison(NamedTuple):
    """What is known of these runs beside each other. `headline` is the quantity to lead with."""

    runs: tuple[ComparedRun, ...]
    sides: tuple[str, ...]
    headline: str
    ratios: tuple[SideRatio, ...]
    notes: tuple[str, ...]

    def on(self, side: str) -> list[ComparedRun]:
        """The runs of one side."""
        return [run for run in self.runs if run.side == side]


def compare_runs(
    connection: sqlite3.Connection,
    numbers: Sequence[int],
    settings: Settings,
    sides: Mapping[int, str] | None = None,
) -> Comparison:
    """The comparison of these runs. `sides` puts each of them on one; None: by what they are of.

    Raises NotFoundError, LedgerError (what is stored of one is not complete), sqlite3.Error.
    """
    found = [_read(connection, number, settings) for number in sorted(set(numbers))]
    placed = _placed(found, sides)
    names = tuple(dict.fromkeys(run.side for run in placed))
    usable = {run.side for run in placed if not run.left_out}
    against = next((name for name in names if name in usable), names[0])
    ratios = tuple(
        _side_ratio(quantity, placed, side, against)
        for quantity in QUANTITIES
        for side in names
        if side != against
    )
    headline = next((r.quantity for r in ratios if r.found is not None), "cpu_s")
    return Comparison(tuple(placed), names, headline, ratios, tuple(_notes(placed, names)))


def _read(connection: sqlite3.Connection, number: int, settings: Settings) -> ComparedRun:
    document, _ = run_document(connection, number, settings)
    missing = [key for key in _NEEDED if key not in document]
    if missing:
        raise LedgerError(f"what is stored about run {number} is not complete: no {missing[0]}")
    command_hash, machine = connection.execute(
        "SELECT command_hash, boot.machine_id FROM run JOIN boot ON boot.id = run.boot_id"
        " WHERE run.id = ?",
        (number,),
    ).fetchone()
    return ComparedRun(number, "", document, command_hash, machine, _why_left_out(document))


def _why_left_out(document: Mapping[str, Any]) -> str:
    if document["state"] == "running":
        return "goes on"
    if document["exit_code"] is None:
        return f"was {document['state']}, its exit status is unknown"
    if document["exit_code"] != 0:
        return f"failed, exit {document['exit_code']}"
    return "" if document["state"] == "done" else f"was {document['state']}"


def _placed(runs: list[ComparedRun], sides: Mapping[int, str] | None) -> list[ComparedRun]:
    """The runs with their sides, side by side, the first side first."""
    chosen = set(sides.values()) if sides else set()
    if sides and len(chosen) > 1:
        placed = [run._replace(side=sides[run.number]) for run in runs]
        return sorted(placed, key=lambda run: (run.side, run.number))
    kinds = list(dict.fromkeys(run.kind for run in runs))
    alone = len(kinds) == 1
    placed = [
        run._replace(side=_letter(place if alone else kinds.index(run.kind)))
        for place, run in enumerate(runs)
    ]
    return sorted(placed, key=lambda run: (len(run.side), run.side, run.number))


def _letter(place: int) -> str:
    """A, B, ... Z, AA, AB."""
    rest, last = divmod(place, 26)
    return (_letter(rest - 1) if rest else "") + chr(ord("A") + last)


def _side_ratio(quantity: str, runs: Sequence[ComparedRun], side: str, against: str) -> SideRatio:
    these = [run for run in runs if run.side == side and not run.left_out]
    others = [run for run in runs if run.side == against and not run.left_out]
    counts = (len(these), len(others))

    def without(why: str) -> SideRatio:
        return SideRatio(quantity, side, against, None, counts, why)

    if not these or not others:
        return without(f"no run of side {side if not these else against} ended well")
    why = _why_no_match(quantity, these, others)
    if why:
        return without(why)
    left, right = [_value(r, quantity) for r in these], [_value(r, quantity) for r in others]
    if not all(left) or not all(right):
        return without("not every run has one")
    found = ratio_of([v for v in left if v], [v for v in right if v])
    mixed = [n for n, group in ((side, these), (against, others)) if not _is_one_command(group)]
    if mixed and found.low is not None:
        found = Ratio(found.ratio, None, None, "no interval")
    return SideRatio(quantity, side, against, found, counts, _why_no_interval(counts, mixed))


def _why_no_match(
    quantity: str, these: Sequence[ComparedRun], others: Sequence[ComparedRun]
) -> str:
    """Why two sides cannot be held against each other in this quantity; empty if they can."""
    if quantity not in _OF_ENERGY:
        return ""
    everyone = [*these, *others]
    if any(run.document["energy_j"] is None for run in everyone):
        return "energy is modelled here, not measured"
    partial = [run.number for run in everyone if _is_partial(run)]
    if partial:
        return f"run {partial[0]} misses part of its energy"
    if len({_measured_kinds(run) for run in everyone}) > 1:
        return "not the same kinds of devices were measured"
    return ""


def _is_partial(run: ComparedRun) -> bool:
    return any(event["energy_missing"] for event in run.document["events"])


def _measured_kinds(run: ComparedRun) -> tuple[str, ...]:
    """Which kinds of devices are in the sum, and how many of each."""
    return tuple(
        sorted(
            str(device["domain"])
            for device in run.document["devices"]
            if device["counted"] and device["origin"] in _SENSORS
        )
    )


def value_of(document: Mapping[str, Any], quantity: str) -> float | None:
    """A run's figure in one of the quantities; None where it is unknown."""
    found = document.get(quantity)
    if quantity == "energy_per_step_j":
        found = (document.get("steps") or {}).get(quantity)
    return None if found is None else float(found)


def _value(run: ComparedRun, quantity: str) -> float | None:
    return value_of(run.document, quantity)


def _is_one_command(runs: Sequence[ComparedRun]) -> bool:
    return len({run.command_hash for run in runs}) == 1


def _why_no_interval(counts: tuple[int, int], mixed: Sequence[str]) -> str:
    if mixed:
        return f"side {mixed[0]} mixes commands: no interval"
    if min(counts) >= ENOUGH:
        return ""
    if counts == (1, 1):
        return "one run each: no interval"
    return f"{counts[0]} against {counts[1]}: no interval below {ENOUGH} runs each"


def _notes(runs: Sequence[ComparedRun], sides: Sequence[str]) -> list[str]:
    """What a person should know before believing a ratio."""
    notes = [f"run {r.number} {r.left_out}: left out of every ratio" for r in runs if r.left_out]
    for label, read in _DIFFERENCES:
        values = {read(run) for run in runs}
        if len(values) > 1:
            notes.append(f"{label} differ: {_spelled(runs, sides, read)}")
    shared = [
        run
        for run in runs
        if run.document.get("busy_share") is not None and run.document["busy_share"] < OWN_MACHINE
    ]
    for run in shared[:3]:
        part = percent(run.document["busy_share"])
        notes.append(f"others ran beside run {run.number}: it had {part} of the busy CPU time")
    if any(run.document["energy_j"] is None and run.document["estimated_j"] for run in runs):
        notes.append("where energy is modelled, compare CPU time: the model follows from it")
    return notes


def _commit(run: ComparedRun) -> str:
    return str(run.document.get("git_commit") or "none")[:10]


def _zone(run: ComparedRun) -> str:
    return str((run.document.get("carbon") or {}).get("zone", "none"))


_DIFFERENCES = (
    ("commands", lambda run: command_line(list(run.document["command"]), 60)),
    ("folders", lambda run: str(run.document.get("cwd", ""))),
    ("commits", _commit),
    ("machines", lambda run: str(run.document.get("host", ""))),
    ("zones", _zone),
)


def _spelled(runs: Sequence[ComparedRun], sides: Sequence[str], read: Any) -> str:
    """`A train.py, B train.py --amp`; Any: one of the readers above."""
    parts = []
    for side in sides[:4]:
        values = list(dict.fromkeys(read(run) for run in runs if run.side == side))
        parts.append(f"{side} {' and '.join(values[:2])}{' ...' if len(values) > 2 else ''}")
    return "; ".join(parts) + (" ..." if len(sides) > 4 else "")


def comparison_object(found: Comparison) -> dict[str, object]:
    """The comparison as JSON: schema frugalwatch.comparison/1."""
    return {
        "schema": SCHEMA,
        "headline": found.headline,
        "sides": [
            {
                "side": side,
                "runs": [run.number for run in found.on(side)],
                "used": [run.number for run in found.on(side) if not run.left_out],
            }
            for side in found.sides
        ],
        "ratios": [
            {
                "quantity": entry.quantity,
                "side": entry.side,
                "against": entry.against,
                "these_count": entry.counts[0],
                "others_count": entry.counts[1],
                "ratio": entry.found.ratio if entry.found else None,
                "low": entry.found.low if entry.found else None,
                "high": entry.found.high if entry.found else None,
                "verdict": entry.found.verdict if entry.found else "not compared",
                "why": entry.why or None,
            }
            for entry in found.ratios
        ],
        "notes": list(found.notes),
        "runs": [
            {"side": run.side, "left_out": run.left_out or None, **run.document}
            for run in found.runs
        ],
    }
