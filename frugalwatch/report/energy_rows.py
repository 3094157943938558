"""The summary's rows on energy: measured, modelled, and the job's share of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from frugalwatch.report.format import about, digits_for, energy, energy_range, percent
from frugalwatch.report.rows import row, wrapped

# Any: the run object is JSON, described and checked in docs/reference/run-object.md.
Document: TypeAlias = Mapping[str, Any]

_DOMAINS = (("gpu", "GPU"), ("cpu", "CPU"), ("ram", "RAM"), ("other", "other"), ("system", "all"))


def measured_rows(run: Document) -> list[str]:
    """Energy of the counters with its bounds and its split, and the job's share."""
    value, low, high = run["energy_j"], run["energy_low_j"], run["energy_high_j"]
    digits = digits_for(value, low, high)
    bounds = energy_range(low, high, digits, beside_j=value)
    least, _, most = bounds.rpartition(" ")[0].partition(" to ")
    how, sampled = _how_known(run)
    lines = [row("Energy", energy(value, digits), how if least == most else f"{bounds}, {how}")]
    split = _split(run, digits)
    if split:
        lines += wrapped("", split)
    if sampled:
        lines.append(row("", sampled))
    lines += _share(run)
    return lines


def _how_known(run: Document) -> tuple[str, str]:
    """`measured`, and where power was integrated for want of a counter, a line that says so."""
    counted = [d for d in run["devices"] if d["counted"] and d["energy_j"] is not None]
    sampled = {d["domain"] for d in counted if d["origin"] == "derived"}
    if not sampled:
        return "measured", ""
    if all(d["origin"] != "measured" for d in counted):
        return "from sampled power", ""
    names = ", ".join(label for domain, label in _DOMAINS if domain in sampled)
    return "measured", f"{names} from sampled power, the rest from counters"


def _split(run: Document, digits: int) -> str:
    parts = []
    for domain, label in _DOMAINS:
        chosen = [
            d
            for d in run["devices"]
            if d["counted"] and d["domain"] == domain and d["energy_j"] is not None
            if not is_model(d)
        ]
        if chosen:
            total = sum(d["energy_j"] for d in chosen)
            count = f" x{len(chosen)}" if len(chosen) > 1 else ""
            parts.append(f"{label}{count} {energy(total, digits)}")
    return ",  ".join(parts) if len(parts) > 1 else ""


def _share(run: Document) -> list[str]:
    lines = []
    if run["above_idle_j"] is not None:
        lines.append(row("Above idle", energy(run["above_idle_j"], 2)))
    if run["headline"] == "job_share" and run["job_share_j"] is not None:
        value, low, high = run["job_share_j"], run["job_share_low_j"], run["job_share_high_j"]
        bounds = energy_range(low, high, beside_j=value)
        lines.append(row("Your share", energy(value, 2), f"{bounds}; {_use(run)}"))
        if _gpu_use_unknown(run):
            lines += wrapped(
                "", "which processes used the GPU is unknown: its energy counts as yours"
            )
        if run["above_idle_j"] is None:
            lines += wrapped("", "idle power unknown: `frugalwatch calibrate --idle` narrows this")
    return lines


def _busy(run: Document) -> str:
    return f"{percent(run['busy_share'])} of busy CPU time"


def _use(run: Document) -> str:
    """What the share was taken by: a GPU's energy goes by its own busy time, not by the CPU's."""
    domains = {d["domain"] for d in run["devices"] if d["counted"] and not is_model(d)}
    if domains == {"gpu"}:
        return "by busy GPU time"
    return f"{_busy(run)}, GPU by its own" if "gpu" in domains else _busy(run)


def _gpu_use_unknown(run: Document) -> bool:
    return any(
        d["counted"] and d["domain"] == "gpu" and d["job_share_j"] is None and d["energy_j"]
        for d in run["devices"]
    )


def beside_rows(run: Document) -> list[str]:
    """Modelled energy that stands beside measured energy and is no part of it."""
    value, low, high = run["estimated_j"], run["estimated_low_j"], run["estimated_high_j"]
    bounds = energy_range(low, high, beside_j=value)
    how = f"{bounds}, modelled ({_modelled_names(run)})"
    return [row("and beside", about(energy(value, 2)), how)]


def _modelled_names(run: Document) -> str:
    names = {d["domain"].upper() for d in run["devices"] if d["counted"] and is_model(d)}
    return ", ".join(sorted(names))


def modelled_rows(run: Document) -> list[str]:
    """Energy of a machine without counters, and the words that it is not measured."""
    value, low, high = run["estimated_j"], run["estimated_low_j"], run["estimated_high_j"]
    bounds = energy_range(low, high, beside_j=value)
    lines = [
        row("Energy", about(energy(value, 2)), f"likely {bounds}"),
        row("", f"{_model(run)}: do not report it as measured"),
    ]
    sources = [d["source"] for d in run["devices"] if d["counted"] and is_model(d)]
    lines += [line for source in sources for line in wrapped("", source)]
    share = run["estimated_job_share_j"]
    if run["headline"] == "job_share" and share is not None:
        low, high = run["estimated_job_share_low_j"], run["estimated_job_share_high_j"]
        bounds = energy_range(low, high, beside_j=share)
        lines.append(row("Your share", about(energy(share, 2)), f"{bounds}; {_busy(run)}"))
    elif run["estimated_above_idle_j"] is not None:
        lines.append(row("Above idle", about(energy(run["estimated_above_idle_j"], 2))))
    return lines


def _model(run: Document) -> str:
    keys = [d["device"] for d in run["devices"] if d["counted"] and is_model(d)]
    if keys and all(key.startswith("codecarbon:") for key in keys):
        return "modelled by codecarbon"
    return "modelled from CPU time"


def is_model(device: Mapping[str, Any]) -> bool:
    """Whether a device's figure comes from a model."""
    return bool(device["origin"] == "estimated")
