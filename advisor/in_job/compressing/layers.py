"""Whole layers: blocks in a row that can be left out, since what goes in comes out alike."""

from __future__ import annotations

from typing import Any  # torch and modules are of the job's own version

_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers")
_LEAST = 2  # of a row of blocks so many stay


def find(model: Any) -> list[tuple[str, int]]:
    """Blocks that may be left out, as (name of their row, place), for a trial to decide.

    They stand in a list with others of their class and consist of several layers.
    """
    import torch

    found = []
    for name, module in model.named_modules():
        if not isinstance(module, (torch.nn.ModuleList, torch.nn.Sequential)) or not name:
            continue
        if len(module) <= _LEAST:
            continue
        for at, block in enumerate(module):
            alike = sum(type(other) is type(block) for other in module)
            if (
                alike > 1
                and sum(1 for _ in block.modules()) > 2
                and any(True for _ in block.parameters())
            ):
                found.append((name, at))
    return found


def take_out(model: Any, name: str, places: list[int]) -> None:
    """Leave out the blocks at these places of the row called `name`."""
    row = model.get_submodule(name)
    kept = [block for at, block in enumerate(row) if at not in set(places)]
    before = len(row)
    parent_name, _, own = name.rpartition(".")
    parent = model.get_submodule(parent_name)
    new = type(row)(kept) if hasattr(row, "append") and type(row).__name__ == "ModuleList" else None
    if new is None:
        new = type(row)(*kept)
    new.train(row.training)
    setattr(parent, own, new)
    for at, block in enumerate(kept):
        for each in block.modules():
            if isinstance(getattr(each, "layer_idx", None), int):
                each.layer_idx = at
    for holder in model.modules():
        config = getattr(holder, "config", None)
        for attribute in _COUNTS:
            if getattr(config, attribute, None) == before:
                setattr(config, attribute, len(kept))
