"""What the screen knows at one moment: plain frozen records, made by `reading`, shown by widgets.

Joules, watts and seconds; None is unknown, 0 a measured zero. `trace` holds cumulative joules, so
that any stretch of it has an exact mean power.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from frugalwatch.ledger.queries import RunRow
from frugalwatch.report.attribution import Energy
from frugalwatch.report.window import Span

if TYPE_CHECKING:
    from frugalwatch.screen.projection import Projection

# Any: parts of the run object, described in docs/reference/run-object.md.
Document: TypeAlias = Mapping[str, Any]


class Point(NamedTuple):
    """Cumulative joules of one device at one instant of its machine's CLOCK_MONOTONIC."""

    t_mono_ns: int
    energy_j: float


@dataclass(frozen=True, slots=True)
class Trace:
    """The last minutes of one device: its samples, and the spans in which nobody could look.

    Two samples further apart than `longest_step_ns` are not joined: what lies between is a gap.
    """

    points: tuple[Point, ...] = ()
    gaps: tuple[Span, ...] = ()
    longest_step_ns: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """What a device is like now; of a run that is over the hottest moment, the fastest fan, and
    the mean clock and use. Shares are 0 to 1; None is unknown.
    """

    temperature_c: float | None = None
    clock_hz: float | None = None
    fan_share: float | None = None
    busy_share: float | None = None


@dataclass(frozen=True, slots=True)
class DeviceNow:
    """One device of the chosen run.

    `power_w` is the mean between its last two samples; None where the run is over, or where
    `silent` says since when and why the device gives no figure. `peak_w` is the highest mean
    between any two neighbours; without `peak_known` the run's beginning is still to be looked
    through, and it is a lower bound.
    """

    key: str
    domain: str
    name: str
    origin: str
    source: str
    counted: bool
    energy: Energy | None
    coverage: float
    power_w: float | None
    power_limit_w: float | None
    silent: str | None
    trace: Trace
    peak_w: float | None = None
    peak_known: bool = True
    condition: Condition | None = None

    @property
    def is_modelled(self) -> bool:
        """Whether its figures come from a model, and carry the mark `~`."""
        return self.origin == "estimated"

    def mean_w(self, duration_s: float) -> float | None:
        """Mean power over the part of the run's time that it covers."""
        covered_s = duration_s * self.coverage
        return self.energy.value / covered_s if self.energy and covered_s > 0 else None


@dataclass(frozen=True, slots=True)
class RunNow:
    """The chosen run: energy so far with bounds, and what follows from it.

    `measured` and `estimated` are never added up. `carbon` and `cost` are those parts of the run
    object; `settled` says that they are final. `age_s` is how long ago the run gave its last sign
    of life, None once it is over. `begin_ns` and `end_ns` bound it on CLOCK_MONOTONIC.
    `projection` is where it is heading, None where it did not say how long it will be.
    """

    row: RunRow
    host: str
    interval_s: float
    begin_ns: int
    end_ns: int
    devices: tuple[DeviceNow, ...]
    measured: Energy | None
    estimated: Energy | None
    carbon: Document
    coverage: float | None
    steps: Document | None
    age_s: float | None
    settled: bool
    notices: tuple[str, ...]
    projection: Projection | None = None

    @property
    def is_running(self) -> bool:
        """Whether nobody has written its end yet."""
        return self.row.state == "running"

    @property
    def is_silent(self) -> bool:
        """Whether it should be running and has given no sign of life for several looks."""
        return self.age_s is not None and self.age_s > max(5.0, 5 * self.interval_s)

    def power_w(self, *, modelled: bool) -> float | None:
        """Power now of the counted devices that are measured, or of those that are modelled."""
        known = [
            d.power_w
            for d in self.devices
            if d.counted and d.is_modelled == modelled and d.power_w is not None
        ]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the ledger could not be read this time; `kind` is `missing`, `locked`, `corrupt`..."""

    kind: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the ledger: the runs, the latest first, and the chosen one in full.

    `part` is the open view's own record. With `trouble` there is nothing else in it; the next look
    tries again.
    """

    path: str
    runs: tuple[RunRow, ...] = ()
    run: RunNow | None = None
    trouble: Trouble | None = None
    part: object = None
