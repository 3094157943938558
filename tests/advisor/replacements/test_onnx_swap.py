"""Torch modules exported and run by ONNX Runtime in their place: form, shapes, and when not."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from advisor.in_job import export_onnx
from advisor.replacements import onnx_swap

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # the exporter's own
]


class Pair(NamedTuple):
    scores: Any
    state: Any


@dataclasses.dataclass
class Answer:
    scores: Any
    label: str


class Encoder(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Tokens in, an answer of one of four forms out."""

    def __init__(self, form: str = "dict") -> None:
        super().__init__()
        self.form = form
        self.table, self.linear = torch.nn.Embedding(50, 8), torch.nn.Linear(8, 3)

    def forward(self, ids: Any, mask: Any = None, scale: float = 1.0) -> Any:
        hidden = self.table(ids) * scale
        if mask is not None:
            hidden = hidden * mask.unsqueeze(-1)
        scores = self.linear(hidden.mean(1))
        if self.form == "dict":
            return {"scores": scores, "hidden": hidden, "ids": ids, "name": "x"}
        if self.form == "pair":
            return Pair(scores, (hidden, None))
        return Answer(scores, "x") if self.form == "dataclass" else scores


def ids(rows: int, length: int) -> Any:
    return torch.randint(0, 50, (rows, length))


def export(module: Any, folder: Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
    folder.mkdir()
    options = {"folder": str(folder), "swap": onnx_swap.__file__}
    before = torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()
    found = export_onnx.exported(module.eval(), args, kwargs, options)
    assert (torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()) == before
    return found


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    torch.manual_seed(0)
    module = Encoder()
    folder = tmp_path_factory.mktemp("export") / "model"
    found = export(module, folder, ids(2, 5), mask=torch.ones(2, 5))
    assert found["distance"] < 1e-5
    return module, str(folder)


def swapped(module: Any, folder: str) -> Any:
    return onnx_swap.make(module, (), {}, {"folder": folder})


def same(own: Any, other: Any) -> bool:
    return onnx_swap.relative_distance(own, other) < 1e-5


def test_other_batches_and_lengths_are_answered_in_the_modules_form(
    exported: tuple[Any, str],
) -> None:
    module, folder = exported
    model = swapped(module, folder)
    for rows, length in ((1, 5), (3, 9), (7, 2)):
        given, mask = ids(rows, length), torch.rand(rows, length)
        found = model(given, mask=mask)
        assert list(found) == ["scores", "hidden", "ids", "name"]
        assert found["ids"] is given
        assert same(module(given, mask), found)
    assert model.refused == ""


def answering(states: Any, **signature: object) -> Any:
    """A replacement that answers `states` for a module that answers ones."""
    told = {
        "parameters": ["attention_mask"],
        "defaults": {},
        "inputs": [
            {
                "name": "mask",
                "path": ["attention_mask"],
                "dtype": "torch.int64",
                "dims": [None, None],
            }
        ],
        "constants": [],
        "output": {"tensor": "states"},
        **signature,
    }
    own = lambda attention_mask: torch.ones(*attention_mask.shape, 4)  # noqa: E731
    return onnx_swap.Swapped(told, lambda _: {"states": states}, own)


def test_at_the_first_call_padding_counts_for_nothing() -> None:
    mask = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0]])
    states = torch.where(mask[:, :, None] != 0, 1.01, 7.0) * torch.ones(2, 4, 4)
    model = answering(states)
    assert model(mask) is states
    assert model.refused == ""


def test_at_the_first_call_what_stands_elsewhere_counts() -> None:
    mask = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0]])
    model = answering(torch.where(mask[:, :, None] != 0, 7.0, 1.0) * torch.ones(2, 4, 4))
    assert model(mask).tolist() == torch.ones(2, 4, 4).tolist()
    assert model.refused == "its answer is off by 6 of its size"
    model(mask)  # never again, and for the same reason
    assert model.refused == "its answer is off by 6 of its size"


