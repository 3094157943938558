"""Exports the module that the program calls to ONNX, in a replay of the program itself.

The hook calls `make` in place of a replacement's factory, at the module's first call: whatever the
module is made of is there, and nothing has to be pickled. The replay ends when that is done, and
nothing of it is kept but the files in the folder that was named. Standard library and torch only.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any  # torch, modules and tensors are of the job's own version

# Newer ones only where an operator needs it: fusions know the graphs of 17.
_OPSETS = (17, 18, 20)
# Of the size of an answer: what the order of sums does to 32-bit floats, and some room.
_ROUNDING = 1e-3
_LONGEST_REASON = 600


class CannotExportError(Exception):
    """The text says why, in words for a person."""


def make(module: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """Export `module` into `options["folder"]`, say in result.json what came of it, and end.

    `options`: `swap` is the file of the replacement that will run it, `samples` are files of
    captured calls, [inputs, outputs] each, on which it is checked.
    """
    end_with(options, lambda: exported(module, args, kwargs, options))


def end_with(options: dict[str, Any], work: Any) -> None:
    """Write what `work` gives, or the reason why not, into the folder, and end the process."""
    folder = str(options["folder"])
    began_s, cpu_s = time.monotonic(), time.process_time()
    try:
        found = work()
    except Exception as error:  # noqa: BLE001 - whatever the module or the exporter raises
        traceback.print_exc()
        known = isinstance(error, CannotExportError) or type(error).__name__ == "RefusedError"
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        found = {"why_not": " ".join(reason.split())[:_LONGEST_REASON]}
    found.update(took_s=time.monotonic() - began_s, took_cpu_s=time.process_time() - cpu_s)
    with open(os.path.join(folder, "result.json"), "w", encoding="utf-8") as file:
        json.dump(found, file)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # the rest of the program would be measured by nobody


def exported(
    module: Any, args: Any, kwargs: Any, options: dict[str, Any], write: Any = None
) -> dict[str, Any]:
    """Export a module and check the export; what is known of it. Raises CannotExportError.

    `write` may write another form than ONNX. Of a module that was made from another one, `options`
    has that one's `weights_digest`, and the tensors of `calls` to check it on by its own answers.
    """
    import torch

    swap = load_file(str(options["swap"]))
    swap.add_path(options)
    folder = str(options["folder"])
    modes = torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False)
    with modes[0], modes[1], modes[2], _settings_kept(torch):
        digest = options.get("weights_digest") or swap.weights_digest(module)
        module.eval()
        args, kwargs = torch.utils._pytree.tree_map(own_tensor, (tuple(args), dict(kwargs)))
        module.to("cpu")  # from a GPU: the graph is the same, and the program ends here
        first = module(*args, **kwargs)
        distance = swap.relative_distance(first, module(*args, **kwargs))
        if distance > _ROUNDING:
            raise CannotExportError("it answers differently each time it is asked the same")
        torch.set_num_threads(1)
        if write is None:
            _prefer_plain_attention(torch, module)
        calls = [c for each in options.get("samples") or () if (c := _read_call(*each))]
        wrapped = Flat(torch, swap, module, args, kwargs)
        for call in options.get("calls") or ():
            own = wrapped.with_tensors(call)
            calls.append((*own, module(*own[0], **own[1])))
        problems: list[str] = []
        for way, dims in _ways(swap, wrapped, calls):
            try:
                made = (write or _export)(torch, wrapped, dims, folder)
                signature = {**wrapped.signature(dims), "weights_digest": digest}
                if hasattr(swap, "built_for"):  # what it makes fits no other torch or CPU
                    signature["built_for"] = swap.built_for()
                _write(os.path.join(folder, "signature.json"), signature)
                checked = _checked(swap, folder, module, args, kwargs, calls)
            except Exception as error:  # noqa: BLE001 - the next way may work
                text = str(error)
                if not isinstance(error, CannotExportError):  # which is a sentence of its own
                    text = f"{way}: {type(error).__name__}: {text}"
                problems.append(text)
                continue
            return {"way": way, **made, **checked, **_about(module), "tried": problems}
    raise CannotExportError(_plain(problems))


def own_tensor(value: Any) -> Any:
    """A tensor's values on their own, in memory of the CPU; what is no tensor as it is."""
    return value.detach().clone().cpu() if hasattr(value, "detach") else value


