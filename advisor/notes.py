"""What a reader of an advice should know of how it was found."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.inside import Inside
from advisor.options import Options
from advisor.ranking import Judgement
from advisor.search import Search
from advisor.setting import noisy_neighbours
from advisor.trials import AGAIN, BASE
from advisor.verdicts import TOO_NOISY

# Below the first most of what is measured is a process starting, which no switch changes.
TOO_SHORT_S = 0.3
_SHORT_S = 1.0
# Steps of a training that tell what one costs; calls of which half suffice to judge answers by.
_ENOUGH_STEPS, _ENOUGH_CALLS = 50, 700


def notes_of(search: Search, options: Options, noise: float | None) -> list[str]:
    """What the trials met; `noise` is the resolution, None where it is not known."""
    notes = []
    trials = search.trials
    own = [*trials.replays(BASE.name), *trials.replays(AGAIN.name)]
    failed = [r for r in own if r.state in ("failed", "timeout")]
    if failed:
        notes.append(
            f"the program as written failed in {len(failed)} of {len(own)} replays: nothing can be"
            " compared with it"
        )
    walls = [r.wall_s for r in own if r.wall_s is not None]
    if walls and TOO_SHORT_S <= max(walls) < _SHORT_S:
        notes.append("a run takes less than a second: much of it is the start of the program")
    looked = trials.of(BASE.name, "probe")
    if options.metric is not None and looked and looked[0].replay.ok and looked[0].metric is None:
        notes.append(f"--metric found no number in what the program prints: {options.metric}")
    if search.interrupted:
        notes.append("interrupted: only the trials until then count")
    if search.out_of_time:
        notes.append(
            f"the budget of {options.plan.budget} ended the confirmation early;"
            " narrower intervals: a larger --budget"
        )
    if options.isolation.in_place:
        notes.append("replayed in place: files that it writes were written many times")
    if options.stop is not None:
        why = " (--stop-after never: whole ones)" if options.shorten else ""
        notes.append(f"each replay was ended after {options.stop}: a run is that much of it{why}")
    neighbours = noisy_neighbours(sure=noise is not None and noise > TOO_NOISY)
    return [*notes, neighbours] if neighbours else notes


def training_note(
    judgements: Sequence[Judgement], inside: Inside | None, options: Options
) -> list[str]:
    """What to do where every change of a training prints other digits."""
    rejected = any(j.verdict == "changes the answers" for j in judgements)
    if options.metric is not None or inside is None or not inside.learns or not rejected:
        return []
    return [
        "a training prints other digits after any rounding: say which number counts, and how far it"
        " may move, by --metric and --tolerance"
    ]


def long_replays(search: Search, inside: Inside | None, options: Options) -> list[str]:
    """How more fits into the budget, where replays do far more than measuring needs."""
    if options.stop is not None or inside is None or not (search.untried or search.out_of_time):
        return []
    enough = _ENOUGH_STEPS if inside.learns else _ENOUGH_CALLS
    if inside.unit is None or inside.units < 2 * enough:
        return []
    return [
        f"each replay does {inside.units:,} of what `--stop-after {enough}{inside.unit}` does"
        f" {enough} of: with it more can be tried in the time"
    ]
