"""A process per core: what the same work costs as several one-thread processes side by side.

Several threads of one process wait for one another; several processes with a thread each do not.
Nobody can share out the work of an unmodified command, so what is measured is as many *copies* of
it at once, each doing all of the work: CPU time and joules of all of them by their number, and the
time by their number too, which is what a piece of work costs and takes where there is enough of it
to keep them busy. Compared with one copy alone, with one thread and as it was written, in rounds.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from advisor import copies
from advisor.replay import Isolation, Replay, Replayer
from advisor.statistics import LEAST_ROUNDS, Ratio, ratio
from advisor.techniques.base import AS_WRITTEN, Applicability, Change, Facts
from advisor.techniques.threads import with_threads
from advisor.trials import Figure, cpu_s, energy_j, wall_s

if TYPE_CHECKING:
    from advisor.work_kind import WorkKind
    from advisor.workload import Workload

NAME = "process per core"
_MOST_COPIES = 8
_MOST_ROUNDS = 6
_KIND = "replayed as copies"
_LIMIT_FACTOR = 10.0  # of one copy's time: more hangs


@dataclass(frozen=True, slots=True)
class SideBySide:
    """What copies came to for each piece of work, against one copy; None: too few rounds."""

    copies: int
    rounds: int
    cpu: Ratio | None = None
    wall: Ratio | None = None
    energy: Ratio | None = None
    written: Mapping[str, Ratio | None] = field(default_factory=dict)
    why_not: str = ""

    def as_json(self) -> dict[str, object]:
        """The document's key `side_by_side`. Ratios are of one piece of work."""

        def known(found: Ratio | None) -> dict[str, float | int] | None:
            return None if found is None else found.as_json()

        return {
            "kind": _KIND,
            "copies": self.copies,
            "rounds": self.rounds,
            "versus_one_thread": {
                "cpu_ratio": known(self.cpu),
                "wall_ratio": known(self.wall),
                "energy_ratio": known(self.energy),
            },
            "versus_as_written": {name: known(each) for name, each in self.written.items()},
            "why_not": self.why_not,
        }

    def in_words(self) -> list[str]:
        """A sentence for a report."""
        if self.why_not:
            return [f"{NAME}: not tried: {self.why_not}"]
        if self.cpu is None or self.wall is None:
            return [f"{NAME}: too few rounds could be measured"]
        text = f"{self.copies} one-thread processes side by side, for each piece of work:"
        text += f" {_words(self.wall)} times the time and {_words(self.cpu)} times the CPU time of"
        text += " one such process"
        if self.energy is not None:
            text += f", {_words(self.energy)} times the joules"
        written = self.written.get("cpu_ratio")
        if written is not None:
            text += f"; {_words(written)} times the CPU time of the program as written"
        return [f"{text} ({_KIND} of the command: your work has to be shared out for it)"]


def _words(found: Ratio) -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def applies(facts: Facts, kind: WorkKind) -> Applicability:
    """Whether work of this kind can be shared out between processes, as far as can be seen."""
    if NAME in facts.excluded:
        return Applicability(False, "you excluded it")
    if facts.cpus < 2:
        return Applicability(False, "only one CPU can be used")
    if kind == "training":
        return Applicability(False, "it trains: its steps follow from one another")
    if kind == "unknown" and NAME not in facts.included:
        return Applicability(False, "no requests were seen that could be shared out", possible=True)
    if facts.inside is not None and facts.inside.on_gpu:
        return Applicability(False, "its processes would share one GPU")
    return Applicability(True, f"{min(facts.cpus, _MOST_COPIES)} CPUs can be used")


def side_by_side(
    workload: Workload,
    isolation: Isolation,
    folder: str,
    count: int,
    *,
    time_s: float,
    seed: int,
    tell: Callable[[str], None],
) -> SideBySide:
    """Rounds of copies, of one copy with one thread, and of one as it was written.

    `folder` is a private one. Raises CannotIsolateError and KeyboardInterrupt.
    """
    count = min(count, _MOST_COPIES)
    one_thread = with_threads(1)
    ways: dict[str, tuple[Replayer, Change]] = {
        "together": (_replayer(workload, isolation, folder, count), one_thread),
        "alone": (_replayer(workload, isolation, folder, 1), one_thread),
        "written": (_replayer(workload, isolation, folder, 1), AS_WRITTEN),
    }
    order = random.Random(seed)
    rounds: list[dict[str, Replay]] = []
    spent_s, limit_s = 0.0, None
    for number in range(_MOST_ROUNDS):
        done: dict[str, Replay] = {}
        for name in order.sample(list(ways), len(ways)):
            tell(f"{count} processes side by side, round {number + 1}")
            replayer, change = ways[name]
            done[name] = replayer.replay(change, limit_s=limit_s)
            if not done[name].ok:
                return SideBySide(count, number, why_not=_failed(done[name], name))
        rounds.append(done)
        took_s = sum(each.wall_s or 0.0 for each in done.values())
        limit_s = max(60.0, _LIMIT_FACTOR * took_s)
        spent_s += took_s
        if number + 1 >= LEAST_ROUNDS and spent_s + took_s > time_s:
            break
    return _found(rounds, count, seed)


def _found(rounds: Sequence[Mapping[str, Replay]], count: int, seed: int) -> SideBySide:
    def compared(figure: Figure, to: str) -> Ratio | None:
        pairs = [(figure(each["together"]), figure(each[to])) for each in rounds]
        return ratio([(n / count, o) for n, o in pairs if n and o], seed=seed)

    return SideBySide(
        count,
        len(rounds),
        compared(cpu_s, "alone"),
        compared(wall_s, "alone"),
        compared(energy_j, "alone"),
        {
            "cpu_ratio": compared(cpu_s, "written"),
            "wall_ratio": compared(wall_s, "written"),
            "energy_ratio": compared(energy_j, "written"),
        },
    )


def _replayer(workload: Workload, isolation: Isolation, folder: str, count: int) -> Replayer:
    own = os.path.join(folder, f"copies-{count}-{len(os.listdir(folder))}")
    os.makedirs(own)
    launcher = (sys.executable, "-I", "-S", "-B", os.path.abspath(copies.__file__), str(count))
    return Replayer(replace(workload, argv=(*launcher, *workload.argv)), isolation, own)


def _failed(replay: Replay, name: str) -> str:
    words = "copies of it" if name == "together" else "it"
    last = replay.tail().splitlines()[-1:] or [""]
    why = f": {last[0][:120]}" if last[0] else ""
    hint = " (copies write to the same files)" if name == "together" else ""
    return f"{words} ended with status {replay.exit_code}{why}{hint}"
