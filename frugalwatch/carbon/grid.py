"""What a kilowatt-hour emits where the job ran, with its place, year, kind and source.

A place is never guessed. Without a zone the answer is the world average, marked as an assumption
and bounded by what countries differ by. With one it is that zone's yearly average; no bounds are
made up for the hour, since the table's sources give none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from frugalwatch.carbon.table import WORLD, Grid, ZoneRow, read_grid
from frugalwatch.config.settings import Settings
from frugalwatch.errors import NotFoundError

FactorKind: TypeAlias = Literal["average-lifecycle", "average-direct", "marginal"]

_YEARLY = "yearly average of generation inside the zone, imports not counted; the hour may differ"


class GridFactor(NamedTuple):
    """Gram CO2e per kWh, and everything that must be printed beside it.

    `low_g_per_kwh` and `high_g_per_kwh` are None where no source gives bounds. `assumed` is True
    for the world average that nobody chose. `live` is True for a value that a grid service gave
    for this time; `year` is then the year of that value. `attribution` is the line that the
    source's licence asks for.
    """

    zone: str
    zone_name: str
    year: int
    kind: FactorKind
    source: str
    attribution: str
    g_per_kwh: float
    low_g_per_kwh: float | None = None
    high_g_per_kwh: float | None = None
    assumed: bool = False
    live: bool = False
    note: str = ""

    def as_json(self) -> dict[str, object]:
        """The `carbon` object of a run."""
        return {
            "zone": self.zone,
            "zone_name": self.zone_name,
            "year": self.year,
            "kind": self.kind,
            "source": self.source,
            "g_per_kwh": self.g_per_kwh,
            "g_per_kwh_low": self.low_g_per_kwh,
            "g_per_kwh_high": self.high_g_per_kwh,
            "assumed": self.assumed,
            "live": self.live,
            "note": self.note,
            "attribution": self.attribution,
        }


def from_json(found: Mapping[str, Any]) -> GridFactor:
    """The factor that `as_json` wrote. Raises KeyError if it is not one."""
    return GridFactor(
        zone=found["zone"],
        zone_name=found["zone_name"],
        year=found["year"],
        kind=found["kind"],
        source=found["source"],
        attribution=found["attribution"],
        g_per_kwh=found["g_per_kwh"],
        low_g_per_kwh=found["g_per_kwh_low"],
        high_g_per_kwh=found["g_per_kwh_high"],
        assumed=found["assumed"],
        live=found["live"],
        note=found["note"],
    )


def resolve(settings: Settings) -> GridFactor:
    """The yearly factor of the zone that was chosen, else the cloud region's, else the world's.

    Raises NotFoundError, with the nearest known names as its hint, for a zone or a region that
    the tables don't have. Reads files only; live sources are `frugalwatch.carbon.live`.
    """
    grid = read_grid()
    if settings.zone:
        row, note = _zone(grid, settings.zone, settings)
        return _factor(grid, row, note)
    if settings.cloud_region:
        from frugalwatch.carbon import cloud  # a second table, for those who named a region

        region = cloud.find(settings.cloud_region)
        row, _ = _zone(grid, region.zone, settings)
        return _factor(grid, row, cloud.note(region, settings.pue))
    if settings.live_grid == "uk-carbon-intensity":
        row, _ = _zone(grid, "GB", settings)
        return _factor(grid, row, "the zone that the chosen live source covers")
    return world_average(grid)


def resolve_or_world(settings: Settings) -> tuple[GridFactor, str | None]:
    """As `resolve`, but an unknown zone gives the assumed world average and a warning text.

    For `run`, where no wrong name may cost anyone a job.
    """
    try:
        return resolve(settings), None
    except NotFoundError as error:
        hint = f" ({error.hint})" if error.hint else ""
        factor = world_average(read_grid(), because="the zone that was set is not known")
        return factor, f"{error.message}: world average assumed{hint}"


def world_average(grid: Grid, because: str = "no zone was set") -> GridFactor:
    """The world's average as an assumption, bounded by the 5th and 95th percentile of countries.

    The percentiles count every country and territory of the table once, however much it generates.
    """
    row = grid.find(WORLD)
    assert row is not None, "the table has a row for the world"
    by_value = sorted(country.g_per_kwh for country in grid.countries())
    low, high = (round(_percentile(by_value, share), 2) for share in (0.05, 0.95))
    note = (
        f"{because}; range: 5th to 95th percentile of {len(by_value)} countries and "
        f"territories, which span {by_value[0]:.0f} to {by_value[-1]:.0f}"
    )
    return _row_factor(grid, row, note)._replace(
        low_g_per_kwh=low, high_g_per_kwh=high, assumed=True
    )


def _factor(grid: Grid, row: ZoneRow, note: str) -> GridFactor:
    what = "the world's yearly average, by choice" if row.zone == WORLD else _YEARLY
    return _row_factor(grid, row, _joined(note, what))


def _row_factor(grid: Grid, row: ZoneRow, note: str) -> GridFactor:
    source = grid.sources[row.source]
    return GridFactor(
        zone=row.zone,
        zone_name=row.name,
        year=row.year,
        kind=cast(FactorKind, row.kind),
        source=source.name,
        attribution=source.attribution,
        g_per_kwh=row.g_per_kwh,
        note=note,
    )


def _zone(grid: Grid, zone: str, settings: Settings) -> tuple[ZoneRow, str]:
    row = grid.find(zone)
    if row is not None:
        return row, ""
    if settings.live_grid == "electricity-maps" and "-" in zone:
        # Its zones can be finer than the table (SE-SE3, US-CAL-CISO). The country that such a
        # zone lies in is no guess, and it is said; without that service it would hide a slip.
        country = grid.find(zone.split("-", 1)[0])
        if country is not None:
            return country, f"no yearly figure for {zone}: that of {country.name}"
    names = {row.name: row.zone for row in grid.zones}
    raise NotFoundError(
        f"no zone {zone!r} in the grid table",
        why="A zone is a country code (FR), a state (US-CA, CA-QC, IN-DL) or WORLD.",
        hint=_nearest_zones(zone, names),
    )


def _nearest_zones(zone: str, names: dict[str, str]) -> str:
    from difflib import get_close_matches  # several ms, and only on the way to an error

    folded = {name.lower(): code for name, code in names.items()}
    by_name = [folded[near] for near in get_close_matches(zone.lower(), folded, n=2, cutoff=0.75)]
    by_code = get_close_matches(zone.upper(), list(names.values()), n=3, cutoff=0.5)
    name_of = {code: name for name, code in names.items()}
    near = [f"{code} ({name_of[code]})" for code in dict.fromkeys(by_name + by_code)]
    return f"nearest: {', '.join(near[:3])}" if near else "`--zone WORLD` for the world average"


def _percentile(ordered: list[float], share: float) -> float:
    """The value below which `share` of the ordered values lie, linear between neighbours."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
