"""What is counted and timed in this process, told a few times a second and at its end.

Everything is cumulative since the process began, so a message that is lost costs detail only.
Threads count into cells of their own: `+=` on a common figure loses counts, and a lock would make
the job wait. Whoever counts often keeps its cell: what is left is an addition.
"""

import _thread
import math
import os
import time

from .line import Line

# Durations fall into buckets 2 % wide, so percentiles are exact to that.
_PER_FACTOR_E = 1 / math.log(1.02)
_TIMES_PERIOD_NS = 5_000_000_000
# A unit of work that takes less than this tells of so many: no round numbers, since what happens
# every so many steps is often one.
_STAND_FOR = ((2_000_000, 31), (20_000_000, 7))
ALL_TIMED = 100  # so many units of a thread, before any is left out
_PAIRS_EACH = 150  # of a histogram in one message, which must stay under 4096 bytes


def stand_for(took_ns: int) -> int:
    """How many units one that is timed shall stand for, itself included, where they are so long.

    Timing one costs up to 0.1 ms where what runs in between leaves nothing of us in the caches.
    """
    for shorter_than_ns, count in _STAND_FOR:
        if took_ns < shorter_than_ns:
            return count
    return 1


class Cell:
    """What one thread has counted of one unit, the last of it at `last_ns`.

    `durations` holds what was timed since the last telling, and `sampled` durations with how many
    units each of them stands for.
    """

    __slots__ = ("count", "durations", "last_ns", "sampled", "samples")

    def __init__(self) -> None:
        self.durations: "list[int]" = []
        self.sampled: "list[tuple[int, int]]" = []
        self.clear()

    def clear(self) -> None:
        """Begin at zero."""
        self.count = self.samples = self.last_ns = 0
        self.durations.clear()
        self.sampled.clear()


class Tally:
    """One unit of work: how many, of how many samples (None: unknown), and how long each took."""

    def __init__(self, tallies: "Tallies", unit: str) -> None:
        self._tallies = tallies
        self._cells: "dict[int, Cell]" = {}
        self._buckets: "dict[int, int]" = {}
        self._samples_known = True
        self._told = (0, 0)
        self._told_durations = 0
        self.unit = unit

    def clear(self) -> None:
        """Begin at zero, in a forked child. Cells stay those that somebody keeps."""
        for cell in list(self._cells.values()):
            cell.clear()
        self._buckets.clear()
        self._samples_known = True
        self._told = (0, 0)
        self._told_durations = 0

    def cell(self) -> Cell:
        """The cell of this thread."""
        thread = _thread.get_ident()
        found = self._cells.get(thread)
        if found is None:
            found = self._cells[thread] = Cell()
        return found

    def without_samples(self) -> None:
        """Say that nobody knows how many samples there are."""
        self._samples_known = False

    def add(self, now_ns: int, count: int = 1, samples: "int | None" = None) -> None:
        """Count, at the monotonic instant `now_ns`."""
        cell = self.cell()
        cell.count += count
        cell.last_ns = now_ns
        if samples is None:
            self._samples_known = False
        else:
            cell.samples += samples
        if now_ns >= self._tallies.due_ns:
            self._tallies.line.tell_counts()

    def count(self) -> int:
        """How many so far."""
        return sum([cell.count for cell in list(self._cells.values())])

    def took(self, duration_ns: int) -> None:
        """Add one duration to the histogram."""
        self.cell().durations.append(duration_ns)

    def tell_count(self, line: Line) -> None:
        """Say the count if it has grown, and when it last did, which may be long ago by now."""
        cells = list(self._cells.values())
        figures = sum([cell.count for cell in cells]), sum([cell.samples for cell in cells])
        self._sort_durations(cells)
        if figures != self._told:
            self._told = figures
            samples = figures[1] if self._samples_known else None
            last_ns = max([cell.last_ns for cell in cells])
            line.tell("count", self.unit, figures[0], samples, last_ns)

    def _sort_durations(self, cells: "list[Cell]") -> None:
        buckets = self._buckets
        for cell in cells:
            # Its thread may add more meanwhile.
            durations = cell.durations[:]
            del cell.durations[: len(durations)]
            sampled = cell.sampled[:]
            del cell.sampled[: len(sampled)]
            for duration_ns in durations:
                bucket = _bucket(duration_ns)
                buckets[bucket] = buckets.get(bucket, 0) + 1
            for duration_ns, count in sampled:
                bucket = _bucket(duration_ns)
                buckets[bucket] = buckets.get(bucket, 0) + count

    def tell_durations(self, line: Line) -> None:
        """Say the histogram if it has grown."""
        total = sum(list(self._buckets.values()))
        if total == self._told_durations:
            return
        self._told_durations = total
        pairs = sorted(self._buckets.items())
        for at in range(0, len(pairs), _PAIRS_EACH):
            line.tell("times", self.unit, pairs[at : at + _PAIRS_EACH])


