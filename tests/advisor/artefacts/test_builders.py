"""What the builders make of a small exported encoder: fused attention, and 8-bit weights."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest

from advisor.artefacts import finishing, weight_int8
from advisor.artefacts.dynamic_int8 import quantize
from advisor.artefacts.finishing import refuse_if_slow
from advisor.artefacts.onnx_fused import fuse
from advisor.artefacts.samples import feeds, read_signature
from advisor.artefacts.timing import session
from advisor.workshop import CannotBuildError
from tests.advisor.artefacts.samples_kit import write_call
from tests.advisor.replacements.test_onnx_swap import export

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime")
pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]

HEADS, WIDTH = 4, 64


class Layer(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Attention as products of matrices, as transformers write it when it is called eager."""

    def __init__(self) -> None:
        super().__init__()
        linear = torch.nn.Linear
        self.query, self.key, self.value = (linear(WIDTH, WIDTH) for _ in range(3))
        self.out, self.wide, self.narrow = (
            linear(WIDTH, WIDTH),
            linear(WIDTH, 2 * WIDTH),
            linear(2 * WIDTH, WIDTH),
        )
        self.norm, self.norm_out = torch.nn.LayerNorm(WIDTH), torch.nn.LayerNorm(WIDTH)

    def heads(self, x: Any) -> Any:
        return x.view(x.size(0), x.size(1), HEADS, WIDTH // HEADS).permute(0, 2, 1, 3)

    def forward(self, x: Any, bias: Any) -> Any:
        query, key, value = (self.heads(f(x)) for f in (self.query, self.key, self.value))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(WIDTH // HEADS) + bias
        mixed = torch.matmul(scores.softmax(-1), value).permute(0, 2, 1, 3).contiguous()
        x = self.norm(self.out(mixed.view(x.size(0), x.size(1), WIDTH)) + x)
        return self.norm_out(self.narrow(torch.nn.functional.gelu(self.wide(x))) + x)


class Encoder(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(100, WIDTH)
        self.layers = torch.nn.ModuleList([Layer(), Layer()])

    def forward(self, ids: Any, mask: Any) -> Any:
        bias = (1.0 - mask[:, None, None, :].float()) * -10000.0
        x = self.table(ids)
        for layer in self.layers:
            x = layer(x, bias)
        return x


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("encoder") / "model"
    export(Encoder(), folder, torch.randint(0, 100, (2, 7)), torch.ones(2, 7, dtype=torch.int64))
    return str(folder)


def feed(rows: int, length: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    ids = random.integers(0, 100, (rows, length))
    return {"in_ids": ids, "in_mask": np.ones((rows, length), "i8")}


def distance(first: str, second: str) -> float:
    given = feed(3, 9)
    a, b = (session(path).run(None, given)[0] for path in (first, second))
    return float(np.linalg.norm(a - b) / np.linalg.norm(a))


def test_attention_is_fused_and_counted(encoder: str, tmp_path: Path) -> None:
    plain, fused = os.path.join(encoder, "model.onnx"), str(tmp_path / "fused.onnx")
    counts = fuse(plain, fused, {"heads": HEADS, "hidden_size": WIDTH})
    assert counts["Attention"] == 2
    assert distance(plain, fused) < 1e-4
    quantized = str(tmp_path / "quantized.onnx")
    quantize(fused, quantized)  # refused without a default type
    kinds = {node.op_type for node in onnx.load(quantized).graph.node}
    assert "QAttention" in kinds
    assert distance(plain, quantized) < 0.1


def test_weights_in_blocks_lose_less_than_scales_for_all(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.path.join(encoder, "model.onnx")
    quantize(plain, str(tmp_path / "dynamic.onnx"))
    # How fast it is on this machine is not what is asked here.
    figures = {"cpu_ratio": 0.5, "calls": 1.0, "distance": 0.0}
    monkeypatch.setattr(finishing, "compared", lambda *_: figures)
    monkeypatch.setattr(weight_int8, "BLOCK", 32)
    (tmp_path / "blocks").mkdir()
    order = {"source": encoder, "folder": str(tmp_path / "blocks"), "samples": []}
    assert "8 bits" in str(weight_int8.build(order)["how"])
    blocks = distance(plain, str(tmp_path / "blocks" / "model.onnx"))
    assert 0 < blocks < distance(plain, str(tmp_path / "dynamic.onnx")) < 0.1


def test_what_is_no_faster_goes_no_further() -> None:
    refuse_if_slow({"cpu_ratio": 0.5, "calls": 3})
    with pytest.raises(CannotBuildError, match=r"on 3 captured calls it takes 1\.20 times"):
        refuse_if_slow({"cpu_ratio": 1.2, "calls": 3})


def test_captured_calls_become_feeds_by_place_and_by_name(encoder: str, tmp_path: Path) -> None:
    ids, mask = torch.zeros(2, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.int64)
    paths = [
        write_call(tmp_path, 0, (ids, mask), {}),
        write_call(tmp_path, 1, (ids,), {"mask": mask}),
        write_call(tmp_path, 2, (ids,), {}),  # another form: left out
    ]
    found = list(feeds(read_signature(encoder), paths))
    assert len(found) == 2
    assert all(set(each) == {"in_ids", "in_mask"} for each in found)
    assert found[1]["in_mask"].tolist() == mask.tolist()
