"""bfloat16 where the hardware has units for it.

Without AMX or AVX512-BF16 a CPU emulates it: 2 to 2.5 times slower, measured. So it is not even
tried there. float16 is left to GPUs, and to inference, which needs no scaling of gradients.
"""

from __future__ import annotations

from advisor.inside import Inside
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.torch_facts import torch_inside

# As Linux names them in /proc/cpuinfo. The last one is Arm's.
_CPU_UNITS = ("amx_bf16", "avx512_bf16", "bf16")
_WIDE = {"float32", "float64"}
# Compute capability of the first GPUs with units for each.
_GPU_BF16, _GPU_FP16 = (8, 0), (7, 0)


class Autocast:
    """Matrix products and convolutions in bfloat16, the rest as it was."""

    name = "autocast"

    def applies(self, facts: Facts) -> Applicability:
        inside = torch_inside(facts)
        if isinstance(inside, Applicability):
            return inside
        used = [r.autocast for r in inside.roots if r.autocast]
        if used:
            return Applicability(False, f"the program uses autocast itself ({used[0]})")
        if not any(_WIDE & set(r.dtypes) for r in inside.roots):
            return Applicability(False, "its modules hold no float32")
        if inside.on_gpu:
            types = gpu_types(inside)
            if not types:
                return Applicability(False, "this GPU has no units for bf16 or fp16")
            return Applicability(
                True, f"this GPU has units for {types[0]} (unverified on hardware)"
            )
        units = [name for name in _CPU_UNITS if name in facts.cpu_flags]
        if not units:
            return Applicability(False, "this CPU has no bf16 units", possible=True)
        return Applicability(True, f"this CPU has bf16 units ({units[0]})")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        inside = facts.inside
        assert inside is not None
        device = "cuda" if inside.on_gpu else "cpu"
        types = gpu_types(inside) if inside.on_gpu else ("bfloat16",)
        return tuple(self._variant(kind, device) for kind in types)

    def _variant(self, kind: str, device: str) -> Variant:
        unverified = "; unverified on hardware" if device == "cuda" else ""
        return Variant(
            name=f"autocast {kind}",
            technique=self.name,
            change=Change(switches={"autocast": kind}),
            for_good="call the model under torch.autocast:",
            code=f'with torch.autocast("{device}", dtype=torch.{kind}):\n    ...  # the forward',
            risk=f"numbers keep 3 digits inside the model, so its outputs move{unverified}",
            lossy=True,
        )


def gpu_types(inside: Inside) -> tuple[str, ...]:
    """Narrow types that this GPU has units for; float16 for inference only."""
    found = []
    if inside.cuda_capability >= _GPU_BF16:
        found.append("bfloat16")
    if inside.cuda_capability >= _GPU_FP16 and not inside.learns:
        found.append("float16")
    return tuple(found)
