"""Shapes of transformers' models, from configurations: heads, widths and layers come out right.

Weights are random, so nothing is said of answers but their form.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("torch_pruning")
pytest.importorskip("transformers")

import transformers

from advisor.in_job.compressing import candidates
from advisor.in_job.compressing.operations import apply, prepared
from tests.advisor.in_job.compressing_kit import job, tokens

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]


def pictures(count: int = 48) -> list[tuple[Any, ...]]:
    import torch

    torch.manual_seed(1)
    return [(torch.randn(1, 3, 32, 32),) for _ in range(count)]


def bert() -> Any:
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        num_labels=5,
    )
    return transformers.BertForSequenceClassification(config)


def vit() -> Any:
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        num_labels=5,
    )
    return transformers.ViTForImageClassification(config)


def gpt2() -> Any:
    config = transformers.GPT2Config(
        vocab_size=50, n_embd=32, n_layer=3, n_head=4, n_positions=16, use_cache=False
    )
    return transformers.GPT2LMHeadModel(config)


def resnet() -> Any:
    config = transformers.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32], depths=[2, 2], layer_type="basic", num_labels=5
    )
    return transformers.ResNetForImageClassification(config)


def mobilenet() -> Any:
    config = transformers.MobileNetV2Config(depth_multiplier=0.35, image_size=32, num_labels=5)
    return transformers.MobileNetV2ForImageClassification(config)


# The kinds of parts that are found at least, and one of each that is known by name.
CASES = {
    "bert": (
        bert,
        tokens,
        {
            ("heads", "bert.encoder.layer.0.attention.self"),
            ("layers", "bert.encoder.layer"),
            ("channels", "bert.encoder.layer.1.intermediate.dense"),
        },
    ),
    "vit": (
        vit,
        pictures,
        {
            ("heads", "vit.encoder.layer.0.attention.attention"),
            ("layers", "vit.encoder.layer"),
            ("channels", "vit.encoder.layer.1.intermediate.dense"),
        },
    ),
    "gpt2": (
        gpt2,
        tokens,
        {
            ("heads", "transformer.h.0.attn"),
            ("layers", "transformer.h"),
            ("channels", "transformer.h.1.mlp.c_fc"),
        },
    ),
    "resnet": (
        resnet,
        pictures,
        {("channels", "resnet.encoder.stages.0.layers.1.layer.0.convolution")},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_parts_are_found_and_each_can_be_taken_out(tmp_path: Path, name: str) -> None:
    import torch

    make, calls, known = CASES[name]
    torch.manual_seed(0)
    model = make().eval()
    with job(tmp_path, model, calls(), export=False, copies=0) as work:
        candidates.refuse_strange(work)
        whole = prepared(work)
        before = candidates.operations_of(work, whole)
        found = candidates.find(work, whole).candidates
        assert known <= {(each.kind, each.at) for each in found}
        # Everything at once: a quarter of each group, one layer, half of the heads of another.
        operations: list[dict[str, Any]] = [
            {"kind": "heads", "at": e.at, "remove": [0, 2]} for e in found if e.kind == "heads"
        ]
        layer = next((each for each in found if each.kind == "layers"), None)
        for each in found:
            if each.kind == "channels" and each.size >= 16:
                places = list(range(0, each.size, 4))
                operations.append({"kind": "channels", "at": each.at, "remove": places})
        if layer is not None:
            operations.append({"kind": "layers", "at": layer.at, "remove": [layer.place]})
        apply(work, whole, operations)
        answer, own = (work.answer(m, work.calls[0]) for m in (whole, model))
        assert {k: v.shape for k, v in answer.items()} == {k: v.shape for k, v in own.items()}
        assert all(bool(v.isfinite().all()) for v in answer.values())
        assert candidates.operations_of(work, whole) < 0.75 * before


def test_depthwise_convolutions_follow_their_neighbours(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    model = mobilenet().eval()
    with job(tmp_path, model, pictures(), export=False, copies=0) as work:
        smaller = prepared(work)
        place = "mobilenet_v2.layer.3.conv_3x3.convolution"
        apply(work, smaller, [{"kind": "channels", "at": place, "remove": list(range(16))}])
        layer = smaller.mobilenet_v2.layer[3]
        kept = model.mobilenet_v2.layer[3].conv_3x3.convolution.out_channels - 16
        assert layer.expand_1x1.convolution.out_channels == kept
        assert layer.conv_3x3.convolution.groups == kept
        assert layer.reduce_1x1.convolution.in_channels == kept
        answer = work.answer(smaller, work.calls[0])
        assert answer["logits"].shape == (1, 5)
