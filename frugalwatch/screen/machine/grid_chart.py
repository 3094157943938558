"""The grid factor of the last hours as an area, newest at the right."""

from __future__ import annotations

import time

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from frugalwatch.report.format import significant
from frugalwatch.screen.machine.grid import means
from frugalwatch.screen.machine.records import GridSeries
from frugalwatch.screen.machine.words import grid_title
from frugalwatch.screen.stacking import Band, ceiling_w, columns_of, stack
from frugalwatch.screen.symbols import Symbols

_GUTTER = 6
_HOURS = (6, 12, 24, 48, 96, 168)
# The orange of the palette: neither good nor bad.
_HUE = "#E69F00"


class GridChart(Widget):
    """Live grid values of one zone; hidden without any."""

    DEFAULT_CSS = "GridChart { width: 1fr; height: 1fr; min-height: 4; }"

    def __init__(self, symbols: Symbols) -> None:
        super().__init__(id="grid")
        self._symbols = symbols
        self._grid: GridSeries | None = None
        self._now_s = 0.0
        self._lines: list[Strip] = []

    def show_grid(self, grid: GridSeries | None, now_utc_s: float) -> None:
        """Draw these values from now on."""
        changed = grid != self._grid or now_utc_s - self._now_s >= 60
        self._grid, self._now_s = grid, now_utc_s
        if changed:
            self._draw()

    def on_resize(self) -> None:
        """Draw for the new size."""
        self._draw()

    def render_line(self, y: int) -> Strip:
        """One line of the chart."""
        if y < len(self._lines):
            return self._lines[y]
        return Strip.blank(self.size.width, self.rich_style)

    def _draw(self) -> None:
        width, height = self.size
        self._lines = []
        if self._grid is not None and self._grid.values and width > _GUTTER + 8 and height >= 3:
            self._lines = self._strips(self._grid, width, height)
        self.refresh()

    def _strips(self, grid: GridSeries, width: int, height: int) -> list[Strip]:
        style = self.rich_style
        cells, rows = width - _GUTTER, height - 2
        hours = hours_shown(grid, self._now_s)
        count = cells * columns_of(self._symbols)
        begin_s, step_s = self._now_s - hours * 3600, hours * 3600 / count
        values = means(grid.values, [begin_s + step_s * place for place in range(count + 1)])
        # The area is drawn by what draws watts: it only knows figures.
        bands = [Band("g", tuple(values))]
        top = ceiling_w(bands)
        strips = [_strip(grid_title(grid, width, hours), width, style)]
        for row, line in enumerate(stack(bands, rows, self._symbols, top)):
            label = significant(top, 3) if row == 0 else "0" if row == rows - 1 else ""
            area = "".join(cell.character for cell in line)
            gutter = Segment(label.rjust(_GUTTER - 1) + " ", style)
            strips.append(
                Strip([gutter, Segment(area, style + Style(color=_HUE))]).adjust_cell_length(
                    width, style
                )
            )
        strips.append(_strip(" " * _GUTTER + _axis(cells, begin_s, self._now_s), width, style))
        return strips


def hours_shown(grid: GridSeries, now_utc_s: float) -> int:
    """The shortest of the usual spans that holds all values."""
    age_h = (now_utc_s - grid.values[0].utc_s) / 3600
    return next((hours for hours in _HOURS if age_h <= hours), _HOURS[-1])


def _axis(cells: int, begin_s: float, end_s: float) -> str:
    form = "%H:%M" if end_s - begin_s <= 86_400 else "%m-%d %H:%M"
    begin, middle = (
        time.strftime(form, time.localtime(at)) for at in (begin_s, (begin_s + end_s) / 2)
    )
    line = begin.ljust(cells // 2) + middle
    return line[: cells - 4].ljust(cells - 3) + "now"


def _strip(text: str, width: int, style: Style) -> Strip:
    return Strip([Segment(text, style)]).adjust_cell_length(width, style)
