"""Calls that `run --capture` kept, made again on the modules that it stored, in their order.

As the program made them: with or without gradients, in inference mode or autocast as it was.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys

from .job import Job, UnusableError, first_line, mark_as_in_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any  # torch's own objects, and what JSON gives

_FROM_HERE = ("..", "..", "frugalwatch", "inside", "path")
_MOST_CALLS = 4096


def load(order: argparse.Namespace) -> Job:
    """The modules and their kept calls. Raises UnusableError."""
    loading = _loading()
    key = os.path.join(os.path.dirname(order.path), "key")
    process = os.path.join(order.path, "process-1")
    calls = _kept_calls(process)
    modules = {}
    for number in sorted({int(call["module"]) for call in calls}):
        folder = os.path.join(process, f"module-{number}")
        modules[number] = _module(loading, folder, key)
    requests = []
    for call in calls:
        try:
            requests.append((call, *loading.load_call(process, int(call["call"]))))
        except LookupError:  # a part of it could not be kept, so it cannot be repeated
            continue
    if not requests:
        raise UnusableError("no kept call of the capture can be repeated")
    return Job(
        os.path.basename(order.path),
        requests,
        lambda request: _call(modules[int(request[0]["module"])], *request),
        inputs="captured",
    )


def _loading() -> Any:
    """The hook's own reader: there under `frugalwatch run`, and found beside us without it."""
    name = "_frugalwatch.capture_load"
    try:
        return importlib.import_module(name)
    except ImportError:
        folder = os.path.dirname(os.path.abspath(__file__))
        sys.path.append(os.path.normpath(os.path.join(folder, *_FROM_HERE)))
        return importlib.import_module(name)


def _kept_calls(process: str) -> list[dict[str, Any]]:
    """Calls in use, not in training, whose inputs were kept."""
    found, trained = [], 0
    with open(os.path.join(process, "calls.jsonl"), encoding="utf-8") as file:
        for line in file:
            try:
                call = json.loads(line)
            except ValueError:  # cut off by a kill
                continue
            path = os.path.join(process, "calls", f"{call['call']:06d}-in.safetensors")
            if call.get("training") and call.get("grad"):
                trained += 1
            elif "error" not in call and os.path.exists(path):
                found.append(call)
    if not found:
        what = "only calls of a training" if trained else "no call with its inputs"
        raise UnusableError(
            f"the capture holds {what}", "advise on the command itself: frugalwatch advise -- ..."
        )
    return found[:_MOST_CALLS]


def _module(loading: Any, folder: str, key: str) -> Any:
    """The stored module, or else the exported program."""
    reasons = []
    for load in (loading.load_module, loading.load_program):
        try:
            module = load(folder, key)
            mark_as_in_use(module)
            return module
        except Exception as error:  # unpickling raises whatever the classes raise
            reasons.append(first_line(error))
    raise UnusableError(
        f"the model of the capture cannot be loaded: {'; '.join(reasons)}",
        "advise on the command itself: frugalwatch advise -- ...",
    )


def _call(module: Any, call: dict[str, Any], args: Any, kwargs: Any) -> object:
    import torch

    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.set_grad_enabled(bool(call.get("grad"))))
        if call.get("inference_mode"):
            stack.enter_context(torch.inference_mode())
        if call.get("autocast"):
            kind = getattr(torch, str(call["autocast"]).replace("torch.", ""), None)
            stack.enter_context(torch.autocast("cpu", dtype=kind))
        return module(*args, **kwargs)
