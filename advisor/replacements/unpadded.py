"""Runs padded batches in parts of like length, so that little is computed for padding.

A batch of texts is padded to its longest one. Rows are taken together by their true length, each
part is cut to its own longest row and runs by itself, and what comes out is put back in order. At
positions of padding the outputs then hold zeros: what a model leaves there is not defined.

This file needs torch alone, and runs on Python 3.9 and later: as a replacement in the hook
(docs/reference/hook-contract.md), or copied next to a program of yours:

    import unpadded
    unpadded.apply(model)

Nothing is taken on trust: at the first call the model runs some rows of it as a whole and in parts,
and where real positions differ by more than the rounding of sums it is refused.
"""

from __future__ import annotations

import importlib.util
import inspect
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any  # torch, modules and tensors are of the job's own version

_ONE_IS_REAL = "attention_mask"
_TRUE_IS_PADDING = ("src_key_padding_mask", "key_padding_mask")
# Of the size of a row: what sums in another order differ by, of floats of 32 bits and of 16.
_ROUNDING, _COARSE_ROUNDING = 1e-4, 2e-2
# Only what a call costs beyond its tokens, in tokens, decides where a batch is split, so the
# figures below need to be right within a factor of two: each layer's start, reading the weights
# from memory, multiplying by them. A measured time would split otherwise in each run.
_LAYER_S, _BYTES_PER_S, _FLOPS = 1e-4, 1e10, 5e10
_GPU_LAYER_S, _GPU_BYTES_PER_S, _GPU_FLOPS = 2e-5, 1e12, 2e13
_CHECKED_ROWS = 8
_MOST_LENGTHS = 96  # that are told apart in one batch; searching takes the square of it


class RefusedError(Exception):
    """These inputs, or this model, cannot be run in parts; the text says why."""


def make(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]
) -> Unpadded:
    """What is called in place of `module`, whose first call has `args` and `kwargs`.

    `options`: `inner` is another replacement, `{"factory": "/file.py:make", "options": {..}}`, that
    runs the parts in place of the module; `call_cost_tokens` is what one more call costs. Raises
    RefusedError, and what the inner factory raises.
    """
    if module.training:
        raise RefusedError("it is in training mode, where padding may take part")
    inner: Callable[..., Any] = module
    asked = options.get("inner")
    if asked:
        inner = _factory(str(asked["factory"]))(module, args, kwargs, asked.get("options") or {})
        if inner is None:
            raise RefusedError("what should run the parts has nothing for this model")
    cost = options.get("call_cost_tokens")
    found = Unpadded(module, module, inner, None if cost is None else float(cost))
    found.check(args, kwargs)
    return found


def apply(model: Any, call_cost_tokens: float | None = None) -> Any:
    """Have a model of yours run its batches in parts, from now on; returns the model.

    Where the first call shows that it cannot be, it warns once and runs as before. One more call
    costs as much as `call_cost_tokens`; None: as its layers and weights let expect.
    """
    forward = model.forward
    chosen: list[Callable[..., Any]] = []
    lock = threading.Lock()

    def parts(*args: Any, **kwargs: Any) -> Any:
        if model.training:
            return forward(*args, **kwargs)
        with lock:
            if not chosen:
                found = Unpadded(forward, model, forward, call_cost_tokens)
                chosen.append(found if _is_checked(found, args, kwargs) else forward)
        return chosen[0](*args, **kwargs)

    model.forward = parts
    return model


