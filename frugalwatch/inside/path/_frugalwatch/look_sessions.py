"""Looks at a program's ONNX Runtime sessions for the advisor, and keeps what they answer.

What is written is of the same form as for root modules (look.py): `sessions-PID.json`, and for a
sample of requests what came out, as safetensors with the rows that answers are compared by. Worked
out by NumPy, without which onnxruntime has no session: the program need not have torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time

from . import own_work
from .sessions import MODULE, path_of, when_made

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # onnxruntime's and NumPy's own objects

    from .line import Line

_TYPES = {
    "float32": "F32",
    "float64": "F64",
    "float16": "F16",
    "int8": "I8",
    "uint8": "U8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "bool": "BOOL",
}
_ALL_UP_TO_BITS = 11  # every request up to 2048, then every second one, every fourth ...
_CALL_BYTES = 16 << 20
_ALL_BYTES = 128 << 20
_WIDEST = 4096
_MOST_SHAPES = 50
_PERIOD_NS = 1_000_000_000


class SessionLook:
    """What was seen so far in this process."""

    def __init__(self, folder: str, line: Line, *, inputs: bool = False) -> None:
        self._folder = folder
        self._with_inputs = inputs
        self._line = line
        self._restart()
        os.register_at_fork(after_in_child=self._restart)
        line.add_source(self.tell)

    def _restart(self) -> None:
        self._seen: dict[int, dict[str, Any]] = {}
        self._shapes: dict[int, set[str]] = {}
        self._calls = 0
        self._bytes = 0
        self._told_ns = 0

    def made(self, session: Any) -> None:
        """Note what a session is; one that runs in place of a module is not the program's."""
        if own_work.is_making():
            return
        try:
            self._seen[id(session)] = described(session)
        except Exception as error:  # noqa: BLE001 - the program has its session
            self._line.problem("look", error)

    def answered(self, session: Any, feed: Any, names: Any, outputs: Any) -> None:
        """Count a request, and keep its answer if it is in the sample."""
        seen = self._seen.get(id(session))
        if seen is None:
            return
        number, self._calls = self._calls, self._calls + 1
        if not isinstance(feed, dict):
            return
        seen["calls"] += 1
        shapes = self._shapes.setdefault(id(session), set())
        if len(shapes) < _MOST_SHAPES:
            shapes.add(str({name: getattr(each, "shape", None) for name, each in feed.items()}))
            seen["shapes_count"] = len(shapes)
        if number % (1 << max(0, number.bit_length() - _ALL_UP_TO_BITS)) == 0:
            named = names or [name for name, _, _ in seen["outputs"]]
            self._keep(number, str(seen["model"] or "session"), feed, dict(zip(named, outputs)))

    def _keep(self, number: int, model: str, feed: dict[str, Any], outputs: dict[str, Any]) -> None:
        import numpy

        arrays = {name: _array(numpy, each) for name, each in outputs.items()}
        tensors = {f"out.{name}": each for name, each in arrays.items() if each is not None}
        size = sum([each.nbytes for each in tensors.values()])
        if not tensors or size > _CALL_BYTES or self._bytes + size > _ALL_BYTES:
            return
        self._bytes += size
        inputs = {name: numpy.ascontiguousarray(each) for name, each in feed.items()}
        if self._with_inputs:
            self._keep_inputs(number, inputs)
            return
        mask = _mask(inputs)
        rows = {}
        for name, each in tensors.items():
            for how, row in _rows(numpy, each, mask).items():
                rows[f"rows:{how}:{name[4:]}"] = numpy.ascontiguousarray(row)
        about = {
            "inputs": _digest(inputs),
            "outputs": _digest(tensors),
            "learning": "no",
            "module": os.path.basename(model),
            "items": json.dumps(_items(inputs, mask)),
            "masked": "no" if mask is None else "yes",
        }
        self._write("outputs", number, {**rows, **tensors}, about)

    def _keep_inputs(self, number: int, inputs: dict[str, Any]) -> None:
        size = sum([each.nbytes for each in inputs.values()])
        if self._bytes + size > _ALL_BYTES or any(
            str(a.dtype) not in _TYPES for a in inputs.values()
        ):
            return
        self._bytes += size
        rows = max([each.shape[0] for each in inputs.values() if each.ndim], default=1)
        about = {"inputs": _digest(inputs), "rows": str(rows)}
        self._write("inputs", number, inputs, about)

    def _write(self, what: str, number: int, arrays: dict[str, Any], about: dict[str, str]) -> None:
        folder = os.path.join(self._folder, f"{what}-{os.getpid()}")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"{number:09d}.safetensors"), "wb") as file:
            file.write(_safetensors(arrays, about))

    def tell(self, final: bool) -> None:
        """Write down what was seen, at most every second and at the end."""
        now_ns = time.monotonic_ns()
        if not self._seen or (not final and now_ns - self._told_ns < _PERIOD_NS):
            return
        self._told_ns = now_ns
        path = os.path.join(self._folder, f"sessions-{os.getpid()}.json")
        with open(path + ".new", "w") as file:
            json.dump({"pid": os.getpid(), "sessions": list(self._seen.values())}, file)
        os.rename(path + ".new", path)


