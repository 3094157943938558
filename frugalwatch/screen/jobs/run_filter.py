"""The filter of the list of runs: words, and questions about one property each.

train lr=0.1            both words, in the command, state, host or zone
state:failed host:node7  exactly these properties
date:today time>10min energy>=2kWh metric:loss<0.5
-state:done             the runs that are not so
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from frugalwatch.screen.jobs.all_runs import RunEntry
from frugalwatch.screen.jobs.metric_index import Reported

Metrics: TypeAlias = Callable[[int], Mapping[str, Reported]]
Test: TypeAlias = Callable[[RunEntry, Metrics], bool]

SYNTAX = """\
 train "lr 0.1"       words in the command, state, host, zone or group
 -train               not this word; a minus works before everything below
 state:failed         running done failed killed interrupted recovered
 host:node7 zone:DE   also folder: commit: group:
 date:today           yesterday 7d 2026-11 2026-11-22 >=2026-11-01
 time>10min           s min h d
 energy>=2kWh         J Wh kWh; co2>5g: g kg; power>100 watts; cover<90 percent
 run:40..60           numbers, or one number
 metric:loss          reported that metric; metric:loss<0.5: its last value
"""

_WORD = re.compile(r"""(-?)((?:"[^"]*"?|[^\s"])+)""")
_QUESTION = re.compile(r"([a-z0-9]+)(:|<=|>=|<|>|=)(.*)", re.DOTALL)
_COMPARISON = re.compile(r"(<=|>=|<|>|=)?(.*)", re.DOTALL)
_QUANTITY = re.compile(r"([0-9.]+(?:e-?[0-9]+)?)\s*([a-z%]*)")
_UNITS: dict[str, dict[str, float]] = {
    "energy": {"": 3600.0, "wh": 3600.0, "mwh": 3.6, "kwh": 3.6e6, "j": 1.0, "kj": 1e3, "mj": 1e6},
    "time": {"": 1.0, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86_400.0},
    "co2": {"": 1.0, "g": 1.0, "mg": 1e-3, "kg": 1e3},
    "power": {"": 1.0, "w": 1.0, "kw": 1e3},
    "cover": {"": 0.01, "%": 0.01},
    "cpu": {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0},
}
_TEXTS: dict[str, Callable[[RunEntry], str]] = {
    "host": lambda entry: entry.host,
    "zone": lambda entry: entry.zone,
    "folder": lambda entry: entry.folder,
    "commit": lambda entry: entry.commit,
    "group": lambda entry: entry.group,
    "command": lambda entry: entry.command,
}
_DAY_FORMATS = ((r"\d{4}-\d\d-\d\d", "%Y-%m-%d"), (r"\d{4}-\d\d", "%Y-%m"), (r"\d{4}", "%Y"))


class RunFilter(NamedTuple):
    """What was typed, understood. `problem` says which part was not; that part hides nothing."""

    tests: tuple[Test, ...] = ()
    needs_metrics: bool = False
    problem: str = ""

    def keeps(self, entry: RunEntry, metrics: Metrics) -> bool:
        """Whether this run is listed."""
        return all(test(entry, metrics) for test in self.tests)


def parse_filter(text: str, now_s: float | None = None) -> RunFilter:
    """The filter of these words. `now_s` is what `today` is counted from, in Unix seconds."""
    now = time.time() if now_s is None else now_s
    tests: list[Test] = []
    problem, needs_metrics = "", False
    for minus, word in _WORD.findall(text):
        question = _QUESTION.fullmatch(word.replace('"', "").lower())
        known = question is not None and question[1] in _QUESTIONS
        if question is not None and known:
            if not question[3] and question[2] != "<":
                continue  # still being typed
            found = _QUESTIONS[question[1]](question[1], question[2], question[3], now)
            if isinstance(found, str):
                problem = problem or found
                continue
            needs_metrics = needs_metrics or question[1] == "metric"
        elif not word.replace('"', ""):
            continue
        else:
            found = _contains(word.replace('"', "").lower())
        tests.append(_negated(found) if minus else found)
    return RunFilter(tuple(tests), needs_metrics, problem)


def quantity_of(entry: RunEntry, key: str) -> float | None:
    """A run's figure by the name that it has in a filter; of energies the measured one first."""
    row = entry.row
    energy_j = row.estimated_j if row.energy_j is None else row.energy_j
    if key == "power":
        return energy_j / row.duration_s if energy_j is not None and row.duration_s else None
    found = {
        "energy": energy_j,
        "time": row.duration_s,
        "co2": row.co2e_g,
        "cover": row.coverage,
        "cpu": row.cpu_s,
    }
    return found[key]


def _negated(test: Test) -> Test:
    return lambda entry, metrics: not test(entry, metrics)


def _contains(word: str) -> Test:
    def test(entry: RunEntry, metrics: Metrics) -> bool:
        del metrics
        texts = (entry.command, entry.state, entry.row.state, entry.host, entry.zone, entry.group)
        return any(word in text.lower() for text in texts) or (
            word == "failed" and entry.has_failed
        )

    return test


# Each of these makes a test of the words around the sign, or says what is wrong with them.
def _text(key: str, sign: str, wanted: str, now_s: float) -> Test | str:
    del now_s
    read = _TEXTS[key]
    if sign == "=":
        return lambda entry, _: read(entry).lower() == wanted
    return lambda entry, _: wanted in read(entry).lower()


