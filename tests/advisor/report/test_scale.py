"""What a change saves in a request and in a year, by hand: joules, CO2e, money, pay-back."""

from __future__ import annotations

import pytest

from advisor.report.scale import Scale, saving
from tests.advisor.report.kit import RATIO, a_day, document, recommendation


def test_a_counted_joule_is_scaled_to_a_year() -> None:
    base = {"name": "as written", "energy_j": 100.0, "cpu_s": 1.0, "wall_s": 1.0}
    spent = {"energy_j": 9000.0, "cpu_s": 90.0, "wall_s": 1.0}
    found = document(unit="energy_j", work=None, baselines=[base], spent=spent)
    saved = saving(recommendation(), found, a_day(1000))
    assert saved is not None
    assert (saved.unit, saved.modelled) == ("run", False)
    assert (saved.cost.value, saved.cost.low, saved.cost.high) == pytest.approx((50, 45, 55))
    year_kwh = 50 * 1000 * 365 / 3.6e6
    assert saved.year_energy_j is not None
    assert saved.year_co2e
    assert saved.year_money
    assert saved.year_energy_j.value / 3.6e6 == pytest.approx(year_kwh)
    assert saved.year_co2e.co2e_g == pytest.approx(year_kwh * 400)
    assert saved.year_money.amount == pytest.approx(year_kwh * 0.25)
    # 9000 J were spent, and at least 45 J are saved in each.
    assert saved.pay_back_requests in (200, 201)  # of binary fractions
    assert saved.pay_back_days == pytest.approx(0.2, rel=0.01)


def test_one_call_counts_where_calls_were_counted() -> None:
    saved = saving(recommendation(), document(), a_day(1000))
    assert saved is not None
    assert saved.unit == "call"
    assert saved.cost.value == pytest.approx(0.02 * 0.6)


def test_modelled_energy_spans_the_whole_band_and_says_so() -> None:
    saved = saving(recommendation(), document(), a_day(1000))
    assert saved is not None
    assert saved.energy_j is not None
    assert saved.modelled
    busy_s, waiting_s = 0.02 * 0.6, 0.01 * 0.4
    assert saved.energy_j.value == pytest.approx(5 * busy_s + 10 * waiting_s)
    assert saved.energy_j.low == pytest.approx(2.5 * 0.02 * 0.58 + 10 * 0.01 * 0.38)
    assert saved.energy_j.high == pytest.approx(10 * 0.02 * 0.62 + 10 * 0.01 * 0.42)
    assert saved.as_json()["energy_origin"] == "estimated"


def test_no_energy_is_claimed_for_what_claims_cpu_time_only() -> None:
    saved = saving(recommendation(saves_energy=False), document(), a_day(1000))
    assert saved is not None
    assert saved.energy_j is None
    assert saved.year_co2e is None
    assert saved.year_money is None
    year = saved.as_json()["per_year"]
    assert isinstance(year, dict)
    assert year["energy_kwh"] is None
    assert year["saved"]["value"] > 0


def test_a_saving_whose_cautious_end_is_none_never_pays_back() -> None:
    doubtful = recommendation(ratio={**RATIO, "high": 1.01}, per_unit={})
    saved = saving(doubtful, document(), Scale())
    assert saved is not None
    assert saved.pay_back_requests is None


def test_without_a_price_there_is_no_money_and_without_a_rate_no_year() -> None:
    saved = saving(recommendation(), document(), a_day(1000, price=None))
    assert saved is not None
    assert saved.year_money is None
    assert saved.year_co2e is not None
    bare = saving(recommendation(), document(), Scale())
    assert bare is not None
    assert bare.year_cost is None
    assert bare.as_json()["per_year"] is None
