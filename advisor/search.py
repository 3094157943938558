"""The order of trials: a look, screening by successive halving, then fresh rounds to confirm.

Every round runs each variant once, and the program as written twice, in random order, so that what
drifts on the host falls on all alike. What is promised comes from confirmation rounds only: a
variant that won the screening by luck loses its luck there.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from advisor.agreement import Agreement, compare
from advisor.budget import Budget
from advisor.looks import by_looks, looked, passed_over, useless_stacks
from advisor.outputs import Output, forget_outputs
from advisor.replay import Replay
from advisor.stacking import FINALISTS, different, least_missed
from advisor.standing import Standing, confirmation_trials, screening_trials
from advisor.statistics import LEAST_ROUNDS, centre, ratio
from advisor.stopping import Stop
from advisor.techniques.base import Change, Variant
from advisor.trials import (
    AGAIN,
    BASE,
    BASELINES,
    Figure,
    Stage,
    Trial,
    Trials,
    cpu_s,
    decisive,
    energy_j,
    key_of,
    of_a_unit,
    unit_cpu_s,
)

SCREENING_ROUNDS = 3
DEFAULT_ROUNDS = 8
# While there is time there are more, until the program differs from itself by this at most.
_MOST_ROUNDS = 20
_NARROW = 0.04
# With fewer, one disturbed round widens the intervals out of proportion: rather fewer variants.
_SOLID_ROUNDS = 6
# A replay that takes this many times as long as the first one hangs, or is of no use.
_TOO_LONG = 5.0
_TOO_LONG_AT_LEAST_S = 20.0
# More for what is built at the start, such as compiled code; or half of the time if that is more.
_BUILDING_S = 60.0
_BUILDING_AT_MOST_S = 900.0
_STAGES: dict[Stage, str] = {
    "probe": "look",
    "screening": "screening round",
    "confirmation": "confirming round",
}
# Of the time: what screening may use of it at most.
_SCREENING_SHARE = 0.4


class Replays(Protocol):
    """What runs a variant once (`advisor.replay.Replayer`)."""

    def replay(
        self,
        change: Change = ...,
        *,
        limit_s: float | None = None,
        watch: bool = False,
        look: bool = False,
        stop: Stop | None = None,
    ) -> Replay: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How much may be tried. `rounds` None: as many up to 8 as the budget allows."""

    budget: Budget = field(default_factory=Budget)
    rounds: int | None = None
    seed: int = 0


