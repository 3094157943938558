"""What `run` says at the end: a block for people, one line for logs.

Leads with the answer, then how sure it is, then the next command. `~` marks what is estimated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from frugalwatch.report.energy_rows import beside_rows, is_model, measured_rows, modelled_rows
from frugalwatch.report.format import (
    about,
    command_line,
    duration,
    grams,
    grams_range,
    money,
    percent,
    significant,
)
from frugalwatch.report.inside_text import leading_pairs, leading_row
from frugalwatch.report.rows import WIDTH, row, wrapped
from frugalwatch.report.style import Style

# Any: the run object is JSON, described and checked in docs/reference/run-object.md.
Document: TypeAlias = Mapping[str, Any]

# Events that a person has to know of to read the figures; the others are in `show`.
_TOLD = frozenset(
    {
        "gap",
        "sampler_restarted",
        "suspended",
        "clock_step",
        "disagreement",
        "processes_left",
        "work_elsewhere",
        "job_signalled",
        "job_goes_on",
        "budget_unwatched",
        "alert_undelivered",
    }
)


def line_summary(run: Document) -> str:
    """One line of key=value pairs, `-` for what is unknown."""
    pairs = {
        "run": run["number"],
        "exit": run["exit_code"],
        "time_s": _plain(run["duration_s"]),
        "cpu_s": _plain(run["cpu_s"]),
        "energy_wh": _plain(run["energy_j"], 3600),
        "energy_low_wh": _plain(run["energy_low_j"], 3600),
        "energy_high_wh": _plain(run["energy_high_j"], 3600),
        "estimated_wh": _plain(run["estimated_j"], 3600),
        "estimated_low_wh": _plain(run["estimated_low_j"], 3600),
        "estimated_high_wh": _plain(run["estimated_high_j"], 3600),
        "co2e_g": _plain(run["co2e_g"]),
        "co2e_origin": run["co2e_origin"] or "-",
        "zone": run["carbon"]["zone"] + ("(assumed)" if run["carbon"]["assumed"] else ""),
        "covered": "-" if run["coverage"] is None else f"{run['coverage']:.3f}",
        **leading_pairs(run),
    }
    words = " ".join(f"{key}={'-' if value is None else value}" for key, value in pairs.items())
    return f"frugalwatch: {words}"


def block_summary(run: Document, style: Style, *, next_step: bool = True) -> str:
    """The block that ends a run on a terminal. At most 78 columns, plain ASCII."""
    lines = [*_head(run, style), ""]
    if run["energy_j"] is not None:
        lines += measured_rows(run)
        if run["estimated_j"] is not None:
            lines += beside_rows(run)
    elif run["estimated_j"] is not None:
        lines += modelled_rows(run)
    else:
        lines += [row("Energy", "unknown: nothing here could be read or modelled")]
    lines += _carbon(run)
    if run["embodied"] is not None:
        lines += _embodied(run["embodied"])
    if run["cost"] is not None:
        cost = run["cost"]
        lines.append(
            row(
                "Cost",
                _marked(run, money(cost["amount"], cost["currency"])),
                f"{significant(cost['price_per_kwh'], 3)} {cost['currency']}/kWh",
            )
        )
    if run["energy_j"] is None and run["estimated_j"] is not None:
        lines += wrapped("Not counted", _not_counted(run))
    lines += _budgets(run)
    lines += leading_row(run)
    lines += _comparison(run)
    lines += _warnings(run)
    if _has_estimates(run):
        lines += ["", style.dim("  ~ estimated by a model, not measured")]
    if next_step:
        lines += ["", f"  Next  frugalwatch show {run['number']}     {_hint(run)}"]
    return "\n".join(line.rstrip() for line in lines)


def _head(run: Document, style: Style) -> list[str]:
    title = f"FrugalWatch  run {run['number']}   "
    words = command_line(cast("list[str]", run["command"]), WIDTH - len(title))
    status = _status(run)
    failed = run["exit_code"] not in (0, None)
    facts = [style.red(status) if failed else status, f"{duration(run['duration_s'])} wall"]
    if run["cpu_s"] is not None:
        least = "at least " if run["cpu_method"] == "tree-lower-bound" else ""
        facts.append(f"{least}{duration(run['cpu_s'])} CPU")
    if run["energy_j"] is not None and run["coverage"] is not None:
        facts.append(f"{percent(run['coverage'])} covered")
    elif run["energy_j"] is None:
        facts.append("no counter answered" if _has_sensor(run) else "no energy counter here")
    return [style.bold(title) + words, "  " + "    ".join(facts)]


def _status(run: Document) -> str:
    if run["state"] == "running":
        return "running"
    if run["exit_code"] is None:
        return f"{run['state']}, exit unknown"
    if run["exit_signal"]:
        import signal

        try:
            name = signal.Signals(run["exit_signal"]).name
        except ValueError:
            name = f"signal {run['exit_signal']}"
        return f"killed by {name}"
    return f"exit {run['exit_code']}"


def _carbon(run: Document) -> list[str]:
    carbon = run["carbon"]
    factor = f"{significant(carbon['g_per_kwh'], 3)} g/kWh"
    kind = carbon["kind"].replace("-", ", ")
    if carbon["live"]:
        place = f"{carbon['zone']}, live, {kind}"
    elif carbon["zone"] == "WORLD":
        place = f"world {carbon['year']}, {kind}"
    else:
        place = f"{carbon['zone']} {carbon['year']}, {kind}"
    pue = "" if carbon["pue"] == 1 else f", PUE {carbon['pue']:g}"
    if run["co2e_g"] is None:
        return [row("Carbon", "unknown", f"{factor}, {place}{pue}")]
    lines = [row("Carbon", f"{_marked(run, grams(run['co2e_g']))} CO2e", f"{factor}, {place}{pue}")]
    if carbon["assumed"]:
        bounds = grams_range(run["co2e_low_g"], run["co2e_high_g"], beside_g=run["co2e_g"])
        lines.append(row("", f"no zone is set: {bounds} over the world's grids;"))
        lines.append(row("", "name yours with --zone FR or in the configuration"))
    return lines


def _budgets(run: Document) -> list[str]:
    """What became of each budget and alert; a run that was recorded earlier has neither."""
    lines: list[str] = []
    if run.get("budgets"):
        from frugalwatch.budgets.told import budget_words

        for found in run["budgets"]:
            words = budget_words(found, run["co2e_origin"])
            lines += wrapped("Budget", f"{found['budget']} {words}")
    for found in run.get("alerts", ()):
        if found["crossings"]:
            times = f"{found['crossings']} times, " if found["crossings"] > 1 else ""
            at = f"at {duration(max(0.0, found['first_s']))}"
            lines += wrapped("Alert", f"{found['alert']}: {times}{at}; {found['last']}")
        elif not found["judged"]:
            lines += wrapped("Alert", f"{found['alert']} could not be judged: see `show`")
    return lines


def _embodied(found: Mapping[str, Any]) -> list[str]:
    if found["co2e_g"] is None:
        return wrapped("Hardware", f"making it is not counted: {found['problem']}")
    value = found["co2e_g"]
    bounds = grams_range(found["co2e_low_g"], found["co2e_high_g"], beside_g=value)
    part = "" if found["share"] == 1 else f" ({found['share'] * 100:g} % of it)"
    return [
        row("Hardware", f"{about(grams(value))} CO2e", f"{bounds}, not in the line above:"),
        *wrapped("", f"making {found['hardware']}{part}, spread over its life"),
    ]


def _comparison(run: Document) -> list[str]:
    found = run["comparison"]
    if not found:
        return []
    what = "energy" if found["quantity"] == "energy_j" else "CPU time"
    count = found["earlier_count"]
    others = f"{count} earlier run{'s' if count > 1 else ''} of this command"
    ratio = significant(found["ratio"], 2 if found["low"] is None else 3)
    span = ""
    if found["low"] is not None:
        span = f"95 %: {significant(found['low'], 3)} to {significant(found['high'], 3)}"
    if found["low"] is None:
        one_each = count == found["these_count"] == 1
        sides = "one run each" if one_each else f"{found['these_count']} against {count}"
        text = f"{ratio} x the {what} of {others} ({sides}: no interval)"
    elif found["verdict"] == "no clear difference":
        text = f"no clear difference in {what} to {others} ({span})"
    else:
        text = f"{ratio} x the {what} of {others} ({span})"
    return ["", *wrapped("Compared", text)]


def _warnings(run: Document) -> list[str]:
    lines: list[str] = []
    told = [e for e in run["events"] if e["kind"] in _TOLD and not _made_good(e)]
    for event in told[:4]:
        lines += wrapped("warning", _event_text(event))
    if len(told) > 4:
        lines.append(row("", f"and {len(told) - 4} more: frugalwatch show {run['number']}"))
    return ["", *lines] if lines else []


def _made_good(event: Mapping[str, Any]) -> bool:
    """A look that failed where the next one lost nothing, since a counter had gone on."""
    return event["kind"] == "gap" and not event["energy_missing"]


def _event_text(event: Mapping[str, Any]) -> str:
    kind = str(event["kind"]).replace("_", " ")
    cause = f" ({event['cause']})" if event["cause"] else ""
    if event["kind"] == "gap":
        cause = "" if str(event["cause"]) in str(event["detail"]) else cause
        return f"{event['detail']}{cause}: no figure {_stretch(event)}, its energy is missing"
    return f"{kind}{cause}: {event['detail']}" if event["detail"] else f"{kind}{cause}"


def _stretch(event: Mapping[str, Any]) -> str:
    end = duration(max(0.0, event["t_s"]))
    since = event["since_s"]
    return f"until {end}" if since is None else f"from {duration(max(0.0, since))} to {end}"


def _hint(run: Document) -> str:
    if run["energy_j"] is None:
        return "frugalwatch doctor    (why nothing was measured)"
    return "frugalwatch runs"


def _marked(run: Document, text: str) -> str:
    """Carbon and cost as text: as sure as the energy that they were computed from."""
    return text if run["co2e_origin"] == "measured" else about(text)


def _has_sensor(run: Document) -> bool:
    return any(d["origin"] in ("measured", "derived") for d in run["devices"])


def _not_counted(run: Document) -> str:
    left_out = ["network"]
    if run["carbon"]["pue"] == 1:
        left_out.append("cooling (PUE 1)")
    if run["embodied"] is None:
        left_out.append("making the hardware")
    return ", ".join(left_out)


def _has_estimates(run: Document) -> bool:
    return any(is_model(d) and d["counted"] for d in run["devices"])


def _plain(value: float | None, divide: float = 1.0) -> str | None:
    return None if value is None else significant(value / divide, 4)
