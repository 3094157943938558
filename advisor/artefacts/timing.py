"""A first look at what a built model costs, on captured inputs, before any replay is spent on it.

CPU seconds of this process with one thread, both models in turn: enough to see what is hopeless.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Sequence
from typing import Any  # sessions, NumPy's arrays

from advisor.artefacts.samples import feeds, read_signature

_ROUNDS = 5
_CALLS = 16
_LEAST_S = 0.05  # of one round of one model: shorter ones tell nothing
_MOST_S = 1.0  # about; large inputs are fewer


def compared(source: str, folder: str, samples: Sequence[str], new: Any = None) -> dict[str, float]:
    """The new model's CPU time over the first one's, and how far its answers are from it.

    `new` has the `run` of a session; without it the model in `folder` is opened as one.

    `distance` is the root mean square of the difference, of the size of the answers.
    """
    inputs = spread(list(feeds(read_signature(source), list(samples))), _CALLS)
    old, new = session(os.path.join(source, "model.onnx")), new or session(_model(folder))
    cpu_s(old, inputs[:1])  # the first is slower
    inputs = spread(inputs, max(1, int(_MOST_S / max(1e-6, cpu_s(old, inputs[:1])))))
    size = difference = 0.0
    for feed in inputs:
        a, b = old.run(None, feed), new.run(None, feed)
        for x, y in zip(a, b, strict=True):
            if x.dtype.kind == "f":
                wide = x.astype("f8")
                size += float((wide * wide).sum())
                difference += float(((wide - y.astype("f8")) ** 2).sum())
    once_s = max(1e-6, cpu_s(old, inputs))
    repeats = max(1, math.ceil(_LEAST_S / once_s))
    ratios = []
    for _ in range(_ROUNDS):
        before = cpu_s(old, inputs, repeats)
        ratios.append(cpu_s(new, inputs, repeats) / before)
    return {
        "cpu_ratio": statistics.median(ratios),
        "distance": math.sqrt(difference / size) if size else 0.0,
        "calls": len(inputs),
    }


def session(model: str | bytes) -> Any:
    """A session as a replacement makes it: one thread, no spinning. Of a file or of its bytes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _model(folder: str) -> str:
    return os.path.join(folder, "model.onnx")


def cpu_s(model: Any, inputs: Sequence[Any], repeats: int = 1) -> float:
    """CPU seconds of this process while a session answers the inputs so many times."""
    began_s = time.process_time()
    for _ in range(repeats):
        for feed in inputs:
            model.run(None, feed)
    return time.process_time() - began_s


def spread(found: Sequence[Any], most: int) -> list[Any]:
    """At most so many of them, from the whole length."""
    step = max(1, len(found) // most)
    return list(found[::step][:most])
