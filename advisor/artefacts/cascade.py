"""A student and the original put together, with the rule by which the student asks for help.

How often it will is counted here on captured inputs that neither taught it nor set its threshold.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from typing import Any  # what JSON gives back, NumPy's arrays

from advisor.artefacts.samples import feeds, read_signature
from advisor.artefacts.timing import session
from advisor.gates.intervals import wilson

_REPLACEMENTS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "replacements")
# Above the highest rate that is usual by so much: then the inputs are others than those captured.
_ALARM_FACTOR = 1.5
_LEAST_ALARM = 0.02


def build(order: Mapping[str, Any]) -> dict[str, object]:
    """Assemble `order["student"]` in front of `order["source"]` by the rule `order["rule"]`.

    `order["judging"]` are files of captured inputs on which escalations are counted.
    """
    import onnxruntime

    source, student = str(order["source"]), str(order["student"])
    folder, rule = str(order["folder"]), dict(order["rule"])
    large = os.path.join(folder, "large")
    os.makedirs(large)
    for name in ("model.onnx", "signature.json"):
        shutil.copyfile(os.path.join(student, name), os.path.join(folder, name))
        shutil.copyfile(os.path.join(source, name), os.path.join(large, name))
    escalated, rows = _counted(folder, rule, list(order["judging"]))
    found = wilson(escalated, rows) if rows else None
    usual = found.high if found is not None else float(rule["escalated"])
    rule["alarm_rate"] = min(1.0, max(_LEAST_ALARM, _ALARM_FACTOR * usual))
    with open(os.path.join(folder, "cascade.json"), "w", encoding="utf-8") as file:
        json.dump(rule, file, indent=1)
    for name, copy in (("cascade.py", "load.py"), ("onnx_swap.py", "swap.py")):
        shutil.copyfile(os.path.join(_REPLACEMENTS, name), os.path.join(folder, copy))
    return {
        "how": "a student in front of the exported model, by a threshold of its confidence",
        "versions": {"onnxruntime": onnxruntime.__version__},
        "threshold": rule["threshold"],
        "alarm_rate": rule["alarm_rate"],
        "escalated": None if found is None else found.value,
        "escalated_low": None if found is None else found.low,
        "escalated_high": None if found is None else found.high,
        "counted": rows,
    }


def _counted(folder: str, rule: Mapping[str, Any], paths: list[str]) -> tuple[int, int]:
    """Rows that would be escalated, and all rows."""
    import numpy as np

    signature = read_signature(folder)
    model = session(os.path.join(folder, "model.onnx"))
    output = _output(signature["output"], str(rule["output"]))
    escalated = rows = 0
    for feed in feeds(signature, paths):
        wanted = {each.name: feed[each.name] for each in model.get_inputs()}
        (scores,) = model.run([output], wanted)
        values = scores.astype("f8")
        if not rule.get("shares"):
            values = np.exp(values - values.max(-1, keepdims=True))
            values /= values.sum(-1, keepdims=True)
        escalated += int((values.max(-1) < float(rule["threshold"])).sum())
        rows += len(values)
    return escalated, rows


def _output(node: Mapping[str, Any], name: str) -> str:
    """The model's name of the output that `name` leads to in its answer."""
    parts = [] if "tensor" in node else name.split(".")
    for part in parts:
        node = dict(node["dict"])[part] if "dict" in node else node["list"][int(part)]
    return str(node["tensor"])