def _state(key: str, sign: str, wanted: str, now_s: float) -> Test | str:
    del key, sign, now_s
    if wanted == "failed":
        return lambda entry, _: entry.has_failed
    if wanted in ("done", "ok"):
        return lambda entry, _: entry.row.state == "done" and not entry.has_failed
    return lambda entry, _: entry.state.startswith(wanted) or entry.row.state == wanted


def _number(key: str, sign: str, wanted: str, now_s: float) -> Test | str:
    del now_s
    first, dots, last = wanted.partition("..")
    if dots and first.isdigit() and last.isdigit():
        return lambda entry, _: int(first) <= entry.number <= int(last)
    sign, wanted = _signed(sign, wanted, "=")
    if not wanted.isdigit():
        return f"{key}:40, or {key}:40..60"
    return lambda entry, _: _holds(entry.number, sign, int(wanted))


def _quantity(key: str, sign: str, wanted: str, now_s: float) -> Test | str:
    del now_s
    sign, wanted = _signed(sign, wanted, ">=")
    found = _QUANTITY.fullmatch(wanted)
    scale = _UNITS[key].get(found[2]) if found else None
    if found is None or scale is None:
        units = " ".join(unit for unit in _UNITS[key] if unit)
        return f"{key} wants a sign and a number: {key}>10  ({units})"
    limit = float(found[1]) * scale

    def test(entry: RunEntry, metrics: Metrics) -> bool:
        del metrics
        value = quantity_of(entry, key)
        return value is not None and _holds(value, sign, limit)

    return test


def _date(key: str, sign: str, wanted: str, now_s: float) -> Test | str:
    del key
    first, dots, last = wanted.partition("..")
    if dots:
        begin, end = _day(first, now_s), _day(last, now_s)
        if begin is None or end is None:
            return "date:2026-11-01..2026-11-22"
        return lambda entry, _: begin[0] <= entry.row.started_utc_s < end[1]
    sign, wanted = _signed(sign, wanted, "=")
    day = _day(wanted, now_s)
    if day is None:
        return "date: today, yesterday, 7d, 2026-11, >=2026-11-22"
    begin_s, end_s = day
    tests: dict[str, Callable[[float], bool]] = {
        "=": lambda at: begin_s <= at < end_s,
        ">=": lambda at: at >= begin_s,
        ">": lambda at: at >= end_s,
        "<": lambda at: at < begin_s,
        "<=": lambda at: at < end_s,
    }
    chosen = tests[sign]
    return lambda entry, _: chosen(entry.row.started_utc_s)


def _day(text: str, now_s: float) -> tuple[float, float] | None:
    """Begin and end of a stretch of local time, in Unix seconds."""
    ago = re.fullmatch(r"(\d{1,4})([dh])", text)
    if ago:
        return now_s - int(ago[1]) * (86_400 if ago[2] == "d" else 3600), now_s + 1
    if text in ("today", "yesterday"):
        then = time.localtime(now_s)
        back = 1 if text == "yesterday" else 0
        return tuple(  # type: ignore[return-value]  # of two
            time.mktime((then.tm_year, then.tm_mon, then.tm_mday - back + more, *_MIDNIGHT))
            for more in (0, 1)
        )
    for pattern, layout in _DAY_FORMATS:
        if re.fullmatch(pattern, text):
            try:
                parsed = time.strptime(text, layout)
            except ValueError:
                return None
            year, month, day = parsed.tm_year, parsed.tm_mon, parsed.tm_mday
            after = {"%Y": (year + 1, 1, 1), "%Y-%m": (year, month + 1, 1)}
            end = after.get(layout, (year, month, day + 1))
            return time.mktime((year, month, day, *_MIDNIGHT)), time.mktime((*end, *_MIDNIGHT))
    return None


# Hour, minute, second, and that mktime is to find out weekday, yearday and summer time.
_MIDNIGHT = (0, 0, 0, 0, 0, -1)


def _metric(key: str, sign: str, wanted: str, now_s: float) -> Test | str:
    del key, sign, now_s
    parts = re.fullmatch(r"([^<>=]+)(?:(<=|>=|<|>|=)(.*))?", wanted)
    if parts is None:
        return "metric:loss, or metric:loss<0.5"
    name, compare, text = parts[1], parts[2], parts[3]
    try:
        limit = float(text) if text else None
    except ValueError:
        return f"metric:{name}{compare} wants a number"

    def test(entry: RunEntry, metrics: Metrics) -> bool:
        found = [value for n, value in metrics(entry.number).items() if name in n.lower()]
        if limit is None:
            return bool(found)
        return any(v.last is not None and _holds(v.last, compare, limit) for v in found)

    return test


def _signed(sign: str, wanted: str, usual: str) -> tuple[str, str]:
    """`time>5` and `time:>5` mean the same; `usual` where there is no sign."""
    if sign != ":":
        return sign, wanted
    parts = _COMPARISON.fullmatch(wanted)
    assert parts is not None
    return parts[1] or usual, parts[2]


def _holds(value: float, sign: str, limit: float) -> bool:
    if sign == "<":
        return value < limit
    if sign == ">":
        return value > limit
    if sign == "<=":
        return value <= limit
    return value >= limit if sign == ">=" else value == limit


_QUESTIONS: dict[str, Callable[[str, str, str, float], Test | str]] = {
    "state": _state,
    "run": _number,
    "date": _date,
    "metric": _metric,
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(_UNITS, _quantity),
}
