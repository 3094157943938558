"""Counts the batches of torch's DataLoader, the time spent waiting for them, and epochs.

What a batch holds is not looked at: samples are counted from the sampler's sizes where those are
certain (a map-style dataset with torch's own batching), and are unknown elsewhere.

Where batches are short and so many, and their number is certain too, most are let by with a count,
after the first hundred: one that is timed stands for those after it.
"""

import _thread
import time
import weakref
from types import MethodType

from .frameless import Watched, replace
from .tallies import ALL_TIMED, Cell, Spent, stand_for, tallies_of
from .torch_steps import Steps, steps_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any, Tuple, Union  # Any: objects of torch's

    from .line import Line

    _Known = Union[int, None]
    _Sizes = Tuple[_Known, _Known, _Known]


def _nothing() -> None:
    """Where no loader was seen yet."""


_MAP_STYLE = 0  # of torch's _DatasetKind


class _Pass:
    """One iteration over a loader, as far as it has come."""

    __slots__ = (
        "batch_size",
        "batches",
        "begun_ns",
        "looked_ns",
        "samples",
        "steps_before",
        "waited_ns",
        "yielded",
    )

    def __init__(self, sizes: "_Sizes", steps_before: int) -> None:
        self.begun_ns = time.monotonic_ns()
        self.looked_ns = 0  # when the last batch came that was timed
        self.yielded = 0  # and which one it was
        self.waited_ns = 0
        self.steps_before = steps_before
        self.batch_size, self.samples, self.batches = sizes


class _Thread:
    """Where one thread is with its loaders, and the cells that it counts into."""

    __slots__ = ("cell", "depth", "iterator", "spent", "this")

    def __init__(self, spent: Spent, cell: Cell) -> None:
        self.depth = 0  # a dataset may hold a loader
        self.spent = spent
        self.cell = cell
        self.iterator: "Callable[[], object]" = _nothing  # a weak reference to the last one
        self.this: "_Pass | None" = None  # and its pass


class _LetBy:
    """Batches to come that are counted and not timed, as long as they are of one iterator."""

    __slots__ = ("cell", "iterator", "left", "planned", "samples", "waited_ns")

    cell: Cell

    def __init__(self) -> None:
        self.left = 0  # the rest is theirs while there are any
        self.planned = 0  # so many were to come at first
        self.iterator: "Callable[[], Any]" = _nothing
        self.samples = 0  # of each
        self.waited_ns = 0  # for the last one that was timed


class _Next(Watched):
    """`__next__` of all iterators over loaders."""

    def __init__(self, function: "Callable[..., object]", data: "Data") -> None:
        super().__init__(function, data.begin, data.end)
        self._let_by = data.let_by

    def __get__(self, owner: "Any", kind: "type | None" = None) -> object:
        let_by = self._let_by
        if (
            let_by.left > 0
            and owner is not None
            and let_by.iterator() is owner
            and owner._num_yielded  # else the same one begins a new pass
        ):
            let_by.left -= 1
            cell = let_by.cell
            cell.count += 1
            cell.samples += let_by.samples
            return MethodType(self.__wrapped__, owner)
        return super().__get__(owner, kind)


