"""The module run by ONNX Runtime on the GPU where it is: CUDA, and TensorRT's engines.

Unverified on hardware. Tensors are read where they lie; what comes out goes by the CPU's memory,
which is measured with everything else.
"""

from __future__ import annotations

from dataclasses import replace

from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.onnx_runtime import RISK
from advisor.techniques.swapping import CODE, export, found, refuse_swap, refused, swap_switch
from advisor.workshop import CannotBuildError, Workshop

UNVERIFIED = "unverified on hardware"
_PACKAGE = "onnxruntime-gpu"


class OnnxRuntimeCuda:
    """CUDA's kernels of ONNX Runtime, in the model's own precision."""

    name = "ONNX Runtime CUDA"
    needs: tuple[str, ...] = (_PACKAGE,)
    providers: tuple[str, ...] = ("CUDAExecutionProvider",)

    def __init__(self) -> None:
        self._facts: Facts | None = None

    def applies(self, facts: Facts) -> Applicability:
        no = refuse_swap(facts, "", on_gpu=True)
        if no is not None:
            return no
        assert facts.sample is not None
        for package in self.needs:
            if package not in facts.sample.packages:
                return Applicability(False, f"needs {package}: pip install {package}")
        return found(facts, f" ({UNVERIFIED})")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        self._facts = facts
        return (
            Variant(
                name=self.name,
                technique=self.name,
                change=Change(),
                needs=" and ".join(self.needs),
                for_good="load the exported model instead of the torch module:",
                risk=f"{RISK}; {UNVERIFIED}",
                pays_later=True,
            ),
        )

    def prepare(self, variant: Variant, workshop: Workshop) -> Variant | Applicability:
        facts = self._facts
        assert facts is not None
        try:
            artefact = export(facts, workshop)
        except CannotBuildError as reason:
            return refused(reason)
        options = {"device": "cuda", "providers": [*self.providers, "CPUExecutionProvider"]}
        return replace(
            variant,
            change=swap_switch(facts, artefact.folder, options=options),
            artefact=artefact.folder,
            one_off=artefact.cost.in_words("exporting"),
            code=CODE.format(folder=artefact.folder, package=variant.needs),
        )


class OnnxRuntimeTensorRt(OnnxRuntimeCuda):
    """TensorRT's engines, which are built at the first call of each shape."""

    name = "ONNX Runtime TensorRT"
    needs = (_PACKAGE, "tensorrt")
    providers = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
