"""Captured inputs as the feeds of an ONNX model. In a building process only: needs NumPy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any  # NumPy's arrays

# What NumPy calls the types of safetensors; bfloat16 it has not.
_TYPES = {
    "F32": "<f4",
    "F64": "<f8",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}


def read_signature(folder: str) -> dict[str, Any]:
    """What the exported model takes and answers."""
    with open(os.path.join(folder, "signature.json"), encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    return found


def feeds(signature: Mapping[str, Any], paths: list[str]) -> Iterator[dict[str, Any]]:
    """Each captured call as arrays by the model's names; calls of another form are left out."""
    for path in paths:
        tensors, structure = read_tensors(path)
        leaves: dict[tuple[Any, ...], Any] = {}
        for at, node in enumerate(structure["args"]["list"] if "args" in structure else ()):
            names = signature["parameters"]
            _collect((names[at] if at < len(names) else f"*{at}",), node, tensors, leaves)
        for name, node in structure["kwargs"]["dict"]:
            _collect((name,), node, tensors, leaves)
        wanted = {each["name"]: tuple(each["path"]) for each in signature["inputs"]}
        if set(wanted.values()) == set(leaves):
            yield {name: leaves[place] for name, place in wanted.items()}


def first_row(signature: Mapping[str, Any], feed: Mapping[str, Any]) -> dict[str, Any]:
    """The first row of a batch; the whole feed where its inputs are not rows of one."""
    open_batch = all(each["dims"][:1] == [None] for each in signature["inputs"])
    sizes = {value.shape[:1] for value in feed.values()}
    if not open_batch or len(sizes) != 1:
        return dict(feed)
    return {name: value[:1] for name, value in feed.items()}


def read_tensors(path: str) -> tuple[dict[str, Any], Any]:
    """Arrays by name out of a safetensors file, and the structure that they stood in."""
    import numpy

    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    about = header.pop("__metadata__", {})
    found = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = numpy.frombuffer(data[begin:end], dtype=_TYPES[entry["dtype"]])
        found[name] = flat.reshape(entry["shape"])
    return found, json.loads(about.get("structure", "{}"))


def _collect(
    path: tuple[Any, ...],
    node: Mapping[str, Any],
    tensors: Mapping[str, Any],
    leaves: dict[tuple[Any, ...], Any],
) -> None:
    if "tensor" in node:
        leaves[path] = tensors[node["tensor"]]
    for at, each in enumerate(node.get("list", node.get("tuple", ()))):
        _collect((*path, at), each, tensors, leaves)
    for name, each in node.get("dict", ()):
        _collect((*path, name), each, tensors, leaves)
