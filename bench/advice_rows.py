"""What one advice came to, beside what was aimed at: the figures of a line of the table.

Everything is read from the JSON that `frugalwatch advise` printed (frugalwatch.advice/1); nothing
here measures. A gain of 3 is a third of the CPU seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any  # what JSON gives back

from advice_workloads import Kind, Target, Workload

_AS_WRITTEN = ("as written", "as written, again")


@dataclass(frozen=True, slots=True)
class Gain:
    """How many times less, with the ends of its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f}x [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True, slots=True)
class Aim:
    """One target, and what was reached. `verdict`: PASS, below, not tried."""

    kind: Kind
    target: float
    fair_target: float
    change: str
    gain: Gain | None
    fair: Gain | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Row:
    """One workload. Times are in seconds; `load` is the machine's while it was advised on."""

    name: str
    title: str
    best: str
    gain: Gain | None
    fair: Gain | None
    whole: Gain | None
    quality: str
    first_useful_s: float | None
    full_s: float
    resolution: float | None
    load: tuple[float, float]
    aims: tuple[Aim, ...] = ()
    remark: str = ""
    trouble: str = ""

    def as_json(self) -> dict[str, object]:
        """Plain records; null is unknown."""
        return asdict(self)


def row(
    workload: Workload,
    advice: Mapping[str, Any],
    full_s: float,
    load: tuple[float, float],
    true_share_percent: float | None = None,
) -> Row:
    """The figures of one advice."""
    found = list(advice.get("recommendations", ()))
    best = found[0] if found else None
    return Row(
        name=workload.name,
        title=workload.title,
        best=str(best["name"]) if best else "nothing worth doing",
        gain=per_request(best) if best else None,
        fair=against_one_thread(best, advice) if best else None,
        whole=gain(best.get("ratio")) if best else None,
        quality=str(best["quality"]["reason"]) if best else "",
        first_useful_s=first_useful_s(advice),
        full_s=full_s,
        resolution=advice.get("resolution"),
        load=load,
        aims=tuple(_aim(t, found, advice) for t in workload.targets),
        remark=_remark(workload, advice, found, true_share_percent),
    )


def gain(ratio: Mapping[str, float] | None) -> Gain | None:
    """A ratio "with the change" over "as written", turned round."""
    if not ratio or min(ratio["value"], ratio["low"]) <= 0:
        return None
    return Gain(1 / ratio["value"], 1 / ratio["high"], 1 / ratio["low"])


def per_request(entry: Mapping[str, Any]) -> Gain | None:
    """Of one more request where that is known, else of a whole run."""
    return gain((entry.get("per_unit") or {}).get("ratio")) or gain(entry.get("ratio"))


def against_one_thread(entry: Mapping[str, Any], advice: Mapping[str, Any]) -> Gain | None:
    """Of one more request against the program with one thread.

    From paired rounds where the advice has that. Else the costs of one request of both baselines
    are divided, and the interval is that of the gain against the program as written, moved.
    """
    paired = gain((entry.get("per_unit") or {}).get("versus_one_thread"))
    if paired or "per_unit" not in entry:  # on a trace there is no start: a run is its requests
        return paired or gain(entry.get("versus_one_thread"))
    own = per_request(entry)
    costs = {b["name"]: b.get("unit_cpu_s") for b in advice.get("baselines", ())}
    written, fair = costs.get("as written"), costs.get("one thread")
    if own is None or not written or not fair:
        return gain(entry.get("versus_one_thread"))
    factor = fair / written
    return Gain(own.value * factor, own.low * factor, own.high * factor)


def first_useful_s(advice: Mapping[str, Any]) -> float | None:
    """Seconds until a change that is recommended in the end, or a part of it, was seen to save.

    That is the end of the first round in which it used a tenth less than the program did beside it,
    or of a look in which it used a tenth less than the program did in the look before.
    """
    names = [str(r["name"]) for r in advice.get("recommendations", ())]
    good = {*names, *(part for name in names for part in name.split(" + "))}
    last_look = math.inf
    base: dict[tuple[str, int], float] = {}
    seen: list[tuple[float, tuple[str, int], str, float]] = []
    looks: list[float] = []
    for trial in advice.get("timeline", ()):
        place = (str(trial["stage"]), int(trial["round"]))
        end_s = trial["began_s"] + (trial.get("taken_s") or trial.get("wall_s") or 0.0)
        if trial.get("cpu_s") is None:
            continue
        if trial["stage"] == "probe":
            if trial["variant"] in _AS_WRITTEN:
                last_look = trial["cpu_s"]
            elif trial["variant"] in good and trial["cpu_s"] < 0.9 * last_look:
                looks.append(end_s)
            continue
        if trial["variant"] in _AS_WRITTEN:
            base.setdefault(place, trial["cpu_s"])
        seen.append((end_s, place, str(trial["variant"]), trial["cpu_s"]))
    ends = [
        max(end, *(e for e, p, v, _ in seen if p == place and v == "as written"))
        for end, place, variant, cpu_s in seen
        if variant in good and place in base and cpu_s < 0.9 * base[place]
        if any(p == place and v == "as written" for _, p, v, _ in seen)
    ]
    return min([*looks, *ends], default=None)


