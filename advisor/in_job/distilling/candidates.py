"""Which students there may be for a module: ladders, each from the smallest to the largest."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple  # modules are of the job's own torch

from ..compressing.work import multiplications  # noqa: TID252 - another name in a job
from . import shallow, standard, thinned
from .like import NoStandardError
from .shallow import CannotDropError
from .thinned import CannotThinError

_FACTORS = (0.125, 0.25, 0.375, 0.5, 0.75)
# Beyond this share of the teacher's multiplications a student is no saving worth learning for.
_MOST_WORK = 0.9


class Candidate(NamedTuple):
    """A student before it has learnt. `work` is its multiplications over the teacher's.

    `from_teacher`: it begins with weights of the teacher's, and so learns with care.
    """

    name: str
    kind: str
    make: Callable[[], Any]
    work: float
    from_teacher: bool


def ladders(job: Any) -> tuple[list[list[Candidate]], list[str]]:
    """The ladders that there are for this module, and why others are not; the user's own first."""
    found: list[list[Candidate]] = []
    reasons: list[str] = []
    own = str(job.options.get("factory") or "")
    if own:
        return [_rungs(job, "the user's", _of_user(job, own), from_teacher=False)], []
    try:
        made = [(name, make) for name, make in standard.students(job)]
        found.append(_rungs(job, "standard", made, from_teacher=False))
    except NoStandardError as error:
        reasons.append(f"no standard student: {error}")
    for kind, maker in (("thinner", _thinner), ("shallower", _shallower)):
        try:
            found.append(_rungs(job, kind, maker(job), from_teacher=True))
        except (CannotThinError, CannotDropError) as error:
            reasons.append(f"none {kind}: {error}")
    if _takes_images(job):
        # What begins with the teacher's weights learns sooner. With rows of numbers and texts,
        # what a standard student saves is worth a longer lesson.
        found.sort(key=lambda ladder: not (ladder and ladder[0].from_teacher))
    return [ladder for ladder in found if ladder], reasons


def _takes_images(job: Any) -> bool:
    tensors = job.flat.tensors()
    return bool(tensors) and tensors[0].dim() == 4


def _rungs(
    job: Any, kind: str, makers: list[tuple[str, Callable[[], Any]]], *, from_teacher: bool
) -> list[Candidate]:
    teacher = multiplications(job, job.module)
    found = []
    for name, make in makers:
        work = multiplications(job, make()) / teacher
        if work <= _MOST_WORK or kind == "the user's":
            found.append(Candidate(name, kind, make, work, from_teacher))
    return sorted(found, key=lambda each: each.work)


def _thinner(job: Any) -> list[tuple[str, Callable[[], Any]]]:
    thinned.thinned(job, _FACTORS[0])  # raises where it cannot be done

    def maker(factor: float) -> Callable[[], Any]:
        return lambda: thinned.thinned(job, factor)

    return [(f"{factor:g} of each width", maker(factor)) for factor in _FACTORS]


def _shallower(job: Any) -> list[tuple[str, Callable[[], Any]]]:
    _, places = shallow.row_of_blocks(job.module)
    found = []
    for keep in shallow.depths(len(places)):
        try:
            shallow.shallow(job, keep)
        except CannotDropError:
            continue
        found.append((f"{keep} of {len(places)} blocks", _keeper(job, keep)))
    if not found:
        raise CannotDropError("no blocks of it can be left out")
    return found


def _keeper(job: Any, keep: int) -> Callable[[], Any]:
    return lambda: shallow.shallow(job, keep)


def _of_user(job: Any, place: str) -> list[tuple[str, Callable[[], Any]]]:
    """What `FILE.py:function` gives: a module, or a list of some, called like the program's."""
    path, _, function = place.rpartition(":")
    folder = os.path.dirname(os.path.abspath(path))
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location("_frugalwatch_students", path)
    if spec is None or spec.loader is None:
        raise NoStandardError(f"{path} is no Python file")
    holder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(holder)
    make = getattr(holder, function)

    def at(place: int) -> Any:
        job.torch.manual_seed(job.seed)
        made = make(job.module)
        return list(made)[place] if isinstance(made, (list, tuple)) else made

    made = make(job.module)
    count = len(made) if isinstance(made, (list, tuple)) else 1

    def maker(place: int) -> Callable[[], Any]:
        return lambda: at(place)

    return [(f"{function} {n + 1}" if count > 1 else function, maker(n)) for n in range(count)]
