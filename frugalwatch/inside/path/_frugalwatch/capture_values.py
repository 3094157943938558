"""Inputs and outputs of a call as plain files: tensors as safetensors, what holds them as JSON.

No pickle, so a sample can be read anywhere and by anybody: eight bytes that say how long the
header is, the header as JSON (name, type, shape and place of each tensor), then their bytes. The
structure, which says where in lists, dicts and named tuples each tensor stood, is in the header's
`__metadata__`, as the format has it for text of the writer's own.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO  # values are the job's own

# How safetensors names what torch calls by the text of its dtype.
TYPE_NAMES = {
    "torch.bool": "BOOL",
    "torch.uint8": "U8",
    "torch.int8": "I8",
    "torch.uint16": "U16",
    "torch.int16": "I16",
    "torch.uint32": "U32",
    "torch.int32": "I32",
    "torch.uint64": "U64",
    "torch.int64": "I64",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.float32": "F32",
    "torch.float64": "F64",
    "torch.complex64": "C64",
    "torch.float8_e4m3fn": "F8_E4M3",
    "torch.float8_e5m2": "F8_E5M2",
}
_DEEPEST = 12
_LONGEST_TEXT = 1 << 16
_MOST_ITEMS = 10_000
_ALIGNMENT = 8


class Flat:
    """Values taken apart: `structure` is JSON, `tensors` are on the CPU, contiguous and detached.

    `missing` says of each part that is not kept where it stood and why; with any of it the call
    cannot be repeated.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._names: dict[int, str] = {}
        self._alive: list[Any] = []  # an id is a name only while its object lives
        self.tensors: dict[str, Any] = {}
        self.missing: list[str] = []

    def add(self, value: Any, name: str, depth: int = 0) -> dict[str, Any]:
        """The structure of `value`; its tensors are called `name` and what stands below it."""
        torch = self._torch
        if isinstance(value, torch.Tensor):
            return self._tensor(value, name)
        if depth >= _DEEPEST:
            return self._other(value, name, "nested too deeply")
        if value is None or isinstance(value, (bool, int)):
            return {"value": value}
        if isinstance(value, float):
            return {"value": value} if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, str):
            if len(value) > _LONGEST_TEXT:
                return self._other(value, name, "a text longer than 64 KiB")
            return {"value": value}
        if isinstance(value, (torch.dtype, torch.device)):
            return {"torch": str(value)}
        if isinstance(value, (list, tuple)):
            return self._sequence(value, name, depth)
        if is_mapping(value):
            return self._mapping(value, name, depth)
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.ndarray):
            try:  # a copy, since torch warns of one that cannot be written to
                return {**self._tensor(torch.from_numpy(numpy.array(value)), name), "numpy": True}
            except TypeError:  # of strings or objects
                return self._other(value, name, "an array of " + str(value.dtype))
        fields = getattr(type(value), "__dataclass_fields__", None)
        if fields is not None:
            items = {each: getattr(value, each, None) for each in fields}
            return {**self._mapping(items, name, depth), "class": class_name(value)}
        return self._other(value, name, "no tensor, number or text")

    def _tensor(self, value: Any, name: str) -> dict[str, Any]:
        known = self._names.get(id(value))
        if known is not None:
            return {"tensor": known}
        try:
            plain = plain_tensor(self._torch, value)
        except UnstorableError as problem:
            return self._other(value, name, str(problem))
        self._names[id(value)] = name
        self._alive.append(value)
        self.tensors[name] = plain
        return {"tensor": name}

    def _sequence(self, value: Any, name: str, depth: int) -> dict[str, Any]:
        if len(value) > _MOST_ITEMS:
            return self._other(value, name, "too many items")
        items = [self.add(each, f"{name}.{at}", depth + 1) for at, each in enumerate(value)]
        if isinstance(value, list):
            return {"list": items}
        found: dict[str, Any] = {"tuple": items}
        if type(value) is not tuple:
            found["class"] = class_name(value)
        return found

    def _mapping(self, value: Any, name: str, depth: int) -> dict[str, Any]:
        if len(value) > _MOST_ITEMS:
            return self._other(value, name, "too many items")
        pairs = []
        for key, each in value.items():
            if not isinstance(key, (str, int, float, bool, type(None))):
                return self._other(value, name, "a dict whose keys are no text and no numbers")
            pairs.append([key, self.add(each, f"{name}.{key}", depth + 1)])
        found: dict[str, Any] = {"dict": pairs}
        if type(value) is not dict:
            found["class"] = class_name(value)
        return found

    def _other(self, value: Any, name: str, why: str) -> dict[str, Any]:
        self.missing.append(f"{name}: {class_name(value)} ({why})")
        return {"other": class_name(value), "why": why}

    def size_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum([byte_count(tensor) for tensor in self.tensors.values()])

    def shapes(self) -> dict[str, list[Any]]:
        """By name of the tensor: its type and its shape."""
        return {
            name: [TYPE_NAMES[str(tensor.dtype)], list(tensor.shape)]
            for name, tensor in self.tensors.items()
        }

    def digest(self, structure: object) -> str:
        """The same for the same values, of 128 bits."""
        found = hashlib.blake2b(digest_size=16)
        shapes = [[name, *rest] for name, rest in self.shapes().items()]
        found.update(json.dumps([structure, shapes]).encode())
        for tensor in self.tensors.values():
            found.update(raw_bytes(tensor))
        return found.hexdigest()


