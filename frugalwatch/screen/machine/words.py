"""The machine's sums as the screen writes them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from frugalwatch.report.attribution import Energy
from frugalwatch.report.format import about, duration, money, significant
from frugalwatch.screen.machine.records import GridSeries, IdleGpu, MachineLook, Period, Tally
from frugalwatch.screen.symbols import Symbols
from frugalwatch.screen.words import Unit, bounds_text, energy_text, fitting, mass, watts

_BAR = 14


def measured_text(tally: Tally, unit: Unit) -> str:
    """What was measured; `-` where nothing was."""
    return energy_text(tally.measured, unit)


def modelled_text(tally: Tally, unit: Unit) -> str:
    """What a model adds beside it, with its mark."""
    return energy_text(tally.estimated, unit, modelled=True)


def both_text(tally: Tally, unit: Unit) -> str:
    """Measured, `+` where a model stands beside it, `~` where it stands alone."""
    if tally.measured is None:
        return modelled_text(tally, unit)
    return measured_text(tally, unit) + ("+" if tally.estimated is not None else "")


def carbon_text(tally: Tally, unit: Unit) -> str:
    """Gram or kilogram; `~` where a model has a part in it."""
    if tally.co2e_g is None:
        return "-"
    text = mass(tally.co2e_g, unit)
    return text if tally.estimated is None else about(text)


def cost_text(tally: Tally) -> str:
    """Money by currency; empty without a price."""
    texts = [money(amount, name) for name, amount in sorted(tally.cost.items())]
    return " + ".join(texts if tally.estimated is None else map(about, texts))


def runs_text(tally: Tally) -> str:
    """`12`, `12, 1 unknown` where a run has no figure."""
    return f"{tally.runs}" + (f", {tally.unknown} unknown" if tally.unknown else "")


def bounds_line(tally: Tally, unit: Unit) -> str:
    """`64 to 68 Wh, ~0.5 to 2.2 Wh`: the bounds of what was measured, and of what was modelled."""
    measured = bounds_text(tally.measured, unit) if tally.measured else ""
    modelled = bounds_text(tally.estimated, unit) if tally.estimated else ""
    return ", ".join([measured] * bool(measured) + [f"~{modelled}"] * bool(modelled))


def _with_bounds(tally: Tally, unit: Unit) -> str:
    """Measured with its bounds, and modelled with its own beside it."""
    parts = []
    for energy, modelled in ((tally.measured, False), (tally.estimated, True)):
        if energy is not None:
            text = energy_text(energy, unit, modelled=modelled)
            around = bounds_text(energy, unit)
            parts.append(f"{text} ({around})" if around else text)
    return " + ".join(parts) or "-"


def energy_rows(look: MachineLook) -> list[tuple[str, Tally]]:
    """The lines of the table of energy: today, yesterday, this week, the month."""
    today, week, month = look.periods
    return [
        ("Today", today.total),
        ("Yesterday", look.days[-2][1]),
        ("This week", week.total),
        ("30 days", month.total),
    ]


def day_lines(look: MachineLook, unit: Unit, symbols: Symbols, most: int) -> list[str]:
    """The last days with a bar each, today first; a model's part counts, and is marked."""
    days = look.days[::-1][: max(3, min(14, most))]
    highest = max((tally.total_j for _, tally in days), default=0.0)
    mark = "#" if symbols == "ascii" else "█"
    lines = [" By day"]
    for begin, tally in days:
        part = tally.total_j / highest if highest else 0.0
        bar = mark * max(1 if tally.total_j else 0, round(part * _BAR))
        name = time.strftime("%a %m-%d", time.localtime(begin))
        lines.append(f" {name}  {bar:<{_BAR}}{both_text(tally, unit):>11}")
    return lines


