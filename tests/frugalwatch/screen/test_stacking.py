from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalwatch.report.window import Span
from frugalwatch.screen.records import Point, Trace
from frugalwatch.screen.stacking import (
    Band,
    Columns,
    ceiling_w,
    edges,
    incomplete,
    mean_power,
    stack,
    with_letters,
)
from frugalwatch.screen.symbols import Symbols, choose_symbols

SECOND = 1_000_000_000
STEP = 3 * SECOND
ALL: list[Symbols] = ["braille", "block", "ascii"]


def trace(*points: tuple[float, float], gaps: tuple[tuple[float, float], ...] = ()) -> Trace:
    """From (second, joules so far)."""
    return Trace(
        tuple(Point(round(t * SECOND), energy) for t, energy in points),
        tuple(Span(round(a * SECOND), round(b * SECOND)) for a, b in gaps),
        STEP,
    )


def steady(watts: float, begin: int = 0, end: int = 10) -> Trace:
    return trace(*((t, t * watts) for t in range(begin, end + 1)))


def seconds(*values: float) -> list[int]:
    return [round(value * SECOND) for value in values]


def band(*power: float | None, letter: str = "C") -> Band:
    return Band(letter, power)


def text(lines: list[list[object]]) -> list[str]:
    return ["".join(cell.character for cell in line) for line in lines]  # type: ignore[attr-defined]


def test_a_column_is_the_mean_of_its_time_and_not_a_sample() -> None:
    spiky = trace((0, 0), (1, 10), (2, 210), (3, 220), (4, 230))
    assert mean_power(spiky, seconds(0, 2, 4)) == (105.0, 10.0)
    assert mean_power(spiky, seconds(0.5, 1.5)) == (pytest.approx(105.0),)


@given(
    watts=st.lists(st.floats(0, 1000), min_size=3, max_size=30),
    cuts=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=10, unique=True),
)
def test_columns_add_up_to_the_energy(watts: list[float], cuts: list[float]) -> None:
    total, points = 0.0, [(0.0, 0.0)]
    for place, power in enumerate(watts):
        total += power
        points.append((place + 1.0, total))
    times = seconds(0, *sorted(cut * len(watts) for cut in cuts), len(watts))
    times = sorted(set(times))
    found = mean_power(trace(*points), times)
    assert None not in found
    spans = [(b - a) / SECOND for a, b in pairwise(times)]
    energy = sum((w or 0) * s for w, s in zip(found, spans, strict=True))
    assert energy == pytest.approx(total, abs=1e-6)


def test_before_the_first_and_after_the_last_sample_nothing_is_known() -> None:
    assert mean_power(steady(50, 4, 6), seconds(0, 2, 4, 6, 8)) == (None, None, 50.0, None)


def test_the_column_that_goes_on_shows_what_there_is_of_it() -> None:
    assert mean_power(steady(50, 0, 5), seconds(0, 4, 8)) == (50.0, 50.0)


def test_a_pause_between_samples_is_a_gap_and_not_a_line() -> None:
    paused = trace((0, 0), (1, 50), (2, 100), (8, 400), (9, 450), (10, 500))
    assert mean_power(paused, seconds(0, 2, 4, 6, 8, 10)) == (50, None, None, None, 50)


def test_a_gap_that_the_ledger_names_is_not_drawn() -> None:
    """The counter stood still in the gap: a line would show a power that was not."""
    known = trace((0, 0), (1, 50), (2, 100), (4, 100), (5, 150), (6, 200), gaps=((2, 4),))
    assert mean_power(known, seconds(0, 2, 4, 6)) == (50, None, 50)


def test_one_late_look_is_no_gap() -> None:
    assert mean_power(trace((0, 0), (1, 50), (3, 150), (4, 200)), seconds(0, 2, 4)) == (50, 50)


def test_a_zero_that_was_measured_is_no_gap() -> None:
    assert mean_power(steady(0), seconds(0, 5, 10)) == (0.0, 0.0)


def test_columns_stay_where_they_are_while_time_goes_on() -> None:
    first, second, third = (
        edges(end * SECOND, 60 * SECOND, 30, "ascii") for end in (1_000, 1_001, 1_002)
    )
    assert first[-1] - first[0] == 60 * SECOND
    assert second[:-1] == first[1:]
    assert third == second
    # Two columns of dots share a cell, and stay together.
    early, late = (edges(end * SECOND, 60 * SECOND, 15, "braille") for end in (1_000, 1_001))
    assert len(early) == 31
    assert late[:-2] == early[2:]


