"""What stands in for `torch.nn.Module.__call__` while somebody listens; see calls.py."""

from __future__ import annotations

import _thread
import itertools
import sys
import time
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol  # torch, its modules and tensors are of the job's own version

    class Listener(Protocol):
        """What `calls.listen` takes."""

        def begin(self, call: RootCall) -> None:
            """Before the call."""

        def end(self, call: RootCall) -> None:
            """After it, also if it failed (`call.error`)."""

    # function(call, proceed): makes the call by proceed(), or does without; returns the output.
    Interceptor = Callable[["RootCall", Callable[[], Any]], Any]

_TRACING_MODES = ("FakeTensorMode", "ProxyTorchDispatchMode", "FunctionalTensorMode")
# A listener that failed this often is let go: the job must not pay for it on every call.
_FAILURES_LIMIT = 3


class RootCall:
    """One call of a root module. `args` and `kwargs` are the caller's own objects, not copies.

    `number` counts the root calls of this process from 0. `output` and `error` are there in
    `end()`, and dropped after it. `began_ns` and `ended_ns` are of time.monotonic_ns() and enclose
    the call alone; work on a GPU may still be under way.
    """

    __slots__ = (
        "args",
        "began_ns",
        "ended_ns",
        "error",
        "grad",
        "inference_mode",
        "kwargs",
        "module",
        "number",
        "output",
        "thread",
        "training",
    )

    def __init__(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], number: int, torch: Any
    ) -> None:
        self.module: Any = module
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = kwargs
        self.number = number
        self.thread = _thread.get_ident()
        self.training = bool(module.training)
        self.grad = bool(torch.is_grad_enabled())
        self.inference_mode = bool(torch.is_inference_mode_enabled())
        self.began_ns = self.ended_ns = 0
        self.output: Any = None
        self.error: BaseException | None = None

    def forget(self) -> None:
        """Let go of the job's objects, so that no cycle through an exception keeps them alive."""
        self.module = self.output = self.error = None
        self.args, self.kwargs = (), {}


class _Here(_thread._local):
    """What is true of the current thread."""

    inside = False


