"""Runs an ONNX model in place of the torch module that it was exported from.

A folder holds the model (`model.onnx`), what goes in and comes out (`signature.json`) and a copy of
this file (`load.py`), which needs torch, numpy and the run time that the signature names (ONNX
Runtime, or OpenVINO), and nothing else:

    from load import load
    model = load()              # or load(own=the_torch_module) for calls that it was not made for
    output = model(input_ids=ids, attention_mask=mask)

It answers in the module's own form: output classes, dicts, tuples or one tensor. A call that is not
like those it was exported for goes to the torch module, and `refused` then says why.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import itertools
import json
import math
import operator
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any  # torch, modules and tensors are of the job's own version

_HERE = os.path.dirname(os.path.abspath(__file__))
# Root mean square of the difference, of the size of the output: what another precision may do at
# most before it is taken for another model. How good the answers are is judged elsewhere.
_SAME_MODEL = 0.5
_MASKS = ("attention_mask", "input_mask")  # 1 where something stands, 0 for padding
_ROUNDING = 0.02  # what another order of sums may do to an answer in 8 bits, of its size
# OpenVINO prepares for every new shape of its inputs, which takes it as long as so many tokens.
_NEW_SHAPE_TOKENS, _LENGTH_STEP = 128.0, 16
_PLAIN = (bool, int, float, str)
_VERSION = operator.attrgetter("_version")
Path = tuple[Any, ...]


class RefusedError(Exception):
    """This model cannot take the module's place, or not for this call; the text says why."""


def make(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]
) -> Swapped:
    """What is called in place of `module`, whose first call has `args` and `kwargs`.

    `options`: `folder`, and as in `load`. Raises RefusedError if the module is not the one that was
    exported: its weights are compared, since an old answer from new weights would not be noticed.
    """
    del args, kwargs
    folder = str(options.get("folder") or _HERE)
    refuse_other(module, read_signature(folder))
    add_path(options)
    return load(
        folder,
        own=module,
        threads=int(options.get("threads") or 1),
        spinning=bool(options.get("spinning", False)),
        providers=options.get("providers"),
        device=str(options.get("device") or "cpu"),
    )


def refuse_other(module: Any, signature: Mapping[str, Any]) -> None:
    """Raise RefusedError if the module is not the one that was exported, or has hooks inside."""
    if weights_digest(module) != signature["weights_digest"]:
        raise RefusedError("its weights are not those that were exported: run advise again")
    hooked = [name for name, each in module.named_modules() if _is_hooked(each)]
    if hooked:
        raise RefusedError(f"the program has hooks on {hooked[0] or 'it'}")


def add_path(options: Mapping[str, Any]) -> None:
    """Find what the environment lacks in `options["path"]` too, behind all that it has."""
    path = options.get("path")
    if path and path not in sys.path:
        sys.path.append(str(path))


def load(
    folder: str = _HERE,
    *,
    own: Any = None,
    threads: int = 1,
    spinning: bool = False,
    providers: list[str] | None = None,
    device: str = "cpu",
) -> Swapped:
    """The model of `folder` as a callable. `own` is the torch module for calls of another form.

    More `threads` answer sooner and use more CPU time; `spinning` lets them wait busily. With
    `device` "cuda" it takes and gives tensors on a GPU, and needs a provider that computes there
    (unverified on hardware).
    """
    signature = read_signature(folder)
    path = os.path.join(folder, "model.onnx")
    if signature.get("engine") == "openvino":
        found = Swapped(signature, _openvino(path, threads, signature), own)
        found.call_cost_tokens, found.length_step = _NEW_SHAPE_TOKENS, _LENGTH_STEP
        return found
    run = _onnxruntime(path, threads, spinning, providers, device)
    return Swapped(signature, run, own, device)


def _onnxruntime(
    path: str, threads: int, spinning: bool, providers: list[str] | None, device: str
) -> Callable[[Any], Any]:
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = threads
    chosen.inter_op_num_threads = 1
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    chosen.log_severity_level = 3
    wanted = providers or ["CPUExecutionProvider"]
    there = onnxruntime.get_available_providers()
    missing = [each for each in wanted if each not in there]
    if missing:
        raise RefusedError(f"this onnxruntime has no {missing[0]}")
    session = onnxruntime.InferenceSession(path, chosen, providers=wanted)
    if device == "cpu":
        return _runner(session)
    if session.get_providers()[:1] == ["CPUExecutionProvider"]:  # it falls back without a word
        raise RefusedError(f"{wanted[0]} could not be started")
    return _bound_runner(session)


