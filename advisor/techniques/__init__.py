"""Every technique, in the order in which they are tried. To add one: a file here, a line below."""

from __future__ import annotations

from typing import Literal, TypeAlias

from advisor.techniques.allocator import Allocator
from advisor.techniques.aot_inductor import AotInductor
from advisor.techniques.autocast import Autocast
from advisor.techniques.base import Technique
from advisor.techniques.cascade import Cascade
from advisor.techniques.channels_last import ChannelsLast
from advisor.techniques.compiled import Compiled
from advisor.techniques.compression_stack import CompressionStack
from advisor.techniques.cudnn_benchmark import CudnnBenchmark
from advisor.techniques.drop_in import DropIn
from advisor.techniques.early_exit import EarlyExit
from advisor.techniques.half_weights import HalfWeights
from advisor.techniques.inference_mode import InferenceMode
from advisor.techniques.loader_workers import LoaderWorkers
from advisor.techniques.onnx_gpu import OnnxRuntimeCuda, OnnxRuntimeTensorRt
from advisor.techniques.onnx_int8 import DynamicInt8, MixedInt8, StaticInt8, WeightInt8
from advisor.techniques.onnx_runtime import OnnxRuntime
from advisor.techniques.openvino_int8 import OpenVinoInt8
from advisor.techniques.openvino_swap import OpenVino
from advisor.techniques.pinned_memory import PinnedMemory
from advisor.techniques.pruning import Pruning
from advisor.techniques.semi_structured import SemiStructured
from advisor.techniques.session_int8 import SessionInt8
from advisor.techniques.session_optimization import SessionOptimization
from advisor.techniques.session_spinning import SessionSpinning
from advisor.techniques.spinning import Spinning
from advisor.techniques.student import Student
from advisor.techniques.tables import Tables
from advisor.techniques.tf32 import Tf32
from advisor.techniques.threads import Threads
from advisor.techniques.torchao_weights import TorchAoWeights
from advisor.techniques.unpadding import Unpadding
from advisor.techniques.unstructured import Unstructured
from advisor.techniques.weight_int4 import WeightInt4
from advisor.techniques.zeros import Zeros

__all__ = ["Family", "compresses", "techniques"]

# What may change: how the program's model is run, the model itself, or both.
Family: TypeAlias = Literal["runtime", "compress", "all"]


def compresses(family: Family) -> bool:
    """Whether models themselves may be changed, which takes minutes of learning."""
    return family != "runtime"


def techniques(*, hook: bool = True, family: Family = "runtime") -> tuple[Technique, ...]:
    """The techniques that need nothing but a command; without the hook those that act outside.

    First what saves most where it applies, last what takes long to try: time may run out between.
    """
    if family == "compress":
        return _compressing() if hook else ()
    outside: tuple[Technique, ...] = (Threads(), Spinning(), Allocator(), DropIn())
    inside: tuple[Technique, ...] = (
        Unpadding(),  # there is nothing to build
        OnnxRuntime(),
        StaticInt8(),
        DynamicInt8(),
        OpenVinoInt8(),
        WeightInt8(),
        MixedInt8(),
        OpenVino(),
        WeightInt4(),
        SessionSpinning(),
        SessionOptimization(),
        SessionInt8(),
        InferenceMode(),
        ChannelsLast(),
        LoaderWorkers(),
        PinnedMemory(),
        Tf32(),
        CudnnBenchmark(),
        HalfWeights(),
        SemiStructured(),
        OnnxRuntimeCuda(),
        OnnxRuntimeTensorRt(),
        TorchAoWeights(),
        Autocast(),
        Compiled(),
        AotInductor(),
        Zeros(),
    )
    if not hook:
        return outside
    return (*outside, *(_compressing() if compresses(family) else ()), *inside)


def _compressing() -> tuple[Technique, ...]:
    """Those that change the model itself; last what stacks on what they made."""
    return (
        Student(),
        Cascade(),
        EarlyExit(),
        Pruning(),
        Unstructured(),
        Tables(),
        CompressionStack(),
    )
