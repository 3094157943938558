"""How far a built model's answers may move, asked while it is built.

`order["judged_by"]` has `screening` (calls that judge nothing later: number, digest, file) and
`gate` (the user's limit).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # what JSON gives back

from advisor.compression_stack.scoring import Scorer
from advisor.gates.options import GateOptions

# What one look at all inputs may take, about.
_MOST_S = 5.0


def scorer_of(order: Mapping[str, Any]) -> Scorer:
    """Compares with the model in `order["source"]`. Raises CannotBuildError where nothing can."""
    asked = order["judged_by"]
    options = GateOptions(**asked["gate"])
    return Scorer(str(order["source"]), asked["screening"], options, most_s=_MOST_S)