def _openvino(path: str, threads: int, signature: Mapping[str, Any]) -> Callable[[Any], Any]:
    """The same in OpenVINO; one request at a time."""
    import threading

    import openvino
    import torch

    # Where the CPU has units for bfloat16 OpenVINO would compute in it.
    asked = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    own_form = os.path.join(os.path.dirname(path), "model.xml")
    path = own_form if os.path.exists(own_form) else path
    model = openvino.Core().compile_model(path, "CPU", asked)
    inputs = [each.any_name for each in model.inputs]
    outputs = [each.any_name for each in model.outputs]
    lock = threading.Lock()

    def call(feed: dict[str, Any]) -> list[Any]:
        with lock:  # what comes out lies in the request's own memory
            return [each.copy() for each in model(feed).to_tuple()]

    sequences = _sequences(signature, inputs)
    even = _EvenLengths(call, sequences, [_open_dims(each) for each in model.outputs])

    def run(tensors: Mapping[str, Any]) -> dict[str, Any]:
        feed = {name: _array(tensors[name]) for name in inputs}
        return {n: torch.from_numpy(v) for n, v in zip(outputs, even(feed))}

    return run


class _EvenLengths:
    """Calls a run time that prepares for each new shape with texts of few lengths.

    Texts are padded to the next multiple of a length, and what stands there is cut off again. The
    first one is answered both ways: where the answers differ nothing is padded any more.
    """

    def __init__(
        self,
        call: Callable[[dict[str, Any]], list[Any]],
        sequences: list[str],
        open_dims: list[list[int]],
    ) -> None:
        self._call = call
        self._sequences = sequences  # inputs with a number for each position
        self._open_dims = open_dims  # of each output, those that follow the inputs'
        self._checked = False

    def __call__(self, feed: dict[str, Any]) -> list[Any]:
        import numpy

        length = feed[self._sequences[0]].shape[1] if self._sequences else 0
        more = -length % _LENGTH_STEP
        if not more:
            return self._call(feed)
        padded = {n: numpy.pad(feed[n], ((0, 0), (0, more))) for n in self._sequences}
        answers = self._call({**feed, **padded})
        found = [_cut(a, d, length, more) for a, d in zip(answers, self._open_dims)]
        if not self._checked:
            own = self._call(feed)
            self._checked = True
            if not all(_alike(a, b) for a, b in zip(own, found)):
                self._sequences = []
                return own
        return found


def _sequences(signature: Mapping[str, Any], inputs: list[str]) -> list[str]:
    """The inputs with a number for each position, where a mask says which of them count.

    None where another input has open dimensions of its own: what they are nobody knows.
    """
    found, masked = [], False
    for each in signature["inputs"]:
        if each["name"] not in inputs or None not in each["dims"][1:]:
            continue
        if len(each["dims"]) != 2:
            return []
        found.append(each["name"])
        masked = masked or str(each["path"][-1]).endswith(_MASKS)
    return found if masked else []


def _open_dims(output: Any) -> list[int]:
    """Which dimensions of an output, beside the first, follow those of the inputs."""
    shape = output.partial_shape
    if shape.rank.is_dynamic:
        return []
    return [at for at in range(1, len(shape)) if shape[at].is_dynamic]


def _cut(value: Any, dims: list[int], length: int, more: int) -> Any:
    """An output without what stands at positions that were added."""
    for at in dims:
        if value.shape[at] == length + more:
            value = value[(slice(None),) * at + (slice(length),)]
    return value


def _alike(own: Any, other: Any) -> bool:
    if own.shape != other.shape:
        return False
    size = float((own.astype("float64") ** 2).sum())
    away = float(((own.astype("float64") - other) ** 2).sum())
    return away <= _ROUNDING**2 * size


