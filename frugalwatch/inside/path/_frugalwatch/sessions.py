"""How ONNX Runtime sessions are made: seen by the advisor's look, and changed by its switches."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any  # onnxruntime's own objects

    # From the model and the options that the program gave to those that the session is made with.
    Change = Callable[[Any, Any], "tuple[Any, Any]"]

MODULE = "onnxruntime.capi.onnxruntime_inference_collection"


def when_made(module: Any, change: Change | None, made: Callable[[Any], None] | None) -> None:
    """Have every session made with what `change` returns, and tell `made` of it.

    `change` must not raise. Options are never None: a program that gives none gets the defaults.
    """
    kind = module.InferenceSession
    own = kind.__init__

    def __init__(  # noqa: N807
        self: Any, path_or_bytes: Any, sess_options: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        if change is not None:
            options = module.C.SessionOptions() if sess_options is None else sess_options
            path_or_bytes, sess_options = change(path_or_bytes, options)
        own(self, path_or_bytes, sess_options, *args, **kwargs)
        if made is not None:
            made(self)

    __init__.__doc__, __init__.__wrapped__ = own.__doc__, own  # type: ignore[attr-defined]
    kind.__init__ = __init__


def path_of(model: Any) -> str | None:
    """The file that a session is made from; None for bytes."""
    try:
        return os.path.realpath(os.fsdecode(os.fspath(model))) if not _is_bytes(model) else None
    except TypeError:
        return None


def name_of(model: Any) -> str:
    """What a note calls the model."""
    path = path_of(model)
    return "a model in memory" if path is None else os.path.basename(path)


def _is_bytes(model: Any) -> bool:
    # A path may be bytes too, but onnxruntime takes bytes for the model itself.
    return isinstance(model, (bytes, bytearray, memoryview))
