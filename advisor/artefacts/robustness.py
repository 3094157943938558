"""Whether a model that was built still answers as the original where requests are others.

Inputs are the captured ones of the judging part: as they are, with noise, in batches, longer, and
mixed. Both models answer all of them, so no label is needed: what counts is how far they differ.
Nothing is chosen by this.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any  # what JSON gives back, NumPy's arrays

from advisor.artefacts.engines import opened
from advisor.artefacts.samples import feeds, read_signature
from advisor.artefacts.timing import session
from advisor.gates import classification, embedding, regression
from advisor.workshop import CannotBuildError

_MOST_INPUTS = 512
_LEAST_INPUTS = 20
_BATCH = 8
_LONGEST = 512  # positions
_MASKS = ("attention_mask", "mask", "input_mask")
_NOISE = (0.05, 0.1, 0.2)
_OTHER_WORDS = (0.05, 0.15)
Feed = dict[str, Any]


def build(order: Mapping[str, Any]) -> dict[str, object]:
    """Compare `order["artefact"]` with `order["source"]` on changed inputs of `order["judging"]`.

    Raises CannotBuildError where there is nothing to compare.
    """
    import numpy as np

    source, artefact = str(order["source"]), str(order["artefact"])
    signature = read_signature(source)
    paths = list(order["judging"])[:_MOST_INPUTS]
    inputs = list(feeds(signature, paths))
    if len(inputs) < _LEAST_INPUTS:
        raise CannotBuildError(f"only {len(inputs)} captured inputs judge")
    names = {each["name"]: each for each in signature["inputs"]}
    mask = next((n for n, e in names.items() if str(e["path"][-1]) in _MASKS), None)
    pair = _Pair(source, artefact, mask)
    random = np.random.default_rng(int(order.get("seed", 0)))
    open_batch = all(each["dims"][:1] == [None] for each in names.values())
    tried: list[tuple[str, Callable[[], list[Feed]]]] = [("as captured", lambda: inputs)]
    floats = [n for n, value in inputs[0].items() if value.dtype.kind == "f"]
    words = [n for n, v in inputs[0].items() if v.dtype.kind == "i" and v.ndim == 2 and n != mask]
    tried += [
        (f"noise of {share:.0%} of their spread", _noisy(inputs, floats, share, random))
        for share in (_NOISE if floats else ())
    ]
    tried += [
        (f"{share:.0%} of the words from other texts", _reworded(inputs, words, share, random))
        for share in (_OTHER_WORDS if words and mask else ())
    ]
    if open_batch:
        tried.append((f"in batches of {_BATCH}", lambda: _batched(inputs, mask, None)))
        tried.append(("in mixed batches of 1 to 16", lambda: _batched(inputs, mask, random)))
    if words and all(names[name]["dims"][1] is None for name in words):
        tried.append(("twice as long", lambda: _longer(inputs)))
    limits = dict(order["limits"])
    found = [each for name, make in tried if (each := pair.compared(name, make(), limits))]
    if not found:
        raise CannotBuildError("its answers have no form that can be compared")
    return {"how": "compared with the original on changed inputs", "conditions": found}


class _Pair:
    """The original and the other model; a cascade asks the original as it would in the program."""

    def __init__(self, source: str, artefact: str, mask: str | None) -> None:
        self._original = session(os.path.join(source, "model.onnx"))
        self._other = opened(artefact)
        self._signatures = read_signature(source), read_signature(artefact)
        self._mask = mask
        self._rule: dict[str, Any] | None = None
        path = os.path.join(artefact, "cascade.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self._rule = json.load(file)

    def compared(
        self, name: str, inputs: Sequence[Feed], limits: Mapping[str, float]
    ) -> dict[str, object] | None:
        """How many answers stay; None where they are of no form that can be judged."""
        import numpy as np

        own, new = [], []
        kind = ""
        for feed in inputs:
            before = self._run(self._original, feed)
            after = self._run(self._other, feed)
            output, kind = self._output(before)
            if not output:
                return None
            if output not in after or before[output].shape[0] != after[output].shape[0]:
                return None
            a, b = before[output], after[output]
            if kind == "classes" and self._rule is not None:
                b = np.where(self._unsure(b)[:, None], a, b)
            if kind == "states":
                kept = None if self._mask is None else feed.get(self._mask)
                a, b = embedding.pooled(a, kept), embedding.pooled(b, kept)
            own.append(a)
            new.append(b)
        left, right = np.concatenate(own), np.concatenate(new)
        if kind == "classes":
            result = classification.judge(left, right, limits["agreement"])
        elif kind in ("states", "embedding"):
            result = embedding.judge(left, right, limits["overlap"])
        else:
            result = regression.judge(left, right, limits["error"])
        worst = result.worst
        return {
            "name": name,
            "measure": result.measure,
            "value": result.value,
            "low": result.low,
            "high": result.high,
            "limit": result.limit,
            "inputs": result.judged,
            "worst_class": None if worst is None else worst.as_json(),
        }

    def _run(self, model: Any, feed: Feed) -> dict[str, Any]:
        names = [each.name for each in model.get_outputs()]
        wanted = {each.name: feed[each.name] for each in model.get_inputs()}
        return dict(zip(names, model.run(None, wanted), strict=True))

    def _output(self, answers: Mapping[str, Any]) -> tuple[str, str]:
        """The output to compare by, and what it is: scores first, then states and embeddings."""
        import numpy as np

        named = dict(_names(self._signatures[0]["output"]))
        for place, output in named.items():
            leaf = place.rpartition(".")[2]
            if leaf in ("logits", "scores", "probs") and answers[output].ndim == 2:
                return output, "classes" if answers[output].shape[1] > 1 else "numbers"
        for place, output in named.items():
            value = answers[output]
            if value.dtype.kind != "f":
                continue
            if value.ndim == 3:
                return output, "states"
            if value.ndim == 2 and value.shape[1] > 1:
                unit = np.allclose(np.linalg.norm(value, axis=1), 1, atol=1e-3)
                return output, "embedding" if unit or "embed" in place else "classes"
            if value.ndim == 2:
                return output, "numbers"
        return "", ""

    def _unsure(self, scores: Any) -> Any:
        import numpy as np

        assert self._rule is not None
        values = scores.astype("f8")
        if not self._rule.get("shares"):
            values = np.exp(values - values.max(-1, keepdims=True))
            values /= values.sum(-1, keepdims=True)
        return values.max(-1) < float(self._rule["threshold"])


def _names(node: Mapping[str, Any], place: str = "") -> list[tuple[str, str]]:
    """Where each tensor of an answer stands, and the model's name of it."""
    if "tensor" in node:
        return [(place or "output", str(node["tensor"]))]
    pairs = [*node.get("dict", ()), *enumerate(node.get("list", ()))]
    return [
        found
        for key, each in pairs
        for found in _names(each, f"{place}.{key}" if place else str(key))
    ]


