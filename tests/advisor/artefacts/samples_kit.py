"""A captured call as a file, as the hook writes it; without the hook."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any


def write_call(folder: Path, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """A file as docs/reference/hook-contract.md describes it; tensors of int64 and float32 only."""
    tensors: dict[str, Any] = {}

    def flat(value: Any, name: str) -> dict[str, Any]:
        if isinstance(value, (list, tuple)):
            return {"list": [flat(each, f"{name}.{at}") for at, each in enumerate(value)]}
        if isinstance(value, dict):
            return {"dict": [[key, flat(each, f"{name}.{key}")] for key, each in value.items()]}
        tensors[name] = value
        return {"tensor": name}

    structure = {"args": flat(list(args), "in"), "kwargs": flat(kwargs, "in")}
    header: dict[str, Any] = {"__metadata__": {"structure": json.dumps(structure)}}
    body = b""
    for name, tensor in tensors.items():
        values = tensor.numpy() if hasattr(tensor, "numpy") else tensor
        raw, kind = values.tobytes(), {"i8": "I64", "f4": "F32"}[values.dtype.str[1:]]
        place = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": place}
        body += raw
    text = json.dumps(header).encode()
    path = os.path.join(folder, f"{number:06d}-in.safetensors")
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)
    return path
