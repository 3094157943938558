"""Adds up clusters of runs: by day, and for each period by command, by user and by idle GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import nlargest

from frugalwatch.screen.machine.days import day_of, monday
from frugalwatch.screen.machine.idle import IdleSums
from frugalwatch.screen.machine.records import DAYS, GpuUse, Period, Tally
from frugalwatch.screen.machine.union import Cluster, Piece, day_of_run, run_tally

# So many commands or users are listed.
MOST_NAMES = 200


class Sums:
    """Sums that grow. Clusters of one boot come in the order of their begin, each one once."""

    def __init__(self, begins: Sequence[float], now_utc_s: float) -> None:
        self.begins = begins
        self.days = [Tally()] * DAYS
        week = max(0, day_of(monday(now_utc_s), begins))
        self._periods = (("today", DAYS - 1), ("this week", week), ("30 days", 0))
        self._commands: list[dict[str, Tally]] = [{} for _ in self._periods]
        self._users: list[dict[str, Tally]] = [{} for _ in self._periods]
        self._idle = [IdleSums(begins[day], day) for _, day in self._periods]

    def copy(self, now_utc_s: float) -> Sums:
        """The same sums, to be added to by themselves."""
        other = Sums(self.begins, now_utc_s)
        other.days = list(self.days)
        other._commands = [dict(sums) for sums in self._commands]
        other._users = [dict(sums) for sums in self._users]
        other._idle = [sums.copy() for sums in self._idle]
        return other

    def add(
        self,
        cluster: Cluster,
        pieces: Sequence[Piece],
        uses: Mapping[int, Sequence[GpuUse]],
        *,
        by_user: bool,
    ) -> None:
        """Add a cluster with its pieces; `uses` are the GPUs by number of the run."""
        for piece in pieces:
            self.days[piece.day] = self.days[piece.day].plus(piece.tally)
        gpus: dict[int, list[GpuUse]] = {}
        for run in cluster.runs:
            for use in uses.get(run.number, ()):
                gpus.setdefault(use.device, []).append(use)
            began = day_of_run(run, self.begins)
            tally = run_tally(run, overlaps=len(cluster.runs) > 1)
            for place, (_, day) in enumerate(self._periods):
                if began >= day:
                    _into(self._commands[place], run.command, tally)
                    if by_user:
                        _into(self._users[place], run.user or "not recorded", tally)
        if gpus or cluster.boot:
            for idle in self._idle:
                idle.add(cluster, pieces, gpus)

    def wait_until(self, boot: int, mono_ns: int) -> None:
        """Let the GPUs of a boot that goes on wait from its last run until then."""
        for idle in self._idle:
            idle.wait_until(boot, mono_ns)

    def periods(self) -> tuple[Period, ...]:
        """Today, this week, and all of the days."""
        found = []
        for place, (name, day) in enumerate(self._periods):
            total = Tally()
            for tally in self.days[day:]:
                total = total.plus(tally)
            found.append(
                Period(
                    name=name,
                    begin_utc_s=self.begins[day],
                    total=total,
                    by_command=_largest(self._commands[place]),
                    by_user=_largest(self._users[place]),
                    idle=self._idle[place].gpus(),
                )
            )
        return tuple(found)


def _into(sums: dict[str, Tally], name: str, tally: Tally) -> None:
    before = sums.get(name)
    sums[name] = tally if before is None else before.plus(tally)


def _largest(sums: Mapping[str, Tally]) -> tuple[tuple[str, Tally], ...]:
    return tuple(nlargest(MOST_NAMES, sums.items(), key=lambda item: item[1].total_j))
