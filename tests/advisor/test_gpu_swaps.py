"""When swaps on a GPU are offered: no GPU is needed to ask. They are unverified on hardware."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advisor.replacements import half_weights, onnx_swap
from advisor.techniques.base import Facts
from advisor.techniques.half_weights import HalfWeights
from advisor.techniques.onnx_gpu import OnnxRuntimeCuda, OnnxRuntimeTensorRt
from advisor.techniques.onnx_runtime import OnnxRuntime
from advisor.techniques.torchao_weights import TorchAoWeights
from tests.advisor.test_swap_techniques import IMAGES, NET, facts, module, refusal


def on_gpu(*packages: str, capability: tuple[int, ...] = (9, 0), **about: Any) -> Facts:
    known = facts(module(**about), root=replace(NET, devices=("cuda",)))
    assert known.sample is not None
    assert known.inside is not None
    return replace(
        known,
        inside=replace(known.inside, cuda_capability=capability),
        sample=replace(known.sample, packages=dict.fromkeys(packages, "1")),
    )


def test_run_times_on_a_gpu_need_their_packages() -> None:
    assert refusal(OnnxRuntimeCuda(), on_gpu()) == (
        "needs onnxruntime-gpu: pip install onnxruntime-gpu"
    )
    known = on_gpu("onnxruntime-gpu")
    assert OnnxRuntimeCuda().applies(known).reason.endswith("(unverified on hardware)")
    assert refusal(OnnxRuntimeTensorRt(), known) == "needs tensorrt: pip install tensorrt"
    assert OnnxRuntimeTensorRt().applies(on_gpu("onnxruntime-gpu", "tensorrt")).yes


def test_run_times_of_one_device_are_not_offered_on_the_other() -> None:
    assert refusal(OnnxRuntimeCuda(), facts(packages="onnxruntime-gpu")) == "Net is not on a GPU"
    assert refusal(OnnxRuntime(), on_gpu("onnxruntime")) == "Net is on a GPU"


def test_narrow_weights_are_offered_where_the_gpu_computes_with_them() -> None:
    assert refusal(HalfWeights(), facts()) == "Net is not on a GPU"
    assert "no units" in refusal(HalfWeights(), on_gpu(capability=(6, 1)))
    names = [v.name for v in HalfWeights().variants(on_gpu())]
    assert names == ["bfloat16 weights", "float16 weights"]
    assert [v.name for v in HalfWeights().variants(on_gpu(capability=(7, 5)))] == [
        "float16 weights"
    ]
    assert all(v.lossy and "unverified" in v.risk for v in HalfWeights().variants(on_gpu()))


def test_torchao_has_4_bits_on_a_gpu_and_is_not_offered_on_a_cpu() -> None:
    assert refusal(TorchAoWeights(), facts()) == "needs torchao: pip install torchao"
    here = facts(packages="torchao")
    assert "unpacks the weights" in refusal(TorchAoWeights(), here)
    assert TorchAoWeights().applies(here).possible
    assert [v.name for v in TorchAoWeights().variants(here)] == ["torchao int8 weights"]
    there = on_gpu("torchao")
    assert TorchAoWeights().applies(there).yes
    assert len(TorchAoWeights().variants(there)) == 2
    assert len(TorchAoWeights().variants(on_gpu("torchao", capability=(7, 5)))) == 1
    assert "no linear layers" in refusal(
        TorchAoWeights(), facts(module(layers=IMAGES), packages="torchao")
    )


def test_a_copy_in_16_bits_answers_in_the_programs_own_type() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU()).eval()
    made = half_weights.make(net, (), {}, {"dtype": "bfloat16"})
    given = torch.randn(4, 64)
    with torch.no_grad():
        answer, own = made(given), net(given)
    assert answer.dtype == own.dtype == torch.float32
    assert 0 < onnx_swap.relative_distance(own, answer) < 0.02
    assert net[0].weight.dtype == torch.float32


class Waited:
    """A stream that has nothing left to do."""

    def synchronize(self) -> None:
        return


@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_tensors_are_bound_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU's memory, since there is no GPU; what is bound, and its form, is the same."""
    torch = pytest.importorskip("torch")
    onnxruntime = pytest.importorskip("onnxruntime")
    from tests.advisor.replacements.test_onnx_swap import Encoder, export, ids

    module = Encoder("tensor").eval()
    export(module, tmp_path / "model", ids(2, 5), mask=torch.ones(2, 5))
    folder = str(tmp_path / "model")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: Waited())
    session = onnxruntime.InferenceSession(
        f"{folder}/model.onnx", providers=["CPUExecutionProvider"]
    )
    given = {"in_ids": ids(3, 7), "in_mask": torch.ones(3, 7)}
    (answer,) = onnx_swap._bound_runner(session)(given).values()
    assert torch.allclose(answer, module(given["in_ids"], given["in_mask"]), atol=1e-5)
    wanted = {"folder": folder, "device": "cuda", "providers": ["CUDAExecutionProvider"]}
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(onnx_swap.RefusedError, match="has no CUDAExecutionProvider"):
            onnx_swap.make(module, (), {}, wanted)
    on_another = onnx_swap.Swapped(
        onnx_swap.read_signature(folder), onnx_swap._runner(session), module, "cuda"
    )
    on_another(ids(3, 7), mask=torch.ones(3, 7))
    assert on_another.refused.endswith(" is on cpu")
