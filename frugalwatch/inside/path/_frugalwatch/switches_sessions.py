"""Switches that concern ONNX Runtime sessions, whoever makes them.

{"switches": {"session_threads": 1, "session_spinning": "off", "session_optimization": "all",
              "session_model": {"/models/a.onnx": "/artefacts/a-int8.onnx"}}}
"""

from __future__ import annotations

import os

from .sessions import MODULE, name_of, path_of, when_made

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any  # onnxruntime's own objects

    from .switches import Notes

_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
_SPINNING = ("session.intra_op.allow_spinning", "session.inter_op.allow_spinning")


def _threads(module: Any, value: Any, name: str, notes: Notes) -> None:
    """Threads of one operation, those of the session's own pool; one uses no pool at all."""

    def change(model: Any, options: Any) -> tuple[Any, Any]:
        before = options.intra_op_num_threads
        options.intra_op_num_threads = int(value)
        notes.applied(name, f"{name_of(model)}, was {before or 'as many as cores'}")
        return model, options

    _each(module, name, notes, change)


def _spinning(module: Any, value: Any, name: str, notes: Notes) -> None:
    """Threads that wait for work by sleeping ("off"), not by spinning."""
    if value != "off":
        notes.refused(name, "it is off or as the program has it")
        return

    def change(model: Any, options: Any) -> tuple[Any, Any]:
        for key in _SPINNING:
            options.add_session_config_entry(key, "0")
        notes.applied(name, name_of(model))
        return model, options

    _each(module, name, notes, change)


def _optimization(module: Any, value: Any, name: str, notes: Notes) -> None:
    """How far the graph is rewritten when the session is made."""
    level = getattr(module.C.GraphOptimizationLevel, _LEVELS[str(value)])

    def change(model: Any, options: Any) -> tuple[Any, Any]:
        before = str(options.graph_optimization_level).rpartition(".")[2]
        options.graph_optimization_level = level
        notes.applied(name, f"{name_of(model)}, was {before}")
        return model, options

    _each(module, name, notes, change)


def _model(module: Any, value: Any, name: str, notes: Notes) -> None:
    """Another file in place of the one that the program names."""
    files = {os.path.realpath(str(old)): str(new) for old, new in dict(value).items()}

    def change(model: Any, options: Any) -> tuple[Any, Any]:
        path = path_of(model)
        if path is None:
            notes.refused(name, "the program makes its session from bytes, not from a file")
            return model, options
        other = files.get(path)
        if other is None:
            notes.refused(name, f"nothing was built for {path}")
            return model, options
        if not os.path.exists(other):
            notes.refused(name, f"{other} is gone")
            return model, options
        notes.applied(name, f"{other} for {os.path.basename(path)}")
        return other, options

    _each(module, name, notes, change)


def _each(
    module: Any, name: str, notes: Notes, change: Callable[[Any, Any], tuple[Any, Any]]
) -> None:
    def safely(model: Any, options: Any) -> tuple[Any, Any]:
        try:
            return change(model, options)
        except Exception as error:  # noqa: BLE001 - the session is made as the program wants it
            notes.refused(name, f"{type(error).__name__}: {error}")
            return model, options

    when_made(module, safely, None)
    notes.expect(name, "the program made no ONNX Runtime session")


SWITCHES: dict[str, tuple[str, Callable[[Any, Any, str, Notes], None]]] = {
    "session_threads": (MODULE, _threads),
    "session_spinning": (MODULE, _spinning),
    "session_optimization": (MODULE, _optimization),
    "session_model": (MODULE, _model),
}
