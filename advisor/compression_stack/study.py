"""The order in which points are tried: Optuna's, kept in a database so that nothing is tried twice.

Two objectives: the cost of a request, and how far the answers drift. Costs are told to Optuna in
steps of 5 %, so that noise of the machine seldom changes what it asks for next; what it asks for
depends on the seed, on what was found so far, and on nothing else. A point that was being built
when the process was killed is built again first.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from advisor.compression_stack.points import Outcome, Point, Space

if TYPE_CHECKING:
    import optuna

_STEP = math.log(1.05)
_POINT, _OUTCOME = "point", "outcome"


@dataclass(frozen=True, slots=True)
class Terms:
    """How a search is done. `storage` is a database URL, `name` that of the study in it."""

    storage: str
    name: str
    seed: int = 0
    most_points: int = 200


@dataclass(slots=True)
class Searched:
    """What is known of each point, in the order of trying; `stopped` says why there is no more."""

    found: dict[Point, Outcome] = field(default_factory=dict)
    stopped: str = ""
    taken_over: int = 0


def search(
    space: Space,
    terms: Terms,
    evaluate: Callable[[Point], Outcome],
    is_over: Callable[[], bool],
) -> Searched:
    """Try points until all are known, `is_over` says so, or there were as many as was said.

    What is built already is looked at in any case.

    Raises ModuleNotFoundError without Optuna, and what its storage raises.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=terms.storage,
        study_name=terms.name,
        directions=["minimize", "minimize"],
        load_if_exists=True,
    )
    searched = Searched(_known(study))
    searched.taken_over = len(searched.found)
    every, planned = space.points(), _surely_worth_it(space)
    _clear_up(study, planned)
    while True:
        left = [point for point in every if point not in searched.found]
        if not left:
            searched.stopped = "every combination was tried"
            return searched
        if len(searched.found) >= terms.most_points:
            searched.stopped = f"{terms.most_points} combinations were tried"
            return searched
        ahead = next((point for point in planned if point not in searched.found), None)
        # Looking at what is built already takes a second each: the curve has that in any case.
        if is_over() and not (ahead is not None and ahead.precision == "float"):
            searched.stopped = f"its time was up, {len(left)} of {len(every)} were left"
            return searched
        number = len(_finished(study))
        study.sampler = optuna.samplers.TPESampler(
            seed=terms.seed + number, multivariate=True, constant_liar=False
        )
        if ahead is not None and not _is_waiting(study):
            study.enqueue_trial(_parameters(ahead, space))
        trial = study.ask()
        point = _suggested(trial, space)
        trial.set_user_attr(_POINT, asdict(point))
        known = searched.found.get(point)
        if known is None:
            known = searched.found[point] = evaluate(point)
        else:  # nothing new: the next one is drawn among those that are left
            other = random.Random(terms.seed + number).choice(left)
            study.enqueue_trial(_parameters(other, space))
        _tell(study, trial, known)


def _surely_worth_it(space: Space) -> list[Point]:
    """Each base as it is; then the smallest, the middle and the largest one in each precision."""
    bases = [Point(base.name) for base in reversed(space.bases)]
    ends = [space.bases[at].name for at in (-1, len(space.bases) // 2, 0)]
    more = [Point(name, each) for name in ends for each in space.precisions[1:]]
    return list(dict.fromkeys([*bases, *more]))


def _clear_up(study: optuna.Study, planned: list[Point]) -> None:
    """What a process that was killed was at comes again, before anything else is asked for."""
    import optuna

    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        known = trial.user_attrs.get(_POINT)
        if known is not None and Point(**known) not in planned:
            study.enqueue_trial(trial.params)


def _is_waiting(study: optuna.Study) -> bool:
    """Whether something is asked for already, by a process that was killed just then."""
    import optuna

    waiting = (optuna.trial.TrialState.WAITING,)
    return bool(study.get_trials(deepcopy=False, states=waiting))


def _suggested(trial: optuna.Trial, space: Space) -> Point:
    """The models stand in the order of their size, so that neighbours are alike."""
    at = trial.suggest_int("base", 0, len(space.bases) - 1)
    precision = trial.suggest_categorical("precision", space.precisions)
    practice = trial.suggest_categorical("practice", space.practices)
    return Point(
        space.bases[at].name,
        next(each for each in space.precisions if each == precision),
        next(each for each in space.practices if each == practice),
    )


def _parameters(point: Point, space: Space) -> dict[str, Any]:
    at = next(n for n, base in enumerate(space.bases) if base.name == point.base)
    return {"base": at, "precision": point.precision, "practice": point.practice}


def _tell(study: optuna.Study, trial: optuna.Trial, known: Outcome) -> None:
    import optuna

    trial.set_user_attr(_OUTCOME, json.dumps(asdict(known)))
    if known.refused:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return
    trial.set_constraint("drift", known.drift - known.limit)
    cost = math.exp(_STEP * round(math.log(max(1e-6, known.cost_ratio)) / _STEP))
    study.tell(trial, [cost, known.drift])


def _finished(study: optuna.Study) -> list[Any]:
    """Trials that came to something; one that was killed counts as if it had never been."""
    return [t for t in study.get_trials(deepcopy=False) if _OUTCOME in t.user_attrs]


def _known(study: optuna.Study) -> dict[Point, Outcome]:
    """What earlier processes found in this study."""
    return {
        Point(**trial.user_attrs[_POINT]): Outcome(**json.loads(trial.user_attrs[_OUTCOME]))
        for trial in _finished(study)
    }
