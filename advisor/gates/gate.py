"""Whether a lossy change keeps to its limit, on inputs that nothing was chosen or tuned by."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from advisor.gates import classification, embedding, generation, regression
from advisor.gates.kinds import Choice, choose
from advisor.gates.options import GateOptions, Measure
from advisor.gates.result import GateResult, Kind
from advisor.gates.rows import groups
from advisor.gates.splits import Part, split
from frugalwatch.errors import FrugalWatchError

if TYPE_CHECKING:
    from advisor.outputs import Output

_MEASURES: dict[Kind, Measure] = {
    "classification": "agreement",
    "embedding": "overlap",
    "regression": "error",
    "generation": "tokens",
}


class NumpyMissingError(FrugalWatchError):
    """Answers cannot be compared without NumPy."""

    def __init__(self) -> None:
        super().__init__(
            "NumPy is not installed, and answers cannot be compared without it",
            hint="pip install 'frugalwatch[advisor]'",
        )


def need_numpy() -> None:
    """Raise NumpyMissingError if it is not there."""
    from importlib.util import find_spec

    if find_spec("numpy") is None:
        raise NumpyMissingError


@dataclass(frozen=True, slots=True)
class Untold:
    """Nothing could be judged, and why."""

    reason: str


def gate(
    pairs: Sequence[tuple[Output, Output]],
    options: GateOptions,
    part: Part = "judging",
    calibrated: Collection[str] = (),
) -> GateResult | Untold:
    """Judge calls with equal inputs, as written and with the change.

    Only inputs of `part` count, and none of those with the digests `calibrated`. Of several modules
    each is judged, and the worst result is returned. Raises NumpyMissingError.
    """
    need_numpy()
    found = []
    for of_module in groups(pairs).values():
        choice = choose(of_module, options)
        if choice is None:
            continue
        split_up = split(choice.group.rows, calibrated)
        result = judge_choice(choice, split_up.part(part), options)
        if result is not None:
            found.append(result)
    if not found:
        return Untold(_why_nothing(pairs, options))
    return min(found, key=_standing)


def _standing(result: GateResult) -> tuple[int, float]:
    """The worst first: not acceptable, cannot tell, acceptable; then by the distance to it."""
    margin = result.value - result.limit
    return (
        {False: 0, None: 1, True: 2}[result.acceptable],
        -margin if result.measure == "error" else margin,
    )


def judge_choice(choice: Choice, places: Sequence[int], options: GateOptions) -> GateResult | None:
    """Judge one output on the inputs at these places.

    None where rows cannot be put together, since their widths differ from call to call.
    """
    group, kind = choice.group, choice.kind
    limit = options.least(_MEASURES[kind])
    if not places:
        return None
    if kind == "generation":
        sequences = ([group.own[p] for p in places], [group.new[p] for p in places])
        result = generation.judge(*sequences, limit, of=group.title)
    else:
        try:
            own, new = group.arrays(places)
        except ValueError:
            return None
        if kind == "classification":
            if group.how == "top":  # a column of places
                own, new = own[:, 0], new[:, 0]
            result = classification.judge(own, new, limit, of=group.title)
        elif kind == "embedding":
            result = embedding.judge(own, new, limit, of=group.title)
        else:
            result = regression.judge(own, new, limit, of=group.title)
    said = f"{result.sentence}; {choice.guessed}" if choice.guessed else result.sentence
    return replace(result, sentence=said)


def _why_nothing(pairs: Sequence[tuple[Output, Output]], options: GateOptions) -> str:
    if not pairs:
        return "no call of its modules has the same inputs in both replays"
    if all(own.learning for own, _ in pairs):
        return "its modules were only called in training"
    if options.measure is not None:
        return f"what its modules return cannot be judged by {options.measure}"
    return "what its modules return has no form that there is a gate for (--gate names one)"