def heading_lines(look: MachineLook, unit: Unit, width: int) -> tuple[str, str]:
    """The header's second and third line: today, and how far it is known."""
    today = look.periods[0].total
    first = fitting(
        [
            f"today {_with_bounds(today, unit)}",
            f"{carbon_text(today, unit)} CO2e" if today.co2e_g is not None else "CO2e unknown",
            cost_text(today),
            f"{today.runs} run{'s' * (today.runs != 1)}",
        ],
        width,
    )
    if look.read_back_to_utc_s is not None:
        day = time.strftime("%Y-%m-%d", time.localtime(look.read_back_to_utc_s))
        return first, f"reading history: back to {day} so far"
    hosts = ", ".join(look.hosts[:3]) + (" ..." if len(look.hosts) > 3 else "")
    month = look.periods[-1].total
    overlap = f"{month.overlapping} runs overlapped, counted once" if month.overlapping else ""
    return first, fitting(
        [
            f"machine{'s' * (len(look.hosts) > 1)} {hosts}" if look.hosts else "",
            "only time inside runs is recorded",
            overlap,
        ],
        width,
    )


def idle_lines(period: Period, unit: Unit, width: int, most: int) -> list[str]:
    """A line or two for each GPU: what was recorded, and what is known of the time between runs."""
    if not period.idle:
        return [f" No GPU was seen by a run, {period.name}."]
    lines: list[str] = []
    for gpu in period.idle:
        lines += _gpu_lines(gpu, unit, width)
    if len(lines) > most:
        hidden = len(lines) - most + 1
        lines = [*lines[: most - 1], f" and {hidden} more lines: e writes all of it"]
    return lines


def _gpu_lines(gpu: IdleGpu, unit: Unit, width: int) -> list[str]:
    name = f" G {gpu.name[:17]:<18}"
    parts = []
    if gpu.recorded_s > 0:
        text = energy_text(gpu.measured, unit)
        parts.append(f"{text} measured, {duration(gpu.recorded_s)} unused in runs")
    if gpu.between_s > 0:
        time_ = duration(gpu.between_s)
        if gpu.estimated is None:
            parts.append(f"{time_} between runs: energy unknown, no idle watts")
        else:
            text = energy_text(gpu.estimated, unit, modelled=True)
            watt = watts(gpu.idle_w.value if gpu.idle_w else None, modelled=True)
            origin = gpu.idle_origin or "model"
            parts.append(f"{text}: {time_} between runs at {watt}, {origin}")
    if not parts:
        parts.append("no time without a job is known")
    together = f"{name}{'; '.join(parts)}"
    if len(together) <= width:
        return [together]
    return [f"{name}{parts[0]}", *(" " * len(name) + part for part in parts[1:])]


def grid_title(grid: GridSeries, width: int, hours: float) -> str:
    """Zone, kind, source, and the last value with its span."""
    last = grid.values[-1]
    least = min(value.g_per_kwh for value in grid.values)
    most = max(value.g_per_kwh for value in grid.values)
    mark = "~" if last.is_estimate else ""
    when = time.strftime("%m-%d %H:%M", time.localtime(last.utc_s))
    return fitting(
        [
            f" Grid, g CO2e/kWh, last {hours:g} h",
            f"{grid.zone} {mark}{significant(last.g_per_kwh, 3)} at {when}",
            f"{significant(least, 3)} to {significant(most, 3)} in 7 days",
            f"{grid.kind}, {grid.source}",
        ],
        width,
    )


def no_grid_lines(carbon: Mapping[str, object] | None) -> list[str]:
    """Why there is no curve, and what the runs used instead."""
    lines = [" Grid: no live values were recorded."]
    if carbon:
        zone = carbon.get("zone_name") or carbon.get("zone")
        factor = carbon.get("g_per_kwh")
        if isinstance(factor, float | int):
            kind = str(carbon.get("kind", "")).replace("-", ", ")
            year = carbon.get("year")
            lines.append(f" Runs use {significant(factor, 3)} g CO2e/kWh: {zone} {year}, {kind}.")
    return [*lines, " To record them: live_grid in the configuration; frugalwatch config show"]


def rows_of(period: Period, *, by_user: bool) -> Sequence[tuple[str, Tally]]:
    """The sums by command, or by user."""
    return period.by_user if by_user else period.by_command


def bounds_of(energy: Energy | None) -> tuple[float | None, float | None, float | None]:
    """Value, low and high for an export."""
    return (None, None, None) if energy is None else (energy.value, energy.low, energy.high)
