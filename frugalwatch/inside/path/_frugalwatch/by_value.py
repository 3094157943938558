"""Pickles functions and classes with their code, for environments that have no cloudpickle.

Enough for what modules are made of: classes with methods, closures and `super()`, properties, plain
functions, lambdas, dataclasses. Not for enumerations, generators and whatever holds a lock or a
file: pickling those raises, and the capture says so. A pickle of this kind loads in the same minor
version of Python, with this package at hand.
"""

from __future__ import annotations

import builtins
import marshal
import pickle
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LEFT_OUT = frozenset(("__dict__", "__weakref__", "_abc_impl", "__abstractmethods__"))
_EMPTY_CELL = "frugalwatch empty cell"


class ByValuePickler(pickle.Pickler):
    """Functions and classes of the modules in `local`, and nameless ones, go by value."""

    def __init__(self, file: Any, local: set[str]) -> None:
        super().__init__(file, 5)
        self.local = local

    def reducer_override(self, value: Any) -> Any:
        """How to make the value again; NotImplemented where pickle knows itself."""
        if isinstance(value, types.ModuleType):
            return _import, (value.__name__,)
        if isinstance(value, types.FunctionType):
            return _reduced_function(value) if self._by_value(value) else NotImplemented
        if isinstance(value, type):
            return _reduced_class(value) if self._by_value(value) else NotImplemented
        if isinstance(value, property):
            return property, (value.fget, value.fset, value.fdel, value.__doc__)
        if isinstance(value, (staticmethod, classmethod)):
            return type(value), (value.__func__,)
        if isinstance(value, types.MappingProxyType):
            return types.MappingProxyType, (dict(value),)
        return NotImplemented

    def _by_value(self, value: Any) -> bool:
        module = getattr(value, "__module__", None)
        if module in self.local:
            return True
        found: Any = sys.modules.get(module) if module else None
        for name in value.__qualname__.split("."):
            found = getattr(found, name, None)
        return found is not value and module != "builtins"


def _reduced_function(function: Any) -> Any:
    code = function.__code__
    names = _global_names(code)
    state = {
        "globals": {n: function.__globals__[n] for n in names if n in function.__globals__},
        "defaults": function.__defaults__,
        "kwdefaults": function.__kwdefaults__,
        "dict": dict(function.__dict__),
        "qualname": function.__qualname__,
        "doc": function.__doc__,
        "cells": [_content(cell) for cell in function.__closure__ or ()],
    }
    made = (marshal.dumps(code), function.__module__, function.__name__, len(code.co_freevars))
    return _make_function, made, state, None, None, _fill_function


def _global_names(code: Any) -> set[str]:
    """Global names that the code, or code inside it, may look up."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _global_names(constant)
    return found


def _content(cell: Any) -> Any:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return _EMPTY_CELL


def _reduced_class(kind: Any) -> Any:
    import enum

    if isinstance(kind, enum.EnumMeta):
        raise pickle.PicklingError(f"{kind.__name__}: enumerations need cloudpickle")
    state = {name: value for name, value in vars(kind).items() if name not in _LEFT_OUT}
    for name in state.get("__slots__", ()) if not isinstance(state.get("__slots__"), str) else ():
        state.pop(name, None)
    start = {n: state.pop(n) for n in ("__module__", "__slots__", "__qualname__") if n in state}
    start["__qualname__"] = kind.__qualname__
    made = (type(kind), kind.__name__, kind.__bases__, start)
    return _make_class, made, state, None, None, _fill_class


# What follows is called while a pickle is loaded.

_namespaces: dict[str, dict[str, Any]] = {}


def _import(name: str) -> Any:
    __import__(name)
    return sys.modules[name]


def _make_function(code: bytes, module: str, name: str, cells: int) -> Any:
    namespace = _namespaces.setdefault(module, {"__name__": module, "__builtins__": builtins})
    closure = tuple([types.CellType() for _ in range(cells)])
    return types.FunctionType(marshal.loads(code), namespace, name, None, closure)


def _fill_function(function: Any, state: dict[str, Any]) -> None:
    function.__globals__.update(state["globals"])
    function.__defaults__ = state["defaults"]
    function.__kwdefaults__ = state["kwdefaults"]
    function.__dict__.update(state["dict"])
    function.__qualname__ = state["qualname"]
    function.__doc__ = state["doc"]
    for cell, content in zip(function.__closure__ or (), state["cells"]):
        if content != _EMPTY_CELL:
            cell.cell_contents = content[0]


def _make_class(meta: Any, name: str, bases: tuple[type, ...], start: dict[str, Any]) -> Any:
    return types.new_class(name, bases, {"metaclass": meta}, lambda space: space.update(start))


def _fill_class(kind: Any, state: dict[str, Any]) -> None:
    for name, value in state.items():
        setattr(kind, name, value)
