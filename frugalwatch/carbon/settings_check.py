"""Whether the settings about place, live source and hardware can be used, without any network.

`run` falls back to the world average and says so; `config check` wants to know beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping

from frugalwatch.carbon.embodied import embodied
from frugalwatch.carbon.grid import resolve
from frugalwatch.config.settings import Settings
from frugalwatch.errors import FrugalWatchError


def problems(settings: Settings, environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """What cannot be used: (key, why, what to do or nearest known names), empty if all is well."""
    found: list[tuple[str, str, str]] = []
    alone = settings._replace(cloud_region=None, zone=None)
    for key, only in (
        ("zone", alone._replace(zone=settings.zone)),
        ("cloud_region", alone._replace(cloud_region=settings.cloud_region)),
    ):
        try:
            resolve(only)
        except FrugalWatchError as error:
            found.append((key, error.message, error.hint))
    try:
        embodied(settings, 1.0)
    except FrugalWatchError as error:
        found.append(("embodied", error.message, error.hint))
    if settings.live_grid != "off":
        found.extend(_live(settings, environ))
    return found


def _live(settings: Settings, environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    from frugalwatch.carbon.live import zone_to_ask
    from frugalwatch.carbon.live_value import LiveFailure

    found: list[tuple[str, str, str]] = []
    zone = zone_to_ask(settings)
    if isinstance(zone, LiveFailure):
        found.append(("live_grid", zone.reason, zone.hint))
    token = settings.live_grid_token_env
    if settings.live_grid == "electricity-maps" and not environ.get(token, "").strip():
        found.append(("live_grid_token_env", f"{token} is not set", f"export {token}=<token>"))
    url = settings.live_grid_url
    if url is not None and not url.startswith(("https://", "http://")):
        found.append(("live_grid_url", f"{url!r} is no http address", "write https://..."))
    return found