def test_openvino_runs_the_same_model_in_the_same_precision(
    exported: tuple[Any, str], tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    module, folder = exported
    signature = {**onnx_swap.read_signature(folder), "engine": "openvino"}
    shutil.copytree(folder, tmp_path / "m")
    (tmp_path / "m" / "signature.json").write_text(json.dumps(signature))
    given, mask = ids(3, 9), torch.rand(3, 9)
    assert same(module(given, mask), swapped(module, str(tmp_path / "m"))(given, mask))


def answered(
    mean: bool, lengths: list[int], *, masked: bool = True
) -> tuple[list[int], list[tuple[int, ...]]]:
    """The lengths that a run time was asked for, and the forms that came out, all of them right."""
    asked = []

    def answer(feed: dict[str, Any]) -> list[Any]:
        states = (feed["ids"] * feed["mask"]).astype("float32")[:, :, None]
        return [states, states.mean(1) if mean else states.sum(1)]

    def call(feed: dict[str, Any]) -> list[Any]:
        asked.append(feed["ids"].shape[1])
        return answer(feed)

    inputs = [
        {"name": name, "path": [word], "dims": [None, None]}
        for name, word in (("ids", "ids"), ("mask", "attention_mask" if masked else "other"))
    ]
    sequences = onnx_swap._sequences({"inputs": inputs}, ["ids", "mask"])
    even = onnx_swap._EvenLengths(call, sequences, [[1], []])
    forms = []
    for length in lengths:
        feed = {"ids": ids(2, length).numpy() + 1, "mask": torch.ones(2, length).numpy()}
        found = even(feed)
        for own, other in zip(answer(feed), found, strict=True):
            assert own.shape == other.shape
            assert abs(own - other).max() < 1e-4
        forms.append(found[0].shape)
    return asked, forms


def test_a_run_time_that_prepares_for_each_shape_sees_few_of_them() -> None:
    asked, forms = answered(False, [5, 17, 16, 30, 9])
    assert asked == [16, 5, 32, 16, 32, 16]  # the first one both ways
    assert forms == [(2, n, 1) for n in (5, 17, 16, 30, 9)]


def test_texts_whose_answers_depend_on_padding_are_not_padded() -> None:
    assert answered(True, [5, 17, 9])[0] == [16, 5, 17, 9]
    assert answered(True, [5, 17], masked=False)[0] == [5, 17]


def test_by_place_and_by_name_is_the_same_call(exported: tuple[Any, str]) -> None:
    module, folder = exported
    model = swapped(module, folder)
    given, mask = ids(2, 4), torch.rand(2, 4)
    for found in (model(given, mask), model(mask=mask, ids=given), model(given, mask, scale=1.0)):
        assert same(module(given, mask), found)
    assert model.refused == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mask": None}, "mask was there when it was exported"),
        ({"scale": 2.0}, "scale is another than when it was exported"),
        ({"ids": torch.zeros(2, 4, dtype=torch.int32)}, "ids is torch.int32"),
        ({"mask": torch.rand(2, 4, 1)}, "mask has the shape (2, 4, 1)"),
    ],
)
def test_a_call_of_another_form_goes_to_the_module_and_says_why(
    exported: tuple[Any, str], change: dict[str, Any], reason: str
) -> None:
    _, folder = exported
    # The module itself cannot take all of them.
    model = onnx_swap.load(folder, own=lambda **given: list(given))
    call = {"ids": ids(2, 4), "mask": torch.rand(2, 4), **change}
    assert model(**call) == list(call)
    assert reason in model.refused


def test_new_weights_are_never_answered_by_the_old_model(exported: tuple[Any, str]) -> None:
    _, folder = exported
    other = Encoder().eval()
    with pytest.raises(onnx_swap.RefusedError, match="not those that were exported"):
        swapped(other, folder)


def changed_in_place(module: Encoder) -> None:
    with torch.no_grad():
        module.linear.bias += 1


def another_weight(module: Encoder) -> None:
    module.linear.bias = torch.nn.Parameter(module.linear.bias.detach() + 1)


