"""The power of a run over its whole time, with its phases below, as lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from rich.style import Style
from rich.text import Text

from frugalwatch.report.format import duration, significant
from frugalwatch.report.window import Span
from frugalwatch.screen.one_run.detail import PhaseSpan
from frugalwatch.screen.palette import colours
from frugalwatch.screen.records import DeviceNow
from frugalwatch.screen.stacking import (
    Band,
    ceiling_w,
    columns_of,
    incomplete,
    stack,
    with_letters,
)
from frugalwatch.screen.symbols import Symbols
from frugalwatch.screen.words import LETTERS, ordered

GUTTER = 6
_MOST_LANES = 4
# Begin, middle and end of a phase's bar; one column wide; and where several share a column.
_BARS: dict[bool, tuple[str, str, str, str, str]] = {
    True: ("[", "-", "]", "|", ":"),
    False: ("├", "─", "┤", "│", "┊"),
}


def columns_for(width: int, symbols: Symbols) -> int:
    """Columns of dots in a chart that is `width` characters wide, its scale included."""
    return max(1, width - GUTTER) * columns_of(symbols)


def trace_lines(
    power_w: Mapping[str, Sequence[float | None]],
    devices: Sequence[DeviceNow],
    rows: int,
    symbols: Symbols,
) -> list[Text]:
    """The stacked chart, topmost line first, and below it `?` where a device gave no figure."""
    shown = [d for d in ordered(devices) if d.counted and d.key in power_w]
    if not shown:
        return [Text(" no device gave a figure that could be drawn")]
    palette = colours(shown)
    bands = [Band(LETTERS.get(d.domain, "O"), tuple(power_w[d.key])) for d in shown]
    top_w = ceiling_w(bands)
    cells = with_letters(stack(bands, rows, symbols, top_w), [band.letter for band in bands])
    lines = [_legend(shown, palette)]
    for row, line in enumerate(cells):
        text = Text(_scale(row, rows, top_w).rjust(GUTTER - 1) + " ")
        for (band, under), group in groupby(line, key=lambda cell: (cell.band, cell.under)):
            text.append(_characters(group), style=_style(palette, band, under))
        lines.append(text)
    marks = incomplete(bands, symbols)
    if any(marks):
        lines.append(Text(" " * GUTTER + "".join("?" if mark else " " for mark in marks)))
    return lines


def _characters(cells: object) -> str:
    return "".join(cell.character for cell in cells)  # type: ignore[attr-defined]  # groupby's own


def _style(palette: Sequence[str], band: int, under: int) -> Style | str:
    if band < 0:
        return ""
    return Style(color=palette[band], bgcolor=palette[under] if under >= 0 else None)


def _scale(row: int, rows: int, top_w: float) -> str:
    if row == 0:
        return significant(top_w, 3 if top_w >= 100 else 2)
    if row == rows - 1:
        return "0"
    return significant(top_w / 2, 3) if rows % 2 and row == rows // 2 else ""


def _legend(shown: Sequence[DeviceNow], palette: Sequence[str]) -> Text:
    text = Text(" Power in W, mean of each column ")
    seen = set()
    for device, colour in zip(shown, palette, strict=True):
        letter = LETTERS.get(device.domain, "O")
        if letter not in seen:
            seen.add(letter)
            text.append(f"  {letter}", style=f"bold {colour}")
            text.append(f" {device.domain}")
    return text


def axis_line(window: Span, whole: Span, width: int) -> Text:
    """The time since the start of the run, at the ends and in the middle of the axis."""
    cells = max(1, width - GUTTER)
    line = [" "] * cells
    half = window.begin + window.length // 2
    for place, instant in ((0, window.begin), (cells // 2, half), (cells, window.end)):
        label = duration((instant - whole.begin) / 1e9) if instant > whole.begin else "0 s"
        at = min(max(0, place - (len(label) // 2 if place else 0)), cells - len(label))
        if at >= 0 and all(c == " " for c in line[max(0, at - 1) : at + len(label) + 1]):
            line[at : at + len(label)] = label
    return Text(" " * GUTTER + "".join(line)[:cells], style="dim")


def phase_lines(
    spans: Sequence[PhaseSpan], window: Span, width: int, symbols: Symbols
) -> list[Text]:
    """A line for each depth of phases, with bars below the stretch of time that they took."""
    depths = sorted({span.depth for span in spans})
    lines = []
    for depth in depths[:_MOST_LANES]:
        lane = [span for span in spans if span.depth == depth]
        lines.append(_lane(lane, window, max(1, width - GUTTER), ascii_only=symbols == "ascii"))
    if len(depths) > _MOST_LANES:
        left = len(depths) - _MOST_LANES
        lines.append(Text(f"{' ' * GUTTER}and {left} deeper level{'s' * (left > 1)}", style="dim"))
    return lines


def _lane(spans: Sequence[PhaseSpan], window: Span, cells: int, *, ascii_only: bool) -> Text:
    begin_mark, middle, end_mark, thin, many = _BARS[ascii_only]
    line = [" "] * cells
    for span in spans:
        first = _cell(span.begin_ns, window, cells)
        until = window.end if span.end_ns is None else span.end_ns
        last = max(first, _cell(until, window, cells, ends=True))
        if last == first:
            line[first] = thin if line[first] == " " else many
            continue
        bar = [middle] * (last - first + 1)
        if span.begin_ns >= window.begin:
            bar[0] = begin_mark
        if span.end_ns is not None and span.end_ns <= window.end:
            bar[-1] = end_mark
        label = span.name if span.number is None else f"{span.name} {span.number}"
        room = len(bar) - 2
        if len(label) > room and span.number is not None:
            label = str(span.number)
        if 0 < len(label) <= room:
            at = 1 + (room - len(label)) // 2
            bar[at : at + len(label)] = label
        if line[first] not in (" ", end_mark):
            bar[0] = many
        line[first : last + 1] = bar
    names = {span.name for span in spans}
    # Where all are of one name it stands before them, since the bars may have no room for it.
    name = names.pop() if len(names) == 1 and len(spans) > 1 else ""
    return Text(f"{name[: GUTTER - 1]:>{GUTTER - 1}} " + "".join(line))


def _cell(instant: int, window: Span, cells: int, *, ends: bool = False) -> int:
    """The cell of an instant; one that ends exactly between two belongs to the left one."""
    place = (min(max(instant, window.begin), window.end) - window.begin) * cells
    if ends:
        place -= 1
    return min(cells - 1, max(0, place // window.length))


def curve_lines(
    points: Sequence[tuple[float, float]], span_s: tuple[float, float], width: int, symbols: Symbols
) -> tuple[str, ...]:
    """A small line chart of values over time in three lines of characters, without a scale.

    Columns without a value are joined by the last one before them, as the job had it then.
    """
    rows = 3
    down, across = (4, 2) if symbols == "braille" else (1, 1)
    values = _by_column(points, span_s, width * across)
    known = [v for v in values if v is not None]
    if not known:
        return ()
    low, high = min(known), max(known)
    dots = rows * down
    grid = [[0] * (width * across) for _ in range(dots)]
    before: int | None = None
    for x, value in enumerate(values):
        if value is None:
            continue
        place = 0.5 if high == low else (value - low) / (high - low)
        level = min(dots - 1, round(place * (dots - 1)))
        reach = (level, level) if before is None else (min(level, before), max(level, before))
        for y in range(reach[0], reach[1] + 1):
            grid[dots - 1 - y][x] = 1
        before = level
    if symbols == "braille":
        return tuple(_braille_line(grid[row * 4 : row * 4 + 4], width) for row in range(rows))
    return tuple("".join("*" if dot else " " for dot in line) for line in grid)


def _by_column(
    points: Sequence[tuple[float, float]], span_s: tuple[float, float], columns: int
) -> list[float | None]:
    begin, end = span_s
    sums: list[list[float]] = [[] for _ in range(columns)]
    for t, value in points:
        place = int((t - begin) / (end - begin) * columns) if end > begin else 0
        sums[min(columns - 1, max(0, place))].append(value)
    found: list[float | None] = []
    last: float | None = None
    left = sum(1 for column in sums if column)
    for column in sums:
        if column:
            last = sum(column) / len(column)
            left -= 1
        found.append(last if left or column else None)
    return found


# Dots of a braille cell from the top down, left and right.
_BRAILLE = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def _braille_line(rows: Sequence[Sequence[int]], width: int) -> str:
    text = ""
    for cell in range(width):
        bits = 0
        for side in (0, 1):
            for down, row in enumerate(rows):
                if row[cell * 2 + side]:
                    bits |= _BRAILLE[side][down]
        text += chr(0x2800 + bits) if bits else " "
    return text
