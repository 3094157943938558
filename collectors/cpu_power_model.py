"""Watts of a CPU's hardware threads when idle and when busy, wherever they are known from."""

from __future__ import annotations

from typing import Literal, NamedTuple

from collectors.band import Band
from collectors.base import Boundary, Domain
from collectors.cpu_table import ThreadPower


class CpuPowerModel(NamedTuple):
    """Watts of the covered hardware threads: when all are idle, and when all are busy.

    `threads` is how many are covered (2.5 under a quota of 250 %), `visible_threads` how many the
    machine shows. `source` goes to every place where the figure is printed.
    """

    idle_w: Band
    full_w: Band
    threads: float
    visible_threads: int
    boundary: Boundary
    encloses: tuple[Domain, ...]
    source: str
    note: str = ""
    idle_origin: Literal["model", "calibration"] = "model"

    @property
    def active_w(self) -> Band:
        """Watts for each busy CPU on top of idle: joules per CPU second."""
        return Band(
            max(0.0, self.full_w.value - self.idle_w.value) / self.threads,
            max(0.0, self.full_w.low - self.idle_w.low) / self.threads,
            max(0.0, self.full_w.high - self.idle_w.high) / self.threads,
        )


def table_model(power: ThreadPower, threads: float, visible_threads: int) -> CpuPowerModel:
    """The table's watts per hardware thread, times the threads that are covered."""
    idle, full = power.idle_w, power.full_w
    about = power.microarchitecture if power.match != "none" else "unknown CPU"
    band = (
        f"bounds x{min(idle.low / idle.value, full.low / full.value):.2g}"
        f" to x{max(idle.high / idle.value, full.high / full.value):.2g}"
    )
    return CpuPowerModel(
        idle_w=idle.times(threads),
        full_w=full.times(threads),
        threads=threads,
        visible_threads=visible_threads,
        boundary="server_ac",
        encloses=("cpu", "ram"),
        source=(
            f"model: {about}, {idle.value:.2f}-{full.value:.2f} W per hardware thread"
            " (SPECpower, server AC)"
        ),
        note="; ".join(part for part in (power.note, band) if part),
    )