class UnstorableError(Exception):
    """A tensor that has no plain bytes; the text says why."""


def plain_tensor(torch: Any, value: Any) -> Any:
    """The tensor's values on the CPU, contiguous, outside of autograd. Raises UnstorableError.

    Copies only what is not so already: the bytes must be used before the job goes on.
    """
    functorch = getattr(torch._C, "_functorch", None)
    if getattr(functorch, "is_functorch_wrapped_tensor", _never)(value):
        raise UnstorableError("inside vmap or grad")
    if value.layout is not torch.strided or value.is_quantized or value.is_meta or value.is_nested:
        raise UnstorableError("sparse, quantized, nested or without values")
    if str(value.dtype) not in TYPE_NAMES:
        raise UnstorableError(str(value.dtype))
    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        if hasattr(value, "__torch_dispatch__") and not _plain_subclass(torch, value):
            raise UnstorableError("a tensor of its own kind, " + class_name(value))
        value = value.as_subclass(torch.Tensor)
    if value.is_cuda and torch.cuda.is_current_stream_capturing():
        raise UnstorableError("inside the recording of a CUDA graph")
    with torch.no_grad():
        return value.detach().cpu().resolve_conj().resolve_neg().contiguous()


def _never(_: object) -> bool:
    """Before torch has it, nothing is inside vmap or grad."""
    return False


def _plain_subclass(torch: Any, value: Any) -> bool:
    """Whether a subclass keeps its values as a plain tensor does."""
    return type(value).__torch_dispatch__ is torch.Tensor.__torch_dispatch__


def byte_count(tensor: Any) -> int:
    """Bytes of a tensor's values."""
    return int(tensor.numel()) * int(tensor.element_size())


def raw_bytes(tensor: Any) -> Any:
    """The bytes of a contiguous tensor on the CPU, where they are: no copy, and no NumPy needed."""
    count = byte_count(tensor)
    if not count:
        return b""
    return memoryview((ctypes.c_char * count).from_address(tensor.data_ptr())).cast("B")


def write_safetensors(file: BinaryIO, tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    """Write plain tensors as the safetensors format has them."""
    header: dict[str, Any] = {"__metadata__": metadata}
    at = 0
    for name, tensor in tensors.items():
        size = byte_count(tensor)
        header[name] = {
            "dtype": TYPE_NAMES[str(tensor.dtype)],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + size],
        }
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    file.write(struct.pack("<Q", len(text)) + text)
    for tensor in tensors.values():
        file.write(raw_bytes(tensor))


def is_mapping(value: object) -> bool:
    """Whether a value is a dict or something like it, such as a tokenizer's batch."""
    return isinstance(value, dict) or all(
        hasattr(type(value), each) for each in ("keys", "items", "__getitem__", "__len__")
    )


def containers_copied(value: Any, depth: int = 0) -> Any:
    """The value with its lists, tuples and dicts copied, so that a call can add nothing to them.

    What is only like a dict becomes one; tensors and everything else stay the same objects.
    """
    if depth >= _DEEPEST:
        return value
    if type(value) in (list, tuple):
        return type(value)([containers_copied(each, depth + 1) for each in value])
    if type(value) is dict or (is_mapping(value) and not isinstance(value, dict)):
        return {key: containers_copied(each, depth + 1) for key, each in value.items()}
    return value


def class_name(value: object) -> str:
    """Where the class of a value is defined."""
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"
