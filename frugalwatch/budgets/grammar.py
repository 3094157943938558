"""What people write as a budget: `0.5kWh`, `1800J`, `200gCO2e`, `2EUR`.

Units are taken as they are written, since mWh and MWh differ by a billion; what looks like a slip
is answered with what was probably meant.
"""

from __future__ import annotations

import math
import re
from typing import Literal, NamedTuple, TypeAlias

Measure: TypeAlias = Literal["energy", "co2e", "money"]

_ENERGY_J = {
    "mJ": 1e-3,
    "J": 1.0,
    "kJ": 1e3,
    "MJ": 1e6,
    "GJ": 1e9,
    "mWh": 3.6,
    "Wh": 3600.0,
    "kWh": 3.6e6,
    "MWh": 3.6e9,
}
_CO2E_G = {"mgCO2e": 1e-3, "gCO2e": 1.0, "kgCO2e": 1e3, "tCO2e": 1e6}
_NUMBER_AND_UNIT = re.compile(r"\s*([-+]?[0-9][0-9.,]*(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9]+)\s*(.*)")
_CURRENCY = re.compile(r"[A-Z]{3}")
_SYMBOLS = {"€": "EUR", "£": "GBP"}
EXAMPLES = "write 0.5kWh, 1800J, 200gCO2e or 2EUR"


class BadBudgetError(ValueError):
    """A text that is no budget: what is wrong, and in `hint` what to write."""

    def __init__(self, message: str, hint: str = EXAMPLES) -> None:
        super().__init__(message)
        self.hint = hint


class Budget(NamedTuple):
    """What may be used: `amount` joules, gram CO2e, or money in the currency `unit` (J, g, EUR).

    `written` is the unit as a person wrote it, of which one is `scale` of `unit`.
    """

    text: str
    measure: Measure
    amount: float
    unit: str
    written: str
    scale: float


def parse_budget(text: str) -> Budget:
    """The budget that a person wrote. Raises BadBudgetError."""
    found = _NUMBER_AND_UNIT.fullmatch(text)
    if found is None:
        raise BadBudgetError(f"{text!r} does not begin with a number")
    number, unit = found[1], found[2].strip()
    if "," in number:
        raise BadBudgetError(
            f"{text!r} has a comma in its number", f"write {text.strip().replace(',', '.')}"
        )
    try:
        amount = float(number)
    except ValueError:
        raise BadBudgetError(f"{number!r} is no number") from None
    if not amount > 0 or not math.isfinite(amount):
        raise BadBudgetError(f"{text!r} is not more than nothing")
    return _with_unit(text.strip(), number, amount, unit)


def _with_unit(text: str, number: str, amount: float, unit: str) -> Budget:
    if unit in _ENERGY_J:
        return Budget(text, "energy", amount * _ENERGY_J[unit], "J", unit, _ENERGY_J[unit])
    of_carbon = _spelled(unit.replace(" ", ""))
    if of_carbon in _CO2E_G:
        scale = _CO2E_G[of_carbon]
        return Budget(text, "co2e", amount * scale, "g", of_carbon.replace("C", " C"), scale)
    currency = _SYMBOLS.get(unit, unit)
    if _CURRENCY.fullmatch(currency) and unit.upper() not in _folded():
        return Budget(text, "money", amount, currency, currency, 1.0)
    raise BadBudgetError(*_wrong_unit(text, number, unit))


def _spelled(unit: str) -> str:
    """`gCO2` and `gCO2eq` are written as often as `gCO2e` and mean the same here."""
    for ending in ("CO2eq", "CO2"):
        if unit.endswith(ending):
            return f"{unit.removesuffix(ending)}CO2e"
    return unit


def _folded() -> dict[str, list[str]]:
    folded: dict[str, list[str]] = {}
    for unit in (*_ENERGY_J, *_CO2E_G):
        folded.setdefault(unit.upper(), []).append(unit)
    return folded


def _wrong_unit(text: str, number: str, unit: str) -> tuple[str, str]:
    """What is wrong with a unit, and the nearest thing that would not be."""
    if not unit:
        return f"{text!r} has no unit", EXAMPLES
    meant = _folded().get(_spelled(unit).upper(), [])
    if meant:
        return (
            f"{text!r}: {unit!r} is no unit",
            f"did you mean {number}{f' or {number}'.join(meant)}?",
        )
    if unit in ("mg", "g", "kg", "t"):
        return f"{text!r}: {unit} of what?", f"did you mean {number}{unit}CO2e?"
    if unit in ("W", "kW", "MW"):
        return f"{text!r} is power, and a budget is energy", f"did you mean {number}{unit}h?"
    if unit == "$":
        return f"{text!r}: which dollar?", f"did you mean {number}USD?"
    if _CURRENCY.fullmatch(unit.upper()):
        return f"{text!r}: {unit!r} is no unit", f"did you mean {number}{unit.upper()}?"
    return f"{text!r}: {unit!r} is no unit", EXAMPLES
