"""Switches that act on calls of root modules: how the model runs, or what runs in its place.

Each is made once with its value and then called around every root call, `change(call, proceed)`;
see calls.around. Where one cannot do its work the call goes on as the program wrote it.
"""

from __future__ import annotations

import sys

from . import own_work
from .calls import own_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any  # torch and the job's own objects

    from .root_calls import RootCall
    from .switches import Notes

    Proceed = Callable[[], Any]
    Interceptor = Callable[[RootCall, Proceed], Any]


def _torch() -> Any:
    return sys.modules["torch"]


def _name(call: RootCall) -> str:
    return type(own_module(call.module)).__name__


def _eval(value: Any, name: str, notes: Notes) -> Interceptor:
    """Evaluation mode: no dropout, fixed batch statistics. Only where nothing is learnt."""

    def change(call: RootCall, proceed: Proceed) -> Any:
        if call.training:
            if call.grad and value != "always":
                notes.refused(name, f"{_name(call)} is called in training mode with gradients on")
            else:
                call.module.eval()
                call.training = False
                notes.applied(name, _name(call))
        else:
            notes.applied(name, f"{_name(call)} was in evaluation mode already")
        return proceed()

    return change


def _inference_mode(value: Any, name: str, notes: Notes) -> Interceptor:
    """torch.inference_mode around calls in evaluation mode; "always": around any."""

    def change(call: RootCall, proceed: Proceed) -> Any:
        if call.training and value != "always":
            notes.refused(name, f"{_name(call)} is in training mode")
            return proceed()
        with _torch().inference_mode():
            output = proceed()
        notes.applied(name, _name(call))
        return output

    return change


def _autocast(value: Any, name: str, notes: Notes) -> Interceptor:
    """torch.autocast around every call. What comes out is float32 again, as the program expects."""

    def change(call: RootCall, proceed: Proceed) -> Any:
        torch = _torch()
        dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(str(value))
        if dtype is None:
            notes.refused(name, "autocast takes bfloat16 or float16")
            return proceed()
        first = next(iter(call.module.parameters()), None)
        device = "cpu" if first is None else first.device.type
        with torch.autocast(device, dtype=dtype):
            output = proceed()
        unscaled = ", without scaling of gradients" if call.training and value == "float16" else ""
        notes.applied(name, f"{_name(call)} on {device}{unscaled}")
        return _widened(torch, output, dtype)

    return change


