"""The grid table that ships with the project, read line by line: no csv module, nothing kept.

`data/grid.tsv` holds what a kilowatt-hour emits by zone. Its first lines say where each figure
comes from and under which licence.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

WORLD = "WORLD"

# Names that people type for a zone whose code is another one.
_ALIASES = {"UK": "GB", "EL": "GR"}

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")


class ZoneRow(NamedTuple):
    """One zone's yearly figure in gram CO2e per kWh, as its source published it."""

    zone: str
    iso3: str
    year: int
    g_per_kwh: float
    kind: str
    source: str
    name: str


class Source(NamedTuple):
    """Where a figure comes from: a short name, the line to print, the licence, the address."""

    name: str
    attribution: str
    licence: str
    address: str


class Grid(NamedTuple):
    """The whole grid table: every zone, and the sources by key."""

    zones: tuple[ZoneRow, ...]
    sources: dict[str, Source]

    def find(self, zone: str) -> ZoneRow | None:
        """The row that a person means: any case, `_` for `-`, FRA for FR, UK for GB."""
        wanted = zone.strip().upper().replace("_", "-")
        wanted = _ALIASES.get(wanted, wanted)
        for row in self.zones:
            if row.zone == wanted or (row.iso3 == wanted and "-" not in row.zone):
                return row
        return None

    def countries(self) -> list[ZoneRow]:
        """The rows of countries and territories, without the world and without states."""
        return [row for row in self.zones if len(row.zone) == 2]


def read_grid() -> Grid:
    """The grid table. Raises OSError if the installation lacks it."""
    zones: list[ZoneRow] = []
    sources: dict[str, Source] = {}
    for cells in lines("grid.tsv"):
        if cells[0] == "#source":
            sources[cells[1]] = Source(*cells[2:6])
        else:
            zone, iso3, year, g_per_kwh, kind, source, name = cells
            zones.append(ZoneRow(zone, iso3, int(year), float(g_per_kwh), kind, source, name))
    return Grid(tuple(zones), sources)


def lines(name: str) -> Iterator[list[str]]:
    """Rows and `#source` lines of a shipped table, split at tabs; comments left out."""
    with open(os.path.join(_FOLDER, name), encoding="utf-8") as file:
        for line in file:
            if line.startswith("#source\t") or not line.startswith("#"):
                yield line.rstrip("\n").split("\t")
