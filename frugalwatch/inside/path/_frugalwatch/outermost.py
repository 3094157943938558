"""Counts and times calls of a library, the outermost ones only: a pipeline's fit is one fit."""

import _thread
import time

from .frameless import watch
from .tallies import tallies_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .line import Line


class Outermost:
    """The calls of one library in this process, whatever their unit."""

    def __init__(self, line: "Line", where: str) -> None:
        self._line = line
        self._where = where
        self._tallies = tallies_of(line)
        self._depths: "dict[int, int]" = {}  # by thread

    def watch(
        self, kind: type, name: str, unit: str, also: "Callable[[], None] | None" = None
    ) -> None:
        """Count calls of this method, which the class itself defines; call `also` after each."""

        def end(_: object, begun_ns: object) -> None:
            self._end(unit, begun_ns)
            if also is not None:
                also()

        watch(kind, name, self._begin, end)

    def _begin(self, owner: object) -> object:
        thread = _thread.get_ident()
        self._depths[thread] = self._depths.get(thread, 0) + 1
        return time.monotonic_ns()

    def _end(self, unit: str, begun_ns: object) -> None:
        try:
            thread = _thread.get_ident()
            depth = self._depths[thread] = self._depths.get(thread, 1) - 1
            if depth <= 0 and isinstance(begun_ns, int):
                now = time.monotonic_ns()
                tally = self._tallies.tally(unit)
                tally.took(now - begun_ns)
                tally.add(now)
        except Exception as error:  # noqa: BLE001 - raised here, it would be printed
            self._line.problem(self._where, error)
