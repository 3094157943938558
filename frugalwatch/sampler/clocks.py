"""Notices that the wall clock was set and that the machine slept, from three kernel clocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from frugalwatch.ledger.journal import Journal

# NTP slews below 500 ppm; a second between two looks is somebody setting the clock.
_STEP_NS = 1_000_000_000
# CLOCK_BOOTTIME and CLOCK_MONOTONIC are read one after the other.
_SLEEP_NS = 50_000_000


class ClockChange(NamedTuple):
    """What happened between two looks, in nanoseconds; 0 where nothing did."""

    stepped_ns: int
    slept_ns: int
    since_mono_ns: int
    t_mono_ns: int


class ClockWatch:
    """Compares wall, monotonic and boot clocks from look to look.

    `clocks` gives CLOCK_MONOTONIC, and how far CLOCK_REALTIME and CLOCK_BOOTTIME are ahead of it.
    """

    def __init__(self, clocks: Callable[[], tuple[int, int, int]] | None = None) -> None:
        self._clocks = clocks or _look
        self._mono_ns, self._wall_ahead_ns, self._boot_ahead_ns = self._clocks()
        self.slept_ns = 0

    def look(self) -> ClockChange | None:
        """A change since the last look, or None. `slept_ns` of the watch adds up the sleep."""
        before = self._mono_ns
        mono, wall, boot = self._clocks()
        slept = boot - self._boot_ahead_ns
        slept = slept if slept > _SLEEP_NS else 0
        # A sleep moves the wall clock forward too; only the rest was set by somebody.
        stepped = wall - self._wall_ahead_ns - slept
        stepped = stepped if abs(stepped) > _STEP_NS else 0
        self._mono_ns, self._wall_ahead_ns, self._boot_ahead_ns = mono, wall, boot
        self.slept_ns += slept
        if slept or stepped:
            return ClockChange(stepped, slept, before, mono)
        return None


def note_clock_changes(clocks: ClockWatch, journal: Journal) -> None:
    """Look at the clocks, and write down a sleep or a step since the last look."""
    change = clocks.look()
    if change is None:
        return
    for kind, amount_ns in (("suspended", change.slept_ns), ("clock_step", change.stepped_ns)):
        if amount_ns:
            journal.event(
                kind,
                since_mono_ns=change.since_mono_ns,
                t_mono_ns=change.t_mono_ns,
                detail=f"{amount_ns / 1e9:+.1f} s",
            )


def _look() -> tuple[int, int, int]:
    mono = time.monotonic_ns()
    return mono, time.time_ns() - mono, time.clock_gettime_ns(time.CLOCK_BOOTTIME) - mono
