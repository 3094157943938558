"""Which variants act and do not visibly change the answers, before they are measured."""

from __future__ import annotations

from dataclasses import replace

from advisor.inside import Inside
from advisor.options import Options
from advisor.quality import Computed, Loss, judge
from advisor.search import Search
from advisor.techniques.base import Facts, Variant


def same_answers(
    search: Search,
    options: Options,
    variants: list[Variant],
    facts: Facts,
    share: float | None = None,
) -> list[Variant]:
    """Those of the variants that act, end well, and do not visibly change the answers.

    A lossy one must show that it keeps its limit before any time is spent on measuring it, unless
    the user insists on it: then its figures are wanted, whatever it does to the answers.
    Whether a metric stays is told by rounds of all variants only, so with one nobody is out yet.
    """
    kept = search.try_out(variants, share)
    if options.metric is not None:
        return kept
    computed = computed_by(search, facts.inside)
    return [
        v
        for v in kept
        if v.technique in facts.included
        or all(
            judge(
                search.trials,
                v.name,
                metric=False,
                tolerance=None,
                switches=v.change.switches,
                computed=computed,
                loss=loss,
            ).settled
            for loss in _losses(v, options)
        )
    ]


def _losses(variant: Variant, options: Options) -> tuple[Loss | None, ...]:
    """How a variant is judged: what is lossy has to do well on inputs for screening first.

    What is beyond its limit there takes no part in what the judging inputs decide.
    """
    if not variant.lossy:
        return (None,)
    loss = Loss(options.gate, variant.calibrated)
    return (replace(loss, part="screening"), loss)


def computed_by(search: Search, inside: Inside | None) -> Computed:
    """How what modules compute agrees, the program with itself and with each variant."""
    return Computed(
        search.own_agreement, search.agreements, learns=inside is not None and inside.learns
    )
