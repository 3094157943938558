"""Batches in page-locked memory, from which they reach a GPU faster (unverified on hardware)."""

from __future__ import annotations

from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.torch_facts import refuse_without_gpu


class PinnedMemory:
    """`pin_memory=True` of DataLoaders."""

    name = "pinned memory"

    def applies(self, facts: Facts) -> Applicability:
        refused = refuse_without_gpu(facts)
        if refused is not None:
            return refused
        assert facts.inside is not None
        if not facts.inside.loaders:
            return Applicability(False, "the program uses no torch DataLoader")
        if all(each.pin_memory for each in facts.inside.loaders):
            return Applicability(False, "its loaders pin memory already")
        return Applicability(True, "its loaders do not pin memory (unverified on hardware)")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        return (
            Variant(
                name="pinned memory",
                technique=self.name,
                change=Change(switches={"loader": {"pin_memory": True}}),
                claim="time",
                for_good="pin the loaders' memory:",
                code="DataLoader(..., pin_memory=True)",
                risk="page-locked memory cannot be swapped; unverified on hardware",
            ),
        )