def _runner(session: Any) -> Callable[[Any], Any]:
    """Tensors by name in, tensors by name out."""
    import torch

    inputs = [each.name for each in session.get_inputs()]
    outputs = [each.name for each in session.get_outputs()]

    def run(tensors: Mapping[str, Any]) -> dict[str, Any]:
        # An input that the model does not use is not among the session's.
        feed = {name: _array(tensors[name]) for name in inputs}
        found = session.run(outputs, feed)
        return {n: torch.from_numpy(v) for n, v in zip(outputs, found)}

    return run


def _array(tensor: Any) -> Any:
    if tensor.requires_grad:
        tensor = tensor.detach()
    return (tensor if tensor.is_contiguous() else tensor.contiguous()).numpy()


def _bound_runner(session: Any) -> Callable[[Any], Any]:
    """The same for tensors on a GPU, which are read where they are (unverified on hardware)."""
    import torch

    kinds = {each.name: _numpy_type(each.type) for each in session.get_inputs()}
    outputs = [each.name for each in session.get_outputs()]

    def run(tensors: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: tensors[name].detach().contiguous() for name in kinds}
        first = next(iter(given.values())).device
        torch.cuda.current_stream(first).synchronize()  # what made them may still be at it
        binding = session.io_binding()
        for name, tensor in given.items():
            binding.bind_input(
                name,
                tensor.device.type,
                tensor.device.index or 0,
                kinds[name],
                tuple(tensor.shape),
                tensor.data_ptr(),
            )
        for name in outputs:
            binding.bind_output(name)  # in memory of the CPU: its size is known afterwards only
        session.run_with_iobinding(binding)
        found = binding.copy_outputs_to_cpu()
        return {n: torch.from_numpy(v).to(first) for n, v in zip(outputs, found)}

    return run


def _numpy_type(kind: str) -> Any:
    """NumPy's type of an ONNX one, such as `tensor(float)`."""
    import numpy

    plain = kind.partition("(")[2].rstrip(")")
    named = {"float": "float32", "double": "float64", "bool": "bool_"}
    return getattr(numpy, named.get(plain, plain))


class Swapped:
    """Called like the module. `refused` says why the last call went to the module, if it did.

    Who runs batches in parts is told what one more call costs, in tokens (None: as the module's own
    would), and of what the parts' lengths should be multiples.
    """

    call_cost_tokens: float | None = None
    length_step = 1

    def __init__(
        self,
        signature: Mapping[str, Any],
        run: Callable[[Any], Any],
        own: Any = None,
        device: str = "cpu",
    ) -> None:
        self.refused = ""
        self._device = device
        self._run = run
        self._own = own
        self._names: list[str] = signature["parameters"]
        self._defaults: dict[str, Any] = signature["defaults"]
        self._inputs = {tuple(each["path"]): each for each in signature["inputs"]}
        self._constants = {tuple(path): value for path, value in signature["constants"]}
        self._output = signature["output"]
        self._classes = {name: _class(name) for name in _class_names(self._output)}
        self._weights = _Weights(own)
        self._checked = own is None
        self._distrusted = ""
        # A student is another model on purpose, and may be further off.
        self._distance = float(signature.get("distance") or _SAME_MODEL)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            leaves = taken_apart(self._names, self._defaults, args, kwargs)
            found = self._run(self._feed(leaves))
            output = self._rebuilt(self._output, found, leaves)
            if not self._checked:
                self._compare(output, args, kwargs, leaves)
        except Exception as why:
            if self._own is None:
                raise
            self.refused = str(why) if isinstance(why, RefusedError) else _short(why)
            return self._own(*args, **kwargs)
        self.refused = ""
        return output

    def _feed(self, leaves: dict[Path, Any]) -> dict[str, Any]:
        """The model's inputs by name. Raises RefusedError for a call of another form."""
        if self._distrusted:
            raise RefusedError(self._distrusted)
        if self._weights.changed():
            raise RefusedError("its weights have changed since")
        feed = {}
        for path, value in leaves.items():
            expected = self._inputs.get(path)
            if expected is None:
                if path not in self._constants or self._constants[path] != value:
                    raise RefusedError(f"{dotted(path)} is another than when it was exported")
                continue
            _check(path, value, expected, self._device)
            feed[expected["name"]] = value
        if len(leaves) != len(self._inputs) + len(self._constants):
            missing = [p for p in (*self._inputs, *self._constants) if p not in leaves]
            raise RefusedError(f"{dotted(missing[0])} was there when it was exported")
        return feed

    def _compare(self, output: Any, args: Any, kwargs: Any, leaves: dict[Path, Any]) -> None:
        """At the first call: is this the module's answer at all? Raises RefusedError."""
        mask = next((v for p, v in leaves.items() if str(p[-1]).endswith(_MASKS)), None)
        distance = relative_distance(self._own(*args, **kwargs), output, mask)
        if not distance <= self._distance:
            self._distrusted = f"its answer is off by {distance:.2g} of its size"  # never again
            raise RefusedError(self._distrusted)
        self._weights = _Weights(self._own)  # its first call may have set up what it keeps
        self._checked = True

    def _rebuilt(self, node: Any, found: Mapping[str, Any], leaves: Mapping[Path, Any]) -> Any:
        if "tensor" in node:
            return found[node["tensor"]]
        if "input" in node:
            return leaves[tuple(node["input"])]
        if "value" in node:
            return node["value"]
        kind = self._classes.get(node.get("class", ""))
        if "dict" in node:
            made = {name: self._rebuilt(each, found, leaves) for name, each in node["dict"]}
            return made if kind is None else kind(**made)
        items = [self._rebuilt(each, found, leaves) for each in node["list"]]
        if kind is not None:
            return kind(*items)
        return tuple(items) if node.get("tuple") else items


