"""Ends the replays of a long program early, where whole ones leave no time for what is to be tried.

A program that answers one request after another shows in its first hundred what one costs. So where
the budget has no room for the replays that a good answer takes, those that measure end after as
many requests as fit. Samples, hot spots and traces are still taken of the whole program.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from advisor.inside import Inside
from advisor.marginal import Marginal
from advisor.replay import Replay, Replayer
from advisor.search import Search
from advisor.stopping import Stop, parse_stop

# So many replays make a good answer: looks, and eight rounds of three finalists or screening too.
_REPLAYS = 50
# Less than this after the start tells little of what one request costs.
_LEAST_S, _LEAST_UNITS = 4.0, 40
# Longer ones are as good as whole ones.
_MOST_SHARE = 0.75
# Of the time of a whole run: else what a run costs is decided elsewhere.
_LEAST_SHARE_OF_RUN = 0.6
# How much dearer or cheaper the first requests may be than all of them.
_MOST_APART = 0.25
# What else runs on the machine can make one look dearer; whole replays would cost far more.
_TRIES = 2
_UNITS = ("call", "request", "predict", "generate")


def shortened(
    search: Search, replayer: Replayer, first: Replay, asked: Mapping[str, object]
) -> Stop | None:
    """When further replays of `search` end, or None: they are whole. Takes a replay or two.

    `first` is the look at the whole program; `asked` what an advice that goes on was asked for,
    which ended its replays there too. Raises CannotIsolateError.
    """
    inside, threads, libraries = replayer.inside, replayer.threads_peak, replayer.libraries
    if inside is None:
        return None
    earlier = asked.get("shortened")
    stop = parse_stop(str(earlier)) if earlier else fitting(first, inside, search.left_s())
    if stop is None:
        return None
    for _ in range(_TRIES):
        found = search.shorten(stop)
        if found is None:
            break
        if earlier or _is_alike(first.marginal, found.marginal):
            replayer.threads_peak, replayer.libraries = threads, libraries  # of the whole program
            return stop
    search.stop = None
    search.trials.set_aside_short_looks()
    replayer.inside, replayer.threads_peak, replayer.libraries = inside, threads, libraries
    return None


def fitting(first: Replay, inside: Inside, left_s: float) -> Stop | None:
    """After how many units replays fit into the time that is left; None: whole ones do, or must."""
    each = first.marginal
    if each is None or first.wall_s is None or inside.learns or inside.unit not in _UNITS:
        return None
    if len(inside.roots) + len(inside.sessions) > 1:  # one may come after the other
        return None
    working_s = inside.units * each.wall_s
    if working_s < _LEAST_SHARE_OF_RUN * first.wall_s:
        return None
    start_s = max(0.0, first.wall_s - working_s)
    wanted_s = max(_LEAST_S, left_s / _REPLAYS - start_s)
    units = max(_LEAST_UNITS, math.ceil(wanted_s / each.wall_s))
    return Stop(units, inside.unit) if units <= _MOST_SHARE * inside.units else None


def _is_alike(whole: Marginal | None, part: Marginal | None) -> bool:
    """Whether the first units cost about what all of them do."""
    if whole is None or part is None:
        return False
    return abs(math.log(part.wall_s / whole.wall_s)) <= _MOST_APART
