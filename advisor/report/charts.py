"""The geometry of the page's pictures, in per cent of width and height; the page draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from advisor.document import decisive_ratio
from advisor.report.words import Document, work_of
from frugalwatch.report import format as show
from frugalwatch.report.ratio import change_with_bounds

_LEAST_SHARE = 0.005


class Tick(NamedTuple):
    """A mark on an axis."""

    at: float
    label: str


class ForestRow(NamedTuple):
    """A change's interval. `kind` is good, bad or none: how it lies to what is noise."""

    mark: str
    name: str
    text: str
    what: str
    low: float
    middle: float
    high: float
    kind: str


class Forest(NamedTuple):
    """Ratios to the program as written, which lies at `one`; noise reaches over `noise`."""

    rows: list[ForestRow]
    ticks: list[Tick]
    one: float
    noise: tuple[float, float] | None


def forest(document: Document) -> Forest:
    """Every change that was confirmed, those to recommend first."""
    rows = [(str(r["number"]), r) for r in document["recommendations"]]
    rows += [("", r) for r in document["not_recommended"] if r.get("ratio")]
    found = [(mark, row, decisive_ratio(row)) for mark, row in rows]
    top = max([1.1, *(min(2.0, ratio["high"] * 1.05) for _, _, ratio in found)])

    def at(value: float) -> float:
        return round(100 * min(value, top) / top, 2)

    work = work_of(document)
    what = {"unit": f"per {work.get('unit', 'unit')}", "time": "time"}
    noise = document.get("resolution")
    return Forest(
        rows=[
            ForestRow(
                mark=mark,
                name=row["name"],
                text=change_with_bounds(ratio),
                what=what.get(row.get("decided_by", "whole"), ""),
                low=at(ratio["low"]),
                middle=at(ratio["value"]),
                high=at(ratio["high"]),
                kind="good" if mark else "bad" if ratio["low"] > 1 else "none",
            )
            for mark, row, ratio in found
        ],
        ticks=[Tick(at(v), f"{v * 100:.0f} %") for v in _steps(top)],
        one=at(1.0),
        noise=None if noise is None else (at(max(0.0, 1 - noise)), at(1 + noise)),
    )


def _steps(top: float) -> list[float]:
    """Quarters, or halves where quarters would stand too close."""
    step = 0.25 if top < 1.3 else 0.5
    return [n * step for n in range(int(top / step) + 1)]


class Dot(NamedTuple):
    """A point of a front. `label` is its number in the report, w for as written, else a letter."""

    label: str
    name: str
    left: float
    top: float
    on_front: bool
    text: str


class Front(NamedTuple):
    """Cost against one other thing. Both axes begin at zero."""

    title: str
    dots: list[Dot]
    left_ticks: list[Tick]
    bottom_ticks: list[Tick]
    cost: str


def fronts(document: Document) -> list[Front]:
    """One for each of latency, memory and loss of quality that is known of two points at least."""
    points: Sequence[Mapping[str, object]] = document.get("pareto") or []
    labels = _labels(points, document)
    found = []
    for key, title, scale, unit in (
        ("latency_s", "latency", 1e3, "ms"),
        ("memory_bytes", "peak memory", 1 / 2**20, "MiB"),
        ("loss", "answers lost", 100.0, "%"),
    ):
        known = [
            (p, float(x), float(y) * scale)
            for p in points
            if isinstance(x := p.get("cost_ratio"), (int, float))
            and isinstance(y := p.get(key), (int, float))
        ]
        if len(known) < 2 or (key == "loss" and not any(y for _, _, y in known)):
            continue
        of = f" ({known[0][0].get('latency_of')})" if key == "latency_s" else ""
        wide, high = _nice(max(x for _, x, _ in known)), _nice(max(y for _, _, y in known))
        dots = [
            Dot(
                label=labels[str(p["name"])],
                name=str(p["name"]),
                left=round(100 * x / wide, 2),
                top=round(100 - 100 * y / high, 2),
                on_front=bool(p.get("on_front")),
                text=f"{p['name']}: {x * 100:.0f} % of the cost, {show.significant(y)} {unit}",
            )
            for p, x, y in known
        ]
        found.append(
            Front(
                title=f"{title}{of}, {unit}",
                dots=dots,
                left_ticks=[
                    Tick(100 - 25 * n, show.significant(high * n / 4, 3)) for n in range(5)
                ],
                bottom_ticks=[Tick(25 * n, f"{wide * 25 * n:.0f} %") for n in range(5)],
                cost=f"cost of a {points[0].get('cost_of', 'run')}, % of as written",
            )
        )
    return found