def _is_checked(found: Unpadded, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    try:
        found.check(args, kwargs)
    except RefusedError as why:
        warnings.warn(f"its batches are not run in parts: {why}", stacklevel=4)
        return False
    return True


class Unpadded:
    """Runs batches in parts.

    `own` computes a whole batch as the program wrote it, and is what the check is made by; `inner`
    runs the parts, which may be another implementation. `cost_tokens` is that of one more call.
    """

    def __init__(
        self,
        own: Callable[..., Any],
        module: Any,
        inner: Callable[..., Any],
        cost_tokens: float | None = None,
    ) -> None:
        self._own = own
        self._module = module
        self._inner = inner
        self._names = _parameter_names(getattr(own, "forward", own))
        # What runs the parts may say itself what a call costs it, and that it wants few shapes.
        if cost_tokens is None:
            cost_tokens = getattr(inner, "call_cost_tokens", None)
        self._cost = call_cost_tokens(module) if cost_tokens is None else cost_tokens
        self._step = int(getattr(inner, "length_step", 1))
        self._sequences: frozenset[str] = frozenset()  # inputs that hold one value a position
        self._kinds: list[str] = []  # of each tensor that comes out: "row" or "position"
        self._not_yet = "no batch was padded enough to be worth a second call"

    @property
    def refused(self) -> str:
        """Why no batch was run in parts so far, or why `inner` could not do its work; or empty."""
        return self._not_yet or str(getattr(self._inner, "refused", ""))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            batch = _Batch(self._names, args, kwargs, self._sequences)
            parts = split(batch.lengths, self._cost, self._step)
            if len(parts) == 1 and parts[0][1] == batch.width:
                return self._inner(*args, **kwargs)
            found = self._in_parts(self._inner, batch, parts)
        except RefusedError as why:
            self._not_yet = self._not_yet and str(why)
            return self._inner(*args, **kwargs)
        self._not_yet = ""
        return found

    def _in_parts(
        self, inner: Callable[..., Any], batch: _Batch, parts: list[tuple[list[int], int]]
    ) -> Any:
        outputs = []
        for rows, length in parts:
            args, kwargs = batch.part(rows, length)
            outputs.append(inner(*args, **kwargs))
        return self._together(outputs, parts, batch)

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Compare parts with the whole, on these inputs. Raises RefusedError with the reason.

        A few rows of all lengths do for it; where none of them has padding they are doubled, with
        the second half cut to half its length. The model runs four times then, on these; random
        numbers stay where they were. It is the model itself that is compared, also where another
        implementation runs the parts later: whether that one is right is another question, and
        coarse numbers in it would hide the answer to this one.
        """
        import torch

        batch = _Batch(self._names, args, kwargs, None)
        self._sequences = batch.sequences
        if batch.width < 2:
            raise RefusedError("a sequence of one position has no padding")
        batch = batch.some_rows(_CHECKED_ROWS)
        if min(batch.lengths) == batch.width:
            batch = batch.doubled()
        everything = list(range(len(batch.lengths))), batch.width
        parts = _two_parts(batch.lengths)
        before = _versions(self._module)
        devices = sorted({t.device.index for t in self._module.parameters() if t.is_cuda})
        with torch.random.fork_rng(devices), torch.no_grad():
            whole = self._call(batch, *everything)
            self._kinds = _kinds(whole, self._call(batch, *parts[0]), batch, parts[0])
            found = self._in_parts(self._own, batch, parts)
        if _versions(self._module) != before:
            raise RefusedError("its calls change its own weights or buffers")
        self._compare(_tensors(whole), _tensors(found), batch)

    def _call(self, batch: _Batch, rows: list[int], length: int) -> Any:
        args, kwargs = batch.part(rows, length)
        return self._own(*args, **kwargs)

    def _compare(self, expected: list[Any], found: list[Any], batch: _Batch) -> None:
        for kind, whole, parts in zip(self._kinds, expected, found):
            if parts.dtype != whole.dtype or parts.shape != whole.shape:
                raise RefusedError("its outputs have another form where it runs in parts")
            for row, length in enumerate(batch.lengths):
                a, b = whole[row], parts[row]
                if kind == "position":
                    a, b = a[:length], b[:length]
                _same_row(a, b)

    def _together(
        self, outputs: list[Any], parts: list[tuple[list[int], int]], batch: _Batch
    ) -> Any:
        """The outputs of all parts as those of one call."""
        import torch

        columns = list(zip(*[_tensors(output) for output in outputs]))
        if len(columns) != len(self._kinds):
            raise RefusedError("its outputs have another form than at its first call")
        merged = []
        for kind, column in zip(self._kinds, columns):
            first = column[0]
            behind = first.shape[2:] if kind == "position" else first.shape[1:]
            width = (batch.width,) if kind == "position" else ()
            whole = first.new_zeros((len(batch.lengths), *width, *behind))
            for (rows, length), value in zip(parts, column):
                place = torch.tensor(rows, device=whole.device)
                if kind == "position":
                    whole[:, :length].index_copy_(0, place, value)
                else:
                    whole.index_copy_(0, place, value)
            if kind == "position":  # also of the shorter rows of a part
                whole[batch.padding.to(whole.device)] = 0
            merged.append(whole)
        return _filled(outputs[0], iter(merged))


class _Batch:
    """The inputs of a call, with what its mask says. Raises RefusedError where they do not suit.

    `sequences` names the inputs with a value for each position; None: those that look like it.
    """

    def __init__(
        self,
        names: list[str],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        sequences: frozenset[str] | None,
    ) -> None:
        self._names, self._args, self._kwargs = names, args, dict(kwargs)
        name, mask = self._mask()
        self._mask_name, self._device = name, mask.device
        real = mask != 0 if name == _ONE_IS_REAL else mask == 0
        self.padding = ~real
        self.width = int(mask.shape[1])
        self.lengths: list[int] = real.sum(1).tolist()
        if not self.lengths or min(self.lengths) == 0:
            raise RefusedError("a row of its batch is nothing but padding")
        if bool((real[:, 1:] > real[:, :-1]).any()):
            raise RefusedError("padding does not stand at the end of its rows alone")
        if bool(((mask != 0) & (mask != 1)).any()):
            raise RefusedError("its mask holds more than ones and zeros")
        kinds = [(each, self._is_sequence(each, value)) for each, value in self._every()]
        seen = frozenset(each for each, is_sequence in kinds if is_sequence)
        self.sequences = seen if sequences is None else sequences
        if not self.sequences <= seen:
            raise RefusedError("its inputs have other shapes than at its first call")

    def part(self, rows: list[int], length: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The inputs of these rows, cut to `length` positions."""
        import torch

        place = torch.tensor(rows, device=self._device)

        def cut(name: str, value: Any) -> Any:
            if not isinstance(value, torch.Tensor) or value.dim() == 0:
                return value
            if value.shape[0] == len(self.lengths):
                value = value.index_select(0, place.to(value.device))
            return value[:, :length] if name in self.sequences else value

        return self._mapped(cut)

    def some_rows(self, most: int) -> _Batch:
        """The shortest row, the longest, and others between them."""
        order = sorted(range(len(self.lengths)), key=self.lengths.__getitem__)
        last = len(order) - 1
        places = {order[round(at * last / (most - 1))] for at in range(most)}
        return _Batch(self._names, *self.part(sorted(places), self.width), self.sequences)

    def doubled(self) -> _Batch:
        """The same rows twice, with the masks of the second half cut to half their length."""
        import torch

        count, half = len(self.lengths), max(1, self.width // 2)

        def double(name: str, value: Any) -> Any:
            if not isinstance(value, torch.Tensor) or value.dim() == 0 or value.shape[0] != count:
                return value
            twice = torch.cat([value, value])
            if name == self._mask_name:
                twice[count:, half:] = 0 if name == _ONE_IS_REAL else True
            return twice

        return _Batch(self._names, *self._mapped(double), self.sequences)

    def _mask(self) -> tuple[str, Any]:
        import torch

        for name, value in self._every():
            known = name == _ONE_IS_REAL or name in _TRUE_IS_PADDING
            if known and isinstance(value, torch.Tensor):
                if value.dim() != 2:
                    raise RefusedError(f"its {name} has {value.dim()} dimensions, not two")
                if value.is_floating_point() and name != _ONE_IS_REAL:
                    raise RefusedError(f"its {name} holds no truth values")
                return name, value
        raise RefusedError("there is no attention mask among its inputs")

    def _every(self) -> list[tuple[str, Any]]:
        """All inputs by name, those inside a dict by their keys."""
        found: list[tuple[str, Any]] = []

        def keep(name: str, value: Any) -> None:
            found.append((name, value))

        self._mapped(keep)
        return found

    def _mapped(self, change: Callable[[str, Any], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The inputs with each value, also those in a dict, as `change(name, value)` returns it."""

        def of(name: str, value: Any) -> Any:
            if _is_mapping(value):
                return {key: change(str(key), each) for key, each in value.items()}
            return change(name, value)

        names = [*self._names, *[f"argument {at}" for at in range(len(self._names), 99)]]
        args = tuple([of(name, value) for name, value in zip(names, self._args)])
        return args, {name: of(name, value) for name, value in self._kwargs.items()}

    def _is_sequence(self, name: str, value: Any) -> bool:
        """Whether an input has a value for each position, and not one for each row or for all."""
        import torch

        plain = (bool, int, float, str, torch.dtype, torch.device)
        if value is None or isinstance(value, plain):
            return False
        if not isinstance(value, torch.Tensor):
            raise RefusedError(f"its input {name} is a {type(value).__name__}, which has no rows")
        rows, width = len(self.lengths), self.width
        shape = tuple(value.shape)
        if not shape:
            return False
        sequence = shape[:2] in ((rows, width), (1, width))
        if not sequence and shape[0] != rows:
            raise RefusedError(f"its input {name} has the shape {list(shape)}, without rows")
        if width in (shape[2:] if sequence else shape[1:]):
            raise RefusedError(f"its input {name} has the sequence's length at another place")
        return sequence


def split(
    lengths: list[int], call_cost: float, length_step: int = 1
) -> list[tuple[list[int], int]]:
    """The parts of a batch: rows, and the length that they are cut to.

    Of all ways to part rows that are sorted by length it is the one with the least of tokens
    computed plus `call_cost` tokens for each call. Lengths are multiples of `length_step`, or that
    of the longest row.
    """
    longest = max(lengths)
    if len(lengths) * longest - sum(lengths) <= call_cost:  # one more call earns nothing back
        return [(list(range(len(lengths))), longest)]
    step = max(length_step, -(-longest // _MOST_LENGTHS))
    by_length: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        by_length.setdefault(min(longest, -(-length // step) * step), []).append(row)
    steps = sorted(by_length)
    counts = [len(by_length[each]) for each in steps]
    best = [0.0]  # the least cost of all rows up to a step, and where its last part begins
    begins = [0]
    for end in range(1, len(steps) + 1):
        cost, begin, rows = float("inf"), 0, 0
        for start in range(end - 1, -1, -1):
            rows += counts[start]
            one = best[start] + rows * steps[end - 1] + call_cost
            if one < cost:
                cost, begin = one, start
        best.append(cost)
        begins.append(begin)
    parts: list[tuple[list[int], int]] = []
    end = len(steps)
    while end:
        begin = begins[end]
        rows_of = [row for each in steps[begin:end] for row in by_length[each]]
        parts.append((sorted(rows_of), steps[end - 1]))
        end = begin
    return parts


def call_cost_tokens(module: Any) -> float:
    """What one more call of a module costs, in tokens, from its layers and weights alone."""
    import torch

    layers = weights = size = 0
    on_gpu = False
    for each in module.modules():
        layers += not any(True for _ in each.children())
        if isinstance(each, torch.nn.Embedding):  # looked up and not multiplied by
            continue
        for weight in each.parameters(recurse=False):
            weights += weight.numel()
            size += weight.numel() * weight.element_size()
            on_gpu = on_gpu or weight.is_cuda
    layer_s, bytes_per_s, flops = (
        (_GPU_LAYER_S, _GPU_BYTES_PER_S, _GPU_FLOPS) if on_gpu else (_LAYER_S, _BYTES_PER_S, _FLOPS)
    )
    return (layers * layer_s + size / bytes_per_s) / (max(1, 2 * weights) / flops)


def _two_parts(lengths: list[int]) -> list[tuple[list[int], int]]:
    """The shorter rows, and those that are longer than they: to compare by."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    limit = min(lengths[order[(len(order) - 1) // 2]], max(lengths) - 1)
    shorter = [row for row in order if lengths[row] <= limit]
    parts = [shorter, [row for row in order if row not in shorter]]
    return [(rows, max(lengths[row] for row in rows)) for rows in parts if rows]


def _kinds(expected: Any, part: Any, batch: _Batch, cut: tuple[list[int], int]) -> list[str]:
    """Of each output tensor whether it has a value for each row, or for each of its positions."""
    whole, fewer = _tensors(expected), _tensors(part)
    if len(whole) != len(fewer):
        raise RefusedError("its outputs have another form for other inputs")
    if not whole:
        raise RefusedError("it returns no tensors that can be put together again")
    rows, length = len(cut[0]), cut[1]
    found = []
    for a, b in zip(whole, fewer):
        if a.dim() != b.dim() or a.dim() == 0:
            raise RefusedError("an output of it is not one value for each row")
        if (a.shape[0], b.shape[0]) != (len(batch.lengths), rows):
            raise RefusedError("its outputs do not begin with the rows of the batch")
        moved = [at for at in range(1, a.dim()) if a.shape[at] != b.shape[at]]
        if not moved:
            found.append("row")
        elif moved == [1] and (a.shape[1], b.shape[1]) == (batch.width, length):
            found.append("position")
        else:
            raise RefusedError("an output of it has the length of the sequence at another place")
    return found


def _same_row(whole: Any, part: Any) -> None:
    """Raise RefusedError where two rows of output differ by more than rounding."""
    import torch

    if not whole.is_floating_point():
        if not torch.equal(whole, part):
            raise RefusedError("its answers differ where padding is left out")
        return
    limit = _ROUNDING if torch.finfo(whole.dtype).bits >= 32 else _COARSE_ROUNDING
    a, b = whole.double(), part.double()
    size = float(a.norm())
    distance = float((a - b).norm())
    if not distance <= limit * size:
        by = f"{distance / size:.1e} of their size" if size > 0 else "all"
        raise RefusedError(f"its answers differ by {by} where padding is left out")


def _versions(module: Any) -> list[int]:
    """What grows with each change in place of its weights and buffers."""
    tensors = [*module.parameters(), *module.buffers()]
    return [t._version for t in tensors if not t.is_inference()]


def _tensors(value: Any) -> list[Any]:
    """The tensors inside an output, in order. Raises RefusedError for what cannot be split."""
    import torch

    if isinstance(value, torch.Tensor):
        return [value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return []
    if _is_mapping(value):
        return [each for item in value.values() for each in _tensors(item)]
    if isinstance(value, (list, tuple)):
        return [each for item in value for each in _tensors(item)]
    raise RefusedError(f"it returns a {type(value).__name__}, which cannot be put together again")


def _filled(value: Any, tensors: Any) -> Any:
    """The same structure with other tensors."""
    import torch

    if isinstance(value, torch.Tensor):
        return next(tensors)
    if _is_mapping(value):
        for key in list(value.keys()):
            value[key] = _filled(value[key], tensors)
        return value
    if isinstance(value, (list, tuple)):
        items = [_filled(each, tensors) for each in value]
        if hasattr(value, "_fields"):  # a named tuple
            return type(value)(*items)
        return tuple(items) if isinstance(value, tuple) else items
    return value


def _is_mapping(value: Any) -> bool:
    return hasattr(value, "keys") and hasattr(value, "__setitem__")


def _parameter_names(forward: Any) -> list[str]:
    try:
        found = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _factory(place: str) -> Any:
    path, _, function = place.rpartition(":")
    spec = importlib.util.spec_from_file_location("_frugalwatch_inner_replacement", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, function)
