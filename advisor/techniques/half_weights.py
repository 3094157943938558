"""A GPU's module with its weights in 16 bits: half of the bytes that its products wait for.

Autocast keeps 32-bit weights and casts them at each call; here a copy is cast once, and what goes
in and comes out is cast around it. Unverified on hardware.
"""

from __future__ import annotations

import os

from advisor.replacements import half_weights
from advisor.techniques.autocast import gpu_types
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.swapping import refuse_swap, target

_UNVERIFIED = "unverified on hardware"


class HalfWeights:
    """bfloat16, and float16, where the GPU has units for them."""

    name = "16-bit weights"

    def applies(self, facts: Facts) -> Applicability:
        no = refuse_swap(facts, "", on_gpu=True)
        if no is not None:
            return no
        inside = facts.inside
        assert inside is not None
        kind = target(facts).kind
        if not any("float32" in root.dtypes for root in inside.roots if root.name == kind):
            return Applicability(False, f"{kind} holds no float32")
        types = gpu_types(inside)
        if not types:
            return Applicability(False, "this GPU has no units for bf16 or fp16")
        return Applicability(True, f"{kind} is float32, this GPU has {types[0]} ({_UNVERIFIED})")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        assert facts.inside is not None
        return tuple(self._variant(facts, kind) for kind in gpu_types(facts.inside))

    def _variant(self, facts: Facts, kind: str) -> Variant:
        replaced = {
            "factory": f"{os.path.abspath(half_weights.__file__)}:make",
            "class": target(facts).kind,
            "options": {"dtype": kind},
        }
        return Variant(
            name=f"{kind} weights",
            technique=self.name,
            change=Change(switches={"replace": replaced}),
            for_good="cast the model once, and what goes into it:",
            code=f"model = model.to(torch.{kind})",
            risk=f"numbers keep 3 digits inside the model, so its outputs move; {_UNVERIFIED}",
            lossy=True,
        )
