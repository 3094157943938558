"""TensorFloat-32 in matrix products of float32 on a GPU (unverified on hardware)."""

from __future__ import annotations

from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.torch_facts import refuse_without_gpu

_FIRST = (8, 0)  # compute capability of the first GPUs that have it


class Tf32:
    """The precision of float32 products on NVIDIA GPUs since Ampere."""

    name = "TF32"

    def applies(self, facts: Facts) -> Applicability:
        refused = refuse_without_gpu(facts)
        if refused is not None:
            return refused
        assert facts.inside is not None
        if facts.inside.cuda_capability < _FIRST:
            return Applicability(False, "this GPU has no TF32 units")
        if facts.inside.matmul_precision != "highest":
            return Applicability(False, "the program allows TF32 already")
        return Applicability(
            True, "float32 products run at full precision (unverified on hardware)"
        )

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        return (
            Variant(
                name="TF32",
                technique=self.name,
                change=Change(switches={"tf32": True}),
                for_good="allow it once, at the start:",
                code='torch.set_float32_matmul_precision("high")',
                risk="products keep 3 digits, so outputs move; unverified on hardware",
                lossy=True,
            ),
        )
