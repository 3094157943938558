"""Which factor a run gets, and everything that must be said beside it."""

import pytest

from frugalwatch.carbon import cloud
from frugalwatch.carbon.grid import resolve, resolve_or_world
from frugalwatch.carbon.table import read_grid
from frugalwatch.config.settings import Settings
from frugalwatch.errors import NotFoundError


def test_no_place_gives_the_world_as_an_assumption_with_its_range():
    factor = resolve(Settings())
    assert (factor.zone, factor.assumed, factor.kind) == ("WORLD", True, "average-lifecycle")
    assert factor.low_g_per_kwh < factor.g_per_kwh < factor.high_g_per_kwh
    by_value = sorted(row.g_per_kwh for row in read_grid().countries())
    below = sum(value < factor.low_g_per_kwh for value in by_value) / len(by_value)
    above = sum(value > factor.high_g_per_kwh for value in by_value) / len(by_value)
    assert below == pytest.approx(0.05, abs=0.006)
    assert above == pytest.approx(0.05, abs=0.006)
    assert "no zone was set" in factor.note
    assert f"5th to 95th percentile of {len(by_value)} countries" in factor.note


def test_the_world_by_choice_is_no_assumption():
    factor = resolve(Settings(zone="world"))
    assert (factor.zone, factor.assumed) == ("WORLD", False)
    assert factor.low_g_per_kwh is None


def test_a_zone_gives_its_own_year_source_and_no_invented_bounds():
    factor = resolve(Settings(zone="FR"))
    row = read_grid().find("FR")
    assert (factor.zone, factor.zone_name, factor.year) == ("FR", "France", row.year)
    assert factor.g_per_kwh == row.g_per_kwh == 41.44
    assert (factor.low_g_per_kwh, factor.high_g_per_kwh) == (None, None)
    assert not factor.assumed
    assert "the hour may differ" in factor.note
    assert "CC BY 4.0" in factor.attribution


@pytest.mark.parametrize(
    ("typed", "zone"),
    [("fr", "FR"), (" FRA ", "FR"), ("UK", "GB"), ("us_ca", "US-CA"), ("usa", "US"), ("CAN", "CA")],
)
def test_zones_are_found_as_people_type_them(typed, zone):
    assert resolve(Settings(zone=typed)).zone == zone


@pytest.mark.parametrize(
    ("typed", "near"), [("Frnace", "FR (France)"), ("Sweden", "SE (Sweden)"), ("US-CAL", "US-CA")]
)
def test_an_unknown_zone_is_refused_with_the_nearest_known(typed, near):
    with pytest.raises(NotFoundError) as problem:
        resolve(Settings(zone=typed))
    assert near in problem.value.hint


def test_for_a_run_an_unknown_zone_is_a_warning_and_the_assumed_world():
    factor, warning = resolve_or_world(Settings(zone="Frnace"))
    assert (factor.zone, factor.assumed) == ("WORLD", True)
    assert "Frnace" in warning
    assert "FR (France)" in warning
    assert "no zone was set" not in factor.note
    assert resolve_or_world(Settings(zone="FR")) == (resolve(Settings(zone="FR")), None)


def test_a_cloud_region_gives_its_zone_and_offers_the_pue_without_applying_it():
    factor = resolve(Settings(cloud_region="AWS:eu-west-3"))
    assert (factor.zone, factor.assumed) == ("FR", False)
    assert "PUE of aws:eu-west-3 is 1.11 (2024, geography average), not applied" in factor.note
    assert "PUE" not in resolve(Settings(cloud_region="aws:eu-west-3", pue=1.2)).note


def test_a_providers_own_grid_figure_is_shown_and_not_used():
    factor = resolve(Settings(cloud_region="gcp:us-central1"))
    assert factor.g_per_kwh == read_grid().find("US-IA").g_per_kwh
    assert "the provider says 413 g/kWh" in factor.note


def test_a_zone_beats_a_cloud_region():
    assert resolve(Settings(zone="SE", cloud_region="aws:eu-west-3")).zone == "SE"


@pytest.mark.parametrize(
    ("typed", "near"),
    [("eu-west-3", "write aws:eu-west-3"), ("aws:eu-wset-3", "aws:eu-west-3"), ("x", "`zone`")],
)
def test_an_unknown_region_is_refused_with_the_nearest_known(typed, near):
    with pytest.raises(NotFoundError) as problem:
        resolve(Settings(cloud_region=typed))
    assert near in problem.value.hint


def test_a_zone_finer_than_the_table_falls_back_to_its_country_only_for_its_service():
    fine = Settings(zone="SE-SE3", live_grid="electricity-maps")
    assert resolve(fine).zone == "SE"
    assert "no yearly figure for SE-SE3: that of Sweden" in resolve(fine).note
    with pytest.raises(NotFoundError):
        resolve(fine._replace(live_grid="off"))


def test_the_carbon_object_has_the_promised_keys():
    record = resolve(Settings()).as_json()
    assert list(record) == [
        *("zone", "zone_name", "year", "kind", "source", "g_per_kwh"),
        *("g_per_kwh_low", "g_per_kwh_high", "assumed", "live", "note", "attribution"),
    ]
    assert record["assumed"] is True
    assert record["g_per_kwh_low"] < record["g_per_kwh"] < record["g_per_kwh_high"]


def test_every_row_of_the_grid_table_is_sound_and_has_a_licensed_source():
    grid = read_grid()
    assert len(grid.zones) == 283
    assert len({row.zone for row in grid.zones}) == len(grid.zones)
    for row in grid.zones:
        assert 15 < row.g_per_kwh < 1400, row
        assert 2009 <= row.year <= 2025, row
        assert row.kind == "average-lifecycle", row
        source = grid.sources[row.source]
        assert source.licence, row
        assert source.attribution, row
        assert source.address.startswith("https://"), row


def test_every_cloud_region_lies_in_a_known_zone():
    grid = read_grid()
    regions = cloud.read_regions()
    assert len(regions) == 160
    for region in regions:
        assert region.region.split(":")[0] in ("aws", "gcp", "azure")
        assert grid.find(region.zone).zone == region.zone, region
        assert region.zone != "WORLD", region
        assert 1.0 <= region.pue < 2.0, region
        assert resolve(Settings(cloud_region=region.region)).zone == region.zone
