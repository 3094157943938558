"""How much of a batch is padding, as the mask among its inputs says, and outputs without it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # tensors of the job's own torch

_OF_POSITIONS = ("start_logits", "end_logits")  # two dimensions, one score for each position


def add_padding(seen: dict[str, Any] | None, mask: Any) -> dict[str, Any] | None:
    """What was seen of masks so far, with one more: `mask` is true where there is a token.

    `tokens` are all positions, `padded` those that hold none; `right`: in each row they come last.
    """
    if mask is None or not mask.numel():
        return seen
    found = seen or {"calls": 0, "rows": 0, "tokens": 0, "padded": 0, "right": True}
    found["calls"] += 1
    found["rows"] += int(mask.shape[0])
    found["tokens"] += mask.numel()
    found["padded"] += mask.numel() - int(mask.sum())
    found["right"] = found["right"] and not bool((mask[:, 1:] > mask[:, :-1]).any())
    return found


def blank_padding(tensors: dict[str, Any], mask: Any) -> None:
    """Put zeros where outputs stand at padding: what is there is not defined.

    Outputs of three dimensions or more have positions if the first two fit the mask; of those with
    two dimensions, where scores of classes look alike, only the ones that are known to.
    """
    if mask is None or bool(mask.all()):
        return
    for name, value in list(tensors.items()):
        has_positions = value.dim() > 2 or name.endswith(_OF_POSITIONS)
        if value.shape[:2] != mask.shape or not has_positions:
            continue
        blanked = value.clone()
        blanked[~mask] = 0
        tensors[name] = blanked