def another_layer(module: Encoder) -> None:
    module.linear = torch.nn.Linear(module.linear.in_features, module.linear.out_features).eval()


@pytest.mark.parametrize("change", [changed_in_place, another_weight, another_layer])
def test_weights_that_change_later_send_calls_to_the_module(
    tmp_path: Path, change: Callable[[Encoder], None]
) -> None:
    module = Encoder("plain")
    export(module, tmp_path / "m", ids(2, 5))
    model = swapped(module, str(tmp_path / "m"))
    given = ids(2, 5)
    assert same(module(given), model(given))
    change(module)
    assert torch.equal(module(given), model(given))
    assert "weights have changed" in model.refused


class Normed(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
        self.norm = torch.nn.BatchNorm1d(2)
        self.shortcut = torch.nn.Sequential()
        self.register_buffer("mean", None)


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        (lambda m: m.norm.running_mean.add_(1), True),
        (lambda m: setattr(m.norm, "running_var", torch.full((2,), 2.0)), True),
        (lambda m: setattr(m, "mean", torch.zeros(2)), True),
        (lambda m: m.shortcut.append(torch.nn.ReLU()), True),
        (lambda m: m.norm.num_batches_tracked.add_(1), False),
        (lambda m: m.eval(), False),
    ],
)
def test_buffers_and_new_layers_count_too(
    change: Callable[[Any], object], is_another: bool
) -> None:
    module = Normed()
    weights = onnx_swap._Weights(module)
    assert not weights.changed()
    change(module)
    assert weights.changed() is is_another


def test_a_number_replaced_by_an_equal_one_is_watched_like_the_first() -> None:
    module = torch.nn.PReLU()
    weights = onnx_swap._Weights(module)
    new = module._parameters["weight"] = torch.nn.Parameter(module.weight.detach().clone())
    assert not weights.changed()
    with torch.no_grad():
        new.add_(1)
    assert weights.changed()


def test_hooks_of_the_program_inside_the_module_are_not_lost(exported: tuple[Any, str]) -> None:
    module, folder = exported
    handle = module.linear.register_forward_hook(lambda *_: None)
    try:
        with pytest.raises(onnx_swap.RefusedError, match="hooks on linear"):
            swapped(module, folder)
    finally:
        handle.remove()


@pytest.mark.parametrize(("form", "kind"), [("pair", Pair), ("dataclass", Answer)])
def test_named_tuples_and_dataclasses_come_back_as_such(
    tmp_path: Path, form: str, kind: type
) -> None:
    module = Encoder(form)
    export(module, tmp_path / "m", ids(2, 5))
    found = swapped(module, str(tmp_path / "m"))(ids(3, 6))
    assert type(found) is kind
    assert found.scores.shape == (3, 3)


class Random(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.linear(x + torch.randn_like(x))


class Thing:
    pass


class Odd(Random):
    def forward(self, x: Any) -> Any:
        return {"scores": self.linear(x), "thing": Thing()}


def test_what_cannot_be_exported_says_so_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(export_onnx.CannotExportError, match="answers differently each time"):
        export(Random(), tmp_path / "a", torch.rand(2, 4))
    with pytest.raises(export_onnx.CannotExportError, match="holds a Thing"):
        export(Odd(), tmp_path / "b", torch.rand(2, 4))


def test_the_folder_loads_without_frugalwatch(exported: tuple[Any, str], tmp_path: Path) -> None:
    _, folder = exported
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    shutil.copyfile(onnx_swap.__file__, copy / "load.py")
    code = """
import sys; sys.path.insert(0, sys.argv[1])
from load import load
import torch
model = load()
print(sorted(model(torch.ones(4, 3, dtype=torch.int64), torch.ones(4, 3))))
print([m for m in sys.modules if "frugalwatch" in m or m == "advisor"])
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(copy)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        check=False,
    )
    assert done.stdout.splitlines() == ["['hidden', 'ids', 'name', 'scores']", "[]"], done.stderr