def _aim(target: Target, found: Sequence[Mapping[str, Any]], advice: Mapping[str, Any]) -> Aim:
    """The best change of the kind that the target asks for, ranked by its cautious end."""
    if target.kind == "on trace":
        found = (advice.get("trace") or {}).get("recommendations", ())
    elif target.kind == "lossless":
        found = [r for r in found if r["quality"].get("lossless")]
    elif target.kind in ("student", "no student"):
        found = [r for r in found if has_student(str(r["name"])) == (target.kind == "student")]
    fitting = [(g, r) for r in found if (g := per_request(r)) is not None]
    if not fitting:
        return Aim(target.kind, target.gain, target.fair, "none", None, None, "not tried")
    reached, entry = max(fitting, key=lambda each: each[0].low)
    fair = against_one_thread(entry, advice)
    return Aim(
        target.kind,
        target.gain,
        target.fair,
        str(entry["name"]),
        reached,
        fair,
        verdict(target, reached, fair),
    )


def has_student(name: str) -> bool:
    """Whether a change has a smaller model that learnt from the original in it."""
    return any(word in name for word in ("student", "cascade", "exit"))


def verdict(target: Target, reached: Gain, fair: Gain | None) -> str:
    """PASS where both gains reach the target; it is said where their cautious ends do not."""
    if reached.value < target.gain or fair is None or fair.value < target.fair:
        return "below"
    if reached.low < target.gain or fair.low < target.fair:
        return "PASS, but not at the cautious end"
    return "PASS"


def _remark(
    workload: Workload,
    advice: Mapping[str, Any],
    found: Sequence[Mapping[str, Any]],
    true_share_percent: float | None,
) -> str:
    if workload.nothing:
        return "PASS: nothing worth doing" if not found else "below: it recommends something"
    if true_share_percent is None:
        return ""
    named = preprocessing_share_percent(advice)
    if named is None:
        return f"not tried: preprocessing, truly {true_share_percent:.1f} %, is not named"
    word = "PASS" if abs(named - true_share_percent) <= 3 else "below"
    return f"{word}: preprocessing named with {named:.1f} %, truly {true_share_percent:.1f} %"


def preprocessing_share_percent(advice: Mapping[str, Any]) -> float | None:
    """What the advice says that the work outside of the model takes; None where it does not."""
    outside = (advice.get("hot_spots") or {}).get("outside_model") or {}
    share = outside.get("share")
    return None if share is None else 100 * float(share)


@dataclass(frozen=True, slots=True)
class Repeat:
    """One advice and its verification: gains, and what was measured over what was promised."""

    promised: Gain
    verified: Gain | None
    said: str
    ratio: Gain | None

    @property
    def held(self) -> bool:
        """Whether it saved at least the cautious end of what was promised."""
        return self.verified is not None and self.verified.value >= self.promised.low

    @property
    def agrees(self) -> bool:
        """Whether the interval of verified over promised contains 1."""
        return self.ratio is not None and self.ratio.low <= 1 <= self.ratio.high

    @property
    def half_width(self) -> float | None:
        """Of that interval, as a fraction."""
        return None if self.ratio is None else (self.ratio.high - self.ratio.low) / 2


def repeat(verification: Mapping[str, Any]) -> Repeat | None:
    """From the JSON of `frugalwatch verify`; None where nothing was promised."""
    promised = gain(verification.get("promised"))
    if promised is None:
        return None
    verified = gain(verification.get("ratio"))
    ratio = None if verified is None else over(verified, promised)
    return Repeat(promised, verified, str(verification["verdict"]), ratio)


def over(new: Gain, old: Gain) -> Gain:
    """new/old of two gains that were measured apart: their intervals' log half-widths add up
    as errors do."""

    def half(each: Gain) -> float:
        return math.log(each.high / each.low) / 2

    value = new.value / old.value
    wide = math.exp(math.hypot(half(new), half(old)))
    return Gain(value, value / wide, value * wide)
