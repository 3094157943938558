"""Texts: how many of the next tokens stay, after the same text before them.

Both sides are asked for the token that comes next at every place of the same text. (Left to write
on their own, two texts part for good at the first token that differs, and then the comparison says
nothing.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from advisor.gates.intervals import of_clusters
from advisor.gates.result import GateResult, bounds, conclude, decide, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

NO_TOKEN = -1


def judge(
    original: Sequence[NDArray[np.integer[Any]]],
    changed: Sequence[NDArray[np.integer[Any]]],
    limit: float,
    *,
    of: str = "",
) -> GateResult:
    """Compare chosen tokens, one sequence for each input; -1 is padding.

    `limit` is the least share of tokens that must stay. Tokens of one text depend on each other, so
    the interval takes texts for what is independent. A token that only one side has is another one.
    """
    import numpy as np

    counted = [_same(a, b) for a, b in zip(original, changed, strict=True)]
    hits = np.array([hit for hit, size in counted if size], dtype=float)
    sizes = np.array([size for _, size in counted if size], dtype=float)
    judged = len(sizes)
    found = of_clusters(hits, sizes)
    acceptable = decide(found, limit, judged)
    text = (
        f"{bounds(found)} of {int(sizes.sum()):,} tokens stay (of {judged:,} inputs),"
        f" limit {percent(limit)}"
    )
    whole = float(np.mean(hits == sizes)) if judged else float("nan")
    return conclude(
        "generation",
        "tokens",
        found,
        limit,
        judged=judged,
        acceptable=acceptable,
        sentence=text,
        shown={"texts_unchanged": whole},
        of=of,
    )


def _same(own: NDArray[np.integer[Any]], new: NDArray[np.integer[Any]]) -> tuple[int, int]:
    """Tokens that stayed, and tokens in all."""
    if len(own) == len(new):
        there = (own != NO_TOKEN) | (new != NO_TOKEN)
        return int(((own == new) & there).sum()), int(there.sum())
    own, new = own[own != NO_TOKEN], new[new != NO_TOKEN]
    common = min(len(own), len(new))
    return int((own[:common] == new[:common]).sum()), max(len(own), len(new))
