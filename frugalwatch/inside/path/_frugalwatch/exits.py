"""Tells what was counted before a process ends without Python's own end: os._exit, os.exec*.

Both are C functions that do not return, so nothing can be on the stack: the property tells, and
hands out the function itself.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .line import Line

_WAYS_OUT = ("_exit", "execv", "execve")  # the others of `os` call these


class _WayOut:
    """Looks like the function, and lets the line close before each call."""

    def __init__(self, function: "Callable[..., object]", line: "Line") -> None:
        self.__wrapped__ = function
        self._line = line

    @property
    def __call__(self) -> "Callable[..., object]":
        try:
            self._line.close()
        except Exception as error:  # noqa: BLE001 - the job is leaving
            self._line.problem("exit", error)
        return self.__wrapped__

    def __getattr__(self, name: str) -> object:
        return getattr(self.__wrapped__, name)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __reduce__(self) -> "tuple[object, ...]":
        return max, ((self.__wrapped__,),)


def watch_exits(line: "Line") -> None:
    """Close the line before this process ends by one of them. Calling it again does nothing."""
    for name in _WAYS_OUT:
        function = getattr(os, name, None)
        if function is not None and not isinstance(function, _WayOut):
            setattr(os, name, _WayOut(function, line))
