"""cuDNN tries its ways of a convolution and keeps the fastest (unverified on hardware)."""

from __future__ import annotations

from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.torch_facts import refuse_without_gpu

_MANY_SHAPES = 8  # each is tried anew


class CudnnBenchmark:
    """`torch.backends.cudnn.benchmark` for convolutions of a few fixed shapes."""

    name = "cuDNN benchmark"

    def applies(self, facts: Facts) -> Applicability:
        refused = refuse_without_gpu(facts)
        if refused is not None:
            return refused
        inside = facts.inside
        assert inside is not None
        if inside.cudnn_benchmark:
            return Applicability(False, "the program switches it on itself")
        roots = [r for r in inside.roots if r.convolutions_2d]
        if not roots:
            return Applicability(False, "its modules have no two-dimensional convolution")
        if all(r.shapes_count > _MANY_SHAPES for r in roots):
            return Applicability(False, "its inputs have too many shapes", possible=True)
        return Applicability(True, f"{roots[0].name} has convolutions (unverified on hardware)")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        return (
            Variant(
                name="cuDNN benchmark",
                technique=self.name,
                change=Change(switches={"cudnn_benchmark": True}),
                one_off="trying, at the first calls of each shape",
                for_good="switch it on once, at the start:",
                code="torch.backends.cudnn.benchmark = True",
                risk="another algorithm may differ in the last digits; unverified on hardware",
                pays_later=True,
            ),
        )
