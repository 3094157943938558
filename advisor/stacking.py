"""Which changes go on together, and which stand beside one another to be confirmed."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.techniques.base import ANSWERS, COMPRESSION_STACK, Change, Claim, Variant

FINALISTS = 3
COMBINATION = "combination"  # the technique of several together
# These change how the torch module computes, which nobody asks any more once it is replaced.
_OF_THE_MODULE = frozenset({"compile", "autocast", "channels_last", "inference_mode", "eval"})


def stacks_first(entrants: Sequence[Variant]) -> list[Variant]:
    """What a search on captured inputs has found best, before what it was made of.

    Time may run out before all are tried.
    """
    return sorted(entrants, key=lambda v: v.technique != COMPRESSION_STACK)


def runs_the_model(variant: Variant) -> bool:
    """Whether something else computes what the program's module would."""
    return "compile" in variant.change.switches or _replaces(variant.change)


def different(ranked: Sequence[Variant]) -> list[Variant]:
    """The best few of a ranking that are not all of one kind.

    Of those that run the model otherwise, the best lossless one, the best with the program's own
    weights in another precision, the best that is pruned, and the best that learnt from it: the
    limit of quality, or the user, may let only one of them through, and others are needed to stack
    with. Places that are left go to the next best. Where models themselves change there is a place
    more.
    """
    places = FINALISTS + any(v.answers != "own" for v in ranked)
    chosen: list[Variant] = []
    for variant in ranked:
        rivals = [c for c in chosen if runs_the_model(c) and runs_the_model(variant)]
        if not any((c.lossy, c.answers) == (variant.lossy, variant.answers) for c in rivals):
            chosen.append(variant)
    chosen = chosen[:places]
    chosen += [v for v in ranked if v not in chosen][: places - len(chosen)]
    return sorted(chosen, key=list(ranked).index)


def by_promise(finalists: Sequence[Variant]) -> list[Variant]:
    """What to confirm, what matters most first: the best, the best of each stacked, the others.

    Where the best is lossy, what is lossless is stacked too.
    """
    stacked = combinations(finalists)
    if any(v.lossy for v in finalists):
        stacked += combinations([v for v in finalists if not v.lossy])
    return [*finalists[:1], *stacked, *finalists[1:]]


def least_missed(kept: Sequence[Variant], reference: Variant | None) -> Variant | None:
    """Which of those to confirm, what matters most first, goes where there is no time for all.

    The last one; but where the best is lossy the first lossless one is the last to go, since it is
    what remains for whom the loss is too much. None where only the best and the reference are left.
    """
    spare = [v for v in kept[1:] if v != reference]
    lossless = [v for v in spare if not v.lossy]
    if kept[0].lossy and lossless:
        spare = [lossless[0], *(v for v in spare if v is not lossless[0])]
    return spare[-1] if spare else None


def combinations(finalists: Sequence[Variant]) -> list[Variant]:
    """The best of each technique that go on together, stacked; nothing if that is only one."""
    best: dict[str, Variant] = {}
    for variant in finalists:  # best first
        best.setdefault(variant.technique, variant)
    chosen: list[Variant] = []
    for variant in best.values():
        if all(_go_together(other, variant) for other in chosen):
            chosen.append(variant)
    if len(chosen) < 2:
        return []
    change = chosen[0].change
    for variant in chosen[1:]:
        change = change.with_(variant.change)
    return [
        Variant(
            name=" + ".join(v.name for v in chosen),
            technique=COMBINATION,
            change=change,
            claim=_claim(chosen),
            needs=", ".join(dict.fromkeys(v.needs for v in chosen if v.needs)),
            one_off="; ".join(dict.fromkeys(v.one_off for v in chosen)),
            for_good="all of the above",
            risk="; ".join(v.risk for v in chosen if v.risk),
            code="\n".join(v.code for v in chosen if v.code),
            pays_later=any(v.pays_later for v in chosen),
            lossy=any(v.lossy for v in chosen),
            answers=max((v.answers for v in chosen), key=ANSWERS.index),
            artefact=next((v.artefact for v in chosen if v.artefact), None),
            calibrated=tuple(digest for v in chosen for digest in v.calibrated),
        )
    ]


def _replaces(change: Change) -> bool:
    """Whether the module itself is replaced, and not only how batches come to it."""
    value = change.switches.get("replace")
    if not isinstance(value, dict):
        return False
    return not value.get("outer") or "inner" in (value.get("options") or {})


def _go_together(first: Variant, second: Variant) -> bool:
    """Whether both can act at once, each with an effect."""
    for one, other in ((first, second), (second, first)):
        if _replaces(one.change) and _OF_THE_MODULE.intersection(other.change.switches):
            return False
    return not (_replaces(first.change) and _replaces(second.change))


def _claim(chosen: Sequence[Variant]) -> Claim:
    """What several changes may be called together: no more than the least of them."""
    claims = {v.claim for v in chosen}
    if "cpu" in claims:
        return "cpu"
    return "time" if claims == {"time"} else "energy"