def _noisy(
    inputs: Sequence[Feed], names: Sequence[str], share: float, random: Any
) -> Callable[[], list[Feed]]:
    def make() -> list[Feed]:
        import numpy as np

        spread = {n: float(np.std(np.concatenate([f[n].ravel() for f in inputs]))) for n in names}
        return [
            {
                n: (v + random.standard_normal(v.shape) * share * spread[n]).astype(v.dtype)
                if n in spread
                else v
                for n, v in feed.items()
            }
            for feed in inputs
        ]

    return make


def _reworded(
    inputs: Sequence[Feed], names: Sequence[str], share: float, random: Any
) -> Callable[[], list[Feed]]:
    """Some words, but for the first and the last, are those of other texts."""

    def make() -> list[Feed]:
        import numpy as np

        made = []
        pools = {n: np.concatenate([f[n][:, 1:-1].ravel() for f in inputs]) for n in names}
        for feed in inputs:
            new = dict(feed)
            for name in names:
                value, pool = feed[name].copy(), pools[name]
                if value.shape[1] > 2 and len(pool):
                    chosen = random.random(value.shape) < share
                    chosen[:, [0, -1]] = False
                    value[chosen] = random.choice(pool, int(chosen.sum()))
                new[name] = value
            made.append(new)
        return made

    return make


def _batched(inputs: Sequence[Feed], mask: str | None, random: Any) -> list[Feed]:
    """The same requests together; with `random` shuffled, and in batches of any size up to 16."""
    import numpy as np

    left = list(inputs)
    if random is not None:
        left = [left[at] for at in random.permutation(len(left))]
    found: list[Feed] = []
    while left:
        size = _BATCH if random is None else int(random.integers(1, 17))
        first = left[0]
        batch = [f for f in left[: 4 * size] if _fits(first, f, padded=mask is not None)][:size]
        taken = set(map(id, batch))
        left = [f for f in left if id(f) not in taken]
        found.append({n: np.concatenate(_padded([f[n] for f in batch])) for n in first})
    return found


def _fits(first: Feed, other: Feed, *, padded: bool) -> bool:
    shapes = [(first[n].shape[1:], other[n].shape[1:]) for n in first]
    return all(a == b or (padded and len(a) == len(b) == 1) for a, b in shapes)


def _padded(column: list[Any]) -> list[Any]:
    import numpy as np

    if column[0].ndim != 2:
        return column
    width = max(each.shape[1] for each in column)
    return [np.pad(each, ((0, 0), (0, width - each.shape[1]))) for each in column]


def _longer(inputs: Sequence[Feed]) -> list[Feed]:
    """Each request followed by the next one, as one."""
    import numpy as np

    found = []
    for first, second in zip(inputs, [*inputs[1:], inputs[0]], strict=True):
        length = max(v.shape[1] for v in first.values() if v.ndim == 2)
        length += max(v.shape[1] for v in second.values() if v.ndim == 2)
        if length <= _LONGEST and all(first[n].shape[0] == second[n].shape[0] for n in first):
            found.append(
                {
                    n: np.concatenate([v, second[n]], 1) if v.ndim == 2 else v
                    for n, v in first.items()
                }
            )
    return found or list(inputs[:1])
