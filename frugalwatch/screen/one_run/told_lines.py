"""What a run's page says beside energy: events with their causes, environment, what it reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from frugalwatch.report.format import command_line, duration, significant
from frugalwatch.screen.one_run.detail import RunDetail
from frugalwatch.screen.one_run.drawing import curve_lines
from frugalwatch.screen.one_run.table import labelled, prose
from frugalwatch.screen.records import Document
from frugalwatch.screen.symbols import Symbols

_MOST_EVENTS = 200
_MOST_METRICS = 40

# What the words of the ledger mean, for people.
CAUSES = {
    "permission": "the sensor could no longer be read by this user",
    "vanished": "the sensor is gone",
    "lost": "the driver lost the device",
    "reset": "the counter began anew, and what it had counted is gone",
    "ambiguous": "the counter may have wrapped more than once",
    "invalid": "the sensor gave no sense",
    "timeout": "the driver did not answer in time",
    "suspended": "the machine slept",
}
KINDS = {
    "gap": "no figure",
    "sampler_restarted": "the sampler was started again",
    "supervisor_lost": "`frugalwatch run` itself was killed; the sampler went on alone",
    "suspended": "the machine slept",
    "clock_step": "the wall clock was set",
    "disagreement": "counter and power sensor disagree",
    "processes_left": "processes of the job outlived it",
    "work_elsewhere": "work ran outside this process tree",
    "bad_messages": "messages of the job could not be understood",
    "ledger_unwritable": "the ledger could not be written for a while",
    "samples_thinned": "old samples were thinned",
    "rows_refused": "rows were refused",
    "recovered": "settled afterwards by `frugalwatch recover`",
    "no_hook": "nothing was seen inside the program",
    "hook_problem": "something in the hook failed; the job went on",
    "hook_note": "",
    "processes_not_listed": "some processes are not listed",
    "imported": "brought in from another tracker",
    "purged": "details were deleted by `frugalwatch purge`",
    "budget": "a budget was set",
    "budget_term": "a budget was set that may end the job",
    "budget_passed": "the budget was passed",
    "budget_exceeded": "the budget was exceeded",
    "budget_unwatched": "nobody watched the budget",
    "job_signalled": "we ended the job, as was asked",
    "job_goes_on": "the job did not end",
    "alert_set": "an alert was set",
    "alert": "a threshold was crossed",
    "alert_over": "back from beyond a threshold",
    "alert_unjudged": "an alert could not be judged",
    "alert_undelivered": "an alert could not be delivered",
    "notice": "",
}
# A metric with one of these in its name is better the smaller, or the larger, it is.
_SMALLER = ("loss", "error", "err", "perplexity", "ppl", "wer", "mse", "mae", "rmse", "fid")
_LARGER = ("acc", "f1", "auc", "bleu", "rouge", "precision", "recall", "map", "iou", "score", "r2")


def event_lines(run: Document, width: int) -> list[Text]:
    """What happened, in order: when, what, why, and whether energy is missing for it."""
    events = run.get("events", [])
    if not events:
        return prose("nothing out of the ordinary happened", width)
    lines: list[Text] = []
    for event in events[:_MOST_EVENTS]:
        lines += prose(_event(event), width)
    if len(events) > _MOST_EVENTS:
        lines += prose(f"and {len(events) - _MOST_EVENTS} more: e writes all of them", width)
    return lines


def _event(event: Mapping[str, Any]) -> str:
    kind, cause = str(event["kind"]), str(event["cause"] or "")
    end = duration(max(0.0, event["t_s"]))
    since = event["since_s"]
    when = end if since is None else f"{duration(max(0.0, since))} to {end}"
    what = KINDS.get(kind, kind.replace("_", " "))
    parts = [part for part in (what, CAUSES.get(cause, cause)) if part]
    text = f"{when}  {', '.join(dict.fromkeys(parts))}"
    detail = str(event["detail"] or "")
    device = str(event["device"] or "")
    if device and device not in detail:
        text += f" ({device})"
    if detail:
        text += f"{': ' if parts else ''}{detail}"
    if event["energy_missing"]:
        text += "; its energy is in no figure"
    elif kind == "gap":
        text += "; nothing lost, the counter went on"
    return text


def about_lines(detail: RunDetail, width: int) -> list[Text]:
    """Everything around the run that one needs to repeat it, or to understand it."""
    run = detail.document
    lines = labelled("command", command_line(list(run["command"]), 4000), width)
    for label, value in _around(detail):
        if value:
            lines += labelled(label, value, width)
    shown = {name: value for name, value in detail.environment.items() if value is not None}
    for number, (name, value) in enumerate(sorted(shown.items())):
        lines += labelled("environment" if number == 0 else "", f"{name}={value}", width)
    hidden = len(detail.environment) - len(shown)
    if hidden:
        said = f"and {hidden} variable{'s' * (hidden > 1)} whose value is not stored"
        lines += labelled("" if shown else "environment", said, width)
    return lines


def _around(detail: RunDetail) -> list[tuple[str, str]]:
    run, machine = detail.document, detail.machine
    threads = machine.get("cpu_threads")
    memory = machine.get("memory_bytes")
    ended = _ended(run)
    cpu = "" if run.get("cpu_s") is None else duration(run["cpu_s"])
    if cpu and run.get("cpu_method"):
        cpu += f", counted by {run['cpu_method']}"
    return [
        ("folder", str(run.get("cwd") or "")),
        ("git commit", str(run.get("git_commit") or "none: not in a repository")),
        ("started", str(run.get("started_utc", "")).replace("T", " ").replace("Z", " UTC")),
        ("ended", ended),
        ("lasted", duration(run["duration_s"])),
        ("slept", duration(run["suspended_s"]) if run.get("suspended_s") else ""),
        ("CPU time", cpu),
        ("host", str(run.get("host", ""))),
        ("processor", str(machine.get("cpu_model") or "")),
        ("", f"{threads} threads" if threads else ""),
        ("memory", f"{significant(memory / 2**30, 3)} GiB" if memory else ""),
        ("kernel", str(machine.get("kernel") or "")),
        ("group", str(run.get("group") or "")),
        ("inside run", str(run.get("parent_run_id") or "")),
        ("key", str(run.get("run_id", ""))),
    ]


def _ended(run: Document) -> str:
    """How it ended, in words."""
    code, state = run.get("exit_code"), run.get("state")
    words = {
        "running": "it goes on",
        "interrupted": "the machine went down while it ran",
        "recovered": "its watchers were killed; the end is the last sign of life",
    }
    if state in words:
        return words[str(state)] + ("" if code is None else f", exit {code}")
    if run.get("exit_signal"):
        import signal

        try:
            name = signal.Signals(run["exit_signal"]).name
        except ValueError:
            name = f"signal {run['exit_signal']}"
        return f"killed by {name} (exit {code})"
    if code is None:
        return f"{state}, exit status unknown"
    return "well, exit 0" if code == 0 else f"failed, exit {code}"


def metric_lines(run: Document, width: int, symbols: Symbols) -> list[Text]:
    """Each metric that the job reported: last, best or range, and a small line chart."""
    series: dict[str, list[tuple[float, float]]] = {}
    unsaid: dict[str, int] = {}
    pids: dict[str, set[int]] = {}
    for entry in run.get("metrics", []):
        name = str(entry["name"])
        pids.setdefault(name, set()).add(entry["pid"])
        series.setdefault(name, [])
        if entry["value"] is None:
            unsaid[name] = unsaid.get(name, 0) + 1
        else:
            series[name].append((entry["t_s"], entry["value"]))
    if not series:
        return prose("the job reported none: frugalwatch.metric('loss', value) does", width)
    lines: list[Text] = []
    span = (0.0, max(1e-9, run["duration_s"]))
    for name, points in list(series.items())[:_MOST_METRICS]:
        title = Text(f" {name}", style="bold")
        title.append(f"   {_figures(name, points)}", style="not bold")
        extra = _beside(points, unsaid.get(name, 0), len(pids[name]))
        if extra:
            title.append(f"   {extra}", style="not bold dim")
        title.truncate(width, overflow="ellipsis")
        lines.append(title)
        if len(points) > 1:
            lines += [Text(f"  {row}") for row in curve_lines(points, span, width - 3, symbols)]
    if len(series) > _MOST_METRICS:
        lines += prose(f"and {len(series) - _MOST_METRICS} more: e writes all of them", width)
    return lines


def _figures(name: str, points: list[tuple[float, float]]) -> str:
    if not points:
        return "only ever: not a number"
    last = f"last {_value(points[-1][1])}"
    if len(points) == 1:
        return last
    least, most = min(points, key=lambda p: p[1]), max(points, key=lambda p: p[1])
    low = name.lower()
    if any(word in low for word in _SMALLER):
        return f"{last}   best {_value(least[1])} at {duration(least[0])}"
    if any(word in low for word in _LARGER):
        return f"{last}   best {_value(most[1])} at {duration(most[0])}"
    return f"{last}   {_value(least[1])} to {_value(most[1])}"


def _beside(points: list[tuple[float, float]], unsaid: int, processes: int) -> str:
    parts = [f"{len(points) + unsaid} values"]
    if unsaid:
        parts.append(f"{unsaid} not a number")
    if processes > 1:
        parts.append(f"{processes} processes")
    return ", ".join(parts)


def _value(value: float) -> str:
    return f"{value:.4g}"


def inside_lines(run: Document, width: int) -> list[Text]:
    """What a step, a sample or a request cost, by activity, and the job's Python processes."""
    from frugalwatch.report.inside_text import headed

    lines: list[Text] = []
    # A run that was recorded before these were known has none of the keys.
    for title, found in headed(run) if "units" in run else ():
        if found:
            lines += [Text(""), Text(f" {title}", style="bold")]
            for line in found:
                lines += [Text(f" {line}")] if len(line) < width else prose(line, width)
    if lines:
        return lines[1:]
    nothing = "nothing was told from inside: no Python with the hook, and no frugalwatch.step()"
    return [Text(" Inside the program", style="bold"), *prose(nothing, width)]
