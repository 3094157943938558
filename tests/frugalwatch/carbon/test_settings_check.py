"""What `config check` says about places, live sources and hardware."""

from frugalwatch.carbon.settings_check import problems
from frugalwatch.config.settings import Settings


def test_the_defaults_are_all_right():
    assert problems(Settings(), {}) == []


def test_every_unusable_name_is_listed_at_once():
    settings = Settings(zone="Frnace", cloud_region="aws:mars-1", embodied="abacus")
    assert [key for key, _, _ in problems(settings, {})] == ["zone", "cloud_region", "embodied"]


def test_a_live_source_needs_a_place_a_token_and_an_address():
    settings = Settings(live_grid="electricity-maps", live_grid_url="ftp://x")
    keys = [key for key, _, _ in problems(settings, {})]
    assert keys == ["live_grid", "live_grid_token_env", "live_grid_url"]
    settings = Settings(live_grid="electricity-maps", zone="SE-SE3")
    assert problems(settings, {"ELECTRICITYMAPS_TOKEN": "x"}) == []
