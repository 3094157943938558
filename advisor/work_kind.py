"""Whether a program trains or answers, by what the hook counted in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias  # Any: what JSON gives back

WorkKind: TypeAlias = Literal["training", "inference", "unknown"]

_TRAINING = ("step", "fit")
_INFERENCE = ("request", "call", "generate", "predict")


def kind_of_work(run: Mapping[str, Any]) -> WorkKind:
    """From a run object: steps, fits or backward passes are a training, also where it answers too.

    "unknown" where the hook was off, or saw neither: a shell script, a library that it does not
    know, work in another process.
    """
    counts = {str(each["unit"]): int(each["count"] or 0) for each in run.get("units") or ()}
    parts = (run.get("activities") or {}).get("parts") or ()
    if any(counts.get(unit) for unit in _TRAINING) or any(
        part.get("activity") == "backward" for part in parts
    ):
        return "training"
    if any(counts.get(unit) for unit in _INFERENCE):
        return "inference"
    return "unknown"