def _widened(torch: Any, value: Any, narrow: Any) -> Any:
    """The same with tensors of the narrow type as float32."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype == narrow else value
    if isinstance(value, (list, tuple)):
        items = [_widened(torch, each, narrow) for each in value]
        if hasattr(value, "_fields"):  # a named tuple
            return type(value)(*items)
        return tuple(items) if type(value) is tuple else items
    if hasattr(value, "keys") and hasattr(value, "__setitem__"):
        for key in list(value.keys()):
            value[key] = _widened(torch, value[key], narrow)
    return value


def _channels_last(_: Any, name: str, notes: Notes) -> Interceptor:
    """Images and convolutions with channels last in memory."""
    done: set[int] = set()

    def change(call: RootCall, proceed: Proceed) -> Any:
        torch = _torch()
        module = call.module
        if id(module) not in done:
            if not any(each.dim() == 4 for each in module.parameters()):
                notes.refused(name, f"{_name(call)} has no two-dimensional convolution")
                return proceed()
            module.to(memory_format=torch.channels_last)
            done.add(id(module))

        def arrange(each: Any) -> Any:
            if isinstance(each, torch.Tensor) and each.dim() == 4:
                return each.contiguous(memory_format=torch.channels_last)
            return each

        call.args, call.kwargs = torch.utils._pytree.tree_map(arrange, (call.args, call.kwargs))
        notes.applied(name, _name(call))
        return proceed()

    return change


class _Compiled:
    """torch.compile of each root module; one that cannot be compiled runs as it is."""

    def __init__(self, value: Any, name: str, notes: Notes) -> None:
        self._options = value if isinstance(value, dict) else {}
        self._name = name
        self._notes = notes
        self._made: dict[int, tuple[Any, Any]] = {}  # the module stays, so that its id does

    def __call__(self, call: RootCall, proceed: Proceed) -> Any:
        module = call.module
        if type(module).__name__ == "OptimizedModule":
            self._notes.refused(self._name, f"the program compiles {_name(call)} itself")
            return proceed()
        found = self._made.get(id(module))
        if found is None:
            found = self._made[id(module)] = (module, self._compile(module))
        compiled = found[1]
        if compiled is None:
            return proceed()
        try:
            output = compiled(*call.args, **call.kwargs)
        except Exception as error:
            if not type(error).__module__.startswith("torch._"):
                raise  # the module's own
            self._made[id(module)] = (module, None)
            text = str(error).strip().partition("\n")[0]
            self._notes.refused(self._name, f"{type(error).__name__}: {text}")
            return proceed()
        self._notes.applied(self._name, _name(call))
        return output

    def _compile(self, module: Any) -> Any:
        try:
            return _torch().compile(module, **self._options)
        except Exception as error:  # noqa: BLE001 - another version, or options it has not
            self._notes.refused(self._name, f"{type(error).__name__}: {error}")
            return None


class _Replaced:
    """Another implementation in place of a root module, made by a factory.

    {"factory": "/path/file.py:function", "class": "Net", "options": {...}, "training": false}

    `function(module, args, kwargs, options)` is called at the module's first call, in the program's
    own interpreter, and returns what is called in its place; it may raise to say why it cannot.
    """

    def __init__(self, value: Any, name: str, notes: Notes) -> None:
        self._value = value
        self._name = name
        self._notes = notes
        self._made: dict[int, tuple[Any, Any]] = {}

    def __call__(self, call: RootCall, proceed: Proceed) -> Any:
        module = own_module(call.module)
        wanted = self._value.get("class")
        if wanted and wanted != type(module).__name__:
            return proceed()
        if call.training and not self._value.get("training"):
            self._notes.refused(self._name, f"{_name(call)} is in training mode")
            return proceed()
        found = self._made.get(id(module))
        if found is None:
            found = self._made[id(module)] = (module, self._make(module, call))
        made = found[1]
        if made is None:
            return proceed()
        output = made(*call.args, **call.kwargs)
        why = getattr(made, "refused", "")  # so far, it could not do its work
        if why:
            self._notes.refused(self._name, str(why))
        elif found is not self._notes.latest:  # small models notice even this
            self._notes.applied(self._name, _name(call))
            self._notes.latest = found
        return output

    def _make(self, module: Any, call: RootCall) -> Any:
        hooks = ("_forward_hooks", "_forward_pre_hooks")
        if any(getattr(module, each, None) for each in hooks):
            self._notes.refused(self._name, f"the program has hooks on {_name(call)}")
            return None
        try:
            factory = _load(str(self._value["factory"]))
            options = dict(self._value.get("options") or {})
            with own_work.making():
                made = factory(module, call.args, call.kwargs, options)
        except Exception as error:  # noqa: BLE001 - the factory's way to say no
            self._notes.refused(self._name, f"{type(error).__name__}: {error}")
            return None
        if made is None:
            self._notes.refused(self._name, f"the factory has nothing for {_name(call)}")
        return made


def _load(place: str) -> Any:
    """The function that `/path/file.py:function` names. Its module is in no one's way."""
    import importlib.util

    path, _, function = place.rpartition(":")
    spec = importlib.util.spec_from_file_location("_frugalwatch_replacement", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, function)


# By name: its place from the inside out, and what makes it. The mode is set before what depends on
# it, inputs are arranged before a compiled or other implementation takes them.
SWITCHES: dict[str, tuple[int, Callable[[Any, str, Notes], Interceptor]]] = {
    "replace": (0, _Replaced),
    "compile": (1, _Compiled),
    "channels_last": (2, _channels_last),
    "autocast": (3, _autocast),
    "inference_mode": (4, _inference_mode),
    "eval": (5, _eval),
}
