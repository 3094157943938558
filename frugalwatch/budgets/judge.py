"""By which figure a budget is judged.

Judged is the energy of all devices that count, while the job ran: counters, and models where there
are none, as for carbon and cost. Two figures decide, for measured and modelled energy alike:

    passed    the best figure is above the budget: this is said
    exceeded  even the lowest figure is: only then may a job be ended for it

The lowest figure is the sensors' or the model's lower bound; where others used the machine beside
the job it is that of the job's share. So no job is ended for what a model may have got wrong, or
for what its neighbours did. Carbon and money need a grid factor and a price that the user chose:
without one there is nothing to judge by, and the budget is refused.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from frugalwatch.budgets.grammar import Budget
from frugalwatch.carbon.grid import GridFactor, resolve
from frugalwatch.config.settings import Settings
from frugalwatch.errors import NotFoundError

J_PER_KWH = 3.6e6

Verdict: TypeAlias = Literal["kept", "passed", "exceeded"]


class Figure(NamedTuple):
    """Joules, gram or money with bounds. Where nothing bounds it all three are equal."""

    value: float
    low: float
    high: float


class Rate(NamedTuple):
    """What a joule counts in a budget's own unit, with bounds, and where that is known from."""

    value: float
    low: float
    high: float
    words: str


class Refusal(NamedTuple):
    """Why a budget cannot be judged here, and what to type."""

    why: str
    hint: str


def refusal(budget: Budget, settings: Settings) -> Refusal | None:
    """Why nothing here says what a joule is in this budget's unit; None if something does."""
    if budget.measure == "money":
        return _no_price(budget, settings)
    if budget.measure == "co2e":
        try:
            factor = resolve(settings)
        except NotFoundError as error:
            return Refusal(error.message, error.hint)
        if factor.assumed:
            return Refusal(
                "no zone is set, and what a kWh emits differs a hundredfold between places",
                "--zone FR names yours; --zone WORLD takes the world's average",
            )
    return None


def _no_price(budget: Budget, settings: Settings) -> Refusal | None:
    if settings.price_per_kwh is None:
        return Refusal(
            "no price of a kWh is set", f"--price 0.30 --currency {budget.unit} on the command line"
        )
    if settings.price_per_kwh <= 0:
        return Refusal("the price of a kWh is 0, so no energy would ever reach it", "--price 0.30")
    if settings.currency != budget.unit:
        return Refusal(
            f"the price is in {settings.currency}, and no exchange rate is known",
            f"write the budget in {settings.currency}, or set a price in {budget.unit}",
        )
    return None


def rate(budget: Budget, factor: GridFactor, settings: Settings) -> Rate:
    """What a joule counts. Of a budget that was not refused."""
    if budget.measure == "energy":
        return Rate(1.0, 1.0, 1.0, "the energy of the devices while the job ran")
    pue = f", PUE {settings.pue:g}" if settings.pue != 1 else ""
    per_j = settings.pue / J_PER_KWH
    if budget.measure == "money":
        each = (settings.price_per_kwh or 0.0) * per_j
        return Rate(each, each, each, f"{settings.price_per_kwh:g} {budget.unit}/kWh{pue}")
    low = factor.g_per_kwh if factor.low_g_per_kwh is None else factor.low_g_per_kwh
    high = factor.g_per_kwh if factor.high_g_per_kwh is None else factor.high_g_per_kwh
    when = "live" if factor.live else str(factor.year)
    words = f"{factor.g_per_kwh:.4g} g CO2e/kWh, {factor.zone} {when}, {factor.kind}{pue}"
    return Rate(factor.g_per_kwh * per_j, low * per_j, high * per_j, words)


def used(energy: Figure, each: Rate) -> Figure:
    """The energy in the budget's own unit."""
    return Figure(energy.value * each.value, energy.low * each.low, energy.high * each.high)


def verdict(budget: Budget, figure: Figure) -> Verdict:
    """Whether the budget was kept, passed (best figure) or exceeded (even the lowest one)."""
    if figure.low > budget.amount:
        return "exceeded"
    return "passed" if figure.value > budget.amount else "kept"
