"""The trials of one search, and what is read off them: pairs within rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from advisor.replay import Replay
from advisor.techniques.base import AS_WRITTEN, Change, Variant

Stage: TypeAlias = Literal["probe", "screening", "confirmation"]
Key: TypeAlias = tuple[object, ...]
Figure: TypeAlias = Callable[[Replay], float | None]

# The program against itself: two names for one thing, so that their ratio shows the noise.
BASE = Variant("as written", "", AS_WRITTEN)
AGAIN = Variant("as written, again", "", AS_WRITTEN)
BASELINES = (BASE, AGAIN)


@dataclass(frozen=True, slots=True)
class Trial:
    """One replay of one variant in one round. `taken_s` is all that it took, our part included."""

    stage: Stage
    round: int
    variant: str
    change: Change
    replay: Replay
    metric: float | None = None
    taken_s: float | None = None

    @property
    def key(self) -> Key:
        """Which trial of a search it is: the same one has the same key when it is made again."""
        return key_of(self.stage, self.round, self.variant, self.change)


def key_of(stage: Stage, number: int, variant: str, change: Change) -> Key:
    """By the names of switches and not by their values, which may be places of what was built."""
    return (stage, number, variant, *sorted(change.set.items()), *sorted(change.switches))


@dataclass(slots=True)
class Trials:
    """Every trial so far, in the order in which they ended."""

    all: list[Trial] = field(default_factory=list)

    def of(self, variant: str, stage: Stage | None = None) -> list[Trial]:
        """The trials of one variant, of one stage or of all."""
        return [t for t in self.all if t.variant == variant and stage in (None, t.stage)]

    def replays(self, variant: str) -> list[Replay]:
        """The replays of one variant."""
        return [t.replay for t in self.of(variant)]

    def comparable_baselines(self) -> list[Replay]:
        """Those of the program as written; not the first, whole one where the others end early."""
        looks = self.of(BASE.name, "probe")
        whole = looks[:1] if any(t.round for t in looks) else []
        return [t.replay for b in BASELINES for t in self.of(b.name) if t not in whole]

    def pairs(
        self, new: str, old: Iterable[str], figure: Figure, stage: Stage
    ) -> list[tuple[float, float]]:
        """(new, old) of each round in which all of them were measured.

        Where `old` names several variants it is their geometric mean: two baselines in a round are
        a quieter yardstick than one.
        """
        by_round: dict[int, dict[str, float]] = {}
        for trial in self.all:
            value = figure(trial.replay) if trial.stage == stage and trial.replay.ok else None
            if value is not None and value > 0:
                by_round.setdefault(trial.round, {})[trial.variant] = value
        names = tuple(old)
        return [
            (found[new], math.exp(sum(math.log(found[n]) for n in names) / len(names)))
            for _, found in sorted(by_round.items())
            if new in found and all(name in found for name in names)
        ]

    def set_aside_short_looks(self) -> None:
        """Looks at a part of the program as written, where replays are whole: nothing is like them.

        What they cost still counts.
        """
        for place, trial in enumerate(self.all):
            if trial.variant == BASE.name and trial.stage == "probe" and trial.round:
                self.all[place] = replace(trial, variant=f"{BASE.name}, cut short")

    def rounds(self, stage: Stage) -> int:
        """Rounds of a stage in which both baselines were measured."""
        return len(self.pairs(AGAIN.name, (BASE.name,), lambda r: r.cpu_s, stage))


def cpu_s(replay: Replay) -> float | None:
    return replay.cpu_s


def unit_cpu_s(replay: Replay) -> float | None:
    """CPU seconds of one unit of work, after the warm-up."""
    return None if replay.marginal is None else replay.marginal.cpu_s


def unit_wall_s(replay: Replay) -> float | None:
    """Seconds of the clock for one unit of work, after the warm-up."""
    return None if replay.marginal is None else replay.marginal.wall_s


def unit_energy_j(replay: Replay) -> float | None:
    """Joules of one unit of work, after the warm-up."""
    return None if replay.marginal is None else replay.marginal.energy_j


def of_a_unit(figure: Figure) -> Figure:
    """The figure of one unit of work that belongs to one of a whole run."""
    return unit_energy_j if figure is energy_j else unit_cpu_s


def decisive(variant: Variant, figure: Figure) -> Figure:
    """The figure by which a variant is compared where whole runs are compared by `figure`."""
    if variant.pays_later:
        return of_a_unit(figure)
    return wall_s if variant.claim == "time" and figure is cpu_s else figure


def wall_s(replay: Replay) -> float | None:
    return replay.wall_s


def energy_j(replay: Replay) -> float | None:
    return replay.energy_j


def modelled_j(idle_w: float, active_w: float) -> Figure:
    """Energy by the model of collectors.cpu_model, of this command alone on the machine."""

    def figure(replay: Replay) -> float | None:
        if replay.cpu_s is None or replay.wall_s is None:
            return None
        return idle_w * replay.wall_s + active_w * replay.cpu_s

    return figure


def counted_or_modelled(idle_w: float, active_w: float) -> Figure:
    """Joules by counters, else by the model: enough to keep a budget, not to compare by."""
    modelled = modelled_j(idle_w, active_w)

    def figure(replay: Replay) -> float | None:
        return modelled(replay) if replay.energy_j is None else replay.energy_j

    return figure
