"""Makes small rows of what a root call returned: one for each input of a batch.

Whole outputs are large: the states of the tokens of a thousand short sentences are 60 MB, the
scores of a language model a hundred times that. What answers are compared by is small: the scores
of classes, the embedding of a text, the token chosen at each place. So those are worked out here,
by torch, which has the outputs at hand. `ROWS:HOW:NAME` is what a row is kept as:

    row     a row of numbers as it is, up to 4096 wide
    top     the place of the highest number in a wider one
    mean    the mean of the states of an input's tokens, of those that the attention mask keeps
    first   the state of the first of these
    tokens  the place of the highest number at each token, or integers as they are; -1 is padding
"""

from __future__ import annotations

import hashlib
import json

from .capture_values import Flat, byte_count, raw_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # torch, its modules and tensors are of the job's own version

PREFIX = "rows"
_WIDEST = 4096
_KEEPS = ("attention_mask", "input_mask")
_HIDES = "key_padding_mask"
_MOST_OUTPUTS = 8  # a model that returns the states of all of its layers is looked at in part


class Inputs:
    """What went into a call: a digest of each input of the batch, and where its padding is.

    `mask` is true where there is a token, [batch, tokens]; None where nothing says so.
    """

    def __init__(self, module: Any, flat: Flat, structure: object) -> None:
        tensors = {name: each for name, each in flat.tensors.items() if each.dim()}
        self.mask = _mask(_named(module, tensors), tensors)
        self.batch = _batch(tensors)
        self.items = self._digests(flat, tensors, structure)
        self.names = {name.rpartition(".")[2] for name in tensors}

    def _digests(self, flat: Flat, tensors: dict[str, Any], structure: object) -> list[str]:
        """Equal for equal inputs, in whichever batch and with whatever padding they come."""
        shared = hashlib.blake2b(json.dumps(structure).encode(), digest_size=16)
        rows = []
        for name, tensor in flat.tensors.items():
            if name in tensors and tensor.shape[0] == self.batch:
                rows.append(tensor)
            else:
                shared.update(raw_bytes(tensor))
        found = []
        for place in range(self.batch):
            own = shared.copy()
            for tensor in rows:
                row = self._unpadded(tensor, place).contiguous()
                own.update(str((row.dtype, tuple(row.shape))).encode())
                own.update(raw_bytes(row))
            found.append(own.hexdigest())
        return found

    def _unpadded(self, tensor: Any, place: int) -> Any:
        row = tensor[place]
        if self.mask is not None and tensor.shape[:2] == self.mask.shape:
            return row[self.mask[place]]
        return row


def rows_of(torch: Any, flat: Flat, inputs: Inputs) -> dict[str, Any]:
    """Rows of the outputs `flat`, by the names that they are kept under, as plain tensors."""
    found: dict[str, Any] = {}
    with torch.no_grad():
        for name, tensor in list(flat.tensors.items())[:_MOST_OUTPUTS]:
            short = name.partition(".")[2]
            for how, rows in _rows(torch, tensor, short, inputs).items():
                found[f"{PREFIX}:{how}:{short}"] = rows.contiguous()
    return found


def size_bytes(rows: dict[str, Any]) -> int:
    """Bytes of all rows."""
    return sum([byte_count(each) for each in rows.values()])


def _rows(torch: Any, tensor: Any, name: str, inputs: Inputs) -> dict[str, Any]:
    if tensor.is_complex() or not tensor.numel():
        return {}
    if not tensor.is_floating_point():
        return _of_integers(torch, tensor, name, inputs)
    numbers = tensor.float()
    if numbers.dim() < 2:
        return {"row": numbers.reshape(-1, 1)}
    if numbers.dim() == 2:
        if numbers.shape[1] <= _WIDEST:
            return {"row": numbers}
        return {"top": numbers.argmax(1, keepdim=True)}
    return _of_tokens(numbers, inputs) if numbers.dim() == 3 else {}


def _of_integers(torch: Any, tensor: Any, name: str, inputs: Inputs) -> dict[str, Any]:
    """Classes or tokens that were chosen; not what only went through."""
    if name.rpartition(".")[2] in inputs.names or tensor.dtype == torch.bool:
        return {}
    if tensor.dim() == 1:
        return {"top": tensor.long().reshape(-1, 1)}
    return {"tokens": tensor.long()} if tensor.dim() == 2 else {}


def _of_tokens(states: Any, inputs: Inputs) -> dict[str, Any]:
    mask = inputs.mask
    if mask is not None and mask.shape != states.shape[:2]:
        mask = None
    tokens = states.argmax(2).int()
    if mask is None:
        mean, first = states.mean(1), states[:, 0]
    else:
        tokens[~mask] = -1
        weights = mask[:, :, None].to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
        first = states[range(len(states)), mask.int().argmax(1)]
    if states.shape[2] > _WIDEST:
        return {"tokens": tokens}
    return {"mean": mean, "first": first, "tokens": tokens}


def _batch(tensors: dict[str, Any]) -> int:
    """How many inputs a batch has: the first dimension of most tensors; 0 if there are none."""
    sizes = [int(each.shape[0]) for each in tensors.values()]
    return max(sizes, key=sizes.count) if sizes else 0


def _named(module: Any, tensors: dict[str, Any]) -> dict[str, str]:
    """By name of a tensor: what the module calls it, where it was given by its place."""
    code = getattr(getattr(module, "forward", None), "__code__", None)
    words = code.co_varnames[1 : code.co_argcount] if code is not None else ()
    found = {}
    for name in tensors:
        last = name.rpartition(".")[2]
        is_place = last.isdigit() and name.count(".") == 1 and int(last) < len(words)
        found[name] = words[int(last)] if is_place else last
    return found


def _mask(words: dict[str, str], tensors: dict[str, Any]) -> Any:
    """Where tokens are, by the input that is called a mask of them; None if none is."""
    for name, word in words.items():
        tensor = tensors[name]
        if tensor.dim() != 2:
            continue
        if word.endswith(_KEEPS):
            return tensor != 0
        if word.endswith(_HIDES) and not tensor.is_floating_point():  # else added to the scores
            return tensor == 0
    return None