class Flat:
    """The module as a function of its tensors in order, which is what exporting needs."""

    def __init__(self, torch: Any, swap: Any, module: Any, args: Any, kwargs: Any) -> None:
        self.module = module
        self.torch = torch
        self._swap = swap
        self.names, self.defaults = swap.parameters_of(module)
        self.leaves = swap.taken_apart(self.names, self.defaults, args, kwargs)
        self.paths = [path for path, value in self.leaves.items() if hasattr(value, "detach")]
        self._args, self._kwargs = args, kwargs
        self.structure: dict[str, Any] = {}
        self.outputs: list[str] = []

    def inputs(self) -> list[str]:
        """A name of each input that ONNX allows."""
        return ["in_" + "_".join(str(part) for part in path) for path in self.paths]

    def tensors(self) -> tuple[Any, ...]:
        return tuple([self.leaves[path] for path in self.paths])

    def with_tensors(self, tensors: Any) -> Any:
        """The call's arguments with these tensors in place of its own."""
        new = dict(zip(self.paths, tensors))
        args = list(self._args)
        kwargs = dict(self._kwargs)
        for at in range(len(args)):
            name = self.names[at] if at < len(self.names) else f"*{at}"
            args[at] = _put((name,), args[at], new)
        for name, value in self._kwargs.items():
            kwargs[name] = _put((name,), value, new)
        return args, kwargs

    def answer(self, *tensors: Any) -> tuple[Any, ...]:
        """The tensors that come out; notes in which structure they stood."""
        args, kwargs = self.with_tensors(tensors)
        found: list[Any] = []
        self.structure = self._structure(self.module(*args, **kwargs), tensors, found)
        self.outputs = [f"out_{at}" for at in range(len(found))]
        if not found:
            raise CannotExportError("no tensor comes out that is not one that went in")
        return tuple(found)

    def _structure(self, value: Any, tensors: Any, found: list[Any]) -> dict[str, Any]:
        if isinstance(value, self.torch.Tensor):
            for path, each in zip(self.paths, tensors):
                if each is value:
                    return {"input": list(path)}
            for at, each in enumerate(found):
                if each is value:
                    return {"tensor": f"out_{at}"}
            found.append(value)
            return {"tensor": f"out_{len(found) - 1}"}
        if value is None or isinstance(value, (bool, int, float, str)):
            return {"value": value}
        kind = type(value)
        named = {"class": f"{kind.__module__}:{kind.__qualname__}"}
        if isinstance(value, dict) or hasattr(kind, "__dataclass_fields__"):
            keys = list(value) if isinstance(value, dict) else list(kind.__dataclass_fields__)
            get = value.__getitem__ if isinstance(value, dict) else lambda key: getattr(value, key)
            if all(isinstance(key, str) for key in keys):
                pairs = [[key, self._structure(get(key), tensors, found)] for key in keys]
                return {"dict": pairs, **({} if kind is dict else named)}
        if isinstance(value, (list, tuple)):
            items = [self._structure(each, tensors, found) for each in value]
            plain = kind in (list, tuple)
            return {"list": items, "tuple": kind is not list, **({} if plain else named)}
        article = "an" if kind.__name__[:1] in "AEIOUaeiou" else "a"
        held = f"its answer holds {article} {kind.__name__}"
        raise CannotExportError(f"{held}, which no exported model can give")

    def signature(self, dims: list[list[int | None]]) -> dict[str, Any]:
        """What goes in and comes out, for the replacement."""
        inputs = [
            {"name": name, "path": list(path), "dtype": str(self.leaves[path].dtype), "dims": each}
            for name, path, each in zip(self.inputs(), self.paths, dims)
        ]
        constants = [[list(p), v] for p, v in self.leaves.items() if p not in self.paths]
        return {
            "class": type(self.module).__name__,
            "parameters": self.names,
            "defaults": self.defaults,
            "inputs": inputs,
            "constants": constants,
            "output": self.structure,
        }


def _put(path: Any, value: Any, new: dict[Any, Any]) -> Any:
    """The value with new tensors where it has some; containers are new ones."""
    if hasattr(value, "detach"):
        return new.get(path, value)
    if isinstance(value, dict) or hasattr(type(value), "keys"):
        names = list(value.keys())
        return {name: _put((*path, name), value[name], new) for name in names}
    if isinstance(value, (list, tuple)):
        items = [_put((*path, at), each, new) for at, each in enumerate(value)]
        if hasattr(value, "_fields"):
            return type(value)(*items)
        return tuple(items) if isinstance(value, tuple) else items
    return value