class Data:
    """What is known of all loaders in this process."""

    def __init__(self, module: "Any", line: "Line", steps: Steps) -> None:
        self._sampler_kind = module.BatchSampler
        self._line = line
        self._steps = steps
        self._tallies = tallies_of(line)
        self._batches = self._tallies.tally("batch")
        self._epochs = self._tallies.tally("epoch")
        self._threads: "dict[int, _Thread]" = {}
        self._passes: "Any" = weakref.WeakKeyDictionary()
        self._is_nested = False
        self.let_by = _LetBy()

    def begin(self, iterator: "Any") -> object:
        """A batch is asked for."""
        try:
            thread = self._threads.get(_thread.get_ident()) or self._new_thread()
            thread.depth += 1
            if thread.depth > 1:
                self._is_nested = True
            yielded = iterator._num_yielded
            if self.let_by.planned:
                self._reckon(iterator, thread, yielded)
            if not yielded or thread.iterator() is not iterator:
                if not yielded or iterator not in self._passes:
                    self._passes[iterator] = _Pass(self._sizes(iterator), self._steps.done())
                thread.this = self._passes[iterator]
                thread.iterator = weakref.ref(iterator)
            return yielded, time.monotonic_ns()
        except Exception as error:  # noqa: BLE001 - the job's iteration goes on
            self._line.problem("loader", error)
            return None

    def end(self, iterator: "Any", begun: "Any") -> None:
        """The batch is there, or there is none left, or the dataset failed."""
        try:
            now = time.monotonic_ns()
            thread = self._threads[_thread.get_ident()]
            thread.depth = depth = max(0, thread.depth - 1)
            if begun is None:
                return
            before, begun_ns = begun
            this = thread.this
            if this is None or thread.iterator() is not iterator:
                this = self._passes[iterator]  # a loader inside its dataset came between
            if not depth:
                this.waited_ns += now - begun_ns
                thread.spent.total_ns += now - begun_ns
            yielded = iterator._num_yielded
            if yielded != before:
                self._count(thread.cell, this, yielded, now)
                if not depth and before and thread.cell.count >= ALL_TIMED:
                    self._let_some_by(iterator, thread, now, now - begun_ns)
                this.looked_ns, this.yielded = now, yielded
            else:
                thread.iterator = _nothing
                self._over(iterator, this, before, now)
        except Exception as error:  # noqa: BLE001 - raised here, it would be printed
            self._line.problem("loader", error)

    def _count(self, cell: Cell, this: _Pass, yielded: int, now: int) -> None:
        samples = _samples(this, yielded)
        tally = self._batches
        if samples is None or now >= self._tallies.due_ns or "add" in vars(tally):
            tally.add(now, 1, samples)
        else:
            cell.count += 1
            cell.samples += samples
            cell.last_ns = now

    def _let_some_by(self, iterator: "Any", thread: _Thread, now: int, waited_ns: int) -> None:
        """Time none of the next batches, unless somebody needs each; never a pass's last one."""
        this = thread.this
        if this is None or this.batches is None or self._is_nested or len(self._threads) > 1:
            return
        if not type(iterator._index_sampler.sampler).__module__.startswith("torch."):
            return  # its length may be anything
        yielded = iterator._num_yielded
        each_ns = (now - this.looked_ns) // max(1, yielded - this.yielded)
        planned = min(stand_for(each_ns) - 1, this.batches - yielded - 1)
        if planned > 0 and "add" not in vars(self._batches):
            let_by = self.let_by
            let_by.cell, let_by.iterator = thread.cell, thread.iterator
            let_by.samples = this.batch_size or 0
            let_by.waited_ns = waited_ns
            let_by.left = let_by.planned = planned

    def _reckon(self, iterator: "Any", thread: _Thread, yielded: int) -> None:
        """Account for the batches that were let by: for those that came, where that is known."""
        let_by = self.let_by
        count = let_by.planned - let_by.left
        let_by.left = let_by.planned = 0
        this = thread.this
        came = yielded - this.yielded if this is not None else -1
        if this is not None and came >= 0 and let_by.iterator() is iterator:
            thread.cell.count += came - count
            thread.cell.samples += (came - count) * let_by.samples
            count = came
            this.waited_ns += count * let_by.waited_ns
        thread.spent.total_ns += count * let_by.waited_ns

    def _new_thread(self) -> _Thread:
        found = _Thread(self._tallies.spent("data_wait"), self._batches.cell())
        self._threads[_thread.get_ident()] = found
        return found

    def _sizes(self, iterator: "Any") -> "_Sizes":
        """Batch size, samples and batches of a pass; None where they are not certain."""
        sampler = iterator._index_sampler
        if type(sampler) is not self._sampler_kind or iterator._dataset_kind != _MAP_STYLE:
            return None, None, None
        size, samples = sampler.batch_size, len(sampler.sampler)
        batches = samples // size if sampler.drop_last else -(-samples // size)
        return size, samples, batches

    def _over(self, iterator: "Any", this: _Pass, yielded: int, now: int) -> None:
        """Nothing came: the end of an epoch, or of an evaluation if no step was made meanwhile."""
        del self._passes[iterator]
        if not yielded or (this.batches is not None and yielded < this.batches):
            return  # an exception of the dataset's
        if self._steps.done() > this.steps_before:
            self._epochs.add(now)
        else:
            if "evaluation" not in self._tallies.known_better:
                self._tallies.spend("evaluation", now - this.begun_ns - this.waited_ns)
            self._steps.pause()


def start(module: "ModuleType", line: "Line") -> None:
    """Watch the iterators of all loaders; `module` is torch.utils.data.dataloader."""
    data = Data(module, line, steps_of(line))
    replace(module._BaseDataLoaderIter, "__next__", lambda function: _Next(function, data))


def _samples(this: _Pass, yielded: int) -> "int | None":
    """How many samples the batch holds that was the `yielded`th."""
    if this.batch_size is None or this.samples is None:
        return None
    return max(0, min(this.batch_size, this.samples - (yielded - 1) * this.batch_size))
