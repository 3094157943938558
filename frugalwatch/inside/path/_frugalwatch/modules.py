"""`--profile`: what each layer of a torch model takes, seen in a few of the model's calls.

Hooks for all modules are there during a chosen call of a root module only, and gone when it is
over, so that other calls are as fast as ever and a model that is saved has nothing of us in it. How
often a call is chosen depends on what watching it cost: half a per cent of the time at first, and
an eighth where it runs for long. Backward is seen by a function on the node of the graph that made
each module's output, which changes nothing about the gradients and goes away with the graph.

A program that uses torch.compile gets no figures by layer: hooks would have it compile again.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import get_ident

from . import calls
from .flops import Flops
from .line import Line
from .stacks import process_sampler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # modules and tensors are of the job's own torch

    from .root_calls import RootCall

# A watched call may be followed by another one after so many times what watching was seen to cost.
# What torch does for its hooks, which is as much again, is not seen. After the first few dozens
# there is less to learn.
_REST, _LONG_REST = 400, 1600
_AT_FIRST = 30
_LEAST_REST_NS = 50_000_000
# Checkpoints of models with more modules than this are left alone: naming them takes too long.
_MOST_MODULES = 20_000
_MOST_ROOTS = 50
# Watched calls that wait to be written; one with so many behind it does not wait for backward.
_MOST_WAITING = 1000
_PATIENCE = 20


class _Root:
    """A root module that was called: its modules by id, and how its calls went."""

    def __init__(self, number: int, module: Any) -> None:
        self.number = number
        self.id = id(module)
        self.indices: dict[int, int] = {}
        self.rows: list[list[object]] = []
        for name, each in module.named_modules():
            self.indices[id(each)] = len(self.rows)
            parameters = sum([int(p.numel()) for p in each.parameters(recurse=False)])
            self.rows.append([name, type(each).__name__, parameters])
        self.calls = 0
        self.wall_ns = 0
        self.learning = 0
        self.watched = 0


class _Open:
    """A module's call that is under way. `hidden_ns`: our own time inside it."""

    __slots__ = ("began_ns", "children_ns", "event", "hidden_ns", "index", "leaf")

    def __init__(self, index: int) -> None:
        self.index = index
        self.hidden_ns = 0
        self.children_ns = 0
        self.leaf = True
        self.event: Any = None
        self.began_ns = 0


