"""What finding an advice used is told with its carbon, and a model's figure is marked as one."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.report.spent import spent, spent_in_words
from frugalwatch.carbon.grid import resolve_or_world
from frugalwatch.config.settings import Settings

MODEL = {"idle_w": 10.0, "active_w": 20.0}


def document(unit: str, energy_j: float | None, model: dict[str, float] | None) -> dict[str, Any]:
    return {
        "unit": unit,
        "spent": {"cpu_s": 100.0, "wall_s": 60.0, "energy_j": energy_j},
        "power_model": model,
    }


def test_without_a_counter_it_is_modelled_over_the_whole_band() -> None:
    found = spent(document("cpu_s", None, MODEL))
    assert found is not None
    assert found.modelled
    assert (found.energy_j.low, found.energy_j.value, found.energy_j.high) == (1600, 2600, 4600)
    assert found.co2e_g is None


def test_what_counters_counted_is_no_estimate_but_its_carbon_is_one() -> None:
    settings = Settings(zone="FR")
    factor, _ = resolve_or_world(settings)
    counted = document("energy_j", 3.6e6, MODEL)
    found = spent(counted, settings, factor)
    assert found is not None
    assert not found.modelled
    assert found.co2e_g is not None
    assert found.co2e_g.value == pytest.approx(factor.g_per_kwh * settings.pue)
    words = spent_in_words(counted, settings, factor)
    assert words.startswith("1.00 kWh, ~")
    assert "CPU-s" not in words


def test_without_counter_and_model_there_is_cpu_time_only() -> None:
    assert spent_in_words(document("cpu_s", None, None)) == "100 CPU-s"