def _labels(points: Sequence[Mapping[str, object]], document: Document) -> dict[str, str]:
    numbers = {row["name"]: str(row["number"]) for row in document["recommendations"]}
    letters = iter("abcdefghijklmnopqrstuvxyz")
    return {
        name: numbers.get(name) or ("w" if name == "as written" else next(letters, "?"))
        for name in (str(p["name"]) for p in points)
    }


def _nice(value: float) -> float:
    """A round figure that is a little more, for the end of an axis."""
    if value <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(
        size * step for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if size * step >= value
    )


class Bar(NamedTuple):
    """A share of a whole."""

    name: str
    percent: float
    text: str


class Shares(NamedTuple):
    """What of the whole goes where. `title` says what the whole is, and how that is known."""

    title: str
    bars: list[Bar]


def shares(document: Document) -> list[Shares]:
    """Where the time of the program goes by phase, and what is hot in it, as far as was seen."""
    found = []
    phases = document.get("time_shares") or {}
    if phases:
        rest = 1 - sum(phases.values())
        parts = {**phases, **({"the rest": rest} if rest > _LEAST_SHARE else {})}
        found.append(Shares("Time by phase (measured, part of a run's time)", _bars(parts)))
    spots = document.get("hot_spots")
    if spots:
        parts = {"the model": 1 - float(spots["outside_model"]["share"])}
        parts |= {str(s["package"]): float(s["share"]) for s in spots["packages"]}
        found.append(Shares("CPU time of the work (attributed by sampled stacks)", _bars(parts)))
    layers = (spots or {}).get("layers") or []
    parts = {f"{one['name']} ({one['kind']})": float(one["share"]) for one in layers}
    if parts:
        found.append(Shares("Time of the model by layer (attributed by timed calls)", _bars(parts)))
    return found


def _bars(parts: Mapping[str, float]) -> list[Bar]:
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    return [
        Bar(name.replace("_", " "), round(100 * share, 1), f"{100 * share:.1f} %")
        for name, share in ordered
        if share > _LEAST_SHARE
    ]


class Mark(NamedTuple):
    """One replay."""

    left: float
    width: float
    stage: str
    state: str
    text: str


class TraceRow(NamedTuple):
    """All replays of one variant."""

    name: str
    marks: list[Mark]


class Trace(NamedTuple):
    """Every replay over time, which ends at the last tick."""

    rows: list[TraceRow]
    ticks: list[Tick]


def trace(document: Document) -> Trace | None:
    """None where the document has none, as one of an older version."""
    trials = document.get("timeline") or []
    if not trials:
        return None
    end_s = max(t["began_s"] + (t.get("wall_s") or t.get("taken_s") or 0.0) for t in trials) or 1.0
    rows: dict[str, list[Mark]] = {}
    for t in trials:
        took_s = t.get("wall_s") or t.get("taken_s") or 0.0
        text = f"{t['stage']} {t['round'] + 1}, {t['variant']}: {show.duration(took_s)}"
        if t.get("cpu_s") is not None:
            text += f", {show.significant(t['cpu_s'])} CPU-s"
        if t["state"] != "ok":
            text += f", {t['state']}"
        rows.setdefault(t["variant"], []).append(
            Mark(
                left=round(100 * t["began_s"] / end_s, 3),
                width=max(0.2, round(100 * took_s / end_s, 3)),
                stage=t["stage"],
                state="ok" if t["state"] == "ok" else "failed",
                text=text,
            )
        )
    return Trace(
        [TraceRow(name, marks) for name, marks in rows.items()],
        [Tick(25 * n, show.duration(end_s * n / 4) if n else "0") for n in range(5)],
    )
