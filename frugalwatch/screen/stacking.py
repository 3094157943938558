"""The stacked area chart as plain cells: from cumulative joules to characters, without a terminal.

A column shows the exact mean power of its stretch of time, since the traces are cumulative. Where
a device gave no figure for half of a stretch or more its column is None: nothing is drawn for it,
and the chart marks the column as incomplete.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from frugalwatch.report.window import Span
from frugalwatch.screen.records import Point, Trace
from frugalwatch.screen.symbols import Symbols

# Columns and rows of dots in one cell.
_DOTS: dict[Symbols, tuple[int, int]] = {"braille": (2, 4), "block": (1, 8), "ascii": (1, 1)}
# Dots of a braille cell from the bottom up, left and right: Unicode numbers them oddly.
_BRAILLE = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))
_BLOCKS = " ▁▂▃▄▅▆▇█"
_EMPTY = -1
# Where a scale may end, times a power of ten; none ends below a hundredth of a watt.
_ROUND = (1, 1.5, 2, 3, 4, 5, 6, 8)
_LEAST_W = 0.01


class Cell(NamedTuple):
    """One character; `band` is the device it belongs to and `under` the one that fills its back.

    -1 is none.
    """

    character: str
    band: int = _EMPTY
    under: int = _EMPTY


class Band(NamedTuple):
    """Watts of one device in each column of dots, None where unknown; `letter` stands for it."""

    letter: str
    power_w: tuple[float | None, ...]


def columns_of(symbols: Symbols) -> int:
    """Columns of dots in one cell."""
    return _DOTS[symbols][0]


def edges(end_ns: int, length_ns: int, cells: int, symbols: Symbols) -> list[int]:
    """The edges of all columns of dots in so many cells, the last of which `end_ns` lies in.

    They lie on a fixed grid of whole cells, so that from look to look the picture moves and does
    not flicker, and what is over need not be worked out again.
    """
    per_cell = columns_of(symbols)
    step = max(1, length_ns // (cells * per_cell))
    last = -(-end_ns // (step * per_cell)) * per_cell
    return [step * (last - cells * per_cell + place) for place in range(cells * per_cell + 1)]


def whole_edges(begin_ns: int, length_ns: int, cells: int, symbols: Symbols) -> list[int]:
    """The edges of all columns of dots where so many cells show just this stretch of time."""
    count = cells * columns_of(symbols)
    step = max(1, -(-length_ns // count))
    return [begin_ns + step * place for place in range(count + 1)]


class Columns:
    """One device's mean power by column; a column that is over is worked out once."""

    def __init__(self) -> None:
        self._done: dict[int, float | None] = {}
        self._made_for: tuple[int, ...] = ()

    def mean_power(self, trace: Trace, edges_ns: Sequence[int]) -> tuple[float | None, ...]:
        """As the function of that name."""
        made_for = (edges_ns[1] - edges_ns[0], *(gap.begin for gap in trace.gaps))
        if made_for != self._made_for or not trace.points:
            self._made_for, self._done = made_for, {}
        done = [self._done[begin] for begin in edges_ns[:-1] if begin in self._done]
        fresh = mean_power(trace, edges_ns[len(done) :])
        found = (*done, *fresh)
        if trace.points:
            over_ns = trace.points[-1].t_mono_ns - trace.longest_step_ns
            self._done = {
                begin: watts
                for begin, end, watts in zip(edges_ns, edges_ns[1:], found, strict=False)
                if end <= over_ns
            }
        return found


def mean_power(trace: Trace, edges_ns: Sequence[int]) -> tuple[float | None, ...]:
    """Mean watts between each pair of neighbouring edges; None where half or more is unknown."""
    points = trace.points[max(0, bisect_right(trace.points, edges_ns[0], key=_instant) - 1) :]
    if len(points) < 2:
        return (None,) * (len(edges_ns) - 1)
    trace = replace(trace, points=points)
    stretches = _known(trace)
    times = [point.t_mono_ns for point in points]
    found = []
    first = 0  # of the stretches that are not over before the column begins
    for begin, end in pairwise(edges_ns):
        while first < len(stretches) and stretches[first].end <= begin:
            first += 1
        found.append(_mean(trace, times, stretches, first, Span(begin, end)))
    return tuple(found)


def _instant(point: Point) -> int:
    return point.t_mono_ns


def _known(trace: Trace) -> list[Span]:
    """Spans of time in which samples follow each other without a gap, in order."""
    begin = trace.points[0].t_mono_ns
    gaps = _joined(trace.gaps)
    first = 0  # of the gaps that are not over before the step begins
    found = []
    for before, after in pairwise(trace.points):
        step = Span(before.t_mono_ns, after.t_mono_ns)
        while first < len(gaps) and gaps[first].end <= step.begin:
            first += 1
        if step.length > trace.longest_step_ns or _is_gap(gaps, first, step):
            found.append(Span(begin, before.t_mono_ns))
            begin = after.t_mono_ns
    found.append(Span(begin, trace.points[-1].t_mono_ns))
    return [span for span in found if span.length]


def _joined(gaps: Sequence[Span]) -> list[Span]:
    """The same gaps in order, those that overlap as one."""
    found: list[Span] = []
    for gap in sorted(gaps, key=lambda each: each.begin):
        if found and gap.begin <= found[-1].end:
            found[-1] = Span(found[-1].begin, max(found[-1].end, gap.end))
        else:
            found.append(gap)
    return found


def _is_gap(gaps: Sequence[Span], first: int, step: Span) -> bool:
    """Whether gaps, of which those before the first are over, take more than half of the step."""
    lost_ns = 0
    for place in range(first, len(gaps)):
        gap = gaps[place]
        if gap.begin >= step.end:
            break
        lost_ns += min(step.end, gap.end) - max(step.begin, gap.begin)
    return 2 * lost_ns > step.length


