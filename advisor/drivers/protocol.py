"""A `workload.py`: functions of the user's that say what to load and what to call it with.

    def load_model(): ...         # what is called: a torch module, a session, a function
    def inputs(): ...             # what it is called with: a list, or anything to iterate over
    def evaluate(model): ...      # optional: how good it is, a number or a dict of numbers
    def train(model): ...         # optional: a training, for `advise workload.py --train`

An input that is a tuple is a call's arguments, a dict its named arguments; anything else is its
only argument. docs/reference/workload-file.md is the reference.
"""

from __future__ import annotations

import importlib.util
import os
import sys

from .job import Job, UnusableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any  # whatever the user's functions take and return

_MOST_INPUTS = 100_000


def load(order: argparse.Namespace) -> Job | None:
    """The user's model and inputs; None once it has trained. Raises UnusableError."""
    module = _load_file(order.path)
    name = os.path.basename(order.path)
    if order.train:
        train = _function(module, "train", name)
        model = module.load_model() if hasattr(module, "load_model") else None
        found = train(model)
        print(f"{name}: trained")
        for label, value in _numbers(found, "train", required=False).items():
            print(f"{label}: {value:.10g}")
        return None
    model = _function(module, "load_model", name)()
    if not callable(model) and not hasattr(model, "run"):
        raise UnusableError(f"load_model() of {name} returned {type(model).__name__}, no model")
    requests = []
    for request in _function(module, "inputs", name)():
        requests.append(request)
        if len(requests) >= _MOST_INPUTS:
            break
    evaluate = getattr(module, "evaluate", None)
    return Job(
        name,
        requests,
        lambda request: _call(model, request),
        inputs="own",
        at_end=None if evaluate is None else lambda: _numbers(evaluate(model), "evaluate"),
    )


def _load_file(path: str) -> Any:
    """The file as a module of its own name, so that what it defines can be pickled."""
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UnusableError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _function(module: Any, name: str, file: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if not callable(found):
        raise UnusableError(f"{file} defines no {name}()", "docs/reference/workload-file.md")
    function: Callable[..., Any] = found
    return function


def _call(model: Any, request: Any) -> object:
    if not callable(model):  # a session of ONNX Runtime
        return model.run(None, request)
    if isinstance(request, tuple):
        return model(*request)
    if isinstance(request, dict):
        return model(**request)
    return model(request)


def _numbers(found: Any, what: str, *, required: bool = True) -> dict[str, float]:
    """A number, or several by name."""
    if found is None and not required:
        return {}
    pairs = found.items() if isinstance(found, dict) else [(what, found)]
    try:
        return {str(name): float(value) for name, value in pairs}
    except (TypeError, ValueError):
        raise UnusableError(
            f"{what}() returned {type(found).__name__}, neither a number nor a dict of numbers"
        ) from None
