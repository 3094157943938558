"""What a built model costs and how far its answers drift, on captured inputs: in a process of ours.

Both are taken against the original as it was exported, by the same run time with one thread. Costs
are CPU seconds of this process, both models in turn. Answers are compared on the inputs that are
there for screening, by the gate that judges them later on others.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple  # NumPy's arrays, sessions, what JSON gives back

from advisor.artefacts.engines import opened
from advisor.artefacts.samples import feeds, read_signature
from advisor.artefacts.timing import cpu_s, session, spread
from advisor.compression_stack.points import Outcome, Practice
from advisor.gates.gate import judge_choice
from advisor.gates.kinds import choose
from advisor.gates.rows import Group
from advisor.gates.splits import Row
from advisor.replacements.unpadded import split
from advisor.workshop import CannotBuildError

if TYPE_CHECKING:
    from advisor.gates.options import GateOptions
    from advisor.gates.result import GateResult

Feed = dict[str, Any]

_ROUNDS = 7
_LEAST_S = 0.03  # of one round of one model: shorter ones tell nothing
_TIMED_CALLS = 16
_MASKS = ("attention_mask", "input_mask")
# Of a call beyond its tokens, in tokens: what un-padding weighs a further call by.
_CALL_COST_TOKENS = 16.0
_WIDEST = 4096


class Call(NamedTuple):
    """A captured call for screening: its number and the digest of its inputs, and the inputs."""

    number: int
    digest: str
    feed: Feed


class Scorer:
    """Compares models with the original in the folder `original`.

    `screening` are (number, digest, file of inputs); as many are taken as the original answers in
    about `most_s`. Raises CannotBuildError where no captured input fits, or its answers have no
    form that there is a gate for.
    """

    def __init__(
        self,
        original: str,
        screening: Sequence[Sequence[Any]],
        options: GateOptions,
        *,
        most_s: float = math.inf,
    ) -> None:
        self._signature = read_signature(original)
        self._options = options
        self._calls = list(_calls(self._signature, screening))
        if not self._calls:
            raise CannotBuildError("no captured input is there to screen by")
        self._mask = _mask_name(self._signature)
        self._paths = _output_paths(self._signature["output"])
        self._own = session(os.path.join(original, "model.onnx"))
        self._timed = spread([call.feed for call in self._calls], _TIMED_CALLS)
        cpu_s(self._own, self._timed[:1])  # the first is slower
        once_s = max(1e-6, cpu_s(self._own, self._timed))
        self._repeats = max(1, math.ceil(_LEAST_S / once_s))
        if once_s * len(self._calls) > most_s * len(self._timed):
            most = int(most_s / once_s * len(self._timed))
            self._calls = spread(self._calls, max(1, most))
        self._answers = list(self._rows_of(self._own))

    @property
    def is_padded(self) -> bool:
        """Whether calls hold rows of different lengths, by a mask that says so."""
        return any(len(parts(feed, self._mask)) > 1 for feed in self._timed)

    def score(self, folder: str, practice: Practice = "as it comes") -> Outcome:
        """Cost and drift of the model in a folder. Raises CannotBuildError."""
        new = opened(folder)
        result = self.judged(new)
        drift = result.value if result.measure == "error" else 1 - result.value
        limit = result.limit if result.measure == "error" else 1 - result.limit
        return Outcome(
            cost_ratio=self._cost_ratio(new, practice),
            drift=max(0.0, drift) if math.isfinite(drift) else 1.0,
            limit=limit,
            hopeless=result.hopeless,
            sentence=result.sentence.partition(";")[0],
            folder=folder,
        )

    def _cost_ratio(self, new: Any, practice: Practice) -> float:
        inputs = self._timed
        if practice == "un-padding":
            inputs = [part for feed in self._timed for part in parts(feed, self._mask)]
        cpu_s(new, inputs)
        ratios = []
        for _ in range(_ROUNDS):
            before_s = cpu_s(self._own, self._timed, self._repeats)
            ratios.append(cpu_s(new, inputs, self._repeats) / max(1e-9, before_s))
        return statistics.median(ratios)

    def judged(self, new: Any) -> GateResult:
        """How far a session's answers are from the original's. Raises CannotBuildError."""
        groups: dict[tuple[str, str], Group] = {}
        kind, is_masked = str(self._signature.get("class", "")), self._mask is not None
        for call, own, other in zip(self._calls, self._answers, self._rows_of(new), strict=True):
            for key, before in own.items():
                after = other.get(key)
                if after is None or len(after) != len(before):
                    continue
                group = groups.setdefault(key, Group(kind, *key, is_masked, [], [], []))
                group.rows += [
                    Row(call.number, len(before), f"{call.digest}:{at}", call.digest)
                    for at in range(len(before))
                ]
                group.own += list(before)
                group.new += list(after)
        choice = choose(list(groups.values()), self._options)
        result = choice and judge_choice(choice, range(len(choice.group.rows)), self._options)
        if not result:
            raise CannotBuildError("its answers have no form that there is a gate for")
        return result

    def _rows_of(self, model: Any) -> Iterator[dict[tuple[str, str], Any]]:
        """Of each call what its answers are compared by, by name and how it was made."""
        names = [each.name for each in model.get_outputs()]
        for call in self._calls:
            mask = None if self._mask is None else call.feed[self._mask]
            found: dict[tuple[str, str], Any] = {}
            for name, value in zip(names, model.run(names, call.feed), strict=True):
                for how, rows in _rows(value, mask).items():
                    found[self._paths.get(name, name), how] = rows
            yield found


def _calls(signature: Mapping[str, Any], screening: Sequence[Sequence[Any]]) -> Iterator[Call]:
    for number, digest, path in screening:
        for feed in feeds(signature, [str(path)]):
            yield Call(int(number), str(digest), feed)


def _rows(value: Any, mask: Any) -> dict[str, Any]:
    """As the hook makes them of what the torch module returns (look_rows.py)."""
    import numpy as np

    if value.dtype.kind != "f" or value.ndim < 2:
        return {"row": value.reshape(-1, 1)} if value.dtype.kind == "f" else {}
    if value.ndim == 2:
        if value.shape[1] <= _WIDEST:
            return {"row": value}
        return {"top": value.argmax(1)[:, None]}
    if value.ndim != 3:
        return {}
    kept = np.ones(value.shape[:2], bool)
    if mask is not None and mask.shape == value.shape[:2]:
        kept = mask != 0
    tokens = np.where(kept, value.argmax(2), -1)
    if value.shape[2] > _WIDEST:
        return {"tokens": tokens}
    weights = kept[:, :, None].astype(value.dtype)
    mean = (value * weights).sum(1) / np.maximum(weights.sum(1), 1)
    first = value[np.arange(len(value)), kept.argmax(1)]
    return {"mean": mean, "first": first, "tokens": tokens}


def _mask_name(signature: Mapping[str, Any]) -> str | None:
    for each in signature["inputs"]:
        if str(each["path"][-1]).endswith(_MASKS) and len(each["dims"]) == 2:
            return str(each["name"])
    return None


def _output_paths(node: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """By the model's name of an output, where it stands in the module's answer."""
    if "tensor" in node:
        return {str(node["tensor"]): path}
    found: dict[str, str] = {}
    for name, each in node.get("dict", ()):
        found |= _output_paths(each, f"{path}.{name}" if path else str(name))
    for at, each in enumerate(node.get("list", ())):
        found |= _output_paths(each, f"{path}.{at}" if path else str(at))
    return found


def parts(feed: Feed, mask_name: str | None) -> list[Feed]:
    """A batch in parts of like length, as un-padding runs it."""
    mask = None if mask_name is None else feed[mask_name]
    if mask is None or len(mask) < 2:
        return [feed]
    lengths = [max(1, int(each)) for each in (mask != 0).sum(1)]
    found = []
    for rows, length in split(lengths, _CALL_COST_TOKENS):
        part = {}
        for name, value in feed.items():
            if value.shape[:2] == mask.shape:
                part[name] = value[rows][:, :length].copy()
            else:
                part[name] = value[rows] if value.shape[:1] == mask.shape[:1] else value
        found.append(part)
    return found
