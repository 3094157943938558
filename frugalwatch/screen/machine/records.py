"""What the view of the machine knows at one moment: plain frozen records.

Joules, grams and seconds; None is unknown. Measured and modelled energy are never added up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from frugalwatch.report.attribution import Energy

DAYS = 30


class RunPart(NamedTuple):
    """One run as it counts for the machine. Times are its boot's CLOCK_MONOTONIC.

    `offset_ns` added to them gives UTC. `energies` is what each device of it used, by its number
    in the ledger. `measured` and `estimated` are the run's totals, None while they are unknown.
    """

    number: int
    boot: int
    host: str
    is_running: bool
    command: str
    user: str | None
    begin_ns: int
    end_ns: int
    offset_ns: int
    measured: Energy | None
    estimated: Energy | None
    co2e_g: float | None
    price_per_kwh: float | None
    currency: str | None
    pue: float
    energies: Mapping[int, DeviceJoules]

    @property
    def total_j(self) -> float:
        """Measured and modelled joules together: what carbon and cost are worked out from."""
        return sum(energy.value for energy in (self.measured, self.estimated) if energy)


class DeviceJoules(NamedTuple):
    """Energy of one device in one stretch of time; `counted` devices make up the sum."""

    energy: Energy
    is_measured: bool
    counted: bool


class GpuUse(NamedTuple):
    """One GPU in one run. `busy` is whether any process used it; None where nobody said."""

    device: int
    key: str
    name: str
    busy: bool | None
    idle_w: Energy | None
    idle_origin: str


class Tally(NamedTuple):
    """A sum over some stretch of time. `unknown` counts runs without a figure.

    `co2e_g` is None where nothing is known; `cost` is by currency.
    """

    runs: int = 0
    unknown: int = 0
    overlapping: int = 0
    measured: Energy | None = None
    estimated: Energy | None = None
    co2e_g: float | None = None
    cost: Mapping[str, float] = {}

    @property
    def total_j(self) -> float:
        """Measured and modelled joules together, to put sums in an order."""
        return sum(energy.value for energy in (self.measured, self.estimated) if energy)

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(
            self.runs + other.runs,
            self.unknown + other.unknown,
            self.overlapping + other.overlapping,
            added(self.measured, other.measured),
            added(self.estimated, other.estimated),
            _sum(self.co2e_g, other.co2e_g),
            {
                name: self.cost.get(name, 0.0) + other.cost.get(name, 0.0)
                for name in {**self.cost, **other.cost}
            },
        )


class IdleGpu(NamedTuple):
    """What one GPU used with no job on it.

    `measured` was recorded by runs that left the GPU alone for `recorded_s`. In `between_s`, the
    time between the runs of one boot, nobody recorded anything: `estimated` is its idle watts
    times that, None where those are unknown.
    """

    host: str
    key: str
    name: str
    measured: Energy | None
    recorded_s: float
    between_s: float
    estimated: Energy | None
    idle_w: Energy | None
    idle_origin: str


class GridValue(NamedTuple):
    """One value of a live grid source, from this instant on."""

    utc_s: float
    g_per_kwh: float
    is_estimate: bool


@dataclass(frozen=True, slots=True)
class GridSeries:
    """The live values of one zone and kind, in order."""

    zone: str
    kind: str
    source: str
    values: tuple[GridValue, ...] = ()


@dataclass(frozen=True, slots=True)
class Period:
    """One stretch of whole days until now: its sum, and its parts by command and by user."""

    name: str
    begin_utc_s: float
    total: Tally
    by_command: tuple[tuple[str, Tally], ...] = ()
    by_user: tuple[tuple[str, Tally], ...] = ()
    idle: tuple[IdleGpu, ...] = ()


@dataclass(frozen=True, slots=True)
class MachineLook:
    """What is known now. `read_back_to_utc_s` is set while older runs are still being read."""

    now_utc_s: float
    hosts: tuple[str, ...]
    days: tuple[tuple[float, Tally], ...]
    periods: tuple[Period, ...]
    grid: GridSeries | None
    by_user: bool
    read_back_to_utc_s: float | None = None


def added(one: Energy | None, other: Energy | None) -> Energy | None:
    """The sum of what is known."""
    if one is None or other is None:
        return one or other
    return one + other


def scaled(energy: Energy | None, part: float) -> Energy | None:
    """A part of an energy."""
    if energy is None:
        return None
    return Energy(energy.value * part, energy.low * part, energy.high * part)


def _sum(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other
