"""Run-time changes to the unmodified program, for the advisor's replays and for `run --with`.

    {"switches": {"threads": 1, "inference_mode": true, "autocast": "bfloat16"}}

Every switch says in a note whether it was applied, to what, or why not:

    switch threads=1: applied (was 2)
    switch compile: not applied: no C++ compiler

What a program sets itself later, such as its number of threads, does not undo a switch. Those that
concern a model act on calls of root modules, see calls.py. docs/reference/hook-contract.md lists
them all.
"""

from __future__ import annotations

import os

from . import calls
from .imports import when_imported
from .root_calls import keep_from_compiler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any  # torch and the job's own objects

    from .line import Line
    from .root_calls import RootCall

# What is left of a note beside its prefix and the JSON around it.
_LONGEST_NOTE = 600
# Their values are too long to be said.
_LONG = ("replace", "session_model")


class Notes:
    """What became of each switch; each is said once for each kind of outcome."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._said: set[tuple[str, str]] = set()
        self._pending: dict[str, str] = {}
        self.latest: object = None  # what a switch has said of this need not be put in words again

    def expect(self, name: str, otherwise: str) -> None:
        """Say `otherwise` at the end of the process if nothing else was said of the switch."""
        self._pending[name] = otherwise

    def applied(self, name: str, detail: str = "") -> None:
        """Say that the switch is on."""
        self._say(name, "applied" + (f" ({detail})" if detail else ""))

    def refused(self, name: str, why: object) -> None:
        """Say that it is not, and why."""
        self._say(name, f"not applied: {why}")

    def report(self) -> None:
        """At the end: say what is left."""
        for name, otherwise in list(self._pending.items()):
            self.refused(name, otherwise)

    def restart(self) -> None:
        """In a forked child: a switch that acts there says so again, others are silent."""
        self._said.clear()
        self._pending.clear()
        self.latest = None

    def _say(self, name: str, text: str) -> None:
        self._pending.pop(name, None)
        key = (name, text)
        if key not in self._said:
            self._said.add(key)
            self._line.tell("note", f"switch {name}: {' '.join(text.split())}"[:_LONGEST_NOTE])


_notes: list[Notes] = []


def report() -> None:
    """Say of each switch that never came to act that it did not."""
    for notes in _notes:
        notes.report()


def start(options: dict[str, Any], line: Line) -> None:
    """Apply the switches of `options`, now or when what they change is there."""
    import atexit

    from . import switches_calls, switches_libraries, switches_process, switches_sessions

    notes = Notes(line)
    _notes.append(notes)
    os.register_at_fork(after_in_child=notes.restart)
    atexit.register(notes.report)
    calls.registry.tell_problem = line.problem
    at_import = {
        **switches_process.SWITCHES,
        **switches_sessions.SWITCHES,
        **switches_libraries.SWITCHES,
    }
    at_calls = dict(switches_calls.SWITCHES)
    interceptors: list[tuple[int, Callable[[RootCall, Callable[[], Any]], Any]]] = []
    for name, value in options.items():
        if value is False or value is None:
            continue
        said = name if value is True or name in _LONG else f"{name}={value}"
        if name in at_import:
            module, function = at_import[name]
            notes.expect(said, f"the program did not import {module.partition('.')[0]}")
            _when(module, function, value, said, notes)
        elif name in at_calls:
            notes.expect(said, "no call of a root module was seen")
            order, make = at_calls[name]
            interceptors.append((order, make(value, said, notes)))
        else:
            notes.refused(said, "there is no such switch")
    for _, interceptor in sorted(interceptors, key=lambda each: each[0]):
        calls.around(interceptor)
    if interceptors:
        names = (__name__, switches_calls.__name__, calls.__name__)
        when_imported("torch", lambda torch: keep_from_compiler(torch, *names))


def _when(
    module: str,
    function: Callable[[Any, Any, str, Notes], None],
    value: Any,
    said: str,
    notes: Notes,
) -> None:
    """Call `function(module, value, said, notes)` when the program has imported the module."""

    def apply(found: Any) -> None:
        try:
            function(found, value, said, notes)
        except Exception as error:  # noqa: BLE001 - the program goes on without the switch
            notes.refused(said, f"{type(error).__name__}: {error}")

    when_imported(module, apply)
