"""What a run's page says about energy: totals, devices, whose it is, phases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from frugalwatch.report.attribution import Energy
from frugalwatch.report.format import (
    about,
    duration,
    grams,
    grams_range,
    money,
    percent,
    significant,
)
from frugalwatch.report.processes_text import (
    CAME_AND_WENT,
    SPLIT,
    gpu_seconds,
    left_out,
    process_energy,
    process_name,
    told_processes,
)
from frugalwatch.screen.one_run.detail import GpuUse
from frugalwatch.screen.one_run.table import bar, labelled, prose, table_lines
from frugalwatch.screen.records import Document
from frugalwatch.screen.symbols import Symbols
from frugalwatch.screen.words import Unit, bounds_text, energy_text, watts

_ORIGINS = {"derived": "from power", "estimated": "modelled ~", "attributed": "attributed"}
_BAR = 10
_MOST_PHASES = 60
_MOST_PROCESSES = 16


def read_energy(found: Mapping[str, Any], value: str, low: str, high: str) -> Energy | None:
    """An energy of the run object; None where it is unknown."""
    figure = found.get(value)
    if figure is None:
        return None
    least, most = found.get(low), found.get(high)
    return Energy(figure, figure if least is None else least, figure if most is None else most)


def device_energy(device: Mapping[str, Any]) -> Energy | None:
    """The energy of one device of the run object."""
    return read_energy(device, "energy_j", "low_j", "high_j")


def with_bounds(found: Energy, unit: Unit, *, modelled: bool) -> str:
    """`3.83 Wh (3.80 to 3.86 Wh)`."""
    text, around = energy_text(found, unit, modelled=modelled), bounds_text(found, unit)
    return f"{text} ({around})" if around else text


def total_lines(run: Document, unit: Unit, width: int) -> list[Text]:
    """Energy, carbon and cost of the whole run, and what they rest on."""
    lines: list[Text] = []
    for prefix, known in (("energy", "measured"), ("estimated", "modelled")):
        found = read_energy(run, f"{prefix}_j", f"{prefix}_low_j", f"{prefix}_high_j")
        if found is not None:
            modelled = prefix == "estimated"
            alone = modelled and run.get("energy_j") is None
            how = "modelled, not measured" if alone else known
            text = f"{with_bounds(found, unit, modelled=modelled)}  {how}"
            lines += labelled("and beside" if lines else "energy", text, width)
    if not lines:
        lines += labelled("energy", "unknown: nothing here could be read or modelled", width)
    lines += labelled("CO2e", _carbon(run), width)
    cost = run.get("cost")
    if cost:
        text = money(cost["amount"], cost["currency"])
        text = text if run.get("co2e_origin") == "measured" else about(text)
        per_kwh = f"{significant(cost['price_per_kwh'], 3)} {cost['currency']}/kWh"
        lines += labelled("cost", f"{text}  at {per_kwh}", width)
    coverage = run.get("coverage")
    if coverage is not None and coverage < 1:
        text = f"{percent(coverage)} of the time, of the device that misses most"
        lines += labelled("covered", text, width)
    return lines


def _carbon(run: Document) -> str:
    grid = run.get("carbon") or {}
    place = "world" if grid.get("zone") == "WORLD" else grid.get("zone", "?")
    when = "live" if grid.get("live") else grid.get("year", "?")
    kind = str(grid.get("kind", "")).replace("-", ", ")
    factor = f"{significant(grid['g_per_kwh'], 3)} g/kWh, {place} {when}, {kind}" if grid else ""
    if grid.get("assumed"):
        factor += ", assumed: no zone is set"
    value = run.get("co2e_g")
    if value is None:
        return f"unknown  {factor}"
    text = grams(value) if run.get("co2e_origin") == "measured" else about(grams(value))
    low, high = run.get("co2e_low_g"), run.get("co2e_high_g")
    if low is not None and high is not None and low != high:
        text += f" ({grams_range(low, high, beside_g=value)})"
    return f"{text}  {factor}"


def device_lines(run: Document, unit: Unit, width: int, symbols: Symbols) -> list[Text]:
    """One line a device, its part of its kind of sum as a bar; below it what needs words."""
    devices = run.get("devices", [])
    if not devices:
        return prose("no sensor here, and no model: frugalwatch doctor says why", width)
    rows = []
    for device in sorted(devices, key=lambda d: not d.get("counted")):
        found, modelled = device_energy(device), device.get("origin") == "estimated"
        known = _ORIGINS.get(str(device.get("origin")), str(device.get("origin")))
        rows.append(
            [
                str(device.get("name") or device["device"]),
                energy_text(found, unit, modelled=modelled),
                _share_bar(run, device, found, symbols),
                watts(device.get("mean_power_w"), modelled=modelled),
                known if device.get("counted") else f"{known}, not in sum",
                bounds_text(found, unit) if found else "",
                str(device.get("source", "")),
            ]
        )
    head = ["device", "energy", "share", "mean", "how known", "bounds", "source"]
    lines = table_lines(head, rows, width, frozenset({"energy", "mean"}), ["source", "bounds"])
    for device in devices:
        why = _remark(device)
        if why:
            lines += prose(f"{device.get('name') or device['device']}: {why}", width)
    return lines


def _share_bar(
    run: Document, device: Mapping[str, Any], found: Energy | None, symbols: Symbols
) -> str:
    """Its part of the sum that it belongs to: measured and modelled energy are two sums."""
    total = run.get("estimated_j" if device.get("origin") == "estimated" else "energy_j")
    if found is None or not total or not device.get("counted"):
        return ""
    return bar(found.value / total, _BAR, symbols)


def _remark(device: Mapping[str, Any]) -> str:
    parts = []
    if not device.get("counted"):
        if device.get("energy_j") is None:
            parts.append("gave no figure")
        elif device.get("part_of"):
            parts.append(f"part of {device['part_of']}")
        else:
            parts.append("not added up: its energy is in other figures")
    if 0 < device.get("coverage", 1.0) < 1:
        parts.append(f"{percent(device['coverage'])} of the time was read")
    if device.get("note"):
        parts.append(str(device["note"]))
    return "; ".join(parts)


_FIGURES = (
    ("device", "", "all that they used while the job ran"),
    ("above idle", "above_idle", "less what they would have used idle"),
    ("job's share", "job_share", "of that, by the job's part of busy time"),
)


def attribution_lines(run: Document, unit: Unit, width: int) -> list[Text]:
    """Device, above idle and share, each with one line of meaning; the headline is marked."""
    lines: list[Text] = []
    headline = {"device": "device", "job_share": "job's share"}.get(str(run.get("headline")), "")
    for prefix, kind in (("", "measured"), ("estimated_", "modelled")):
        whole = "estimated" if prefix else "energy"
        if run.get(f"{whole}_j") is None:
            continue
        rows = []
        for label, name, meaning in _FIGURES:
            stem = f"{prefix}{name}" if name else whole
            found = read_energy(run, f"{stem}_j", f"{stem}_low_j", f"{stem}_high_j")
            mark = ">" if label == headline else " "
            if found is None:
                rows.append([f"{mark} {label}", "unknown", "", _why_unknown(name)])
            else:
                text = energy_text(found, unit, modelled=bool(prefix))
                rows.append([f"{mark} {label}", text, bounds_text(found, unit), meaning])
        lines += table_lines(
            [f"  {kind}", "energy", "bounds", "meaning"], rows, width, frozenset({"energy"})
        )
    if not lines:
        return prose("unknown: no device gave a figure", width)
    if headline:
        lines += prose(f"> the figure to quote: {_why_quoted(headline, run)}", width)
    if run.get("above_idle_j") is None and run.get("estimated_above_idle_j") is None:
        lines += prose("`frugalwatch calibrate --idle` measures what the machine uses idle", width)
    return lines


def _why_quoted(headline: str, run: Document) -> str:
    share = run.get("busy_share")
    if share is None:
        return "how busy others kept the machine is not known"
    who = "the machine was the job's own" if headline == "device" else "others ran beside it"
    return f"{who}; it had {percent(share)} of the busy CPU time"


def _why_unknown(name: str) -> str:
    return "idle power is not known" if name == "above_idle" else "whose work it was is not known"


def process_lines(
    run: Document, use: tuple[GpuUse, ...], unit: Unit, width: int, symbols: Symbols
) -> list[Text]:
    """Busy time of the job beside that of all others, by device; then of each of its processes."""
    rows, notes = [], []
    known = {entry.key: entry for entry in use if entry.all_s > 0}
    for device in run.get("devices", []):
        if device.get("domain") != "gpu" or not device.get("counted"):
            continue
        entry = known.get(device["device"])
        if entry is None:
            notes.append(f"{device.get('name')}: the driver did not say which processes used it")
            continue
        share = min(1.0, entry.job_s / entry.all_s)
        used = (entry.job_s, entry.all_s, share)
        energy = _shared_energy(device, unit)
        rows.append(_use_row(str(device["name"]), "SM time", used, energy, symbols))
    cpu_share = run.get("busy_share")
    if cpu_share is not None and run.get("machine_busy_cpu_s"):
        used = (run["cpu_s"], run["machine_busy_cpu_s"], cpu_share)
        rows.append(_use_row("CPU", "CPU time", used, _cpu_energy(run, unit), symbols))
    elif run.get("cpu_s") is not None:
        notes.append(
            f"CPU: the job used {duration(run['cpu_s'])}; how busy others kept it is not known"
        )
    else:
        notes.append("CPU: the time of the job's processes is not known")
    lines = []
    if rows:
        head = ["where", "busy by", "this job", "others", "job", "", "job's energy"]
        right = frozenset({"this job", "others", "job", "job's energy"})
        lines = table_lines(head, rows, width, right, ["", "busy by"])
    for note in notes:
        lines += prose(note, width)
    if run.get("cpu_method") == "tree-lower-bound":
        lines += prose("CPU time is at least that: some processes may have got away", width)
    return [*lines, *_by_process(run, unit, width, symbols)]


def _by_process(run: Document, unit: Unit, width: int, symbols: Symbols) -> list[Text]:
    """What each process of the job used; nothing for a job with one worth telling."""
    told = told_processes(run)[:_MOST_PROCESSES]
    if not told:
        return []
    with_gpu = any(part["gpus"] for part in told)
    known = [process_energy(part) for part in told]
    rows = []
    for part, (found, modelled) in zip(told, known, strict=True):
        rows.append(
            [
                process_name(part),
                "" if part["pid"] is None else str(part["pid"]),
                duration(part["cpu_s"]),
                duration(gpu_seconds(part)) if part["gpus"] else "-",
                bar(_part_of(part, run, found, known), _BAR, symbols),
                energy_text(found, unit, modelled=modelled),
                bounds_text(found, unit) if found else "",
            ]
        )
    head = ["process", "pid", "CPU time", "SM time", "share", "energy", "bounds"]
    unknown = {"SM time"} if not with_gpu else set()
    unknown |= {"energy", "bounds"} if not any(found for found, _ in known) else set()
    places = [place for place, name in enumerate(head) if name not in unknown]
    head, rows = [head[p] for p in places], [[row[p] for p in places] for row in rows]
    right = frozenset({"pid", "CPU time", "SM time", "energy"})
    optional = [name for name in ("share", "bounds", "pid") if name in head]
    lines = [Text(""), *table_lines(head, rows, width, right, optional)]
    notes = [left_out(run, told), "" if "energy" in unknown else SPLIT]
    notes.append(CAME_AND_WENT if told[-1]["kind"] == "ended" else "")
    for note in filter(None, notes):
        lines += prose(note, width)
    return lines


def _part_of(
    part: Document, run: Document, found: Energy | None, known: list[tuple[Energy | None, bool]]
) -> float:
    """Its part of the energy of all processes; where no energy is known, of their CPU time."""
    if found is not None:
        whole = sum(each.value for each, _ in known if each is not None)
        return found.value / whole if whole else 0.0
    whole = sum(each["cpu_s"] for each in run["processes"])
    return part["cpu_s"] / whole if whole else 0.0


def _use_row(
    where: str, by: str, used: tuple[float, float, float], energy: str, symbols: Symbols
) -> list[str]:
    job_s, all_s, share = used
    others = duration(max(0.0, all_s - job_s))
    return [
        where,
        by,
        duration(job_s),
        others,
        percent(share),
        bar(share, _BAR, symbols),
        energy,
    ]


def _shared_energy(device: Mapping[str, Any], unit: Unit) -> str:
    found = read_energy(device, "job_share_j", "job_share_low_j", "job_share_high_j")
    return energy_text(found, unit, modelled=device.get("origin") == "estimated")


def _cpu_energy(run: Document, unit: Unit) -> str:
    """The job's share of all counted CPU devices; `-` where one is unknown."""
    chosen = [d for d in run.get("devices", []) if d.get("counted") and d.get("domain") == "cpu"]
    parts = [read_energy(d, "job_share_j", "job_share_low_j", "job_share_high_j") for d in chosen]
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return "-"
    total = known[0]
    for part in known[1:]:
        total += part
    return energy_text(total, unit, modelled=any(d.get("origin") == "estimated" for d in chosen))


