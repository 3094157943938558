"""What a job may tell its sampler: phases, steps and metrics.

Standard library only, and safe to leave in code that runs without FrugalWatch: outside
`frugalwatch run` every call returns after one comparison. Inside, a message is one short write to a
named pipe that the sampler reads; the job never waits for it, and a sampler that is gone or slow
costs the job nothing. No call raises on our account: a value that cannot be told is left out.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType

TYPE_CHECKING = False  # `typing` itself costs a job 4 ms
if TYPE_CHECKING:
    from typing import Any, TypeVar  # Any: a function of the job's own

    from frugalwatch.inside.path._frugalwatch.line import Line

    _Function = TypeVar("_Function", bound=Callable[..., Any])

_NAME_LENGTH = 200
_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE, without importing it


def _find_line() -> Line | None:
    """The way to the sampler: the one that the hook in this process uses, if there is a hook."""
    if not os.environ.get("FRUGALWATCH_PIPE"):
        return None
    hook = sys.modules.get("_frugalwatch.line")
    if hook is None:
        from frugalwatch.inside.path._frugalwatch.line import process_line
    else:
        process_line = hook.process_line
    line: Line | None = process_line()
    if line is not None:
        line.close_at_exit()
    return line


_line: Line | None = _find_line()


def _quietly(function: Callable[[Line], None]) -> None:
    """Call it with the line if there is one; whatever goes wrong then is no matter of the job's."""
    if _line is not None:
        try:
            function(_line)
        except Exception:  # noqa: BLE001 - float() of a user's object may raise anything
            return


class phase:  # noqa: N801 - used as a verb, `with frugalwatch.phase("epoch", 3):`
    """A named stretch of the job's time, whose energy `frugalwatch show` reports.

    `with frugalwatch.phase("epoch", 3, of=10):` or `@frugalwatch.phase("load")` before a function,
    each call of which is a phase then. Phases may nest and may overlap between processes.
    With `of`, the number of phases of this name that there will be in all, `frugalwatch top` shows
    what the job will have used at its end. Outside `frugalwatch run` this does nothing.
    """

    __slots__ = ("_name", "_number", "_of", "_token")

    def __init__(self, name: str, number: int | None = None, *, of: int | None = None) -> None:
        self._name = name
        self._number = number
        self._of = of
        self._token = 0

    def __call__(self, function: _Function) -> _Function:
        if _line is None:
            return function
        from functools import wraps

        name, number, of = self._name, self._number, self._of
        if getattr(getattr(function, "__code__", None), "co_flags", 0) & _CO_COROUTINE:

            @wraps(function)
            async def followed(*args: Any, **kwargs: Any) -> Any:
                with phase(name, number, of=of):
                    return await function(*args, **kwargs)

        else:

            @wraps(function)
            def followed(*args: Any, **kwargs: Any) -> Any:
                with phase(name, number, of=of):
                    return function(*args, **kwargs)

        return followed  # type: ignore[return-value]

    def __enter__(self) -> phase:
        if _line is not None:
            self._token = time.monotonic_ns()
            _quietly(self._begin)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if _line is not None:
            _quietly(self._end)

    def _begin(self, line: Line) -> None:
        number = None if self._number is None else int(self._number)
        name = str(self._name)[:_NAME_LENGTH]
        line.tell("begin", self._token, name, number)
        if self._of is not None and name:
            line.tell_goal(name, int(self._of))

    def _end(self, line: Line) -> None:
        line.tell("end", self._token)


def metric(name: str, value: float) -> None:
    """Record a number that the job reached, such as its accuracy. Does nothing outside a run."""
    if _line is not None:
        _quietly(lambda line: line.tell("metric", str(name)[:_NAME_LENGTH], float(value)))


def step(count: int = 1, *, total: int | None = None) -> None:
    """Say that `count` more steps (batches, requests) are done. Does nothing outside a run.

    `total`: how many there will be in all, so that `frugalwatch top` shows what the job will have
    used at its end; `step(0, total=4000)` says that before the first one.
    """
    if _line is not None:
        _quietly(lambda line: _count(line, int(count), total))


def _count(line: Line, count: int, total: int | None) -> None:
    line.count_steps(count)
    if total is not None:
        line.tell_goal("", int(total))
