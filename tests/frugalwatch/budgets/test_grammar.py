"""What people may write as a budget, and what they are told where it is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalwatch.budgets.day import parse_day_budget
from frugalwatch.budgets.grammar import BadBudgetError, parse_budget


@pytest.mark.parametrize(
    ("text", "measure", "amount", "unit"),
    [
        ("1800J", "energy", 1800.0, "J"),
        ("0.5kWh", "energy", 1.8e6, "J"),
        ("2 MJ", "energy", 2e6, "J"),
        ("3mWh", "energy", 10.8, "J"),
        ("3MWh", "energy", 1.08e10, "J"),
        (" 50Wh ", "energy", 180_000.0, "J"),
        ("1e3J", "energy", 1000.0, "J"),
        ("200gCO2e", "co2e", 200.0, "g"),
        ("1.5kg CO2", "co2e", 1500.0, "g"),
        ("1kgCO2eq", "co2e", 1000.0, "g"),
        ("2EUR", "money", 2.0, "EUR"),
        ("2€", "money", 2.0, "EUR"),
        ("0.30 USD", "money", 0.3, "USD"),
    ],
)
def test_budgets_are_read_in_si_units(text: str, measure: str, amount: float, unit: str) -> None:
    found = parse_budget(text)
    assert (found.measure, found.amount, found.unit) == (measure, pytest.approx(amount), unit)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("0.5kwh", "0.5kWh"),
        ("0.5KWH", "0.5kWh"),
        ("5mwh", "5mWh or 5MWh"),
        ("0,5kWh", "0.5kWh"),
        ("200g", "200gCO2e"),
        ("200gco2e", "200gCO2e"),
        ("100W", "100Wh"),
        ("2$", "2USD"),
        ("2eur", "2EUR"),
        ("5", "0.5kWh"),
        ("kWh", "0.5kWh"),
        ("0J", "0.5kWh"),
        ("-3J", "0.5kWh"),
        ("1e999J", "0.5kWh"),
        ("1.2.3J", "0.5kWh"),
        ("5 bananas", "0.5kWh"),
        ("", "0.5kWh"),
    ],
)
def test_what_is_no_budget_is_answered_with_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(BadBudgetError) as raised:
        parse_budget(text)
    assert hint in raised.value.hint


@given(st.text(max_size=12))
def test_no_text_does_anything_but_parse_or_raise_the_one_error(text: str) -> None:
    try:
        amount, hint = parse_budget(text).amount, "none is needed"
    except BadBudgetError as error:
        amount, hint = 1.0, error.hint
    assert amount > 0
    assert hint


@pytest.mark.parametrize(
    ("text", "user"),
    [("machine 5kWh/day", None), ("user alice 1kWh / day", "alice"), ("user * 1MJ/day", "*")],
)
def test_day_budgets_say_whose_they_are(text: str, user: str | None) -> None:
    assert parse_day_budget(text).user == user


@pytest.mark.parametrize("text", ["5kWh/day", "machine 5kWh", "user 5kWh/day", "machine 5W/day"])
def test_what_is_no_day_budget_is_refused(text: str) -> None:
    with pytest.raises(BadBudgetError):
        parse_day_budget(text)
