"""Joules to gram and money."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalwatch.carbon.account import cost, emission
from frugalwatch.carbon.grid import GridFactor, resolve
from frugalwatch.config.settings import Settings

FACTOR = GridFactor("XX", "Nowhere", 2025, "average-lifecycle", "s", "a", 400.0, 100.0, 900.0)


def test_one_kilowatt_hour_emits_the_factor():
    assert emission(3.6e6, FACTOR).co2e_g == pytest.approx(400.0)
    assert emission(3.6e6, FACTOR, pue=1.5).co2e_g == pytest.approx(600.0)


def test_bounds_are_least_energy_on_the_cleanest_and_most_on_the_dirtiest_grid():
    result = emission(3.6e6, FACTOR, energy_low_j=1.8e6, energy_high_j=7.2e6, pue=2.0)
    assert (result.low_g, result.high_g) == pytest.approx((100.0, 3600.0))


def test_without_bounds_the_interval_is_the_figure():
    result = emission(7.2e6, resolve(Settings(zone="FR")))
    assert result.low_g == result.co2e_g == result.high_g == pytest.approx(82.88)


def test_a_measured_zero_is_zero_and_not_unknown():
    result = emission(0.0, FACTOR, energy_low_j=0.0, energy_high_j=0.0)
    assert (result.low_g, result.co2e_g, result.high_g) == (0.0, 0.0, 0.0)


@given(st.floats(0, 1e12), st.floats(0, 1), st.floats(1, 10), st.floats(1, 5))
def test_bounds_enclose_the_figure_and_energy_adds_up(energy_j, below, above, pue):
    result = emission(
        energy_j, FACTOR, pue=pue, energy_low_j=energy_j * below, energy_high_j=energy_j * above
    )
    assert 0 <= result.low_g <= result.co2e_g <= result.high_g
    half = emission(energy_j / 2, FACTOR, pue=pue)
    assert half.co2e_g * 2 == pytest.approx(result.co2e_g)


def test_no_price_no_cost():
    assert cost(3.6e6, Settings()) is None


def test_cost_is_price_times_energy_of_the_building():
    settings = Settings(price_per_kwh=0.30, currency="CHF", pue=1.5)
    result = cost(3.6e6, settings, energy_low_j=1.8e6, energy_high_j=7.2e6)
    assert (result.low, result.amount, result.high) == pytest.approx((0.225, 0.45, 0.90))
    assert (result.currency, result.price_per_kwh) == ("CHF", 0.30)


def test_free_electricity_costs_zero_and_not_none():
    assert cost(3.6e6, Settings(price_per_kwh=0.0)).amount == 0.0
