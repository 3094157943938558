"""What is ours in a program's process, so that it is not taken for the program's own.

    with own_work.counted():
        ...
    own_work.cpu_ns()  # of all threads of this process, so far

    with own_work.making():  # a replacement
        ...
    own_work.is_making()  # by this thread

Only what runs in the replays that look at a program is counted: a look takes as long as many a
small model.
"""

from __future__ import annotations

import os
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_by_thread_ns: dict[int, int] = {}
_makers: set[int] = set()  # threads
os.register_at_fork(after_in_child=_by_thread_ns.clear)  # whose own clock begins anew


class counted:  # noqa: N801, as a context manager it is read as a function
    """Counts what this thread does inside; it does not nest."""

    __slots__ = ("_begun_ns",)

    def __enter__(self) -> None:
        self._begun_ns = time.thread_time_ns()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        spent_ns = time.thread_time_ns() - self._begun_ns
        thread = threading.get_ident()
        _by_thread_ns[thread] = _by_thread_ns.get(thread, 0) + spent_ns


def cpu_ns() -> int:
    """CPU nanoseconds of all that was counted in this process."""
    return sum(list(_by_thread_ns.values()))


class making:  # noqa: N801
    """What this thread makes inside stands in for something of the program's; it does not nest."""

    __slots__ = ()

    def __enter__(self) -> None:
        _makers.add(threading.get_ident())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _makers.discard(threading.get_ident())


def is_making() -> bool:
    """Whether this thread makes a replacement just now."""
    return threading.get_ident() in _makers
