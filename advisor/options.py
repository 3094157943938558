"""What is asked of an advice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from advisor.choosing import Choice
from advisor.gates.options import GateOptions
from advisor.limits import Limits
from advisor.replay import Isolation
from advisor.search import Plan
from advisor.stopping import Stop
from advisor.stored_trials import Earlier
from advisor.techniques import Family


@dataclass(frozen=True, slots=True)
class Options:
    """How to search and what counts as the same answer.

    Without `hook` nothing is seen or changed inside the program. `stop` ends each replay early;
    without one, `shorten` lets those that measure end early where the budget has no room for whole
    ones.
    With `power_limit` limits of GPUs may be changed for a while.
    `gate` is how far a change in precision may move the answers, `family` what may change.
    `student` is FILE.py:function of the user's own that makes a smaller model, or empty.
    `install` are run times that may be added in a throw-away layer. `storage` is the database URL
    where a search for what to stack is kept; None: a file in the advice's folder.
    `asked` is what was asked for on the command line, for `--resume`; `earlier` is what the search
    had done before it was cut short.
    """

    plan: Plan
    isolation: Isolation
    metric: str | None = None
    tolerance: float | None = None
    hook: bool = True
    stop: Stop | None = None
    gate: GateOptions = field(default_factory=GateOptions)
    limits: Limits = field(default_factory=Limits)
    choice: Choice = field(default_factory=Choice)
    install: tuple[str, ...] = ()
    power_limit: bool = False
    family: Family = "runtime"
    student: str = ""
    shorten: bool = False
    storage: str | None = None
    earlier: Earlier = field(default_factory=Earlier)
    asked: Mapping[str, object] = field(default_factory=dict)