@given(
    length=st.integers(20, 60),
    lost=st.sets(st.integers(1, 58), max_size=25),
    gap=st.none() | st.integers(5, 40),
)
def test_columns_that_are_kept_are_those_that_would_be_worked_out(
    length: int, lost: set[int], gap: int | None
) -> None:
    """Look by look, samples missing here and there, a gap that the ledger names when it is over."""
    kept = Columns()
    points = [(t, 10.0 * t * t) for t in range(length) if t not in lost]
    for end in range(2, len(points) + 1):
        last = points[end - 1][0]
        gaps = ((gap, gap + 4),) if gap is not None and last >= gap + 9 else ()
        so_far = trace(*points[:end], gaps=gaps)
        times = edges(last * SECOND, 20 * SECOND, 5, "braille")
        assert kept.mean_power(so_far, times) == pytest.approx(mean_power(so_far, times))


@pytest.mark.parametrize(
    ("peak", "top"),
    [
        (0.0, 1.0),
        (1e-320, 0.01),
        (0.4, 0.4),
        (1.0, 1.0),
        (9.9, 10.0),
        (112.0, 150.0),
        (343.0, 400.0),
        (1600, 2000),
    ],
)
def test_the_scale_ends_at_a_round_figure_above_the_peak(peak: float, top: float) -> None:
    assert ceiling_w([band(peak / 2, 0.0), band(peak / 2, None)]) == pytest.approx(top)


@pytest.mark.parametrize("symbols", ALL)
@given(
    columns=st.lists(
        st.tuples(st.none() | st.floats(0, 500), st.none() | st.floats(0, 500)),
        min_size=1,
        max_size=12,
    )
)
def test_the_stack_is_as_high_as_the_sum_and_never_higher(
    symbols: Symbols, columns: list[tuple[float | None, float | None]]
) -> None:
    bands = [band(*(c[i] for c in columns)) for i in (0, 1)]
    top = ceiling_w(bands)
    lines = stack(bands, 6, symbols, top)
    width = -(-len(columns) // 2) if symbols == "braille" else len(columns)
    assert {len(line) for line in lines} == {width}
    if symbols != "ascii":
        return
    for place, column in enumerate(columns):
        height = sum(line[place].character != " " for line in lines)
        assert height == round(sum(w or 0 for w in column) / top * 6)


def test_ascii_stacks_letters_in_order() -> None:
    bands = [band(20, 20, letter="G"), band(10, 0, letter="C"), band(10, 10, letter="R")]
    assert text(stack(bands, 4, "ascii", 40)) == ["R ", "CR", "GG", "GG"]


def test_blocks_fill_eighths_and_put_one_band_on_the_other() -> None:
    lines = stack([band(3, 8), band(5, 2)], 2, "block", 16)
    assert text(lines) == [" ▂", "▃█"]
    assert lines[1][0].band == 0
    assert lines[1][0].under == 1
    assert lines[0][1].band == 1


def test_braille_draws_two_columns_of_four_dots_in_a_cell() -> None:
    assert text(stack([band(4, 1)], 1, "braille", 4)) == ["⣇"]
    assert text(stack([band(2, 4, 0, 8)], 2, "braille", 8)) == [" ⢸", "⣼⢸"]


def test_a_cell_belongs_to_the_band_with_most_of_it() -> None:
    ((cell,),) = stack([band(1, 1), band(3, 3)], 1, "braille", 4)
    assert cell.band == 1


def test_what_is_missing_leaves_a_hole_and_a_mark() -> None:
    bands = [band(None, 10, None, 10, letter="G"), band(5, 5, 5, 5, letter="C")]
    assert text(stack(bands, 3, "ascii", 15)) == [" C C", " G G", "CGCG"]
    # Before its first figure a device was not there yet.
    assert incomplete(bands, "ascii") == [False, False, True, False]
    assert incomplete(bands, "braille") == [False, True]


def test_letters_mark_the_bands_at_the_right_end() -> None:
    bands = [band(8, 8, letter="G"), band(8, 8, letter="G"), band(8, 8, letter="C")]
    lines = with_letters(stack(bands, 6, "block", 24), ["G", "G", "C"])
    assert text(lines) == ["██", "█C", "██", "██", "█G", "██"]


@pytest.mark.parametrize(
    ("wish", "environ", "found"),
    [
        ("auto", {"LANG": "en_US.UTF-8", "TERM": "xterm-256color"}, "braille"),
        ("auto", {"LANG": "C.utf8"}, "braille"),
        ("auto", {"LANG": "en_US.UTF-8", "TERM": "linux"}, "block"),
        ("auto", {"LANG": "C"}, "ascii"),
        ("auto", {}, "ascii"),
        ("auto", {"LANG": "en_US.UTF-8", "LC_ALL": "C"}, "ascii"),
        ("block", {"LANG": "C"}, "block"),
    ],
)
def test_symbols_are_those_that_the_terminal_can_show(
    wish: str, environ: dict[str, str], found: str
) -> None:
    assert choose_symbols(wish, environ) == found