def _ways(swap: Any, wrapped: Flat, calls: list[Any]) -> Any:
    """Which dimensions stay open: all that may differ, the batch alone, those that did, none."""
    shapes = [[tuple(t.shape) for t in wrapped.tensors()]]
    for args, kwargs, _ in calls:
        leaves = swap.taken_apart(wrapped.names, wrapped.defaults, args, kwargs)
        if all(path in leaves for path in wrapped.paths):
            shapes.append([tuple(leaves[path].shape) for path in wrapped.paths])
    first = shapes[0]
    shapes = [each for each in shapes if [len(s) for s in each] == [len(s) for s in first]]
    differed = [
        {d for d in range(len(shape)) if len({each[at][d] for each in shapes}) > 1}
        for at, shape in enumerate(first)
    ]
    batches = {shape[0] for shape in first if shape}
    batch = [{0} if len(batches) == 1 and shape else set() for shape in first]
    # Whole numbers in rows are tokens, whose number differs sooner or later; so do their masks.
    lengths = {
        shape[1]
        for shape, tensor in zip(first, wrapped.tensors())
        if len(shape) == 2 and not tensor.is_floating_point()
    }
    tokens = [{d for d, size in enumerate(shape) if d and size in lengths} for shape in first]
    options = [
        ("open batch and length", [a | b | c for a, b, c in zip(differed, batch, tokens)]),
        ("open batch", [a | b for a, b in zip(differed, batch)]),
        ("open where it differed", differed),
    ]
    if not any(differed):
        options.append(("this shape alone", [set() for _ in first]))
    tried: list[Any] = []
    for way, opened in options:
        if opened not in tried:
            tried.append(opened)
            dims = [
                [None if d in free else size for d, size in enumerate(shape)]
                for shape, free in zip(first, opened)
            ]
            yield way, dims


def _export(torch: Any, wrapped: Flat, dims: Any, folder: str) -> dict[str, Any]:
    """Write model.onnx; the opset that it was possible with. Raises what torch raises last."""
    model = as_module(torch, wrapped)
    wrapped.answer(*wrapped.tensors())
    axes = {
        name: {d: f"{name}_{d}" for d, size in enumerate(each) if size is None}
        for name, each in zip(wrapped.inputs(), dims)
    }
    asked: dict[str, Any] = {
        "input_names": wrapped.inputs(),
        "output_names": list(wrapped.outputs),
        "dynamic_axes": {name: each for name, each in axes.items() if each},
    }
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        asked["dynamo"] = False
    _need_no_onnx()
    path = os.path.join(folder, "model.onnx")
    problem: Exception | None = None
    for opset in _OPSETS:
        try:
            torch.onnx.export(model, wrapped.tensors(), path, opset_version=opset, **asked)
        except Exception as error:  # noqa: BLE001 - a newer opset may have it
            problem = problem or error
            continue
        return {"opset": opset}
    assert problem is not None
    raise problem


