"""A clock that a test moves by hand, for `Host(clock_ns=...)`."""

from __future__ import annotations

NS = 1_000_000_000


class Clock:
    """Stands still until it is told to go on. Starts at an arbitrary instant, as the real one."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * NS

    def __call__(self) -> int:
        return self.now_ns

    def forward(self, seconds: float) -> None:
        """Let this much time pass."""
        self.now_ns += round(seconds * NS)
