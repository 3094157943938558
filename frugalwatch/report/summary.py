"""What `run` says at the end: a block for people, one line for logs.

Leads with the answer, then how sure it is, then the next command. `~` marks what is estimated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from frugalwatch.report.format import (
    about,
    command_line,
    digits_for,
    duration,
    energy,
    energy_range,
    grams,
    grams_range,
    money,
    percent,
    significant,
)
from frugalwatch.report.style import Style

# Any: the run object is JSON, described and checked in docs/reference/run-object.md.
Document: TypeAlias = Mapping[str, Any]

_WIDTH = 78
_LABEL = 13
_DOMAINS = (("gpu", "GPU"), ("cpu", "CPU"), ("ram", "RAM"), ("other", "other"), ("system", "all"))
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
    }
    words = " ".join(f"{key}={'-' if value is None else value}" for key, value in pairs.items())
    return f"frugalwatch: {words}"


def block_summary(run: Document, style: Style, *, next_step: bool = True) -> str:
    """The block that ends a run on a terminal. At most 78 columns, plain ASCII."""
    lines = [*_head(run, style), ""]
    if run["energy_j"] is not None:
        lines += _measured(run)
        if run["estimated_j"] is not None:
            lines += _beside(run)
    elif run["estimated_j"] is not None:
        lines += _modelled(run)
    else:
        lines += [_row("Energy", "unknown: nothing here could be read or modelled")]
    lines += _carbon(run)
    if run["embodied"] is not None:
        lines += _embodied(run["embodied"])
    if run["cost"] is not None:
        cost = run["cost"]
        lines.append(
            _row(
                "Cost",
                _marked(run, money(cost["amount"], cost["currency"])),
                f"{significant(cost['price_per_kwh'], 3)} {cost['currency']}/kWh",
            )
        )
    if run["energy_j"] is None and run["estimated_j"] is not None:
        lines += _wrapped("Not counted", _not_counted(run))
    lines += _steps(run)
    lines += _comparison(run)
    lines += _warnings(run)
    if _has_estimates(run):
        lines += ["", style.dim("  ~ estimated by a model, not measured")]
    if next_step:
        lines += ["", f"  Next  frugalwatch show {run['number']}     {_hint(run)}"]
    return "\n".join(line.rstrip() for line in lines)


def _head(run: Document, style: Style) -> list[str]:
    title = f"FrugalWatch  run {run['number']}   "
    words = command_line(cast("list[str]", run["command"]), _WIDTH - len(title))
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


def _measured(run: Document) -> list[str]:
    value, low, high = run["energy_j"], run["energy_low_j"], run["energy_high_j"]
    digits = digits_for(value, low, high)
    bounds = energy_range(low, high, digits, beside_j=value)
    least, _, most = bounds.rpartition(" ")[0].partition(" to ")
    how = _how_known(run) if least == most else f"{bounds}, {_how_known(run)}"
    lines = [_row("Energy", energy(value, digits), how)]
    split = _split(run, digits)
    if split:
        lines += _wrapped("", split)
    lines += _share(run)
    return lines


def _how_known(run: Document) -> str:
    """`measured`; where power was integrated because there is no counter, of which devices."""
    counted = [d for d in run["devices"] if d["counted"] and d["energy_j"] is not None]
    sampled = {d["domain"] for d in counted if d["origin"] == "derived"}
    if not sampled:
        return "measured"
    if all(d["origin"] != "measured" for d in counted):
        return "from sampled power"
    names = [label for domain, label in _DOMAINS if domain in sampled]
    return f"measured; {', '.join(names)} from sampled power"


def _split(run: Document, digits: int) -> str:
    parts = []
    for domain, label in _DOMAINS:
        chosen = [
            d
            for d in run["devices"]
            if d["counted"] and d["domain"] == domain and d["energy_j"] is not None
            if not _is_model(d)
        ]
        if chosen:
            total = sum(d["energy_j"] for d in chosen)
            count = f" x{len(chosen)}" if len(chosen) > 1 else ""
            parts.append(f"{label}{count} {energy(total, digits)}")
    return ",  ".join(parts) if len(parts) > 1 else ""


def _share(run: Document) -> list[str]:
    lines = []
    if run["above_idle_j"] is not None:
        lines.append(_row("Above idle", energy(run["above_idle_j"], 2)))
    if run["headline"] == "job_share" and run["job_share_j"] is not None:
        value, low, high = run["job_share_j"], run["job_share_low_j"], run["job_share_high_j"]
        bounds = energy_range(low, high, beside_j=value)
        lines.append(_row("Your share", energy(value, 2), f"{bounds}; {_busy(run)}"))
        if _gpu_use_unknown(run):
            lines += _wrapped(
                "", "which processes used the GPU is unknown: its energy counts as yours"
            )
        if run["above_idle_j"] is None:
            lines += _wrapped("", "idle power unknown: `frugalwatch calibrate --idle` narrows this")
    return lines


def _busy(run: Document) -> str:
    return f"{percent(run['busy_share'])} of busy CPU time"


def _gpu_use_unknown(run: Document) -> bool:
    return any(
        d["counted"] and d["domain"] == "gpu" and d["job_share_j"] is None and d["energy_j"]
        for d in run["devices"]
    )


def _beside(run: Document) -> list[str]:
    value, low, high = run["estimated_j"], run["estimated_low_j"], run["estimated_high_j"]
    bounds = energy_range(low, high, beside_j=value)
    how = f"{bounds}, modelled ({_modelled_names(run)})"
    return [_row("and beside", about(energy(value, 2)), how)]


def _modelled_names(run: Document) -> str:
    names = {d["domain"].upper() for d in run["devices"] if d["counted"] and _is_model(d)}
    return ", ".join(sorted(names))


def _modelled(run: Document) -> list[str]:
    value, low, high = run["estimated_j"], run["estimated_low_j"], run["estimated_high_j"]
    bounds = energy_range(low, high, beside_j=value)
    lines = [
        _row("Energy", about(energy(value, 2)), f"likely {bounds}"),
        _row("", "modelled from CPU time: do not report it as measured"),
    ]
    sources = [d["source"] for d in run["devices"] if d["counted"] and _is_model(d)]
    lines += [line for source in sources for line in _wrapped("", source)]
    share = run["estimated_job_share_j"]
    if run["headline"] == "job_share" and share is not None:
        low, high = run["estimated_job_share_low_j"], run["estimated_job_share_high_j"]
        bounds = energy_range(low, high, beside_j=share)
        lines.append(_row("Your share", about(energy(share, 2)), f"{bounds}; {_busy(run)}"))
    elif run["estimated_above_idle_j"] is not None:
        lines.append(_row("Above idle", about(energy(run["estimated_above_idle_j"], 2))))
    return lines


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
        return [_row("Carbon", "unknown", f"{factor}, {place}{pue}")]
    lines = [
        _row("Carbon", f"{_marked(run, grams(run['co2e_g']))} CO2e", f"{factor}, {place}{pue}")
    ]
    if carbon["assumed"]:
        bounds = grams_range(run["co2e_low_g"], run["co2e_high_g"], beside_g=run["co2e_g"])
        lines.append(_row("", f"no zone is set: {bounds} over the world's grids;"))
        lines.append(_row("", "name yours with --zone FR or in the configuration"))
    return lines


def _embodied(found: Mapping[str, Any]) -> list[str]:
    if found["co2e_g"] is None:
        return _wrapped("Hardware", f"making it is not counted: {found['problem']}")
    value = found["co2e_g"]
    bounds = grams_range(found["co2e_low_g"], found["co2e_high_g"], beside_g=value)
    part = "" if found["share"] == 1 else f" ({significant(found['share'] * 100, 3)} % of it)"
    return [
        _row("Hardware", f"{about(grams(value))} CO2e", f"{bounds}, not in the line above:"),
        *_wrapped("", f"making {found['hardware']}{part}, spread over its life"),
    ]


def _steps(run: Document) -> list[str]:
    steps = run["steps"]
    if not steps:
        return []
    text = f"{steps['steps']}"
    if steps["steps_per_s"]:
        text += f", {significant(steps['steps_per_s'], 3)} a second"
    for key, mark in (("energy_per_step_j", ""), ("estimated_per_step_j", "~")):
        if steps[key] is not None:
            text += f", {mark}{significant(steps[key], 2)} J each"
            break
    return [_row("Steps", text)]


def _comparison(run: Document) -> list[str]:
    found = run["comparison"]
    if not found:
        return []
    what = "energy" if found["quantity"] == "energy_j" else "CPU time"
    count = found["earlier_count"]
    others = f"{count} earlier run{'s' if count > 1 else ''} of this command"
    ratio = significant(found["ratio"], 2 if found["low"] is None else 3)
    if found["low"] is None:
        one_each = count == found["these_count"] == 1
        sides = "one run each" if one_each else f"{found['these_count']} against {count}"
        text = f"{ratio} x the {what} of {others} ({sides}: no interval)"
    elif found["verdict"] == "no clear difference":
        span = f"{significant(found['low'], 3)} to {significant(found['high'], 3)}"
        text = f"no clear difference in {what} to {others} ({span})"
    else:
        span = f"{significant(found['low'], 3)} to {significant(found['high'], 3)}"
        text = f"{ratio} x the {what} of {others} ({span})"
    return ["", *_wrapped("Compared", text)]


def _warnings(run: Document) -> list[str]:
    lines: list[str] = []
    told = [e for e in run["events"] if e["kind"] in _TOLD]
    for event in told[:4]:
        lines += _wrapped("warning", _event_text(event))
    if len(told) > 4:
        lines.append(_row("", f"and {len(told) - 4} more: frugalwatch show {run['number']}"))
    return ["", *lines] if lines else []


def _event_text(event: Mapping[str, Any]) -> str:
    kind = str(event["kind"]).replace("_", " ")
    cause = f" ({event['cause']})" if event["cause"] else ""
    return f"{kind}{cause}: {event['detail']}" if event["detail"] else f"{kind}{cause}"


def _hint(run: Document) -> str:
    if run["energy_j"] is None:
        return "frugalwatch doctor    (why nothing was measured)"
    return "frugalwatch runs"


def _marked(run: Document, text: str) -> str:
    """Carbon and cost as text: as sure as the energy that they were computed from."""
    return text if run["co2e_origin"] == "measured" else about(text)


def _has_sensor(run: Document) -> bool:
    return any(d["origin"] in ("measured", "derived") for d in run["devices"])


def _is_model(device: Mapping[str, Any]) -> bool:
    return bool(device["origin"] == "estimated")


def _not_counted(run: Document) -> str:
    left_out = ["network"]
    if run["carbon"]["pue"] == 1:
        left_out.append("cooling (PUE 1)")
    if run["embodied"] is None:
        left_out.append("making the hardware")
    return ", ".join(left_out)


def _has_estimates(run: Document) -> bool:
    return any(_is_model(d) and d["counted"] for d in run["devices"])


def _row(label: str, *cells: str) -> str:
    first, *rest = cells
    text = f"  {label:<{_LABEL}}{first:<18}" if rest else f"  {label:<{_LABEL}}{first}"
    return text + "  ".join(rest)


def _wrapped(label: str, text: str) -> list[str]:
    """A row whose text goes on below itself where it is too long."""
    width = _WIDTH - _LABEL - 2
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    lines.append(line)
    return [_row(label if i == 0 else "", part) for i, part in enumerate(lines)]


def _plain(value: float | None, divide: float = 1.0) -> str | None:
    return None if value is None else significant(value / divide, 4)
