"""What each process of a job used: an account that is kept while the job's tree is looked at.

It stays small whatever the job does: of the processes that ended, those that used most are kept
one by one, the others as one sum. A build with a hundred thousand compilers costs no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from frugalwatch.sampler.job_tree import ProcessUse

if TYPE_CHECKING:
    from frugalwatch.ledger.job_processes import ProcessRow

# Told one by one in the ledger; twice as many that ended are remembered before some are summed up.
MOST_TOLD = 64
# The account is written soon after the start, when people look, and then every ten seconds.
_PAUSE_NS = 10_000_000_000
_EARLY = 4

# A device's key, pid, starttime, busy_us
GpuOfProcess = tuple[str, int, int, int]


class _Seen:
    """One process. Its identity is pid and start time: a pid is used again, a name changes."""

    __slots__ = ("cpu_us", "first_ns", "gone_ns", "gpu_us", "last_ns", "name", "pid", "starttime")

    def __init__(self, pid: int, starttime: int, first_ns: int) -> None:
        self.pid = pid
        self.starttime = starttime
        self.name = ""
        self.first_ns = first_ns
        self.last_ns = first_ns
        self.gone_ns: int | None = None
        self.cpu_us = 0
        self.gpu_us: dict[str, int] = {}

    def weight(self) -> int:
        """By which processes are told one by one: the time for which it kept something busy."""
        return self.cpu_us + sum(self.gpu_us.values())

    def row(self) -> ProcessRow:
        """As the ledger keeps it."""
        return (
            *(self.pid, self.starttime, self.name, 1),
            *(self.first_ns, self.last_ns, self.gone_ns, self.cpu_us),
        )


class _Others:
    """Processes that are no longer known one by one."""

    __slots__ = ("count", "cpu_us", "first_ns", "gpu_us", "last_ns")

    def __init__(self) -> None:
        self.count = self.cpu_us = self.last_ns = 0
        self.first_ns: int | None = None
        self.gpu_us: dict[str, int] = {}

    def add(
        self, count: int, span_ns: tuple[int, int], cpu_us: int, gpu_us: dict[str, int]
    ) -> None:
        self.count += count
        self.first_ns = span_ns[0] if self.first_ns is None else min(self.first_ns, span_ns[0])
        self.last_ns = max(self.last_ns, span_ns[1])
        self.cpu_us += cpu_us
        for device, busy_us in gpu_us.items():
            self.gpu_us[device] = self.gpu_us.get(device, 0) + busy_us

    def take_out(self, cpu_us: int) -> None:
        """One of them is known by itself again; it had used no more than this by then."""
        if self.count:
            self.count -= 1
            self.cpu_us = max(0, self.cpu_us - cpu_us)

    def copy(self) -> _Others:
        others = _Others()
        if self.first_ns is not None:
            others.add(self.count, (self.first_ns, self.last_ns), self.cpu_us, self.gpu_us)
        return others


class ProcessAccount:
    """The processes of one job. Figures are cumulative since each of them began."""

    def __init__(self) -> None:
        self._live: dict[int, _Seen] = {}
        self._ended: dict[tuple[int, int], _Seen] = {}
        self._folded = _Others()
        self._told: tuple[int, int] | None = None  # when, and what had been used until then
        self._goes_on = False  # from a dead sampler's account, and has not looked yet

    def go_on_from(self, rows: Iterable[ProcessRow], gpus: Iterable[GpuOfProcess]) -> None:
        """What a sampler that died wrote last. Those that are still there are found again."""
        self._goes_on = True
        known: dict[tuple[int, int], dict[str, int]] = {}
        for device, pid, starttime, busy_us in gpus:
            known.setdefault((pid, starttime), {})[device] = busy_us
        for pid, starttime, name, count, first, last, gone, cpu_us in rows:
            gpu_us = known.get((pid, starttime), {})
            if pid == 0:
                self._folded.add(count, (first, last), cpu_us, gpu_us)
                continue
            seen = _Seen(pid, starttime, first)
            seen.name, seen.last_ns, seen.gone_ns = name, last, gone
            seen.cpu_us, seen.gpu_us = cpu_us, gpu_us
            if gone is None:
                self._live[pid] = seen
            else:
                self._ended[pid, starttime] = seen

    def look(self, found: Iterable[ProcessUse], now_ns: int) -> None:
        """Take in all processes that are there now."""
        live: dict[int, _Seen] = {}
        for use in found:
            seen = self._live.get(use.pid)
            if seen is None or seen.starttime != use.starttime:
                # One whose parent ends while we walk down to it is missed once, and comes back.
                seen = self._ended.pop((use.pid, use.starttime), None)
                if seen is None:
                    seen = _Seen(use.pid, use.starttime, now_ns)
                    if self._goes_on:  # it may be inside the sum: nothing is counted twice
                        self._folded.take_out(use.own_us)
                seen.gone_ns = None
            else:
                del self._live[use.pid]
            seen.name, seen.cpu_us, seen.last_ns = use.name, use.own_us, now_ns
            live[use.pid] = seen
        for seen in self._live.values():
            seen.gone_ns = now_ns
            self._ended[seen.pid, seen.starttime] = seen
        self._live = live
        self._goes_on = False
        if len(self._ended) > 2 * MOST_TOLD:
            self._sum_up(now_ns)

    def gpu(self, device: str, pid: int, busy_us: int) -> None:
        """A process that the last look found kept a GPU busy for so long."""
        seen = self._live.get(pid)
        if seen is not None:
            seen.gpu_us[device] = seen.gpu_us.get(device, 0) + busy_us

    def job_ended(self, pid: int, own_us: int, ended_ns: int) -> None:
        """What the job's first process had used at its very end, which its supervisor saw."""
        seen = self._live.get(pid)
        if seen is not None and own_us >= seen.cpu_us:
            seen.cpu_us, seen.last_ns = own_us, max(seen.last_ns, ended_ns)

    def is_due(self, now_ns: int, began_ns: int, used_us: int) -> bool:
        """Whether it is time to write the account down. `used_us`: by the whole job until now."""
        if self._told is None:
            return True
        told_ns, told_us = self._told
        pause_ns = min(_PAUSE_NS, (now_ns - began_ns) // _EARLY)
        return now_ns - told_ns >= pause_ns and used_us + self._gpu_us() != told_us

    def told(self, now_ns: int, used_us: int) -> None:
        """It was written down."""
        self._told = (now_ns, used_us + self._gpu_us())

    def rows(self) -> tuple[list[ProcessRow], list[GpuOfProcess]]:
        """The account as rows, those that used most first, the sum of all that are not told."""
        everybody = [*self._live.values(), *self._ended.values()]
        others = self._folded.copy()
        if len(everybody) > MOST_TOLD:
            everybody.sort(key=_Seen.weight, reverse=True)
            for seen in everybody[MOST_TOLD:]:
                others.add(1, (seen.first_ns, seen.last_ns), seen.cpu_us, seen.gpu_us)
            del everybody[MOST_TOLD:]
        rows = [seen.row() for seen in everybody]
        gpus = [
            (device, seen.pid, seen.starttime, busy_us)
            for seen in everybody
            for device, busy_us in seen.gpu_us.items()
        ]
        if others.first_ns is not None and others.count:
            span = (others.first_ns, others.last_ns, None)
            rows.append((0, 0, "", others.count, *span, others.cpu_us))
            gpus += [(device, 0, 0, busy_us) for device, busy_us in others.gpu_us.items()]
        return rows, gpus

    def _gpu_us(self) -> int:
        told = [seen.gpu_us for seen in (*self._live.values(), *self._ended.values())]
        return sum(sum(gpu_us.values()) for gpu_us in (*told, self._folded.gpu_us))

    def _sum_up(self, now_ns: int) -> None:
        """Keep those that used most. One that was missed for the first time may come back."""
        over = sorted(
            (seen for seen in self._ended.values() if seen.gone_ns != now_ns), key=_Seen.weight
        )[: len(self._ended) - MOST_TOLD]
        for seen in over:
            del self._ended[seen.pid, seen.starttime]
            self._folded.add(1, (seen.first_ns, seen.last_ns), seen.cpu_us, seen.gpu_us)
