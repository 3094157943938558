"""Embeddings: whether each input keeps its nearest neighbours.

The neighbours are what a search or a clustering would use. A high cosine says little: vectors that
all keep 0.993 of it were seen to change one in ten of their neighbours. So cosines are shown and
decide nothing.

Neighbours are sought among 256 inputs, whatever their number: with more to choose from, neighbours
are closer to each other and more of them change places, so that figures of a larger pool would not
compare with those of a smaller one. Larger numbers are cut into pools of that size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from advisor.gates.intervals import of_mean
from advisor.gates.result import GateResult, bounds, conclude, decide, percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.floating[Any]]

NEIGHBOURS = 10
POOL = 256
# Similarities that differ by less are equal: float32 sums in another order do that.
_TIE = 1e-6


def judge(original: Vectors, changed: Vectors, limit: float, *, of: str = "") -> GateResult:
    """Compare embeddings [inputs, width] of the same inputs.

    `limit` is the least share of the ten nearest neighbours by cosine that must stay, on average.
    The widths may differ: neighbours are of each side's own space; there are no cosines then.
    """
    import numpy as np

    own, new = _unit(original), _unit(changed)
    judged = len(own)
    kept = np.zeros(judged)
    visits = np.zeros(judged)
    correlations = []
    for members in pools(judged):
        before, after = own[members] @ own[members].T, new[members] @ new[members].T
        kept[members] += overlap(before, after)
        visits[members] += 1
        correlations.append(_spearman(before, after))
    found = of_mean(kept / np.maximum(visits, 1))
    acceptable = decide(found, limit, judged)
    among = min(POOL, judged)
    text = (
        f"{bounds(found)} of the {NEIGHBOURS} nearest neighbours stay (of {judged:,} inputs, among"
        f" {among} each), limit {percent(limit)}"
    )
    shown = {"spearman": float(np.mean(correlations)) if correlations else float("nan")}
    if own.shape == new.shape and judged:
        cosines = np.einsum("ij,ij->i", own, new)
        shown["cosine_mean"] = float(cosines.mean())
        shown["cosine_p5"] = float(np.quantile(cosines, 0.05))
    return conclude(
        "embedding",
        "overlap",
        found,
        limit,
        judged=judged,
        acceptable=acceptable,
        sentence=text,
        shown=shown,
        of=of,
    )


def pools(count: int) -> list[NDArray[np.intp]]:
    """Places of `count` inputs in pools of 256, each input in one at least; fixed, but shuffled."""
    import numpy as np

    if count == 0:
        return []
    order = np.random.default_rng(0).permutation(count)
    if count <= POOL:
        return [order]
    number = -(-count // POOL)
    starts = [at * count // number for at in range(number)]
    return [np.take(order, range(start, start + POOL), mode="wrap") for start in starts]


def overlap(before: Vectors, after: Vectors) -> NDArray[np.float64]:
    """For each input, the share of its nearest neighbours by `after` that it had by `before`.

    Both are similarities [inputs, inputs]. Whatever is as near as the last of the ten counts as one
    of them, since between equals the order is chance.
    """
    import numpy as np

    count = len(before)
    nearest = min(NEIGHBOURS, count - 1)
    if nearest < 1:
        return np.ones(count)
    before, after = before.copy(), after.copy()
    np.fill_diagonal(before, -np.inf)
    np.fill_diagonal(after, -np.inf)
    last = np.partition(before, -nearest, axis=1)[:, -nearest]
    chosen = np.argpartition(after, -nearest, axis=1)[:, -nearest:]
    had = np.take_along_axis(before, chosen, axis=1) >= last[:, None] - _TIE
    return np.asarray(had.mean(axis=1), dtype=np.float64)


def pooled(states: Any, mask: Any | None) -> Vectors:
    """States of tokens [inputs, tokens, width] as embeddings: the mean of what the mask keeps.

    `mask` [inputs, tokens] is not zero where there is a token; None: all are. A text without any
    token is zero.
    """
    import numpy as np

    states = np.asarray(states, dtype=np.float32)
    kept = np.ones(states.shape[:2]) if mask is None else np.asarray(mask) != 0
    weights = kept.astype(np.float32)[:, :, None]
    found: Vectors = (states * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1)
    return found


def _unit(vectors: Vectors) -> Vectors:
    """Of length 1; what is zero, or no number, becomes zero."""
    import numpy as np

    values = np.where(np.isfinite(vectors), vectors, 0).astype(np.float32)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    found: Vectors = values / np.where(lengths > 0, lengths, 1)
    return found


def _spearman(before: Vectors, after: Vectors) -> float:
    """The rank correlation of the similarities of all pairs."""
    import numpy as np

    upper = np.triu_indices(len(before), k=1)
    if len(upper[0]) < 2:
        return float("nan")
    ranks = [np.argsort(np.argsort(each[upper])) for each in (before, after)]
    with np.errstate(invalid="ignore"):
        return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