class Calls:
    """All that listens to root calls in this process. Use the functions below instead."""

    def __init__(self, torch: Any, tell_problem: Callable[[str, str], None]) -> None:
        self._torch = torch
        self._tell_problem = tell_problem
        self._listeners: tuple[Listener, ...] = ()
        self._around: tuple[Interceptor, ...] = ()
        self._failures: dict[str, int] = {}
        self._numbers = itertools.count()
        self._here = _Here()
        # Private to torch: where a version has them elsewhere, less is left out.
        self._graph_task = getattr(torch._C, "_current_graph_task_id", lambda: -1)
        self._mode_count = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 0)
        self._with_state: dict[int, weakref.ref[Any]] = {}  # modules known to have parameters
        self._original: Any = None
        self._replacement: Any = None

    def set(self, listeners: Iterable[Listener], around: Iterable[Interceptor]) -> None:
        """Who listens from now on; with nobody left the class is as it was."""
        self._listeners, self._around = tuple(listeners), tuple(around)
        if (self._listeners or self._around) and self._replacement is None:
            self._install()
        elif not (self._listeners or self._around) and self._replacement is not None:
            self._remove()

    @property
    def listeners(self) -> tuple[Listener, ...]:
        return self._listeners

    def restart(self) -> None:
        """In a forked child: calls are counted from 0 there."""
        self._numbers = itertools.count()
        self._here.inside = False

    def _install(self) -> None:
        module_class = self._torch.nn.Module
        original = self._original = module_class.__call__
        here, outermost = self._here, self._outermost
        is_compiling = _compiling_check(self._torch)

        # The first test is one that torch.compile knows the answer of: what it traces has no trace
        # of us in it.
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if is_compiling() or here.inside:
                return original(self, *args, **kwargs)
            return outermost(self, args, kwargs)

        # A model is called once and its modules a hundred times: for those torch's own function,
        # where it is known, is written out.
        def shorter_call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if is_compiling() or here.inside:
                if self._compiled_call_impl is not None:
                    return self._compiled_call_impl(*args, **kwargs)
                return self._call_impl(*args, **kwargs)
            return outermost(self, args, kwargs)

        replacement = shorter_call if _only_passes_on(original) else call
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            setattr(replacement, name, getattr(original, name, None))
        self._replacement = replacement
        skip_in_compiler(self._torch, replacement)
        keep_from_compiler(self._torch, __name__)
        module_class.__call__ = replacement

    def _remove(self) -> None:
        module_class = self._torch.nn.Module
        if module_class.__dict__.get("__call__") is self._replacement:
            module_class.__call__ = self._original
            self._replacement = None
        # Else somebody wrapped ours: it stays, and with nobody listening it only passes on.

    def _outermost(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not (self._listeners or self._around) or not self._has_state(module):
            return self._original(module, *args, **kwargs)
        here = self._here
        here.inside = True
        try:
            if not self._computes(module):
                return self._original(module, *args, **kwargs)
            call = RootCall(module, args, kwargs, next(self._numbers), self._torch)
            return self._observed(call)
        finally:
            here.inside = False

    def _has_state(self, module: Any) -> bool:
        """Whether this is more than a loss, an activation or a transformation of inputs."""
        known = self._with_state.get(id(module))
        if known is not None and known() is module:
            return True
        if isinstance(module, self._torch.nn.modules.loss._Loss):
            return False
        for tensors in (module.parameters(), module.buffers()):
            for _ in tensors:
                self._with_state[id(module)] = weakref.ref(module)
                return True
        return False

    def _computes(self, module: Any) -> bool:
        """Whether this call computes something for the program, and on its own account."""
        c = self._torch._C
        if module.__dict__.get("_is_replica"):  # in a thread of DataParallel
            return False
        if c._get_tracing_state() is not None or self._graph_task() != -1:
            return False
        if self._mode_count():
            from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

            modes = _get_current_dispatch_mode_stack()
            return not any(type(mode).__name__ in _TRACING_MODES for mode in modes)
        return True

    def _observed(self, call: RootCall) -> Any:
        listeners = self._listeners
        for listener in listeners:
            try:
                listener.begin(call)
            except Exception as error:  # noqa: BLE001 - our failure is none of the job's
                self._failed(listener, error)
        call.began_ns = time.monotonic_ns()
        try:
            if self._around:
                call.output = output = self._proceed(call, len(self._around))
            else:
                call.output = output = self._original(call.module, *call.args, **call.kwargs)
        except BaseException as error:
            call.error = error
            raise
        finally:
            call.ended_ns = time.monotonic_ns()
            for listener in reversed(listeners):
                try:
                    listener.end(call)
                except Exception as error:  # noqa: BLE001
                    self._failed(listener, error)
            call.forget()
        return output

    def _proceed(self, call: RootCall, depth: int) -> Any:
        """The call itself, inside the first `depth` of those that want to be around it."""
        if not depth:
            return self._original(call.module, *call.args, **call.kwargs)
        return self._around[depth - 1](call, lambda: self._proceed(call, depth - 1))

    def _failed(self, listener: Listener, error: Exception) -> None:
        name = type(listener).__name__
        count = self._failures[name] = self._failures.get(name, 0) + 1
        if count >= _FAILURES_LIMIT:
            self.set([x for x in self._listeners if x is not listener], self._around)
        if count in (1, _FAILURES_LIMIT):
            gone = "; it was switched off" if count >= _FAILURES_LIMIT else ""
            self._tell_problem("calls", f"{name}: {type(error).__name__}: {error}{gone}")


def keep_from_compiler(torch: Any, *modules: str) -> None:
    """Have torch.compile leave the functions of these modules of ours alone.

    Where a program's frame is compiled in parts, the calls between the parts are looked at too.
    """
    for name in modules:
        for found in vars(sys.modules[name]).values():
            members = vars(found).values() if isinstance(found, type) else ()
            for each in (found, *members):
                if getattr(each, "__module__", None) == name:
                    skip_in_compiler(torch, each)


def skip_in_compiler(torch: Any, function: Any) -> None:
    """Have torch.compile leave this function of ours alone where it is a frame of its own."""
    code = getattr(function, "__code__", None)
    frames = getattr(torch._C._dynamo, "eval_frame", None)
    if code is None or frames is None:
        return
    try:
        if hasattr(frames, "skip_code"):  # in older versions of torch
            frames.skip_code(code)
        else:
            action = frames._FrameAction
            strategy = frames._FrameExecStrategy(action.SKIP, action.DEFAULT)
            frames.set_code_exec_strategy(code, strategy)
    except (AttributeError, TypeError):  # in newer ones: then it compiles a little more
        return


def _only_passes_on(original: Any) -> bool:
    """Whether this is Module.__call__ as torch has it since 2.1, and nobody's wrapper."""
    code = getattr(original, "__code__", None)
    names = ("_compiled_call_impl", "_call_impl")
    return code is not None and code.co_name == "_wrapped_call_impl" and code.co_names == names


def _compiling_check(torch: Any) -> Any:
    """`torch.compiler.is_compiling`, or what stood for it before torch 2.2."""
    found = getattr(getattr(torch, "compiler", None), "is_compiling", None)
    return found or torch._utils.is_compiling