def _bucket(duration_ns: int) -> int:
    return int(math.log(duration_ns) * _PER_FACTOR_E) if duration_ns > 0 else 0


class Spent:
    """Nanoseconds that one thread has spent on one activity."""

    __slots__ = ("total_ns",)

    def __init__(self) -> None:
        self.total_ns = 0


class Tallies:
    """All tallies of a process, and the nanoseconds that its activities took.

    They are told when something is counted at `due_ns` or later.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self.due_ns = 0
        self._pid = os.getpid()
        self._telling = _thread.allocate_lock()
        self._tallies: "dict[str, Tally]" = {}
        self._spent: "dict[tuple[int, str], Spent]" = {}
        self._spent_told = 0
        self._times_due_ns = 0
        self.known_better: "set[str]" = set()  # activities that somebody times call by call
        line.add_source(self.tell)
        os.register_at_fork(after_in_child=self._begin)

    def tally(self, unit: str) -> Tally:
        """The tally of this unit; the same one for everybody who asks."""
        found = self._tallies.get(unit)
        if found is None:
            found = self._tallies.setdefault(unit, Tally(self, unit))
        return found

    def spent(self, activity: str) -> Spent:
        """What this thread has spent on an activity, to be added to."""
        key = (_thread.get_ident(), activity)
        found = self._spent.get(key)
        if found is None:
            found = self._spent[key] = Spent()
        return found

    def spend(self, activity: str, duration_ns: int) -> None:
        """Add to the time that an activity took."""
        self.spent(activity).total_ns += duration_ns

    def tell(self, final: bool) -> None:
        """Say what has grown; histograms at most every few seconds, and at the end."""
        if os.getpid() != self._pid:
            self._begin()
        if not self._telling.acquire(False):
            return  # another thread is at it, or we came here by a signal while this one was
        try:
            self._tell(final)
        finally:
            self._telling.release()

    def _tell(self, final: bool) -> None:
        now = time.monotonic_ns()
        self.due_ns = now + self.line.period_ns(now)
        for tally in list(self._tallies.values()):
            tally.tell_count(self.line)
        by_activity: "dict[str, int]" = {}
        for (_, activity), spent in list(self._spent.items()):
            by_activity[activity] = by_activity.get(activity, 0) + spent.total_ns
        total = sum(by_activity.values())
        if total != self._spent_told:
            self._spent_told = total
            self.line.tell("spent", by_activity)
        if final or now >= self._times_due_ns:
            self._times_due_ns = now + _TIMES_PERIOD_NS
            for tally in list(self._tallies.values()):
                tally.tell_durations(self.line)

    def _begin(self) -> None:
        """In a forked child: its own counts begin at zero."""
        self._pid = os.getpid()
        self._telling = _thread.allocate_lock()
        for spent in list(self._spent.values()):
            spent.total_ns = 0
        self._spent_told = 0
        self.due_ns = self._times_due_ns = 0
        for tally in list(self._tallies.values()):
            tally.clear()


_of_lines: "dict[int, Tallies]" = {}


def tallies_of(line: Line) -> Tallies:
    """The one collection of tallies that belongs to this line."""
    found = _of_lines.get(id(line))
    if found is None:
        found = _of_lines.setdefault(id(line), Tallies(line))
    return found