class Watched:
    """One watched call of a root module: figures by module, in the thread that called it."""

    def __init__(self, torch: Any, root: _Root, flops: Flops, call: RootCall) -> None:
        self.root = root
        self.number = root.calls
        self.learning = call.grad and call.training
        self.ident = get_ident()
        self.failed = False
        self.cost_ns = 0
        # By module: calls, total, own, FLOPs (-1: not known), backward; all times in ns.
        self.figures: dict[int, list[int]] = {}
        self.events: list[tuple[int, Any, Any]] = []
        self.backward: _Backward | None = _Backward(torch) if call.grad else None
        if self.backward is not None:
            self.backward.mark_inputs([*call.args, *call.kwargs.values()])
        self._flops = flops
        self._stack: list[_Open] = []
        self._clock = time.perf_counter_ns
        self._new_event = _event_maker(torch, call.module)
        hooks = torch.nn.modules.module
        self._handles = [
            hooks.register_module_forward_pre_hook(self._before),
            hooks.register_module_forward_hook(self._after),
        ]

    def close(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        if self.backward is not None:
            self.backward.forward_is_over()

    def _before(self, module: Any, args: Any) -> None:
        entered = self._clock()
        if get_ident() != self.ident or self.failed:
            return
        index = self.root.indices.get(id(module), -1)
        opened = _Open(index)
        if self._stack:
            self._stack[-1].leaf = False
        self._stack.append(opened)
        if self._new_event is not None:
            opened.event = self._new_event()
        now = opened.began_ns = self._clock()
        self._hide(len(self._stack) - 1, now - entered)

    def _after(self, module: Any, args: Any, output: Any) -> None:
        ended = self._clock()
        if get_ident() != self.ident or self.failed:
            return
        try:
            self._finish(module, args, output, ended)
        except Exception:  # noqa: BLE001 - a strange module costs this call's figures
            self.failed = True

    def _finish(self, module: Any, args: Any, output: Any, ended: int) -> None:
        opened = self._stack.pop()
        if opened.index != self.root.indices.get(id(module), -1):
            self.failed = True  # somebody swallowed an exception below
            return
        total = max(0, ended - opened.began_ns - opened.hidden_ns)
        figures = self.figures.setdefault(opened.index, [0, 0, 0, 0, 0])
        figures[0] += 1
        figures[1] += total
        figures[2] += max(0, total - opened.children_ns)
        flops = self._flops.of(module, args, output, is_leaf=opened.leaf)
        figures[3] = -1 if flops is None or figures[3] < 0 else figures[3] + flops
        if opened.event is not None and self._new_event is not None:
            self.events.append((opened.index, opened.event, self._new_event()))
        if self.backward is not None:
            self.backward.mark_output(output, opened.index)
        if self._stack:
            self._stack[-1].children_ns += total
        self._hide(len(self._stack), self._clock() - ended)

    def _hide(self, depth: int, spent_ns: int) -> None:
        """Our own time is none of the calls' around it."""
        self.cost_ns += spent_ns
        for opened in self._stack[:depth]:
            opened.hidden_ns += spent_ns


class _Backward:
    """When the gradient of each module's output was there: its backward begins then.

    It ends when the next one's begins. On a GPU the times are those of the launches only.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._nodes: dict[int, Any] = {}  # held during forward, so that ids stay theirs
        self._marks: list[tuple[int, int]] = []
        self._asked = False
        self.done = False

    def mark_inputs(self, args: list[Any]) -> None:
        """Gradients that leave the model for what came before it belong to no module."""
        for value in args:
            self.mark_output(value, -1)

    def mark_output(self, output: Any, index: int) -> None:
        """Note when backward comes to the node that made this output, once for each node."""
        for tensor in _tensors(output, self._torch.Tensor):
            node = tensor.grad_fn
            if node is None or id(node) in self._nodes:
                continue
            self._nodes[id(node)] = node
            node.register_prehook(lambda _grads, at=index: self._reached(at))

    def forward_is_over(self) -> None:
        """The graph is the program's again."""
        self._nodes = {}

    def _reached(self, index: int) -> None:
        if self.done:
            return
        try:
            if not self._asked:
                self._asked = True
                self._torch.autograd.Variable._execution_engine.queue_callback(self._over)
            self._marks.append((time.perf_counter_ns(), index))
        except Exception:  # noqa: BLE001 - without a callback there is no end, and so no figures
            self.done, self._marks = True, []

    def _over(self) -> None:
        self._marks.append((time.perf_counter_ns(), -1))
        self.done = True

    def spans(self) -> dict[int, int]:
        """Nanoseconds of backward by module."""
        result: dict[int, int] = {}
        for (began, index), (ended, _) in zip(self._marks, self._marks[1:]):
            result[index] = result.get(index, 0) + ended - began
        return result

    @property
    def length_ns(self) -> int:
        return self._marks[-1][0] - self._marks[0][0] if self._marks else 0


class LayerWatch:
    """Listens to root calls, watches some, and has lines for the profile's file."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._torch: Any = None
        self._flops: Flops | None = None
        self._watched: Watched | None = None
        self.restart()

    def restart(self) -> None:
        """Begin anew, in a forked child."""
        self._roots: dict[int, _Root] = {}
        self._new_roots: list[_Root] = []
        self._waiting: list[Watched] = []
        self._due_ns = 0
        self._first, self._first_learns = 0, False
        self._off = False

    def begin(self, call: RootCall) -> None:
        """Watch this call if it is time for one."""
        if self._off or time.monotonic_ns() < self._due_ns or self._watched is not None:
            return
        began = time.perf_counter_ns()
        self._torch = sys.modules["torch"]
        if _has_compiled() or _is_compiled(call.module):
            self._off = True
            self._line.tell("note", "no figures by layer: the program uses torch.compile")
            return
        if call.number == 0 and "torch._dynamo" in sys.modules:
            self._first, self._first_learns = id(call.module), call.grad and call.training
            return  # if this call compiles something, the next one will know
        root = self._root(call.module)
        if root is None:
            return
        if self._flops is None:
            self._flops = Flops(self._torch)
        self._watched = Watched(self._torch, root, self._flops, call)
        self._watched.cost_ns += time.perf_counter_ns() - began

    def end(self, call: RootCall) -> None:
        """Count the call, and keep what was watched of it."""
        root = self._roots.get(id(call.module))
        if root is not None:
            root.calls += 1
            root.wall_ns += call.ended_ns - call.began_ns
            root.learning += call.grad and call.training
        watched = self._watched
        if watched is None or watched.ident != get_ident():
            return
        self._watched = None
        watched.close()
        now = time.monotonic_ns()
        root = watched.root
        root.watched += 1
        rest = _REST if root.watched < _AT_FIRST else _LONG_REST
        self._due_ns = now + max(_LEAST_REST_NS, rest * watched.cost_ns)
        if call.error is None and not watched.failed and len(self._waiting) < _MOST_WAITING:
            watched.root.wall_ns -= min(watched.cost_ns, call.ended_ns - call.began_ns)
            self._waiting.append(watched)

    def _root(self, module: Any) -> _Root | None:
        root = self._roots.get(id(module))
        if root is not None and len(root.rows) == _count(module):
            return root
        if len(self._roots) >= _MOST_ROOTS or _count(module) > _MOST_MODULES:
            return None
        root = self._roots[id(module)] = _Root(len(self._roots), module)
        if self._first == id(module):
            root.calls, root.learning = 1, int(self._first_learns)
        self._new_roots.append(root)
        return root

    # -- in the sampler's thread -----------------------------------------------------------------

    def lines(self, last: bool) -> list[object]:
        """What is new, for the profile's file: roots, watched calls, and counts of all calls."""
        new, self._new_roots = self._new_roots, []
        result: list[object] = [["root", root.number, root.rows] for root in new]
        waiting = list(self._waiting)
        for at, watched in enumerate(waiting):
            # Nobody may go back through a graph: an evaluation without no_grad.
            given_up = last or len(waiting) - at > _PATIENCE
            over = watched.backward is None or watched.backward.done or given_up
            if over and all(end.query() for _, _, end in watched.events):
                self._waiting.remove(watched)
                result.append(_written(watched))
        if self._roots:
            counts = [[r.number, r.calls, r.learning, r.wall_ns] for r in self._roots.values()]
            result.append(["counts", counts])
        return result


def _written(watched: Watched) -> list[object]:
    gpu_ns: dict[int, int] = {}
    for index, begin, end in watched.events:
        gpu_ns[index] = gpu_ns.get(index, 0) + round(begin.elapsed_time(end) * 1e6)
    done = watched.backward is not None and watched.backward.done
    back = watched.backward.spans() if watched.backward is not None and done else {}
    rows = [
        [index, count, total, own, flops, back.get(index, 0), gpu_ns.get(index)]
        for index, (count, total, own, flops, _) in watched.figures.items()
    ]
    length = watched.backward.length_ns if watched.backward is not None and done else None
    return ["call", watched.root.number, watched.number, watched.learning, length, rows]


def _has_compiled() -> bool:
    """Whether torch.compile has compiled anything in this process."""
    seen = getattr(sys.modules.get("torch._dynamo.convert_frame"), "input_codes", None)
    return bool(getattr(seen, "seen", None))


def _is_compiled(module: Any) -> bool:
    """Whether this module, or one inside, is to be compiled when it is called."""
    return any(
        type(each).__name__ == "OptimizedModule"
        or getattr(each, "_compiled_call_impl", None) is not None
        for each in module.modules()
    )


def _count(module: Any) -> int:
    return sum([1 for _ in module.modules()])


def _tensors(value: Any, kind: Any) -> list[Any]:
    if isinstance(value, kind):
        return [value]
    if isinstance(value, (list, tuple)):
        return [each for each in value if isinstance(each, kind)]
    if hasattr(value, "values") and hasattr(value, "keys"):
        return [each for each in value.values() if isinstance(each, kind)]
    return []


def _event_maker(torch: Any, module: Any) -> Any:
    """A function that marks a moment on the GPU's own clock; None for a model on the CPU.

    Unverified on hardware.
    """
    first = next(iter(module.parameters()), None)
    if first is None or not first.is_cuda:
        return None

    def mark() -> Any:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    return mark


def start(options: dict[str, object], line: Line) -> None:
    """Watch the layers of models beside the stacks, unless `options` say `"layers": false`.

    A small model takes noticeably longer while its layers are watched.
    """
    if options.get("layers") is False:
        return
    sampler = process_sampler()
    if sampler is None:
        return
    watch = LayerWatch(line)
    sampler.extra_lines = watch.lines
    os.register_at_fork(after_in_child=watch.restart)
    calls.listen(watch)
