"""Finds calls of root modules: a module's forward that is not inside another one's.

Only for features that were asked for: `--count calls`, `--profile`, `--capture`, run-time switches.
`torch.nn.Module.__call__` is replaced while somebody listens. That leaves every module as it is: no
hooks on it, nothing in its pickle, the fast paths of `nn.TransformerEncoder` and the compiled code
of `torch.compile` as they are. What a call inside another one costs is a function and a flag.

    calls.listen(listener)     listener.begin(call) before each root call, listener.end(call) after
    calls.around(function)     function(call, proceed) in place of the call; it returns the output
    calls.stop_listening(listener), calls.stop_around(function)

No call of a root: what `torch.jit`, `torch.export` or `torch.compile` trace, what activation
checkpointing repeats during backward, replicas of DataParallel (their owner's call is one), losses
and whatever has neither parameters nor buffers (what is called inside those may be a root). A
program that calls `model.forward()` itself is seen at the modules below; a model inside a compiled
function is part of that function's code and is not seen at all.
"""

from __future__ import annotations

import os

from .imports import when_imported
from .root_calls import Calls, RootCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .line import Line
    from .root_calls import Interceptor, Listener

__all__ = [
    "RootCall",
    "around",
    "listen",
    "own_module",
    "registry",
    "stop_around",
    "stop_listening",
]


class Registry:
    """Who wants to listen, before torch is there and after. One for the process, in `registry`."""

    def __init__(self) -> None:
        self._calls: Calls | None = None
        self._listeners: list[Listener] = []
        self._around: list[Interceptor] = []
        self._waiting = False
        self.counting = False
        self.tell_problem: Callable[[str, str], None] = _say_nothing

    def change(
        self,
        listeners: Iterable[Listener] = (),
        around: Iterable[Interceptor] = (),
        without: object = None,
    ) -> None:
        """Add listeners and interceptors, and take others away."""
        if self._calls is not None:  # it may have let a listener go
            self._listeners = list(self._calls.listeners)
        self._listeners = [x for x in self._listeners if x is not without] + list(listeners)
        self._around = [x for x in self._around if x != without] + list(around)
        if self._calls is not None:
            self._calls.set(self._listeners, self._around)
        elif not self._waiting:
            self._waiting = True
            when_imported("torch", self._torch_is_here)

    def silence(self) -> None:
        """Listen to nothing from now on, in a copy of the process that is not the job's."""
        self._listeners, self._around = [], []
        if self._calls is not None:
            self._calls.set((), ())

    def _torch_is_here(self, torch: Any) -> None:
        self._calls = Calls(torch, self.tell_problem)
        os.register_at_fork(after_in_child=self._calls.restart)
        self._calls.set(self._listeners, self._around)


def _say_nothing(where: str, text: str) -> None:
    """Until `start` knows a line."""
    del where, text


registry = Registry()


def listen(listener: Listener) -> None:
    """Have `listener.begin(call)` and `listener.end(call)` called around every root call.

    May come before the program imports torch. An exception of the listener is told as a problem,
    never to the job; after three the listener is let go.
    """
    registry.change(listeners=[listener])


def around(function: Interceptor) -> None:
    """Have `function(call, proceed)` called in place of every root call.

    It returns what the program gets; `proceed()` makes the call with `call.args` and `call.kwargs`,
    which it may have replaced. Its exceptions reach the program. Later ones enclose earlier ones.
    """
    registry.change(around=[function])


def stop_listening(listener: Listener) -> None:
    """Undo `listen`."""
    registry.change(without=listener)


def stop_around(function: Interceptor) -> None:
    """Undo `around`."""
    registry.change(without=function)


def own_module(module: Any) -> Any:
    """The program's own module inside those that torch.compile, DDP, FSDP and DataParallel put on.

    Their names are not asked of torch: importing its distributed part would be seen.
    """
    while True:
        name = type(module).__name__
        if name == "OptimizedModule":
            inner = module.__dict__["_modules"].get("_orig_mod")
        elif name in ("DistributedDataParallel", "DataParallel"):
            inner = module.__dict__["_modules"].get("module")
        elif name == "FullyShardedDataParallel":
            inner = module.__dict__["_modules"].get("_fsdp_wrapped_module")
        else:
            return module
        if inner is None:
            return module
        module = inner


def start(options: list[str], line: Line) -> None:
    """Count what `--count` names: root calls, or transfers between devices."""
    registry.tell_problem = line.problem
    if "calls" in options and not registry.counting:
        from .count_calls import CallCounter

        registry.counting = True
        listen(CallCounter(line))
    if "transfers" in options:
        from .transfers import start as follow_transfers

        follow_transfers(line)
    for name in options:
        if name not in ("calls", "transfers"):
            line.problem("count", "nothing called " + str(name) + " can be counted")
