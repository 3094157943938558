"""Where a collector finds the machine: the roots of /sys and /proc, and the clock.

Containers mount the host's trees elsewhere, and tests hand in trees of their own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple


class Host(NamedTuple):
    """Roots of the kernel's file trees and the clock that stamps readings (CLOCK_MONOTONIC, ns)."""

    sysfs: str = "/sys"
    procfs: str = "/proc"
    clock_ns: Callable[[], int] = time.monotonic_ns

    @classmethod
    def from_environment(cls) -> Host:
        """The host as FRUGALWATCH_SYSFS and FRUGALWATCH_PROCFS name it, else this machine's own."""
        return cls(
            sysfs=os.environ.get("FRUGALWATCH_SYSFS", "/sys"),
            procfs=os.environ.get("FRUGALWATCH_PROCFS", "/proc"),
        )

    def sys(self, *parts: str) -> str:
        """A path below the root of /sys."""
        return os.path.join(self.sysfs, *parts)

    def proc(self, *parts: str) -> str:
        """A path below the root of /proc."""
        return os.path.join(self.procfs, *parts)
