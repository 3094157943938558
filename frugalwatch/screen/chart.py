"""The power chart of the live view: stacked by device, newest at the right.

Drawn line by line from cells worked out once a look: a frame costs a millisecond.
"""

from __future__ import annotations

from itertools import groupby

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from frugalwatch.report.format import duration, significant
from frugalwatch.screen.palette import colours
from frugalwatch.screen.records import DeviceNow, RunNow
from frugalwatch.screen.stacking import (
    Band,
    Cell,
    Columns,
    ceiling_w,
    edges,
    incomplete,
    stack,
    whole_edges,
    with_letters,
)
from frugalwatch.screen.symbols import Symbols
from frugalwatch.screen.words import LETTERS, ordered

_GUTTER = 6
_WINDOWS_S = (60, 120, 300, 600)


class PowerChart(Widget):
    """Power of the counted devices over the last minutes. `symbols` is fixed for its life."""

    DEFAULT_CSS = "PowerChart { width: 1fr; height: 1fr; min-height: 5; }"

    def __init__(self, symbols: Symbols) -> None:
        super().__init__(id="chart")
        self._symbols = symbols
        self._run: RunNow | None = None
        self._lines: list[Strip] = []
        self._columns: dict[tuple[int, str], Columns] = {}
        self._style = Style()  # worked out anew for each drawing, and not for each segment

    def show_run(self, run: RunNow | None) -> None:
        """Draw this run from now on; None clears the chart."""
        self._run = run
        self._draw()

    def on_resize(self) -> None:
        """Work the cells out anew for the new size."""
        self._draw()

    def render_line(self, y: int) -> Strip:
        """One line of the chart."""
        if y < len(self._lines):
            return self._lines[y]
        return Strip.blank(self.size.width, self.rich_style)

    def _draw(self) -> None:
        width, height = self.size
        before, self._lines = self._lines, []
        if self._run is not None and width > _GUTTER + 4 and height >= 4:
            self._lines = self._strips(self._run, width, height)
        if len(before) != len(self._lines):
            self.refresh()
            return
        # Most lines of a full chart stay as they are: a slow terminal is spared them.
        for y, (old, new) in enumerate(zip(before, self._lines, strict=True)):
            if old != new:
                self.refresh(Region(0, y, width, 1))

    def _strips(self, run: RunNow, width: int, height: int) -> list[Strip]:
        self._style = self.rich_style
        shown = [device for device in ordered(run.devices) if device.counted]
        cells, rows = width - _GUTTER, height - 2
        if run.is_running:
            length_ns = window_s(run) * 1_000_000_000
            times = edges(run.end_ns, length_ns, cells, self._symbols)
        else:
            length_ns = max(1, run.end_ns - run.begin_ns)
            times = whole_edges(run.begin_ns, length_ns, cells, self._symbols)
        bands = self._bands(run, shown, times)
        top_w = ceiling_w(bands)
        lines = stack(bands, rows, self._symbols, top_w) if bands else []
        lines = with_letters(lines, [band.letter for band in bands])
        palette = colours(shown)
        strips = [self._title(run, shown, palette, length_ns // 1_000_000_000, width)]
        for row, line in enumerate(lines or [[Cell(" ")] * cells] * rows):
            label = _label(row, rows, top_w) if bands else ""
            strips.append(self._row(label, line, palette, width))
        marks = incomplete(bands, self._symbols) if bands else []
        strips.append(self._axis(length_ns / 1e9, marks, width, running=run.is_running))
        return strips

    def _bands(self, run: RunNow, shown: list[DeviceNow], times: list[int]) -> list[Band]:
        keys = [(run.row.number, device.key) for device in shown]
        self._columns = {key: self._columns.get(key) or Columns() for key in keys}
        return [
            Band(LETTERS.get(d.domain, "O"), self._columns[key].mean_power(d.trace, times))
            for key, d in zip(keys, shown, strict=True)
        ]

    def _title(
        self, run: RunNow, shown: list[DeviceNow], palette: list[str], length_s: int, width: int
    ) -> Strip:
        """What is drawn, and which letter and colour stand for which devices."""
        when = f"last {_length(length_s)}" if run.is_running else "the whole run"
        text = f" Power in W, {when}"
        legend: list[Segment] = []
        seen: set[str] = set()
        for device, colour in zip(shown, palette, strict=True):
            letter = LETTERS.get(device.domain, "O")
            if letter not in seen:
                seen.add(letter)
                legend.append(Segment(f"  {letter}", self._style + Style(color=colour, bold=True)))
                legend.append(Segment(f" {device.domain}", self._style))
        used = sum(len(segment.text) for segment in legend)
        if len(text) + used + 1 > width:
            legend, used = [], 0
        gap = Segment(" " * max(0, width - len(text) - used - 1), self._style)
        return _whole([Segment(text, self._style), gap, *legend], width, self._style)

    def _row(self, label: str, line: list[Cell], palette: list[str], width: int) -> Strip:
        segments = [Segment(label.rjust(_GUTTER - 1) + " ", self._style)]
        for (band, under), group in groupby(line, key=lambda cell: (cell.band, cell.under)):
            style = self._style
            if band >= 0:
                style += Style(color=palette[band], bgcolor=palette[under] if under >= 0 else None)
            segments.append(Segment("".join(cell.character for cell in group), style))
        return _whole(segments, width, self._style)

    def _axis(self, length_s: float, marks: list[bool], width: int, *, running: bool) -> Strip:
        """The time axis. `?` is below what is not complete: a device gave no figure there."""
        cells = width - _GUTTER
        text = ["?" if marked else " " for marked in marks[:cells]]
        text += [" "] * (cells - len(text))
        half, last = f"-{_length(int(length_s) // 2)}", "now"
        first = f"-{_length(int(length_s))}"
        if not running:
            first, half, last = "0", duration(length_s / 2), duration(length_s)
        for place, label in ((0, first), (cells // 2, half), (cells - len(last), last)):
            text[place : place + len(label)] = label
        line = " " * _GUTTER + "".join(text)[:cells]
        return _whole([Segment(line, self._style)], width, self._style)


def window_s(run: RunNow) -> int:
    """How many seconds of a run that goes on are shown: the shortest usual length that holds it."""
    lasted_s = (run.end_ns - run.begin_ns) / 1e9
    return next((length for length in _WINDOWS_S if lasted_s <= length), _WINDOWS_S[-1])


def _length(seconds: int) -> str:
    """`90 s`, `5 min`, `2.5 min`."""
    return f"{seconds / 60:g} min" if seconds >= 120 else f"{seconds} s"


def _label(row: int, rows: int, top_w: float) -> str:
    if row == 0:
        return significant(top_w, 3 if top_w >= 100 else 2)
    if row == rows - 1:
        return "0"
    return significant(top_w / 2, 3) if rows % 2 and row == rows // 2 else ""


def _whole(segments: list[Segment], width: int, style: Style) -> Strip:
    return Strip(segments).adjust_cell_length(width, style)
