"""The side panel of a wide terminal: the chosen run's figures with what they rest on."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from frugalwatch.report.format import significant
from frugalwatch.screen.records import RunNow
from frugalwatch.screen.words import (
    Unit,
    bounds_text,
    carbon_bounds,
    carbon_text,
    cost_text,
    coverage_text,
    energy_text,
    steps_text,
)

_UNKNOWN_HEIGHT = 1000  # before the first layout


class Facts(Static):
    """Energy, carbon, cost and grid of the run, each with its bounds; only on a wide screen."""

    DEFAULT_CSS = "Facts { width: 40; height: 1fr; padding: 0 1 0 2; }"

    def __init__(self) -> None:
        super().__init__(id="facts")
        self._text = Text()
        self._run: RunNow | None = None
        self._unit: Unit = "Wh"

    def show_run(self, run: RunNow | None, unit: Unit) -> None:
        """Write the panel for this run; nothing while there is no room for it."""
        self._run, self._unit = run, unit
        if not self.display:
            return
        text = Text(no_wrap=True, overflow="ellipsis")
        room = self.size.height or _UNKNOWN_HEIGHT
        for title, lines in [] if run is None else _sections(run, unit):
            room -= 1 + len(lines)
            if room < 0:  # what matters most comes first
                break
            text.append(f"{title}\n", style="bold")
            for line in lines:
                text.append(f"  {line}\n")
        if text != self._text:
            self._text = text
            self.update(text, layout=False)

    def on_resize(self) -> None:
        """Fill the height that there is now."""
        self.show_run(self._run, self._unit)


def _sections(run: RunNow, unit: Unit) -> list[tuple[str, list[str]]]:
    sections = [("Energy" if run.settled else "Energy so far", _energy(run, unit))]
    if steps_text(run.steps):
        sections.append(("Steps", [steps_text(run.steps)]))
    sections.append(("Carbon", _carbon(run, unit)))
    if cost_text(run):
        sections.append(("Cost", [cost_text(run)]))
    sections.append(("Grid", _grid(run)))
    if coverage_text(run):
        sections.append(("Coverage", [coverage_text(run)]))
    return sections


def _carbon(run: RunNow, unit: Unit) -> list[str]:
    return [text for text in (carbon_text(run, unit), carbon_bounds(run, unit)) if text]


def _energy(run: RunNow, unit: Unit) -> list[str]:
    lines = []
    for found, modelled in ((run.measured, False), (run.estimated, True)):
        if found is not None:
            how = "modelled" if modelled else "measured"
            lines.append(f"{energy_text(found, unit, modelled=modelled)}  {how}")
            lines.append(f"  {bounds_text(found, unit)}")
    return [line for line in lines if line.strip()] or ["unknown"]


def _grid(run: RunNow) -> list[str]:
    grid = run.carbon.get("carbon")
    if not grid:
        return ["unknown"]
    lines = [
        f"{significant(grid['g_per_kwh'], 3)} g CO2e/kWh",
        f"{grid['zone_name']}, {'live' if grid['live'] else grid['year']}",
        str(grid["kind"]).replace("-", ", "),
    ]
    if grid["assumed"]:
        lines.append("assumed: no zone is set")
    return lines
