"""What people write as an alert: a figure, `>` or `<`, a value, and perhaps over how long.

p95>200ms                 95 % of calls (or requests, steps) take less; also p50, p99
p95(request)>0.2s         of this unit
Wh/request>0.002          energy of one; also J/step, J/token, kJ/epoch
metric(loss)>2            a number that the job reports
drift(accuracy)>5%        it has moved by so much from where it began
J/step>5 over 10min       looked at over the last ten minutes (the last minute)
"""

from __future__ import annotations

import math
import re
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["latency", "energy", "metric", "drift"]

_SHAPE = re.compile(r"\s*([^<>=]+?)\s*([<>])\s*(=?)\s*([^<>=]+?)(?:\s+over\s+([^<>=]+?))?\s*")
_FIGURES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("latency", re.compile(r"p(50|95|99)(?:\(\s*(\w+)\s*\))?")),
    ("energy", re.compile(r"(mJ|J|kJ|mWh|Wh|kWh)/(\w+)")),
    ("metric", re.compile(r"(metric)\(\s*(.+?)\s*\)")),
    ("drift", re.compile(r"(drift)\(\s*(.+?)\s*\)")),
)
_ENERGY_J = {"mJ": 1e-3, "J": 1.0, "kJ": 1e3, "mWh": 3.6, "Wh": 3600.0, "kWh": 3.6e6}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([a-zA-Z%]*)")
_UNITS = ("step", "request", "token", "generate", "call", "predict", "fit", "batch", "epoch")
_DEFAULT_WINDOW_S = 60.0
EXAMPLES = "write p95>200ms, Wh/request>0.002, metric(loss)>2 or drift(accuracy)>5%"


class BadAlertError(ValueError):
    """A text that is no alert: what is wrong, and in `hint` what to write."""

    def __init__(self, message: str, hint: str = EXAMPLES) -> None:
        super().__init__(message)
        self.hint = hint


class Alert(NamedTuple):
    """One threshold. `threshold` is in seconds, joules, the metric's own unit, or a share.

    `subject` is a unit of work ("" for the leading one) or a metric's name. `part` is the quantile
    of a latency. `scale` is how many joules the written energy unit is.
    """

    text: str
    kind: Kind
    subject: str
    above: bool
    threshold: float
    window_s: float = _DEFAULT_WINDOW_S
    part: float = 0.0
    scale: float = 1.0
    unit: str = ""


def parse_alert(text: str) -> Alert:
    """The alert that a person wrote. Raises BadAlertError."""
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise BadAlertError(f"{text!r} is no `figure > value`")
    figure, sign, equal, value, window = shape.groups()
    if equal:
        raise BadAlertError(f"{text!r}: {sign}= is not known", f"write {figure}{sign}{value}")
    alert = _figure(text.strip(), figure, above=sign == ">")
    window_s = _DEFAULT_WINDOW_S if window is None else _seconds(text, window)
    if window is not None and not 1 <= window_s <= 86400:
        raise BadAlertError(f"{text!r}: looks over 1 s to 24 h, not over {window}")
    return alert._replace(threshold=_threshold(alert, value), window_s=window_s)


def _figure(text: str, figure: str, *, above: bool) -> Alert:
    for kind, pattern in _FIGURES:
        found = pattern.fullmatch(figure)
        if found is None:
            continue
        what, subject = found[1], found[2] or ""
        if kind in ("latency", "energy") and subject and subject not in _UNITS:
            near = _nearest(subject, _UNITS)
            raise BadAlertError(
                f"{text!r}: {subject!r} is nothing that is counted",
                f"did you mean {near}?" if near else f"counted are {', '.join(_UNITS)}",
            )
        alert = Alert(text, kind, subject, above, 0.0, unit=what)
        if kind == "latency":
            return alert._replace(part=int(what) / 100)
        return alert._replace(scale=_ENERGY_J[what]) if kind == "energy" else alert
    raise BadAlertError(f"{text!r}: {figure!r} is no figure that can be watched", _meant(figure))


def _meant(figure: str) -> str:
    if re.fullmatch(r"p\d+(\.\d+)?(\(.*\))?", figure):
        return "p50, p95 and p99 are known"
    if "/" in figure:
        unit, _, what = figure.partition("/")
        near = _nearest(unit, tuple(_ENERGY_J))
        return f"did you mean {near}/{what}?" if near else EXAMPLES
    if re.fullmatch(r"\w+", figure):
        return f"did you mean metric({figure}) or drift({figure})?"
    return EXAMPLES


def _threshold(alert: Alert, value: str) -> float:
    if alert.kind == "latency":
        found = _seconds(alert.text, value)
        if found <= 0:
            raise BadAlertError(f"{alert.text!r}: a time above 0 is needed")
        return found
    number = _NUMBER.fullmatch(value)
    if number is None or not math.isfinite(float(number[1])):
        raise BadAlertError(f"{alert.text!r}: {value!r} is no number")
    amount, unit = float(number[1]), number[2]
    if alert.kind == "drift":
        if unit != "%" or amount <= 0 or not alert.above:
            raise BadAlertError(
                f"{alert.text!r}: a drift is compared with per cent",
                f"write drift({alert.subject})>5%",
            )
        return amount / 100
    if unit:
        hint = f"write {alert.text.replace(value, number[1])}"
        raise BadAlertError(f"{alert.text!r}: the value takes no unit of its own", hint)
    if alert.kind == "energy" and amount <= 0:
        raise BadAlertError(f"{alert.text!r}: an energy above 0 is needed")
    return amount * alert.scale


def _seconds(text: str, value: str) -> float:
    found = _NUMBER.fullmatch(value)
    if found is None or found[2] not in _SECONDS:
        bare = found is not None and not found[2]
        hint = f"did you mean {value}ms or {value}s?" if bare else "write 200ms, 0.2s or 5min"
        raise BadAlertError(f"{text!r}: {value!r} is no time", hint)
    return float(found[1]) * _SECONDS[found[2]]


def _nearest(word: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # several ms, and only on the way to an error

    folded = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else ""
