"""Modules compiled ahead of time, and where such a package is not loaded.

The compiler takes 40 CPU-seconds for the smallest module, so that a stand-in keeps the exported
program itself; everything around it is what a replay does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from advisor.in_job import compile_aoti, export_onnx
from advisor.replacements import aoti_swap

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]


class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)

    def forward(self, x: Any, scale: float = 1.0) -> Any:
        return {"scores": torch.relu(self.linear(x)) * scale, "name": "net"}


def compiled(module: Any, folder: Path, *args: Any) -> dict[str, Any]:
    """As in a replay, without ending the process."""

    def write(found: Any, wrapped: Any, dims: Any, place: str) -> dict[str, Any]:
        return compile_aoti.package(found, export_onnx, wrapped, dims, place)

    folder.mkdir()
    options = {"folder": str(folder), "swap": aoti_swap.__file__}
    threads = torch.get_num_threads()
    try:
        return export_onnx.exported(module.eval(), args, {}, options, write)
    finally:
        torch.set_num_threads(threads)


def test_a_compiled_module_answers_as_the_module_does_for_other_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "torch._inductor.aoti_compile_and_package",
        lambda program, *, package_path: torch.export.save(program, package_path),
    )
    monkeypatch.setattr(
        "torch._inductor.aoti_load_package",
        lambda path, **_: torch.export.load(path).module(),
    )
    torch.manual_seed(0)
    module = Net()
    found = compiled(module, tmp_path / "aoti", torch.randn(1, 4))
    assert found["distance"] < 1e-5
    assert found["way"].startswith("open batch")
    model = aoti_swap.make(module, (), {}, {"folder": str(tmp_path / "aoti")})
    for rows in (1, 5):
        given = torch.randn(rows, 4)
        answer = model(given)
        assert model.refused == ""
        assert answer["name"] == "net"
        assert torch.allclose(answer["scores"], module(given)["scores"], atol=1e-5)
    assert model(torch.randn(2, 4), scale=2.0)["scores"].shape == (2, 3)
    assert "scale is another" in model.refused
    with pytest.raises(Exception, match="not those that were exported"):
        aoti_swap.make(Net().eval(), (), {}, {"folder": str(tmp_path / "aoti")})
    built = json.loads((tmp_path / "aoti" / "signature.json").read_text())["built_for"]
    assert built["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("built", "words"),
    [
        ({"torch": "1.0", "cpu_flags": []}, "compiled with torch 1.0"),
        ({"torch": str(torch.__version__), "cpu_flags": ["warp9"]}, "another CPU, which has warp9"),
    ],
)
def test_a_package_for_another_torch_or_cpu_is_not_loaded(
    tmp_path: Path, built: dict[str, Any], words: str
) -> None:
    (tmp_path / "signature.json").write_text(json.dumps({"built_for": built}))
    with pytest.raises(aoti_swap.RefusedError, match=words):
        aoti_swap.load(str(tmp_path))