def _mean(
    trace: Trace, times: Sequence[int], stretches: Sequence[Span], first: int, wanted: Span
) -> float | None:
    known_ns, energy_j = 0, 0.0
    for place in range(first, len(stretches)):
        stretch = stretches[place]
        if stretch.begin >= wanted.end:
            break
        begin, end = max(stretch.begin, wanted.begin), min(stretch.end, wanted.end)
        if begin < end:
            known_ns += end - begin
            energy_j += _energy_at(trace, times, end) - _energy_at(trace, times, begin)
    # The column that goes on has begun only: of it, what there is is shown.
    goal = min(wanted.end, times[-1]) - wanted.begin
    return energy_j / (known_ns / 1e9) if known_ns and 2 * known_ns >= goal else None


def _energy_at(trace: Trace, times: Sequence[int], t_ns: int) -> float:
    place = min(max(1, bisect_right(times, t_ns)), len(times) - 1)
    before, after = trace.points[place - 1], trace.points[place]
    part = (t_ns - before.t_mono_ns) / (after.t_mono_ns - before.t_mono_ns)
    return before.energy_j + part * (after.energy_j - before.energy_j)


def ceiling_w(bands: Sequence[Band]) -> float:
    """A round number of watts that no column exceeds; 1 if there is nothing to show."""
    peak = max((sum(w or 0.0 for w in column) for column in _columns(bands)), default=0.0)
    if peak <= 0:
        return 1.0
    peak = max(peak, _LEAST_W)
    power = 10.0 ** math.floor(math.log10(peak))
    return next((power * step for step in _ROUND if power * step >= peak), 10 * power)


def incomplete(bands: Sequence[Band], symbols: Symbols) -> list[bool]:
    """For each cell of the axis, whether a device that has been there gave no figure in it."""
    per_cell = columns_of(symbols)
    begun = [_first_known(band) for band in bands]
    columns = _columns(bands)
    flags = [
        any(w is None and place >= first for w, first in zip(column, begun, strict=True))
        for place, column in enumerate(columns)
    ]
    return [any(flags[at : at + per_cell]) for at in range(0, len(flags), per_cell)]


def _first_known(band: Band) -> int:
    known = (place for place, watts in enumerate(band.power_w) if watts is not None)
    return next(known, len(band.power_w))


def stack(bands: Sequence[Band], rows: int, symbols: Symbols, top_w: float) -> list[list[Cell]]:
    """The chart as rows of cells, the topmost first; the first band lies at the bottom."""
    across, down = _DOTS[symbols]
    levels = [_levels(column, rows * down, top_w) for column in _columns(bands)]
    letters = tuple(band.letter for band in bands)
    columns = [
        _column_of_cells(tuple(levels[at : at + across]), rows, symbols, letters)
        for at in range(0, len(levels), across)
    ]
    return [list(line) for line in zip(*columns, strict=True)]


# A column of the picture that only moves to the left has been made before.
@lru_cache(maxsize=2048)
def _column_of_cells(
    levels: tuple[tuple[int, ...], ...], rows: int, symbols: Symbols, letters: tuple[str, ...]
) -> tuple[Cell, ...]:
    down = _DOTS[symbols][1]
    floors = range((rows - 1) * down, -1, -down)
    return tuple(_cell(levels, floor, down, symbols, letters) for floor in floors)


def _columns(bands: Sequence[Band]) -> list[tuple[float | None, ...]]:
    return list(zip(*(band.power_w for band in bands), strict=True))


def _levels(column: Sequence[float | None], dots: int, top_w: float) -> tuple[int, ...]:
    """Up to which dot each band reaches. Sums are rounded, so that rounding never adds up."""
    total, reached = 0.0, []
    for watts in column:
        total += watts or 0.0
        reached.append(min(dots, round(total / top_w * dots)))
    return tuple(reached)


def _cell(
    columns: Sequence[tuple[int, ...]],
    floor: int,
    down: int,
    symbols: Symbols,
    letters: Sequence[str],
) -> Cell:
    counts = [0] * len(letters)
    bits = 0
    for place, reached in enumerate(columns):
        below = floor
        for band, level in enumerate(reached):
            until = min(level, floor + down)
            if until > below:
                counts[band] += until - below
                if symbols == "braille":
                    for dot in range(below - floor, until - floor):
                        bits |= _BRAILLE[place][dot]
                below = until
    filled = sum(counts)
    if not filled:
        return Cell(" ")
    band = max(range(len(counts)), key=counts.__getitem__)
    if symbols == "braille":
        return Cell(chr(0x2800 + bits), band)
    if symbols == "ascii":
        return Cell(letters[band], band)
    return _block(counts, filled, band)


def _block(counts: Sequence[int], filled: int, largest: int) -> Cell:
    """A full cell shows two bands, one on the other's ground; any other the larger one's part."""
    present = [band for band, count in enumerate(counts) if count]
    if filled == 8 and len(present) == 2:
        lower, upper = present
        return Cell(_BLOCKS[counts[lower]], lower, upper)
    return Cell(_BLOCKS[filled], largest)


def with_letters(lines: Sequence[Sequence[Cell]], letters: Sequence[str]) -> list[list[Cell]]:
    """The chart with each letter at the right end of its bands, where they are a row high.

    So the kinds of device can be told apart without colour.
    """
    marked = [list(line) for line in lines]
    for letter in dict.fromkeys(letters):
        rows = [
            row
            for row, line in enumerate(marked)
            if line and line[-1].band >= 0 and letters[line[-1].band] == letter
        ]
        if rows:
            row = rows[len(rows) // 2]
            marked[row][-1] = Cell(letter, marked[row][-1].band)
    return marked