def phase_table(run: Document, unit: Unit, width: int, symbols: Symbols) -> list[Text]:
    """Time, energy and mean power by phase; energy is the device's, split by time."""
    phases = run.get("phases", [])
    if not phases:
        return prose(
            "the job named none: with frugalwatch.phase('train'): ... in its code does", width
        )
    total = run.get("energy_j")
    modelled = total is None
    total = run.get("estimated_j") if modelled else total
    rows = []
    for phase in phases[:_MOST_PHASES]:
        found = (
            read_energy(phase, "estimated_j", "estimated_low_j", "estimated_high_j")
            if modelled
            else read_energy(phase, "energy_j", "low_j", "high_j")
        )
        lasted = phase["duration_s"]
        mean_w = found.value / lasted if found and lasted else None
        rows.append(
            [
                _phase_name(phase, goes_on=run.get("state") == "running"),
                duration(lasted),
                energy_text(found, unit, modelled=modelled),
                bar(found.value / total, _BAR, symbols) if found and total else "",
                watts(mean_w, modelled=modelled),
                bounds_text(found, unit) if found else "",
            ]
        )
    head = ["phase", "time", "energy", "share", "mean", "bounds"]
    lines = table_lines(head, rows, width, frozenset({"time", "energy", "mean"}), ["bounds"])
    if len(phases) > _MOST_PHASES:
        lines += prose(f"and {len(phases) - _MOST_PHASES} more: e writes all of them", width)
    lines += prose("the devices' energy, split by time; - was too short to tell", width)
    return lines


def _phase_name(phase: Mapping[str, Any], *, goes_on: bool) -> str:
    name = "  " * int(phase["depth"]) + str(phase["name"])
    if phase["number"] is not None:
        name += f" {phase['number']}"
    if phase["count"] > 1:
        name += f" x{phase['count']}"
    if not phase["unfinished"]:
        return name
    return f"{name}, goes on" if goes_on else f"{name}, did not end"
