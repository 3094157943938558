"""The making of the hardware, amortised."""

import pytest

from frugalwatch.carbon.embodied import embodied, read_embodied
from frugalwatch.config.settings import Settings
from frugalwatch.errors import UsageError

YEAR_S = 365.25 * 86400


def test_nothing_is_counted_unless_chosen():
    assert embodied(Settings(), 3600.0) is None


def test_a_whole_lifetime_carries_the_whole_footprint():
    result = embodied(Settings(embodied="server-rack"), 4 * YEAR_S)
    assert result.co2e_g == pytest.approx(1_221_000)
    # least kg over the longest life, most kg over the shortest
    assert result.low_g == pytest.approx(686_000 * 4 / 6)
    assert result.high_g == pytest.approx(1_659_000 * 4 / 3)
    assert result.attribution == (
        "Contains data from Boavizta (environmental-footprint-data, ODbL 1.0)",
    )
    assert not result.unbounded


def test_share_and_count_multiply():
    one = embodied(Settings(embodied="gpu-t4"), 3600.0)
    several = embodied(Settings(embodied="8*gpu-t4", embodied_share=0.25), 3600.0)
    assert several.co2e_g == pytest.approx(2 * one.co2e_g)
    assert several.what == "8 GPUs NVIDIA T4"


def test_a_server_and_its_gpus_add_up():
    both = embodied(Settings(embodied="server-rack + 2*gpu-t4"), 3600.0)
    server = embodied(Settings(embodied="server-rack"), 3600.0)
    gpus = embodied(Settings(embodied="2*gpu-t4"), 3600.0)
    assert both.co2e_g == pytest.approx(server.co2e_g + gpus.co2e_g)
    assert both.low_g == pytest.approx(server.low_g + gpus.low_g)
    assert len(both.attribution) == 2


def test_a_row_without_a_band_says_that_its_bounds_are_too_narrow():
    assert embodied(Settings(embodied="server-high-spec"), 3600.0).unbounded


@pytest.mark.parametrize(
    "twice",
    ["server-rack+cpu-base", "server-rack+server-dell-r740", "server-base+part-motherboard"],
)
def test_the_same_hardware_is_not_counted_twice(twice):
    with pytest.raises(UsageError, match="counted twice"):
        embodied(Settings(embodied=twice), 1.0)


@pytest.mark.parametrize("text", ["0*gpu-t4", "-1*gpu-t4", "x*gpu-t4", "nan*gpu-t4", "*gpu-t4", ""])
def test_a_count_that_makes_no_sense_is_refused(text):
    with pytest.raises(UsageError):
        embodied(Settings(embodied=text), 1.0)


def test_unknown_hardware_is_refused_with_the_nearest_known():
    with pytest.raises(UsageError) as problem:
        embodied(Settings(embodied="gpu-h100"), 1.0)
    assert "gpu-h100-sxm-80gb" in problem.value.hint


def test_every_row_is_sound():
    rows, attribution = read_embodied()
    assert len(rows) == 46
    for row in rows.values():
        assert row.family in ("whole", "ccf", "parts", "gpu"), row
        assert row.lifetime_low_y <= row.lifetime_y <= row.lifetime_high_y, row
        assert row.source in attribution, row
        if row.low_kg is not None and row.high_kg is not None:
            assert row.low_kg <= row.kg <= row.high_kg, row
