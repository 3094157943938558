"""How each tool makes a cheaper model of a task, as its own documentation says.

Each function returns what answers requests, in words what it is. All use one thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any  # each tool's own objects

from tasks import Answer, Arrays, Task

Made = tuple[Answer, str]


def nncf(task: Task, folder: str) -> Made:
    """NNCF's post-training int8, run by OpenVINO."""
    import nncf
    import openvino

    plain = os.path.join(folder, "plain.onnx")
    task.export(plain)
    core = openvino.Core()
    model = core.read_model(plain)
    kind = nncf.ModelType.TRANSFORMER if task.name == "minilm" else None
    data = nncf.Dataset(task.calibration)
    quantized = nncf.quantize(model, data, model_type=kind, subset_size=len(task.calibration))
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(quantized, "CPU", settings)
    return (lambda request: compiled(request)[0]), "int8 after training, in OpenVINO"


def neural_compressor(task: Task, _folder: str) -> Made:
    """Neural Compressor's static int8 (pt2e), compiled by inductor."""
    import torch
    from neural_compressor.torch.export import export
    from neural_compressor.torch.quantization import convert, get_default_static_config, prepare

    torch._inductor.config.freezing = True

    def tensors(request: Arrays) -> tuple[Any, ...]:
        return tuple(torch.from_numpy(v) for v in request.values())

    dynamic = None
    if task.name == "minilm":
        length = torch.export.Dim("length", min=4, max=512)
        dynamic = tuple({1: length} for _ in task.requests[0])
    with torch.no_grad():
        exported = export(task.model, tensors(task.requests[0]), dynamic_shapes=dynamic)
        prepared = prepare(exported, get_default_static_config())
        for request in task.calibration:
            prepared(*tensors(request))
        ready = torch.compile(convert(prepared))
        ready(*tensors(task.requests[0]))

    def answer(request: Arrays) -> Any:
        with torch.no_grad():
            found = ready(*tensors(request))
        return (found[0] if isinstance(found, (tuple, list)) else found).numpy()

    return answer, "static int8 (pt2e), compiled"


def olive(task: Task, folder: str) -> Made:
    """Olive's dynamic int8 pass on an ONNX file."""
    from olive.cli.launcher import main as olive_main

    plain, out = os.path.join(folder, "plain.onnx"), os.path.join(folder, "olive")
    task.export(plain)
    sys.argv = [
        "olive",
        "run-pass",
        "--pass-name",
        "OnnxDynamicQuantization",
        "-m",
        plain,
        "-o",
        out,
    ]
    olive_main(sys.argv[1:])
    found = [os.path.join(at, f) for at, _, files in os.walk(out) for f in files]
    return _onnxruntime(next(f for f in found if f.endswith(".onnx"))), "run-pass, dynamic int8"


def optimum(task: Task, folder: str) -> Made:
    """optimum-onnx: export, O2 fusions, dynamic int8 for AVX512-VNNI."""
    from optimum.onnxruntime import ORTModelForFeatureExtraction, ORTOptimizer, ORTQuantizer
    from optimum.onnxruntime.configuration import AutoOptimizationConfig, AutoQuantizationConfig

    if task.name != "minilm":
        raise ValueError("it exports models of known libraries only, not a class of one's own")
    from minilm import model_folder

    model = ORTModelForFeatureExtraction.from_pretrained(str(model_folder()), export=True)
    plain, fused = os.path.join(folder, "plain"), os.path.join(folder, "fused")
    model.save_pretrained(plain)
    ORTOptimizer.from_pretrained(model).optimize(
        save_dir=fused, optimization_config=AutoOptimizationConfig.O2()
    )
    settings = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)

    def quantized(source: str, name: str, out: str) -> Answer:
        quantizer = ORTQuantizer.from_pretrained(source, file_name=f"{name}.onnx")
        quantizer.quantize(save_dir=out, quantization_config=settings)
        return _onnxruntime(os.path.join(out, f"{name}_quantized.onnx"))

    try:
        return quantized(fused, "model_optimized", os.path.join(folder, "o2")), "O2, dynamic int8"
    except RuntimeError:  # with fusions of its own, types are not found any more
        found = quantized(plain, "model", os.path.join(folder, "int8"))
        return found, "dynamic int8; after its O2 it fails"


def torch_pruning_once(task: Task, folder: str) -> Made:
    """Half of every layer's channels by their size, in one cut, as its first example does."""
    return _pruned(task, folder, epochs=0), "half of the channels at once, no learning"


def torch_pruning(task: Task, folder: str) -> Made:
    """The same, trained again by labels for three epochs, which its user has to write."""
    return _pruned(task, folder, epochs=3), "half of the channels, three epochs by labels"


def _pruned(task: Task, folder: str, epochs: int) -> Answer:
    import copy

    import torch
    import torch_pruning
    from torch import nn

    if task.labelled is None:
        raise ValueError("heads and widths of transformers have to be put right by hand")
    model = copy.deepcopy(task.model)
    example = tuple(torch.from_numpy(v) for v in task.requests[0].values())
    heads = [m for m in model.modules() if isinstance(m, nn.Linear)]
    pruner = torch_pruning.pruner.MagnitudePruner(
        model,
        example,
        importance=torch_pruning.importance.MagnitudeImportance(p=2),
        pruning_ratio=0.5,
        ignored_layers=heads[-1:],
    )
    pruner.step()
    images, kinds = (torch.from_numpy(each) for each in task.labelled)
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        model.train()
        for some in torch.randperm(len(images)).split(32):
            loss = nn.functional.cross_entropy(model(images[some]), kinds[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    path = os.path.join(folder, "pruned.onnx")
    task.export(path, model.eval())
    return _onnxruntime(path)


def frugalwatch(_task: Task, _folder: str) -> Made:
    """The file that the advice made; its path is in FRUGALWATCH_ARTEFACT."""
    return _onnxruntime(os.environ["FRUGALWATCH_ARTEFACT"]), os.environ["FRUGALWATCH_NAME"]


def eager(task: Task, _folder: str) -> Made:
    """The model as it is."""
    return task.eager(), "as written"


def _onnxruntime(path: str) -> Answer:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    wanted = [i.name for i in session.get_inputs()]

    def answer(request: Arrays) -> Any:
        # A tool may have given the inputs names of its own; their order stays.
        named = dict(zip(wanted, request.values(), strict=False))
        if set(wanted) <= set(request):
            named = {n: request[n] for n in wanted}
        return session.run(None, named)[0]

    return answer


TOOLS: dict[str, Callable[[Task, str], Made]] = {
    "frugalwatch": frugalwatch,
    "as written, one thread": eager,
    "nncf": nncf,
    "neural_compressor": neural_compressor,
    "olive": olive,
    "optimum": optimum,
    "torch_pruning_once": torch_pruning_once,
    "torch_pruning": torch_pruning,
}
