"""Ratios of "with the change" over "as written", as a person reads them: `-48 % (-50..-46)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def change_with_bounds(ratio: Mapping[str, Any] | None) -> str:
    """`-48 % (-50..-46)` of {"value": 0.52, "low": 0.5, "high": 0.54}; empty for unknown."""
    if not ratio:
        return ""
    low, high = (signed_percent(ratio[key]) for key in ("low", "high"))
    return f"{signed_percent(ratio['value'])} % ({low}..{high})"


def change(ratio: Mapping[str, Any] | None) -> str:
    """`-48 %`; empty for unknown."""
    return f"{signed_percent(ratio['value'])} %" if ratio else ""


def signed_percent(ratio: float) -> str:
    """`-48` of 0.52; `0` without a sign."""
    percent = round((ratio - 1) * 100)
    return f"{percent:+d}" if percent else "0"
