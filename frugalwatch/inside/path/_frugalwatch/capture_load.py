"""Loads what a capture holds, in the interpreter that it was made with.

Only what this user made on this machine: a pickle runs code (see seal.py). The samples and weights
are plain safetensors and need none of this.
"""

from __future__ import annotations

import io
import json
import os
import pickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def load_module(folder: str, key_path: str) -> Any:
    """The captured module with its latest stored weights, in evaluation mode.

    `folder` is that of one module, `.../process-1/module-0`. Raises seal.NotOursError, LookupError
    where it was not stored, OSError, and what unpickling raises.
    """
    import torch

    from .capture_pickle import weight_reference

    weights = read_safetensors(os.path.join(folder, "weights.safetensors"))
    made: dict[str, Any] = {}

    def persistent_load(reference: Any) -> Any:
        name, is_parameter, requires_grad = weight_reference(reference)
        if name not in made:
            value = weights[name]
            made[name] = torch.nn.Parameter(value, requires_grad) if is_parameter else value
        return made[name]

    data = io.BytesIO(_sealed(folder, "pickle", "module.pickle", key_path))
    unpickler = pickle.Unpickler(data)
    unpickler.persistent_load = persistent_load  # type: ignore[method-assign]
    module = unpickler.load()
    module.eval()
    return module


def load_program(folder: str, key_path: str) -> Any:
    """The exported program as a callable module, with the latest stored weights.

    Raises as `load_module` does.
    """
    import torch

    from .capture_weights import named_tensors

    data = _sealed(folder, "program", "program.pt2", key_path)
    module = torch.export.load(io.BytesIO(data)).module()
    path = os.path.join(folder, "weights.safetensors")
    if os.path.exists(path):
        latest = read_safetensors(path)
        with torch.no_grad():
            for name, value in named_tensors(module):
                if name in latest:
                    value.copy_(latest[name])
    return module


def read_safetensors(path: str) -> dict[str, Any]:
    """Tensors by name, tied ones under each of their names. Raises OSError, ValueError."""
    import torch

    from .capture_values import TYPE_NAMES

    types: dict[str, Any] = {
        short: getattr(torch, long[6:], None) for long, short in TYPE_NAMES.items()
    }
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        data = bytearray(file.read())
    metadata = header.pop("__metadata__", {})
    found: dict[str, Any] = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        kind = types[entry["dtype"]]
        if begin == end:
            found[name] = torch.empty(entry["shape"], dtype=kind)
        else:
            flat = torch.frombuffer(memoryview(data)[begin:end], dtype=kind)
            found[name] = flat.reshape(entry["shape"]).clone()
    for name, first in json.loads(metadata.get("tied", "{}")).items():
        found[name] = found[first]
    return found


def _sealed(folder: str, part: str, name: str, key_path: str) -> bytes:
    from .seal import read_sealed

    with open(os.path.join(folder, "about.json"), encoding="utf-8") as file:
        about = json.load(file)
    stored = about.get(part, {})
    if "file" not in stored:
        raise LookupError(str(stored.get("why_not", "not stored")))
    return read_sealed(key_path, os.path.join(folder, name), name, stored.get("seal", ""))


def load_call(process: str, number: int, part: str = "in") -> Any:
    """What went into a kept call, as (args, kwargs), or with `part` "out" what came out.

    `process` is the folder of a process. Containers are plain: a named tuple comes back as a tuple,
    an output class as a dict. Raises OSError where the call is not kept, LookupError where a part
    of it could not be.
    """
    path = os.path.join(process, "calls", f"{number:06d}-{part}.safetensors")
    tensors = read_safetensors(path)
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    structure = json.loads(header["__metadata__"]["structure"])
    if part == "in":
        return tuple(_rebuilt(structure["args"], tensors)), _rebuilt(structure["kwargs"], tensors)
    return _rebuilt(structure["output"], tensors)


def _rebuilt(node: dict[str, Any], tensors: dict[str, Any]) -> Any:
    if "tensor" in node:
        value = tensors[node["tensor"]]
        return value.numpy() if node.get("numpy") else value
    if "list" in node:
        return [_rebuilt(each, tensors) for each in node["list"]]
    if "tuple" in node:
        return tuple([_rebuilt(each, tensors) for each in node["tuple"]])
    if "dict" in node:
        return {key: _rebuilt(each, tensors) for key, each in node["dict"]}
    if "float" in node:
        return float(node["float"])
    if "torch" in node:
        import torch

        text = str(node["torch"])
        return getattr(torch, text[6:]) if text.startswith("torch.") else torch.device(text)
    if "value" in node:
        return node["value"]
    raise LookupError(f"a {node.get('other')} that was not kept: {node.get('why')}")