def as_module(torch: Any, wrapped: Flat) -> Any:
    """What exporters take: a module of tensors in, tensors out."""

    class Exported(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.own = wrapped.module

        def forward(self, *tensors: Any) -> Any:
            return wrapped.answer(*tensors)

    return Exported().eval()


def _need_no_onnx() -> None:
    """Without the onnx package torch cannot add functions of onnxscript; there are none here."""
    if importlib.util.find_spec("onnx") is not None:
        return
    for name in (
        "torch.onnx._internal.torchscript_exporter.onnx_proto_utils",
        "torch.onnx._internal.onnx_proto_utils",
    ):
        try:
            module: Any = importlib.import_module(name)
        except ImportError:
            continue
        if hasattr(module, "_add_onnxscript_fn"):
            module._add_onnxscript_fn = lambda model_bytes, _: model_bytes


@contextlib.contextmanager
def _settings_kept(torch: Any) -> Iterator[None]:
    """What an export sets for itself is as it was afterwards: some go on with the module."""
    threads = torch.get_num_threads()
    mha = getattr(torch.backends, "mha", None)
    fast = mha and mha.get_fastpath_enabled()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if mha is not None:
            mha.set_fastpath_enabled(fast)


def _prefer_plain_attention(torch: Any, module: Any) -> None:
    """Attention as matrix products: what fusions of ONNX graphs look for."""
    config: Any = getattr(module, "config", None)
    fast = getattr(getattr(torch.backends, "mha", None), "set_fastpath_enabled", None)
    if fast is not None:
        fast(False)
    choose = getattr(module, "set_attn_implementation", None)
    try:
        if callable(choose):
            choose("eager")
        elif hasattr(config, "_attn_implementation"):
            config._attn_implementation = "eager"
    except Exception as error:  # noqa: BLE001 - then it is exported as it is
        print(f"attention stays as it is: {error}", file=sys.stderr)


def _checked(
    swap: Any, folder: str, module: Any, args: Any, kwargs: Any, calls: list[Any]
) -> dict[str, Any]:
    """How far the model is from the module, on captured calls and another batch."""
    try:
        model = swap.load(folder)
    except ImportError:
        return {"checked": 0, "distance": None}
    tried = [(args, kwargs, module(*args, **kwargs)), *calls]
    largest, shapes = 0.0, []
    for each_args, each_kwargs, expected in tried:
        distance = swap.relative_distance(expected, model(*each_args, **each_kwargs))
        if not distance <= _ROUNDING:
            raise CannotExportError(f"the exported model is off by {distance:.2g} of its size")
        largest = max(largest, distance)
        shapes.append([list(t.shape) for t in swap.tensors_of([each_args, each_kwargs])])
    doubled = _doubled(swap, args, kwargs)
    if doubled is not None and all(each["dims"][:1] == [None] for each in _inputs(swap, folder)):
        two_args, two_kwargs = doubled
        expected = module(*two_args, **two_kwargs)
        distance = swap.relative_distance(expected, model(*two_args, **two_kwargs))
        if not distance <= _ROUNDING:
            raise CannotExportError("the exported model answers otherwise for a larger batch")
        largest = max(largest, distance)
    return {"checked": len(tried), "distance": largest}


def _inputs(swap: Any, folder: str) -> Any:
    return swap.read_signature(folder)["inputs"]


def _doubled(swap: Any, args: Any, kwargs: Any) -> Any:
    """The call with every tensor twice along its first dimension; None where they differ in it."""
    import torch

    sizes = {t.shape[0] if t.dim() else None for t in swap.tensors_of([args, kwargs])}
    if len(sizes) != 1 or None in sizes:
        return None

    def twice(value: Any) -> Any:
        return torch.cat([value, value]) if isinstance(value, torch.Tensor) else value

    return torch.utils._pytree.tree_map(twice, (args, kwargs))


def _read_call(inputs: str, outputs: str) -> Any:
    """A captured call: (args, kwargs, what came out); None where not all of it could be kept."""
    load_call = importlib.import_module("_frugalwatch.capture_load").load_call

    process, name = os.path.split(os.path.dirname(inputs))[0], os.path.basename(inputs)
    number = int(name.partition("-")[0])
    del outputs
    try:
        return (*load_call(process, number), load_call(process, number, "out"))
    except LookupError:  # of a class of the program's: what the export says of it is clearer
        return None


def _about(module: Any) -> dict[str, Any]:
    """What decides which optimisations suit it."""
    config = getattr(module, "config", None)
    layers: dict[str, int] = {}
    for each in module.modules():
        if not any(True for _ in each.children()):
            layers[type(each).__name__] = layers.get(type(each).__name__, 0) + 1

    def number(*names: str) -> int:
        found = [getattr(config, name, None) for name in names]
        return next((int(each) for each in found if isinstance(each, int)), 0)

    return {
        "class": type(module).__name__,
        "parameters": sum([each.numel() for each in module.parameters()]),
        "layers": layers,
        "model_type": str(getattr(config, "model_type", "")),
        "heads": number("num_attention_heads", "n_heads", "n_head"),
        "hidden_size": number("hidden_size", "dim", "n_embd"),
    }


def _plain(problems: list[str]) -> str:
    return " ".join((problems[0] if problems else "nothing to export").split())


def _write(path: str, value: object) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)


def load_file(path: str) -> Any:
    """The module in a Python file, in nobody's way."""
    spec = importlib.util.spec_from_file_location("_frugalwatch_swap", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
