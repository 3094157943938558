"""A student in front of the original model: where it is not sure, the original answers.

A folder holds the student (`model.onnx`, `signature.json`), the original as an ONNX model in
`large/`, the rule (`cascade.json`), what runs both (`swap.py`) and a copy of this file (`load.py`):

    from load import load
    model = load()              # or load(own=the_torch_module) for calls that it was not made for
    output = model(images)
    model.escalated, model.asked, model.alarm      # for your monitoring

The confidence of a row is its highest share by softmax. Under the threshold, which was set on
captured inputs, the row goes to the original. Needs torch, numpy and ONNX Runtime.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections import deque
from collections.abc import Mapping
from typing import Any  # torch, modules and tensors are of the job's own version

_HERE = os.path.dirname(os.path.abspath(__file__))
_WATCHED = 1000  # rows that the alarm looks back on
_ENOUGH = 100  # before them it is silent


def make(module: Any, args: Any, kwargs: Any, options: Mapping[str, Any]) -> Cascade:
    """What is called in place of `module`. `options`: `folder`, and as in `load`.

    Raises the swap's RefusedError if the module is not the one that was exported.
    """
    del args, kwargs
    folder = str(options.get("folder") or _HERE)
    swap = _swap(folder)
    swap.refuse_other(module, swap.read_signature(folder))
    swap.add_path(options)
    return load(folder, own=module, threads=int(options.get("threads") or 1))


def load(folder: str = _HERE, *, own: Any = None, threads: int = 1) -> Cascade:
    """The cascade of `folder` as a callable. `own` is the torch module for calls of other forms."""
    swap = _swap(folder)
    with open(os.path.join(folder, "cascade.json"), encoding="utf-8") as file:
        rule = json.load(file)
    student = swap.load(folder, own=own, threads=threads)
    large = swap.load(os.path.join(folder, "large"), own=own, threads=threads)
    return Cascade(student, large, rule, swap)


class Cascade:
    """Called like the module.

    `asked` and `escalated` count rows; `alarm` is true while the share of escalated ones among the
    last 1,000 is above the alarm rate: inputs have changed, and the student may be wrong unseen.
    """

    def __init__(self, student: Any, large: Any, rule: Mapping[str, Any], swap: Any) -> None:
        self.refused = ""
        self.asked = self.escalated = 0
        self.threshold = float(rule["threshold"])
        self.alarm_rate = float(rule["alarm_rate"])
        self._output = str(rule["output"])
        self._shares = bool(rule.get("shares"))
        self._student, self._large, self._swap = student, large, swap
        self._last: deque[tuple[int, int]] = deque()
        self._rows = self._bad = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        answer = self._student(*args, **kwargs)
        self.refused = self._student.refused
        if self.refused:  # the module itself has answered
            return answer
        unsure = self._unsure(answer)
        rows = int(unsure.shape[0])
        count = int(unsure.sum())
        self._note(rows, count)
        if not count:
            return answer
        if count == rows:
            return self._large(*args, **kwargs)
        try:
            part_args, part_kwargs = _rows_of((args, kwargs), unsure)
            found = list(self._swap.tensors_of(self._large(*part_args, **part_kwargs)))
            own = list(self._swap.tensors_of(answer))
            if any(a.shape[1:] != b.shape[1:] or a.shape[0] != rows for a, b in zip(own, found)):
                raise ValueError("rows cannot be told apart")
            for whole, part in zip(own, found):
                whole[unsure] = part
        except (ValueError, IndexError):  # not every form of call has rows
            return self._large(*args, **kwargs)
        return answer

    @property
    def alarm(self) -> bool:
        return self._rows >= _ENOUGH and self._bad > self.alarm_rate * self._rows

    def _unsure(self, answer: Any) -> Any:
        scores = picked(answer, self._output).detach()
        shares = scores if self._shares else scores.softmax(-1)
        sure = shares.max(-1).values >= self.threshold
        return ~(sure & scores.isfinite().all(-1))

    def _note(self, rows: int, count: int) -> None:
        self.asked += rows
        self.escalated += count
        self._last.append((rows, count))
        self._rows += rows
        self._bad += count
        while self._rows - self._last[0][0] >= _WATCHED:
            old_rows, old_count = self._last.popleft()
            self._rows -= old_rows
            self._bad -= old_count


def picked(answer: Any, name: str) -> Any:
    """The tensor of an answer that `name` leads to: "logits", "0", "pair.1"; "output": itself."""
    if hasattr(answer, "detach"):
        return answer
    for part in name.split("."):
        if hasattr(type(answer), "keys"):
            answer = answer[part]
        elif isinstance(answer, (list, tuple)):
            answer = answer[int(part)]
        else:
            answer = getattr(answer, part)
    return answer


def _rows_of(value: Any, chosen: Any) -> Any:
    """The same call with some of the rows of its tensors."""
    if hasattr(value, "detach"):
        if not value.dim() or value.shape[0] != chosen.shape[0]:
            raise ValueError("a tensor without rows")
        return value[chosen]
    if isinstance(value, dict):
        return {key: _rows_of(each, chosen) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_rows_of(each, chosen) for each in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def _swap(folder: str) -> Any:
    path = os.path.join(folder, "swap.py")
    spec = importlib.util.spec_from_file_location("_frugalwatch_swap", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