# What follows is used by the export too, so that both see a call in the same way.


def read_signature(folder: str) -> dict[str, Any]:
    """What the model takes and answers."""
    with open(os.path.join(folder, "signature.json"), encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    return found


def parameters_of(module: Any) -> tuple[list[str], dict[str, Any]]:
    """The names of forward's parameters that may be given by place; plain defaults by name."""
    found = inspect.signature(module.forward).parameters.values()
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [each.name for each in found if each.kind in by_place]
    defaults = {
        each.name: each.default
        for each in found
        if each.default is None or isinstance(each.default, _PLAIN)
    }
    return names, defaults


def taken_apart(
    names: list[str], defaults: Mapping[str, Any], args: Any, kwargs: Any
) -> dict[Path, Any]:
    """Every tensor and plain value of a call by its path; what equals its default is left out."""
    given = dict(kwargs)
    for at, value in enumerate(args):
        given[names[at] if at < len(names) else f"*{at}"] = value
    leaves: dict[Path, Any] = {}
    for name, value in given.items():
        default = defaults.get(name, _PLAIN)
        if default is _PLAIN or not (value is default or _equal(value, default)):
            _collect((name,), value, leaves)
    return leaves


def _equal(value: Any, other: Any) -> bool:
    return isinstance(value, _PLAIN) and type(value) is type(other) and value == other


def _collect(path: Path, value: Any, leaves: dict[Path, Any]) -> None:
    if hasattr(value, "detach") or value is None or isinstance(value, _PLAIN):
        leaves[path] = value
    elif isinstance(value, Mapping) or hasattr(type(value), "keys"):
        for name in value.keys():  # noqa: SIM118 - not every such class iterates over its keys
            _collect((*path, name), value[name], leaves)
    elif isinstance(value, (list, tuple)):
        for at, each in enumerate(value):
            _collect((*path, at), each, leaves)
    else:
        raise RefusedError(f"{dotted(path)} is a {type(value).__name__}, and no tensor")


def dotted(path: Path) -> str:
    """A path as a person reads it: features.input_ids."""
    return ".".join(str(each) for each in path)


def _check(path: Path, value: Any, expected: Mapping[str, Any], device: str) -> None:
    """Raise RefusedError where a tensor is not of the form that the model takes."""
    if not hasattr(value, "detach"):
        raise RefusedError(f"{dotted(path)} is no tensor")
    if str(value.dtype) != expected["dtype"]:
        raise RefusedError(f"{dotted(path)} is {value.dtype}, and was {expected['dtype']}")
    if value.device.type != device:
        raise RefusedError(f"{dotted(path)} is on {value.device}")
    dims = expected["dims"]
    shape = tuple(value.shape)
    if len(shape) != len(dims) or any(d is not None and d != s for d, s in zip(dims, shape)):
        raise RefusedError(f"{dotted(path)} has the shape {shape}, which was not exported")


def weights_digest(module: Any) -> str:
    """The same for the same weights and buffers, bit by bit."""
    found = hashlib.blake2b(digest_size=16)
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        plain = value.detach().cpu().contiguous()
        found.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        if plain.numel():
            found.update(plain.reshape(-1).view(_bytes_of(plain)).numpy())
    return found.hexdigest()


def _bytes_of(value: Any) -> Any:
    import torch

    return torch.bool if value.dtype == torch.bool else torch.uint8


class _Weights:
    """Whether a module still has the weights that it had: asked at every call, so in few steps.

    Each weight and buffer must be the same object at the same place, and none may have been changed
    in place (its version grows then). A single whole number counts calls and is no weight.
    """

    def __init__(self, module: Any) -> None:
        modules = list(module.modules()) if hasattr(module, "modules") else []
        kinds = ("_parameters", "_buffers", "_modules")
        places = [getattr(each, kind) for each in modules for kind in kinds]
        self._filled = [place.values() for place in places if place]  # they follow the dict
        self._empty = [place for place in places if not place]
        self._values = self._now()
        tensors = {id(v): v for v in self._values if hasattr(v, "is_inference")}
        self._tensors = [each for each in tensors.values() if _may_change(each)]
        self._version = self._versions()

    def changed(self) -> bool:
        if any(self._empty):
            return True
        try:  # a list asks whether its items are the same before it asks whether they are equal
            same = self._now() == self._values
        except Exception:  # noqa: BLE001 - tensors of several numbers are neither
            return True
        return not same or self._versions() != self._version

    def _now(self) -> list[Any]:
        return list(itertools.chain.from_iterable(self._filled))

    def _versions(self) -> int:
        return sum(map(_VERSION, self._tensors))


def _may_change(tensor: Any) -> bool:
    """Whether a change of it would be another model; made in inference mode it has no version."""
    counts = tensor.dim() == 0 and not tensor.is_floating_point()
    return not tensor.is_inference() and not counts


def _is_hooked(module: Any) -> bool:
    return any(getattr(module, each, None) for each in ("_forward_hooks", "_forward_pre_hooks"))


def relative_distance(own: Any, other: Any, mask: Any = None) -> float:
    """How far the tensors of two answers are from one another, of their size.

    What stands at positions of padding, where `mask` is 0, nobody reads: it does not count.
    """
    size = difference = 0.0
    mine, theirs = list(tensors_of(own)), list(tensors_of(other))
    if [tuple(t.shape) for t in mine] != [tuple(t.shape) for t in theirs]:
        return math.inf
    for a, b in zip(mine, theirs):
        left, right = a.detach().double().nan_to_num(), b.detach().double().nan_to_num()
        if hasattr(mask, "shape") and mask.dim() == 2 and left.shape[:2] == mask.shape:
            left, right = left[mask != 0], right[mask != 0]
        size += float((left * left).sum())
        difference += float(((left - right) ** 2).sum())
    return math.sqrt(difference / size) if size else (math.inf if difference else 0.0)


def tensors_of(value: Any) -> Iterator[Any]:
    """Every tensor in an answer, in order."""
    if hasattr(value, "detach"):
        yield value
    elif isinstance(value, Mapping) or hasattr(type(value), "keys"):
        for name in value.keys():  # noqa: SIM118
            yield from tensors_of(value[name])
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from tensors_of(each)
    elif hasattr(type(value), "__dataclass_fields__"):
        for name in type(value).__dataclass_fields__:
            yield from tensors_of(getattr(value, name))


def _class_names(node: Mapping[str, Any]) -> set[str]:
    found = {node["class"]} if "class" in node else set()
    for each in (*node.get("list", ()), *(value for _, value in node.get("dict", ()))):
        found |= _class_names(each)
    return found


def _class(name: str) -> Any:
    """The class that `module:Outer.Inner` names. Raises RefusedError."""
    module, _, inside = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in inside.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise RefusedError(f"its answer is a {inside}, which is not here") from error
    return found


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
