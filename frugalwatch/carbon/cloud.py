"""Cloud regions: which grid zone one lies in, and what its provider publishes about it.

The provider's PUE and grid figure are shown, never applied: nobody asked for them, and the
grid figure (direct emissions, by consumption) is another measure than the table of zones.
"""

from __future__ import annotations

from typing import NamedTuple

from frugalwatch.carbon.table import lines
from frugalwatch.errors import NotFoundError


class RegionRow(NamedTuple):
    """One cloud region. `grid_g_per_kwh` is the provider's own direct figure, where it has one."""

    region: str
    zone: str
    place: str
    pue: float
    pue_year: int
    pue_basis: str
    grid_g_per_kwh: float | None
    grid_year: int | None
    source: str


def read_regions() -> tuple[RegionRow, ...]:
    """Every cloud region that is known, as `provider:region`."""
    rows: list[RegionRow] = []
    for cells in lines("cloud.tsv"):
        if cells[0] == "#source":
            continue
        region, zone, place, pue, pue_year, basis, grid_g, grid_year, source = cells
        rows.append(
            RegionRow(
                region=region,
                zone=zone,
                place=place,
                pue=float(pue),
                pue_year=int(pue_year),
                pue_basis=basis,
                grid_g_per_kwh=float(grid_g) if grid_g else None,
                grid_year=int(grid_year) if grid_year else None,
                source=source,
            )
        )
    return tuple(rows)


def find(name: str) -> RegionRow:
    """The region that a person named as `provider:region`. Raises NotFoundError with a hint."""
    regions = {row.region: row for row in read_regions()}
    wanted = name.strip().lower()
    if wanted in regions:
        return regions[wanted]
    bare = [key for key in regions if key.endswith(":" + wanted)]
    if bare:
        raise NotFoundError(
            f"the cloud region {name!r} lacks its provider", hint=f"write {' or '.join(bare)}"
        )
    from difflib import get_close_matches  # several ms, and only on the way to an error

    near = get_close_matches(wanted, regions, n=3, cutoff=0.6)
    raise NotFoundError(
        f"no cloud region {name!r} in the table",
        why="A region is written provider:region, with aws, gcp or azure as provider.",
        hint=f"nearest: {', '.join(near)}" if near else "set `zone` instead, for example FR",
    )


def note(region: RegionRow, pue: float) -> str:
    """What to say beside the factor: the place, the PUE on offer, the provider's own figure."""
    parts = [f"zone of {region.region} ({region.place})"]
    if pue == 1.0:
        parts.append(
            f"PUE of {region.region} is {region.pue:g} ({region.pue_year}, "
            f"{region.pue_basis.replace('-', ' ')}), not applied: set pue to count it"
        )
    if region.grid_g_per_kwh is not None:
        parts.append(
            f"the provider says {region.grid_g_per_kwh:.0f} g/kWh for this region "
            f"({region.grid_year}, direct emissions of consumption: not the same measure)"
        )
    return "; ".join(parts)
