"""Runs what AOTInductor compiled ahead of time in place of the torch module that it came from.

A folder holds the package (`model.pt2`), what goes in and comes out (`signature.json`), this file
(`load.py`) and the one that it builds on (`swapped.py`). They need the torch that it was compiled
with, and a CPU that can do all that the compiling one could: another one is refused, since code for
missing instructions would end the program.

    from load import load
    model = load()              # or load(own=the_torch_module) for calls that it was not made for
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from typing import Any  # torch, modules and tensors are of the job's own version

_HERE = os.path.dirname(os.path.abspath(__file__))


def _swapped() -> Any:
    """The file that takes calls apart and puts answers together, beside this one."""
    names = [os.path.join(_HERE, name) for name in ("swapped.py", "onnx_swap.py")]
    path = next(each for each in names if os.path.exists(each))
    spec = importlib.util.spec_from_file_location("_frugalwatch_swapped", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_ours = _swapped()
# For compiling, which checks what it has made by these.
RefusedError = _ours.RefusedError
add_path = _ours.add_path
read_signature = _ours.read_signature
parameters_of = _ours.parameters_of
taken_apart = _ours.taken_apart
relative_distance = _ours.relative_distance
tensors_of = _ours.tensors_of
weights_digest = _ours.weights_digest


def make(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]
) -> Any:
    """What is called in place of `module`. Raises RefusedError as load does, and for another one.

    `options`: `folder`.
    """
    del args, kwargs
    folder = str(options.get("folder") or _HERE)
    _ours.refuse_other(module, read_signature(folder))
    return load(folder, own=module)


def load(folder: str = _HERE, *, own: Any = None) -> Any:
    """The compiled model as a callable. Raises RefusedError for another torch or a lesser CPU."""
    import torch

    signature = read_signature(folder)
    built = signature["built_for"]
    if built["torch"] != str(torch.__version__):
        raise RefusedError(f"it was compiled with torch {built['torch']}: run advise again")
    missing = sorted(set(built["cpu_flags"]) - set(built_for()["cpu_flags"]))
    if missing:
        raise RefusedError(f"it was compiled for another CPU, which has {missing[0]}")
    path = os.path.join(folder, "model.pt2")
    return _ours.Swapped(signature, _runner(signature, path), own)


def built_for() -> dict[str, Any]:
    """What a package fits: this torch, and what this CPU can do."""
    import torch

    flags: list[str] = []
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            lines = (line.partition(":") for line in file)
            flags = next((v.split() for n, _, v in lines if n.strip() in ("flags", "Features")), [])
    except OSError:
        pass
    return {"torch": str(torch.__version__), "cpu_flags": sorted(flags)}


def _runner(signature: Mapping[str, Any], path: str) -> Callable[[Any], Any]:
    """Tensors by name in, tensors by name out."""
    import torch

    inductor: Any = torch._inductor
    # One runner: a copy of the constants each, and one request at a time in this process's thread.
    compiled = inductor.aoti_load_package(path, run_single_threaded=True)
    inputs = [each["name"] for each in signature["inputs"]]

    def run(tensors: Mapping[str, Any]) -> dict[str, Any]:
        with torch.inference_mode(False), torch.no_grad():
            found = compiled(*[tensors[name].detach().contiguous() for name in inputs])
        many = found if isinstance(found, (list, tuple)) else [found]
        return {f"out_{at}": each for at, each in enumerate(many)}

    return run
