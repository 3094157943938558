"""Weights of linear layers in 8 or 4 bits by torchao, in the program's own torch.

For transformers on a GPU whose program cannot leave torch (unverified on hardware). 4 bits need a
GPU with bf16 units, since those products compute in bfloat16. On a CPU the weights are unpacked to
floats at each call: an encoder of 384 wide layers took 1.3 times the CPU time of eager torch, so
that it is measured for who insists only; there the 8 and 4 bits of ONNX Runtime serve.
"""

from __future__ import annotations

import os

from advisor.replacements import torchao_weights
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.swapping import (
    TINY_PARAMETERS,
    looks_like_transformer,
    parameters,
    refuse_swap,
    target,
)

_BF16 = (8, 0)  # compute capability
_CODE = """from torchao.quantization import {config}, quantize_
quantize_(model, {config}())"""
_CONFIGS = {8: "Int8WeightOnlyConfig", 4: "Int4WeightOnlyConfig"}


class TorchAoWeights:
    """torchao's weight-only quantization."""

    name = "torchao weights"

    def applies(self, facts: Facts) -> Applicability:
        on_gpu = facts.inside is not None and facts.inside.on_gpu
        no = refuse_swap(facts, "torchao", on_gpu=on_gpu)
        if no is not None:
            return no
        kind = target(facts).kind
        if not looks_like_transformer(facts):
            reason = "most of its weights are in no linear layers"
            return Applicability(False, reason, possible=True)
        if parameters(facts) < TINY_PARAMETERS:
            reason = f"{kind} has {parameters(facts):,} weights: scaling costs more than it saves"
            return Applicability(False, reason, possible=True)
        if not on_gpu:
            reason = (
                "on a CPU it unpacks the weights at each call, which takes longer than it saves"
            )
            return Applicability(False, reason, possible=True)
        return Applicability(
            True, f"{kind} has {parameters(facts):,} weights (unverified on hardware)"
        )

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        inside = facts.inside
        assert inside is not None
        four = inside.on_gpu and inside.cuda_capability >= _BF16
        return tuple(self._variant(facts, bits) for bits in ((8, 4) if four else (8,)))

    def _variant(self, facts: Facts, bits: int) -> Variant:
        assert facts.inside is not None
        options: dict[str, object] = {"bits": bits}
        if facts.layer:
            options["path"] = facts.layer
        replaced = {
            "factory": f"{os.path.abspath(torchao_weights.__file__)}:make",
            "class": target(facts).kind,
            "options": options,
        }
        unverified = "; unverified on hardware" if facts.inside.on_gpu else ""
        return Variant(
            name=f"torchao int{bits} weights",
            technique=self.name,
            change=Change(switches={"replace": replaced}),
            needs="torchao",
            for_good="quantize the model once, at the start:",
            code=_CODE.format(config=_CONFIGS[bits]),
            risk=f"scores move a little{unverified}",
            pays_later=True,
            lossy=True,
        )
