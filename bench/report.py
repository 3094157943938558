"""Medians of the rounds, as a table for a terminal or for the docs, and our own budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from contenders import Contender
from machine import Machine
from metering import Cost

OURS = "frugalwatch"
_KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One tool's medians over the rounds that ended with the job's own status, 0.

    Where no round did, `failed` is true and the medians are those of the failed rounds.
    """

    name: str
    note: str
    cpu_s: float
    cpu_low_s: float
    cpu_high_s: float
    added_wall_s: float
    lingering_s: float
    pss_mib: float | None
    driver_mib: float | None
    rss_mib: float | None
    processes: int | None
    steady_cpu_share: float | None
    ratio: float | None
    failed: bool
    trouble: str


@dataclass(frozen=True, slots=True)
class Table:
    """All tools around one job; `seconds` is how long the job sleeps, 0 for `true`."""

    job: str
    seconds: float
    rounds: int
    rows: tuple[Row, ...]

    def row(self, name: str) -> Row | None:
        """The row of one tool, None if it was not measured."""
        return next((row for row in self.rows if row.name == name), None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One budget of ours beside what was measured. `held` None: could not be judged, see `why`."""

    what: str
    budget: float
    measured: float | None
    unit: str
    held: bool | None
    why: str = ""

    def __str__(self) -> str:
        word = {True: "PASS       ", False: "over budget", None: "not judged "}[self.held]
        value = "no figure" if self.measured is None else f"{self.measured:.3g} {self.unit}"
        why = f"  ({self.why})" if self.why else ""
        return f"{word}  {self.what}: {value}, budget {self.budget:g} {self.unit}{why}"


def table(
    job: Sequence[str],
    seconds: float,
    *,
    tools: Sequence[Contender],
    timed: Mapping[str, Sequence[Cost]],
    weighed: Mapping[str, Sequence[Cost]],
    last_words: Mapping[str, str],
) -> Table:
    """The medians of every tool; `last_words` says why one failed."""
    walls = [cost.wall_s for cost in timed[tools[0].name]]
    ours = [cost.cpu_s for cost in timed.get(OURS, ()) if cost.exit_code == 0]
    rows = []
    for tool in tools:
        costs = timed[tool.name]
        good = [cost for cost in costs if cost.exit_code == 0] or costs
        heavy = [c for c in weighed[tool.name] if c.exit_code == 0] or weighed[tool.name]
        cpu = sorted(cost.cpu_s for cost in good)
        rows.append(
            Row(
                name=tool.name,
                note=tool.note,
                cpu_s=median(cpu),
                cpu_low_s=cpu[0],
                cpu_high_s=cpu[-1],
                added_wall_s=median([cost.wall_s - median(walls) for cost in good]),
                lingering_s=median([cost.lingering_s for cost in good]),
                pss_mib=_mib([cost.peak_pss_kib for cost in heavy]),
                driver_mib=_mib([cost.driver_pss_kib for cost in heavy]),
                rss_mib=_mib([cost.largest_rss_kib for cost in heavy]),
                processes=max((cost.processes or 0 for cost in heavy), default=None),
                steady_cpu_share=_known_median([cost.steady_cpu_share for cost in heavy]),
                ratio=median(cpu) / median(ours) if ours else None,
                failed=all(cost.exit_code != 0 for cost in costs),
                trouble=_trouble(costs, last_words.get(tool.name, "")),
            )
        )
    return Table(" ".join(job), seconds, len(walls), tuple(rows))


def _known_median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _mib(values_kib: Sequence[int | None]) -> float | None:
    kib = _known_median(values_kib)
    return None if kib is None else kib / _KIB_PER_MIB


def _trouble(costs: Sequence[Cost], last_words: str) -> str:
    """How often the tool's exit status was not the job's own, 0, and its last words then."""
    failed = [cost.exit_code for cost in costs if cost.exit_code != 0]
    if not failed:
        return ""
    said = f": {last_words}" if last_words else ""
    return f"exit {failed[-1]} in {len(failed)} of {len(costs)} rounds{said}"


def verdicts(tables: Sequence[Table], here: Machine) -> list[Verdict]:
    """Our budgets, judged where the measurement allows it."""
    found: list[Verdict] = []
    for one in tables:
        row = one.row(OURS)
        if row is None or row.failed:
            continue
        if one.seconds == 0:
            busy = f"machine was busy, load {here.load_before:.2f}" if here.is_busy else ""
            found.append(_judge("wrapping `true`, CPU", row.cpu_s, 0.20, "s"))
            found.append(_judge("wrapping `true`, added wall", row.added_wall_s, 0.15, "s", busy))
            continue
        if one.seconds == 30:
            found.append(_judge(f"`{one.job}` at 1 Hz, CPU", row.cpu_s, 0.30, "s"))
        found.append(_judge("all our processes together, PSS", row.pss_mib, 40.0, "MiB"))
        found.append(_judge("sampling at 10 Hz, share of a core", _share_at_10_hz(one), 1.0, "%"))
    return found


def _share_at_10_hz(one: Table) -> float | None:
    """Per cent of a core that sampling takes at 10 Hz; None where it was not measured."""
    fast = one.row(f"{OURS} 10 Hz")
    if fast is None or fast.failed or fast.steady_cpu_share is None:
        return None
    return 100 * fast.steady_cpu_share


def _judge(what: str, measured: float | None, budget: float, unit: str, doubt: str = "") -> Verdict:
    """A figure within budget passes even on a busy machine; over it, a doubt leaves it open."""
    if measured is None:
        return Verdict(what, budget, None, unit, None, "no round succeeded")
    if measured <= budget:
        return Verdict(what, budget, measured, unit, True)
    return Verdict(what, budget, measured, unit, None if doubt else False, doubt)


_HEADINGS = (
    "",
    "CPU s",
    "min to max",
    "added wall s",
    "PSS MiB",
    "largest RSS MiB",
    "steady %",
    "CPU ratio",
)


def _cells(row: Row) -> tuple[str, ...]:
    has_memory = row.processes
    return (
        f"{row.name} (failed)" if row.failed else row.name,
        f"{row.cpu_s:.3f}",
        f"{row.cpu_low_s:.3f} to {row.cpu_high_s:.3f}",
        f"{row.added_wall_s:.3f}",
        f"{row.pss_mib:.1f}" if has_memory else "-",
        f"{row.rss_mib:.1f}" if has_memory else "-",
        "-" if row.steady_cpu_share is None else f"{100 * row.steady_cpu_share:.2f}",
        f"{row.ratio:.1f}x" if row.ratio and row.ratio >= 0.05 else "-",
    )


def _remarks(one: Table) -> list[str]:
    """What a reader must know beside the figures of one table."""
    lines = [f"{row.name}: {row.trouble}" for row in one.rows if row.trouble]
    for row in one.rows:
        if row.lingering_s > 0.05:
            lines.append(
                f"{row.name}: its helpers went on for {row.lingering_s:.2f} s after the end"
            )
        if row.driver_mib:
            lines.append(f"{row.name}: {row.driver_mib:.1f} MiB of driver pages are not in its PSS")
    return lines


def as_text(
    here: Machine,
    tables: Sequence[Table],
    verdict_list: Sequence[Verdict],
    skipped: Sequence[tuple[str, str]],
) -> str:
    """The result for a terminal."""
    lines = [str(here)]
    if here.is_busy:
        lines.append("warning: other work was running; trust CPU seconds, not wall seconds")
    for one in tables:
        lines += ["", f"Wrapping `{one.job}`, medians of {one.rounds} interleaved rounds"]
        body = [_HEADINGS, *(_cells(row) for row in one.rows)]
        widths = [max(len(line[i]) for line in body) for i in range(len(_HEADINGS))]
        for line in body:
            cells = [line[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
            lines.append("  " + "  ".join(cells).rstrip())
        lines += [f"  {remark}" for remark in _remarks(one)]
    lines += [f"skipped {name}: {reason}" for name, reason in skipped]
    if verdict_list:
        lines += ["", "Our budgets", *(f"  {verdict}" for verdict in verdict_list)]
    return "\n".join(lines)


def as_markdown(
    here: Machine,
    tables: Sequence[Table],
    verdict_list: Sequence[Verdict],
    skipped: Sequence[tuple[str, str]],
) -> str:
    """The result for the docs."""
    lines = [f"Measured on: {here}."]
    for one in tables:
        lines += ["", f"Wrapping `{one.job}`, medians of {one.rounds} interleaved rounds:", ""]
        lines.append("| tool | " + " | ".join(_HEADINGS[1:]) + " |")
        lines.append("| --- |" + " ---: |" * (len(_HEADINGS) - 1))
        lines += ["| " + " | ".join(_cells(row)) + " |" for row in one.rows]
        remarks = _remarks(one)
        lines += ["", *(f"- {remark}" for remark in remarks)] if remarks else []
    lines += ["", "How each was run:", ""]
    notes = {row.name: row.note for one in tables for row in one.rows if row.note}
    lines += [f"- {name}: {note}" for name, note in notes.items()]
    lines += [f"- {name}: skipped, {reason}" for name, reason in skipped]
    if verdict_list:
        lines += ["", "Budgets:", "", *(f"- {verdict}" for verdict in verdict_list)]
    return "\n".join(" ".join(line.split()) if line.startswith("- ") else line for line in lines)