def described(session: Any) -> dict[str, Any]:
    """What a session was made from and how, as JSON."""
    options = session.get_session_options()
    path = path_of(session._model_path) if session._model_path else None
    return {
        "model": path,
        "bytes": os.path.getsize(path) if path and os.path.exists(path) else None,
        "providers": list(session.get_providers()),
        "threads": int(options.intra_op_num_threads),
        "spinning": _spins(options),
        "optimization": str(options.graph_optimization_level).rpartition(".")[2],
        "inputs": [[each.name, each.type, _plain(each.shape)] for each in session.get_inputs()],
        "outputs": [[each.name, each.type, _plain(each.shape)] for each in session.get_outputs()],
        "calls": 0,
        "shapes_count": 0,
    }


def _spins(options: Any) -> bool:
    try:
        return bool(options.get_session_config_entry("session.intra_op.allow_spinning") != "0")
    except RuntimeError:  # never set: ONNX Runtime spins by default
        return True


def _plain(shape: Any) -> list[Any]:
    return [each if isinstance(each, int) else str(each) for each in shape or ()]


def _array(numpy: Any, value: Any) -> Any:
    """A plain array of a type that can be kept, or None."""
    if isinstance(value, numpy.ndarray) and str(value.dtype) in _TYPES:
        return numpy.ascontiguousarray(value)
    return None


def _mask(inputs: dict[str, Any]) -> Any:
    """True where there is a token, by an input that is called a mask; None without one."""
    for name, each in inputs.items():
        if "mask" in name.lower() and each.ndim == 2 and each.dtype.kind in "iub":
            return each != 0
    return None


def _rows(numpy: Any, output: Any, mask: Any) -> dict[str, Any]:
    """As look_rows.py makes them of tensors."""
    if output.dtype.kind != "f":
        return {"top": output.astype("int64").reshape(-1, 1)} if output.ndim == 1 else {}
    numbers = output.astype("float32")
    if numbers.ndim < 2:
        return {"row": numbers.reshape(-1, 1)}
    if numbers.ndim == 2:
        if numbers.shape[1] <= _WIDEST:
            return {"row": numbers}
        return {"top": numbers.argmax(1).reshape(-1, 1)}
    if numbers.ndim != 3 or not numbers.size:
        return {}
    tokens = numbers.argmax(2).astype("int32")
    if mask is None or mask.shape != numbers.shape[:2]:
        mean, first = numbers.mean(1), numbers[:, 0]
    else:
        tokens[~mask] = -1
        weights = mask[:, :, None].astype("float32")
        mean = (numbers * weights).sum(1) / weights.sum(1).clip(1)
        first = numbers[numpy.arange(len(numbers)), mask.argmax(1)]
    if numbers.shape[2] > _WIDEST:
        return {"tokens": tokens}
    return {"mean": mean, "first": first, "tokens": tokens}


def _items(inputs: dict[str, Any], mask: Any) -> list[str]:
    """A digest of each input of the batch, padding left out."""
    sizes = [each.shape[0] for each in inputs.values() if each.ndim]
    batch = max(sizes, key=sizes.count) if sizes else 0
    found = []
    for place in range(batch):
        own = {}
        for name, each in inputs.items():
            row = each[place] if each.ndim and each.shape[0] == batch else each
            if mask is not None and each.shape[:2] == mask.shape:
                row = row[mask[place]]
            own[name] = row
        found.append(_digest(own))
    return found


def _digest(arrays: dict[str, Any]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for name, each in arrays.items():
        found.update(f"{name} {each.dtype} {each.shape}".encode())
        found.update(each.tobytes())
    return found.hexdigest()


def _safetensors(arrays: dict[str, Any], about: dict[str, str]) -> bytes:
    header: dict[str, Any] = {"__metadata__": about}
    at = 0
    for name, each in arrays.items():
        header[name] = {
            "dtype": _TYPES[str(each.dtype)],
            "shape": list(each.shape),
            "data_offsets": [at, at + each.nbytes],
        }
        at += each.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *(a.tobytes() for a in arrays.values())])


def start(options: dict[str, Any], line: Line) -> None:
    """Look at the sessions of this process."""
    from .imports import when_imported

    look = SessionLook(str(options["folder"]), line, inputs=bool(options.get("inputs")))

    def watch(module: Any) -> None:
        kind = module.Session
        own = kind.__dict__["run"]

        def run(self: Any, output_names: Any, input_feed: Any, *args: Any, **kwargs: Any) -> Any:
            found = own.__get__(self, type(self))(output_names, input_feed, *args, **kwargs)
            try:
                with own_work.counted():
                    look.answered(self, input_feed, output_names, found)
            except Exception as error:  # noqa: BLE001 - the program has its answer
                line.problem("look", error)
            return found

        kind.run = run
        when_made(module, None, look.made)

    when_imported(MODULE, watch)
