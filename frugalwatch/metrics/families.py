"""What is told: families of series, each with one value, before any format or protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["counter", "gauge", "info"]


class Sample(NamedTuple):
    """One series' value. `at_s` is Unix time, None for now."""

    labels: Mapping[str, str]
    value: float
    at_s: float | None = None


class Family(NamedTuple):
    """Series of one name. Names of counters end in `_total`, those of kind `info` in `_info`."""

    name: str
    kind: Kind
    what: str  # one sentence for people
    samples: tuple[Sample, ...]
    unit: str = ""  # joules, seconds, grams: part of the name