class Search:
    """Runs trials and keeps them. `record` gets each as it ends; `tell` hears before each begins.

    `joules` is what a replay counts as in a budget of energy: by counters, or else by a model.
    `known` are measured trials of a search with the same plan that was cut short: they are taken
    as they are, round by round, instead of being run again. Looks are run again.
    """

    def __init__(
        self,
        replays: Replays,
        plan: Plan,
        *,
        record: Callable[[Trial], None],
        tell: Callable[[Standing], None],
        metric: Callable[[Replay], float | None] = lambda _: None,
        clock_s: Callable[[], float] = time.monotonic,
        known: Sequence[Trial] = (),
        joules: Callable[[Replay], float | None] = energy_j,
    ) -> None:
        self.trials = Trials()
        self.interrupted = False
        self.out_of_time = False
        self.untried: list[str] = []  # names of variants for which there was no time
        self.passed_over: dict[str, str] = {}  # names of those that looks speak against, and why
        self.stop: Stop | None = None  # where replays end from now on
        self.yardstick: Variant | None = None  # the fair second one, measured beside all others
        self._replays = replays
        self._plan = plan
        self._record = record
        self._tell = tell
        self._metric = metric
        self._clock_s = clock_s
        self._started_s = clock_s()
        self._joules = joules
        self._known = {trial.key: trial for trial in known}
        self._building_s = 0.0  # what of the budget shares are not taken of
        self._known_s = 0.0  # what the known trials that were taken have cost when they ran
        self._expected: int | None = None  # trials in all, as far as can be told
        self._order = random.Random(plan.seed)
        self._limit_s: float | None = None
        self._seconds: dict[str, float] = {}  # whole cost of the last replay of each variant
        self._outputs: tuple[Output, ...] = ()
        # The same of the first look, which is at the whole program.
        self._whole_limit_s: float | None = None
        self._whole_outputs: tuple[Output, ...] = ()
        # What modules compute: of the program against itself, and of each variant against it.
        self.own_agreement: Agreement | None = None
        self.agreements: dict[str, Agreement] = {}

    # -- what is asked of it ------------------------------------------------------------------

    def look(self) -> Replay:
        """The first replay: does the command work, and what does it use? It counts for nothing."""
        replay = self._try(BASE, "probe", 0, watch=True, look=True)
        self._looked_at(replay)
        self._whole_outputs, self._whole_limit_s = self._outputs, self._limit_s
        return replay

    def shorten(self, stop: Stop) -> Replay | None:
        """Look again, and end that replay and all further ones there; None if it did not end well.

        Then nothing has changed, but the time is spent.
        """
        began_s = self._clock_s()
        self.say(f"look 2, {BASE.name}, {stop} of it")
        try:
            replay = self._replays.replay(
                BASE.change, limit_s=self._limit_s, watch=True, look=True, stop=stop
            )
        except KeyboardInterrupt:
            self.interrupted = True
            return None
        if not replay.ok:
            return None
        self.stop = stop
        self._keep(BASE, "probe", 1, replay, self._clock_s() - began_s)
        self._looked_at(replay)
        return replay

    def _looked_at(self, replay: Replay) -> None:
        self._outputs = replay.outputs
        taken_s = self._seconds[BASE.name]
        self._limit_s = max(_TOO_LONG * taken_s, taken_s + _TOO_LONG_AT_LEAST_S)

    def try_out(self, variants: Sequence[Variant], share: float | None = None) -> list[Variant]:
        """Those that act and end well, of variants that act inside the program; others pass.

        Where replays end early the others are looked at as well, while there is time: what they
        print is not all; and where looks decide, as in `screen`. One replay each, in which what its
        modules compute is kept and compared with the program as written, which is compared with
        itself first; what is lossy has to show itself on the whole program, since a few calls could
        not judge it. They count for nothing else. What would end after this share of the budget
        goes untried, and is noted in `untried`.
        """
        wanted = [v for v in variants if v.name not in self.agreements]
        inside = [v for v in wanted if v.change.switches]
        around = [v for v in wanted if not v.change.switches]
        if self.stop is None:  # else what is printed is not all that has to be compared
            short = inside and self._is_short(variants)
            around = [v for v in around if v != self.yardstick] if short else []
        seen = [v for v in inside if v.cost is not None]
        ahead = [*seen, *around, *(v for v in inside if v not in seen)]
        if not ahead:
            return list(variants)
        first = () if self.own_agreement else (AGAIN,)
        self._expect(len(first) + len(ahead), screening=len(variants))
        for variant in (*first, *ahead):
            if self.interrupted:
                break
            is_late = share is not None and self.is_past(share, self._one_s(variant))
            if is_late and variant not in (*first, ahead[0]):
                if variant.change.switches:
                    self.untried.append(variant.name)
                continue
            number = len(self.trials.of(variant.name, "probe")) + 1
            replay = self._try(variant, "probe", number, look=True, whole=variant.lossy)
            own = self._whole_outputs if variant.lossy else self._outputs
            if replay.ok and own and not self.interrupted:
                found = compare(own, replay.outputs)
                forget_outputs(replay.outputs)
                if variant is AGAIN:
                    self.own_agreement = found
                else:
                    self.agreements[variant.name] = found
        return [v for v in variants if self._works(v) and v.name not in self.untried]

    def screen(
        self, entrants: Sequence[Variant], figure: Figure, insisted: Collection[str] = ()
    ) -> list[Variant]:
        """The entrants that are worth confirming, best first: at most three.

        A variant that fails once is out. Each pass of three rounds keeps the better half; two
        rounds show what is hopeless where there are three or fewer. Where that leaves too little
        time for confirming, looks decide: whom they speak against is noted in `passed_over`, but
        for the techniques `insisted` on. Those for which there is no time otherwise, the last ones,
        go untried. The yardstick needs no look, since it is measured beside all others anyway.
        """
        left = list(entrants)
        if self._is_short(left):
            left = [v for v in left if v != self.yardstick or self.looked(v, figure) is not None]
            ratios = {v.name: self.looked(v, figure) for v in left}
            self.passed_over |= passed_over(left, ratios, insisted)
            left = [v for v in left if v.name not in self.passed_over]
            if any(ratio is not None for ratio in ratios.values()):
                self.untried += [v.name for v in left if ratios[v.name] is None]
                return self._by_looks([v for v in left if ratios[v.name] is not None], ratios)
            left = list(entrants)
        left = self._in_time(left)
        begun = 0
        while left and not self.interrupted and not self.unreliable:
            # Where there is nothing to halve, the time is better spent on confirming.
            wanted = SCREENING_ROUNDS if len(left) > FINALISTS else SCREENING_ROUNDS - 1
            rounds = self._affordable(left, wanted, _SCREENING_SHARE)
            self._expect(screening=len(left))
            for number in range(begun, begun + rounds):
                self._round("screening", number, left)
                left = [v for v in left if self._works(v)]
            begun += rounds
            ranked = sorted(left, key=lambda v: self.screened(v, figure))
            if len(ranked) <= FINALISTS:
                return ranked
            kept = ranked[: max(FINALISTS, math.ceil(len(ranked) / 2))]
            if len(left) <= FINALISTS + 1:
                return different(ranked)
            left = [v for v in ranked if v in kept or v in different(ranked)]
            if len(left) == len(ranked):  # nothing left to halve
                return different(ranked)
        return []

    def _by_looks(self, left: list[Variant], ratios: dict[str, float | None]) -> list[Variant]:
        left = by_looks(left, ratios)
        chosen = different(left)
        for variant in left:
            if variant not in chosen:
                ratio = ratios[variant.name] or math.inf
                reason = f"in one look it cost {ratio:.2f} times as much as the program as written"
                self.passed_over[variant.name] = f"{reason}, and others less"
        return chosen

    def stacks(self, confirmed: Sequence[Variant], figure: Figure) -> list[Variant]:
        """Those of the variants that are worth confirming beside one another.

        Where time is short, stacks that did no better in a look than the best of them alone are
        noted in `passed_over`, and of the others what did best comes first.
        """
        if not self._is_short(confirmed):
            return list(confirmed)
        ratios = {v.name: self.looked(v, figure) for v in confirmed}
        self.passed_over |= useless_stacks(confirmed, ratios)
        left = [v for v in confirmed if v.name not in self.passed_over]
        return sorted(left, key=lambda v: ratios[v.name] or math.inf)

    def looked(self, variant: Variant, figure: Figure) -> float | None:
        """The ratio that one look saw, None without one: see `advisor.looks`."""
        return looked(self.trials, variant, figure, early=self.stop is not None)

    def screened(self, variant: Variant, figure: Figure) -> float:
        """The ratio that screening saw, or else a look; infinite where neither saw one.

        Of what acts inside the program, the ratio per unit of work if that is smaller: in a short
        replay the start hides it.
        """
        figures = [decisive(variant, figure)]
        if variant.change.switches:
            figures.append(of_a_unit(figure))
        names = [b.name for b in BASELINES]
        found = [math.inf]
        for each in figures:
            pairs = self.trials.pairs(variant.name, names, each, "screening")
            if pairs:
                found.append(math.exp(centre([math.log(n / o) for n, o in pairs])))
        if len(found) == 1 and (ratio := self.looked(variant, figure)) is not None:
            found.append(ratio)
        return min(found)

    def confirm(self, finalists: Sequence[Variant]) -> None:
        """Fresh rounds of the finalists and the yardstick, until that is enough or time is up.

        Enough are eight, or more where the program differs from itself by over 4 % still.

        Where the time is not enough for six rounds of all, what is missed least is left out, but
        never the first, nor the yardstick. Nothing is run where there are no finalists.
        """
        reference = self.yardstick if finalists else None
        wanted = self._plan.rounds or DEFAULT_ROUNDS
        extra = [] if reference is None or reference in finalists else [reference]
        kept = list(finalists)
        if self._plan.rounds is None:
            while len(kept) > 1 and _SOLID_ROUNDS * self._round_s([*kept, *extra]) > self.left_s():
                going = least_missed(kept, reference)
                if going is None:
                    break
                kept.remove(going)
                self.out_of_time = True
        finalists = [*kept, *extra]
        if not finalists:  # the program against itself alone tells nothing
            return
        self._expect(wanted * (len(finalists) + len(BASELINES)))
        for number in range(self._plan.rounds or _MOST_ROUNDS):
            if self._plan.rounds is None and number >= wanted and self._is_narrow():
                return
            left = [v for v in finalists if self._works(v)]
            # The least that an interval needs is measured even where that takes longer.
            enough = self._plan.rounds is None and number >= LEAST_ROUNDS
            if self.unreliable:
                return
            if self.interrupted or (enough and self._round_s(left) > self.left_s()):
                short = number < wanted and not self.interrupted
                self.out_of_time = self.out_of_time or short
                return
            self._round("confirmation", number, left)

    def _is_narrow(self) -> bool:
        """Whether confirmation tells small differences by now."""
        for figure in (unit_cpu_s, cpu_s):
            pairs = self.trials.pairs(AGAIN.name, (BASE.name,), figure, "confirmation")
            found = ratio(pairs, seed=self._plan.seed)
            if found is not None:
                return max(found.high - 1, 1 - found.low) <= _NARROW
        return False

    def built(self) -> None:
        """Say that all time so far went into building: stages share what is left of the budget."""
        self._building_s = min(self.spent_s(), self._budget_s())

    @property
    def unreliable(self) -> bool:
        """Whether the program as written failed in a later replay: then nothing can be judged."""
        return not all(self._works(b) for b in BASELINES)

    def is_past(self, share: float, ahead_s: float = 0.0) -> bool:
        """Whether more than this share of the budget will be used up, `ahead_s` from now."""
        return self.spent_s() + ahead_s > self._share_s(share)

    def left_s(self) -> float:
        """Seconds of the budget that are left; below zero it is overdrawn."""
        return self._budget_s() - self.spent_s()

    def spent_s(self) -> float:
        """Wall seconds since the search began, with those of known trials when they ran."""
        return self._clock_s() - self._started_s + self._known_s

    def say(self, doing: str) -> None:
        """Tell how far it is, and what is being done."""
        self._tell(self.standing(doing))

    def standing(self, doing: str) -> Standing:
        """How far it is, before the next trial."""
        made = self.trials.all
        joules = [t.replay.energy_j for t in made]
        counted = [j for j in joules if j is not None]
        of, left_s = self._expected, None
        if of is not None and made:
            each_s = max(1e-3, self.spent_s() / len(made))
            left_s = min(self.left_s(), (of - len(made)) * each_s)
            of = len(made) + max(1, min(of - len(made), round(left_s / each_s)))
            if left_s <= 0:  # over its budget: what remains is the least that an answer needs
                of = left_s = None
        return Standing(
            trial=len(made) + 1,
            of=of,
            left_s=left_s,
            spent_s=self.spent_s(),
            spent_cpu_s=sum(t.replay.cpu_s or 0.0 for t in made),
            spent_energy_j=sum(counted) if counted and len(counted) == len(joules) else None,
            doing=doing,
        )

    # -- how ----------------------------------------------------------------------------------

    def _budget_s(self) -> float:
        """The budget in seconds; one in joules by what the replays have drawn so far."""
        budget = self._plan.budget
        if budget.energy_j is None:
            return budget.in_seconds(None)
        joules = [self._joules(t.replay) for t in self.trials.all]
        known = [j for j in joules if j is not None]
        spent_s = self.spent_s()
        return budget.in_seconds(sum(known) / spent_s if known and spent_s > 0 else None)

    def _share_s(self, share: float) -> float:
        """When a share of the budget is used up; building comes before all shares."""
        return self._building_s + share * (self._budget_s() - self._building_s)

    def _expect(self, now: int = 0, *, screening: int | None = None) -> None:
        """So many trials from here on, and those of the stages that follow."""
        wanted = self._plan.rounds or DEFAULT_ROUNDS
        ahead = now
        if screening is not None:
            ahead += screening_trials(screening, FINALISTS, SCREENING_ROUNDS)
            ahead += confirmation_trials(min(FINALISTS, screening), wanted)
        self._expected = len(self.trials.all) + ahead

    def _round(self, stage: Stage, number: int, variants: Sequence[Variant]) -> None:
        entrants = [*BASELINES, *variants]
        self._order.shuffle(entrants)
        keys = [key_of(stage, number, v.name, v.change) for v in entrants]
        if not all(key in self._known for key in keys):
            # A round that was cut is run anew: what is compared in it has to lie close together.
            for key in keys:
                self._known.pop(key, None)
        for variant in entrants:
            if self.interrupted or self.unreliable:
                return
            if self._works(variant):
                self._try(variant, stage, number)

    def _try(
        self,
        variant: Variant,
        stage: Stage,
        number: int,
        *,
        watch: bool = False,
        look: bool = False,
        whole: bool = False,
    ) -> Replay:
        known = self._known.get(key_of(stage, number, variant.name, variant.change))
        if known is not None:
            return self._take(known)
        began_s = self._clock_s()
        self.say(f"{_STAGES[stage]} {number + 1}, {variant.name}")
        try:
            limit_s = self._whole_limit_s if whole else self._limit_s
            if limit_s is not None and variant.pays_later:
                limit_s += max(_BUILDING_S, min(self._budget_s() / 2, _BUILDING_AT_MOST_S))
            stop = None if whole else self.stop
            replay = self._replays.replay(
                variant.change, limit_s=limit_s, watch=watch, look=look, stop=stop
            )
        except KeyboardInterrupt:
            self.interrupted = True
            if not self.trials.all:  # nothing is known yet, so there is nothing to report
                raise
            return self.trials.all[-1].replay
        taken_s = self._clock_s() - began_s
        self._keep(variant, stage, number, replay, taken_s)
        if whole and self.stop is not None:  # which is not what a round takes
            del self._seconds[variant.name]
        return replay

    def _keep(
        self, variant: Variant, stage: Stage, number: int, replay: Replay, taken_s: float
    ) -> None:
        self._seconds[variant.name] = taken_s
        metric = self._metric(replay) if replay.ok else None
        trial = Trial(stage, number, variant.name, variant.change, replay, metric, taken_s)
        self.trials.all.append(trial)
        self._record(trial)

    def _take(self, known: Trial) -> Replay:
        """A trial that was made before the search was cut short."""
        taken_s = known.taken_s or known.replay.wall_s or 0.0
        self._known_s += taken_s
        self._seconds[known.variant] = taken_s
        self.trials.all.append(known)
        return known.replay

    def _works(self, variant: Variant) -> bool:
        # A replay that ran but could not be measured is a gap, and no fault of the variant.
        return all(r.state in ("ok", "unmeasured") for r in self.trials.replays(variant.name))

    def _in_time(self, entrants: list[Variant]) -> list[Variant]:
        """As many as leave time for the rounds that confirm, and as many as can be confirmed.

        The others are noted in `untried`. Of what acts inside the program the first have the best
        chances, and most to save; threads and the like are tried before the rest of them.
        """
        inside = [v for v in entrants if v.change.switches]
        around = [v for v in entrants if not v.change.switches]
        left = [*inside[:FINALISTS], *around, *inside[FINALISTS:]]
        confirming_s = LEAST_ROUNDS * self._round_s(left[:FINALISTS])
        while self._plan.rounds is None and len(left) > FINALISTS:
            if self._round_s(left) + confirming_s <= self.left_s():
                break
            self.untried.append(left.pop().name)
        return [v for v in entrants if v in left]

    def _affordable(self, variants: Sequence[Variant], wanted: int, share: float) -> int:
        available_s = self._share_s(share) - self.spent_s()
        return max(1, int(min(wanted, available_s / self._round_s(variants))))

    def _is_short(self, variants: Sequence[Variant]) -> bool:
        """Whether screening them leaves too little time for solid rounds of the best."""
        if self._plan.rounds is not None:
            return False
        needed_s = SCREENING_ROUNDS * self._round_s(variants)
        needed_s += _SOLID_ROUNDS * self._round_s(variants[:FINALISTS])
        return needed_s > self.left_s()

    def _one_s(self, variant: Variant) -> float:
        """What a first replay of a variant may take: what is built in it takes longer."""
        builds = variant.pays_later and variant.artefact is None
        return self._seconds.get(BASE.name, 0.0) + (_BUILDING_S if builds else 0.0)

    def _round_s(self, variants: Sequence[Variant]) -> float:
        base_s = self._seconds.get(BASE.name, 0.0)
        names = [v.name for v in (*BASELINES, *variants)]
        return max(1e-3, sum(self._seconds.get(name, base_s) for name in names))
