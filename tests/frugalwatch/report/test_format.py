from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalwatch.report import format as fmt

WH = 3600.0


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0, 3, "0"),
        (0.01234, 3, "0.0123"),
        (1.236, 3, "1.24"),
        (9.996, 3, "10.0"),
        (0.0999, 2, "0.10"),
        (381.4, 3, "381"),
        (12433, 3, "12400"),
        (-1.5, 1, "-2"),
        (float("inf"), 3, "inf"),
    ],
)
def test_significant_digits(value: float, digits: int, text: str) -> None:
    assert fmt.significant(value, digits) == text


@pytest.mark.parametrize(
    ("joules", "text"),
    [
        (0, "0 Wh"),
        (1e-9, "< 0.001 uWh"),
        (0.0018, "0.500 uWh"),
        (0.08, "0.0222 mWh"),
        (3.6, "1.00 mWh"),
        (35.9, "9.97 mWh"),
        (36, "0.0100 Wh"),
        (381 * WH, "381 Wh"),
        (1000 * WH, "1.00 kWh"),
        (1_840_000 * WH, "1840 kWh"),
    ],
)
def test_energy_has_the_unit_that_fits(joules: float, text: str) -> None:
    assert fmt.energy(joules) == text


def test_a_range_is_in_the_unit_of_the_figure_beside_it() -> None:
    assert fmt.energy_range(9.7, 60, beside_j=24) == "2.7 to 17 mWh"
    assert fmt.energy_range(9.7, 60) == "0.0027 to 0.017 Wh"
    assert fmt.grams_range(0.0001, 0.014, beside_g=0.0031) == "0.10 to 14 mg"


def test_a_bound_that_excludes_nothing_is_written_as_nothing() -> None:
    assert fmt.energy_range(0.001, WH) == "0 to 1.0 Wh"
    assert fmt.energy_range(0, WH) == "0 to 1.0 Wh"


@pytest.mark.parametrize(
    ("grams", "text"),
    [
        (0, "0 g"),
        (1e-9, "< 0.001 mg"),
        (0.0031, "3.1 mg"),
        (0.087, "0.087 g"),
        (145, "140 g"),
        (1450, "1.4 kg"),
    ],
)
def test_grams(grams: float, text: str) -> None:
    assert fmt.grams(grams) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0027, "2.7 ms"),
        (0.0999, "0.10 s"),
        (0.42, "0.42 s"),
        (9.96, "10.0 s"),
        (59.96, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (4350, "1 h 12 min"),
        (183_600, "2 d 3 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert fmt.duration(seconds) == text


@pytest.mark.parametrize(
    ("part", "text"), [(0, "0.0 %"), (0.987, "98.7 %"), (0.99999, "99.9 %"), (1, "100 %")]
)
def test_only_all_of_it_is_a_hundred_percent(part: float, text: str) -> None:
    assert fmt.percent(part) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 EUR"),
        (0.00001, "< 0.0001 EUR"),
        (0.0123, "0.012 EUR"),
        (0.129, "0.13 EUR"),
        (12.345, "12.35 EUR"),
    ],
)
def test_money(amount: float, text: str) -> None:
    assert fmt.money(amount, "EUR") == text


def test_digits_follow_the_error() -> None:
    assert fmt.digits_for(100, 96, 104) == 3
    assert fmt.digits_for(100, 90, 110) == 2
    assert fmt.digits_for(0, 0, 0) == 2


def test_the_mark_of_an_estimate_is_not_put_before_a_less_than() -> None:
    assert fmt.about("3.1 mg") == "~3.1 mg"
    assert fmt.about("< 0.001 mg") == "< 0.001 mg"


def test_a_command_is_quoted_made_visible_and_cut() -> None:
    assert fmt.command_line(["sh", "-c", "it's"], 40) == "sh -c 'it'\"'\"'s'"
    assert fmt.command_line(["a\x1b[31m\nb", ""], 40) == "'a?[31m?b' ''"
    assert fmt.command_line(["python", "train.py"], 12) == "python tr..."


@given(st.floats(1e-6, 1e12), st.integers(1, 4))
def test_what_is_shown_is_within_half_a_digit_of_the_truth(value: float, digits: int) -> None:
    shown = float(fmt.significant(value, digits))
    assert shown == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))


@given(st.floats(1e-3, 1e12))
def test_energy_never_reads_as_nothing(joules: float) -> None:
    number = fmt.energy(joules, 2).split()[0]
    assert float(number) > 0
