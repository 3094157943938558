"""Counts and times the requests that an ONNX Runtime session answers."""

from .outermost import Outermost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from .line import Line

_METHODS = ("run", "run_with_iobinding", "run_with_ort_values")


def start(module: "ModuleType", line: "Line") -> None:
    """Watch sessions; `module` is the one that defines `Session`."""
    calls = Outermost(line, "onnxruntime")
    for name in _METHODS:
        if name in module.Session.__dict__:
            calls.watch(module.Session, name, "request")
