"""By which figure a budget is judged, and when it cannot be judged at all."""

from __future__ import annotations

import pytest

from collectors.base import Device, Reading
from frugalwatch.budgets.grammar import parse_budget
from frugalwatch.budgets.judge import Figure, rate, refusal, used, verdict
from frugalwatch.budgets.run_energy import RunEnergy
from frugalwatch.carbon.grid import resolve
from frugalwatch.config.settings import Settings

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (Figure(99.0, 90.0, 300.0), "kept"),
        (Figure(101.0, 40.0, 300.0), "passed"),
        (Figure(250.0, 101.0, 600.0), "exceeded"),
    ],
)
def test_the_best_figure_warns_and_only_the_lowest_ends(figure: Figure, expected: str) -> None:
    assert verdict(parse_budget("100J"), figure) == expected


@pytest.mark.parametrize(
    ("text", "settings", "refused"),
    [
        ("200gCO2e", Settings(), True),
        ("200gCO2e", Settings(zone="NOWHERE"), True),
        ("200gCO2e", Settings(zone="FR"), False),
        ("200gCO2e", Settings(zone="WORLD"), False),
        ("200gCO2e", Settings(cloud_region="aws:eu-west-3"), False),
        ("2EUR", Settings(), True),
        ("2EUR", Settings(price_per_kwh=0.0), True),
        ("2USD", Settings(price_per_kwh=0.3), True),
        ("2EUR", Settings(price_per_kwh=0.3), False),
        ("2USD", Settings(price_per_kwh=0.3, currency="USD"), False),
        ("2kWh", Settings(), False),
    ],
)
def test_no_factor_and_no_price_is_ever_guessed(
    text: str, settings: Settings, refused: bool
) -> None:
    found = refusal(parse_budget(text), settings)
    assert (found is not None) == refused
    assert found is None or (found.why and found.hint)


def test_carbon_and_money_count_the_building_too() -> None:
    settings = Settings(zone="FR", pue=2.0, price_per_kwh=0.25)
    kwh = Figure(3.6e6, 3.6e6, 3.6e6)
    factor = resolve(settings)
    money = used(kwh, rate(parse_budget("2EUR"), factor, settings))
    carbon = used(kwh, rate(parse_budget("2gCO2e"), factor, settings))
    assert money.value == pytest.approx(0.5)
    assert carbon.value == pytest.approx(2 * factor.g_per_kwh)
    assert "FR" in rate(parse_budget("2gCO2e"), factor, settings).words


def package(**more: object) -> Device:
    return Device("rapl:package-0", "cpu", "Package", "measured", "die", "rapl")._replace(**more)  # type: ignore[arg-type]


def energy_of(device: Device, reading: Reading, cpu_share: float | None) -> Figure:
    energy = RunEnergy(0)
    energy.take(device, 0, reading)
    return energy.until(10 * SECOND, cpu_share, lambda _device: None)[0]


def test_on_a_machine_of_its_own_the_lowest_figure_is_the_sensors() -> None:
    reading = Reading("rapl:package-0", 10 * SECOND, 1_000_000_000)
    assert energy_of(package(gain_low=0.94), reading, 0.95) == Figure(1000.0, 940.0, 1000.0)


def test_beside_others_the_lowest_figure_is_the_jobs_share() -> None:
    reading = Reading("rapl:package-0", 10 * SECOND, 1_000_000_000)
    known = package(idle_w=20.0)
    assert energy_of(known, reading, 0.25).low == pytest.approx((1000 - 200) / 4)
    assert energy_of(known, reading, 0.25).value == 1000.0


def test_with_idle_unknown_and_neighbours_nothing_is_certain() -> None:
    reading = Reading("rapl:package-0", 10 * SECOND, 1_000_000_000)
    assert energy_of(package(), reading, 0.25).low == 0.0


def test_what_is_part_of_another_device_is_not_added_up() -> None:
    energy = RunEnergy(0)
    energy.take(package(), 0, Reading("rapl:package-0", 1, 5_000_000))
    core = package(key="rapl:core-0", part_of="rapl:package-0")
    energy.take(core, 1, Reading("rapl:core-0", 1, 3_000_000))
    model = package(key="model:cpu", origin="estimated")
    energy.take(model, 2, Reading("model:cpu", 1, 9_000_000))
    total, modelled = energy.until(SECOND, 1.0, lambda _device: None)
    assert (total.value, modelled) == (5.0, False)
