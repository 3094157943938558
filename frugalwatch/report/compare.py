"""This run beside earlier runs of the same command: a ratio, and an interval where one is due.

The two sides are the runs of this version of the code (this run's commit, this run included) and
the runs before them. An interval needs at least three runs on either side. What is compared is
measured energy where every run has it in full, else CPU time, since modelled energies would only
compare the model with itself.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from frugalwatch.report.run_object import Settled

# So many runs on either side an interval takes.
ENOUGH = 3
_LATEST = 40
_ROUNDING = 1e-9  # equal runs have an interval of no width, and sums of floats are not exact
# Two-sided 95 % quantiles of Student's t for 1 to 5 degrees of freedom, and of the normal.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571)
_NORMAL95 = 1.95996


class Ratio(NamedTuple):
    """One side's geometric mean over the other's, with its 95 % interval where one is due.

    `verdict` is `less`, `more`, `no clear difference`, or `no interval`.
    """

    ratio: float
    low: float | None
    high: float | None
    verdict: str


def compare_with_earlier(
    connection: sqlite3.Connection, settled: Settled
) -> dict[str, object] | None:
    """This version's runs against the earlier ones on this machine; None if there are none.

    `ratio` is the geometric mean of these runs over that of the earlier ones; `low` and `high` are
    its 95 % interval (Welch's, on logarithms), None with fewer than three runs on a side.
    """
    if settled.document["exit_code"] != 0:
        return None
    rows = connection.execute(
        "SELECT e.id, e.energy_uj, e.job_cpu_us, e.git_commit IS t.git_commit,"
        " EXISTS (SELECT 1 FROM event x WHERE x.run_id = e.id AND x.energy_missing = 1)"
        " FROM run e"
        " JOIN boot eb ON eb.id = e.boot_id"
        " JOIN run t ON t.id = ? JOIN boot tb ON tb.id = t.boot_id"
        " WHERE e.command_hash = t.command_hash AND eb.machine_id = tb.machine_id AND e.id < t.id"
        " AND e.state = 'done' AND e.exit_code = 0 ORDER BY e.id DESC LIMIT ?",
        (settled.run_id, _LATEST),
    ).fetchall()
    mine = (
        settled.run_id,
        round(settled.measured.value * 1e6) if settled.measured and _is_whole(settled) else None,
        round(float(settled.document["cpu_s"]) * 1e6)  # type: ignore[arg-type]  # a JSON value
        if settled.document["cpu_s"] is not None
        else None,
    )
    for column, quantity in ((1, "energy_j"), (2, "cpu_s")):
        # Part of an energy is no match for a whole one; of CPU time nothing is missing.
        chosen = [r for r in rows if not r[4]] if quantity == "energy_j" else rows
        same, other = [r for r in chosen if r[3]], [r for r in chosen if not r[3]]
        these, earlier = ([mine, *same], other) if other else ([mine], same)
        left, right = _positive(these, column), _positive(earlier, column)
        if left and right and len(left) == len(these) and len(right) == len(earlier):
            return _compared(quantity, left, right, [r[0] for r in earlier])
    return None


def _is_whole(settled: Settled) -> bool:
    """Whether no gap swallowed any of the energy: a part is no match for a whole."""
    events = settled.document["events"]
    assert isinstance(events, list)
    return not any(event["energy_missing"] for event in events)


def _positive(rows: Sequence[Sequence[int | None]], column: int) -> list[float]:
    return [r[column] / 1e6 for r in rows if r[column]]  # type: ignore[operator]  # None is falsy


def _compared(
    quantity: str, these: list[float], earlier: list[float], runs: list[int]
) -> dict[str, object]:
    found = ratio_of(these, earlier)
    return {
        "quantity": quantity,
        "these_count": len(these),
        "earlier_count": len(earlier),
        "earlier_runs": runs[:10],
        "earlier_min": min(earlier),
        "earlier_max": max(earlier),
        **found._asdict(),
    }


def ratio_of(these: Sequence[float], others: Sequence[float]) -> Ratio:
    """The ratio of two sides of positive values, with Welch's interval on their logarithms.

    Without ENOUGH values on both sides there is no interval: a single run has no spread to see.
    """
    left, right = [math.log(x) for x in these], [math.log(x) for x in others]
    difference = _mean(left) - _mean(right)
    if min(len(left), len(right)) < ENOUGH:
        return Ratio(math.exp(difference), None, None, "no interval")
    half = _half_width(left, right)
    low, high = math.exp(difference - half), math.exp(difference + half)
    verdict = "no clear difference"
    if high < 1 - _ROUNDING:
        verdict = "less"
    elif low > 1 + _ROUNDING:
        verdict = "more"
    return Ratio(math.exp(difference), low, high, verdict)


def _half_width(left: list[float], right: list[float]) -> float:
    parts = [(_variance(side) / len(side), len(side) - 1) for side in (left, right)]
    spread = sum(v for v, _ in parts)
    if spread == 0:
        return 0.0
    freedom = spread**2 / sum(v**2 / df for v, df in parts if v > 0)
    return _student95(max(1, int(freedom))) * math.sqrt(spread)


def _student95(freedom: int) -> float:
    """The quantile; beyond the table by its expansion in 1/freedom, right to 0.1 % there."""
    if freedom <= len(_T95):
        return _T95[freedom - 1]
    z = _NORMAL95
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _variance(values: list[float]) -> float:
    mean = _mean(values)
    return sum((x - mean) ** 2 for x in values) / (len(values) - 1)
