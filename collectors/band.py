"""A figure of a model, which never comes without its bounds."""

from __future__ import annotations

from typing import NamedTuple


class Band(NamedTuple):
    """A figure with its bounds, in whatever unit its name says."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Band:
        """Everything multiplied by a positive factor."""
        return Band(self.value * factor, self.low * factor, self.high * factor)
