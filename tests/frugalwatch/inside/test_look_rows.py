"""What the hook makes of outputs that are too large to keep: one small row for each input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from frugalwatch.inside.path._frugalwatch.capture_values import Flat
from frugalwatch.inside.path._frugalwatch.look_rows import Inputs, rows_of
from tests.frugalwatch.inside.kit import run_inside

torch = pytest.importorskip("torch")


class Encoder(torch.nn.Module):  # type: ignore[misc]
    def forward(self, words: Any, attention_mask: Any = None) -> Any:
        return words


def given(*args: Any, **kwargs: Any) -> Inputs:
    flat = Flat(torch)
    structure = {"args": flat.add(list(args), "in"), "kwargs": flat.add(kwargs, "in")}
    return Inputs(Encoder(), flat, structure)


def made(inputs: Inputs, output: Any) -> dict[str, Any]:
    flat = Flat(torch)
    flat.add(output, "out")
    return rows_of(torch, flat, inputs)


WORDS = torch.tensor([[5, 6, 7], [8, 9, 0]])
MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])


def test_states_are_pooled_over_tokens_and_not_over_padding() -> None:
    states = torch.tensor([[[1.0, 0], [2, 0], [3, 0]], [[4.0, 9], [6, 0], [100, 100]]])
    for inputs in (
        given(WORDS, attention_mask=MASK),
        given(WORDS, MASK),
        given({"attention_mask": MASK}),
    ):
        rows = made(inputs, {"last_hidden_state": states})
        assert rows["rows:mean:last_hidden_state"].tolist() == [[2, 0], [5, 4.5]]
        assert rows["rows:first:last_hidden_state"].tolist() == [[1, 0], [4, 9]]
        assert rows["rows:tokens:last_hidden_state"].tolist() == [[0, 0, 0], [1, 0, -1]]


def test_an_input_has_one_digest_in_whatever_batch_and_padding_it_comes() -> None:
    batch = given(WORDS, attention_mask=MASK).items
    alone = given(torch.tensor([[8, 9]]), attention_mask=torch.tensor([[1, 1]])).items
    assert batch[1] == alone[0]
    assert batch[0] != batch[1]
    other = given(torch.tensor([[8, 10]]), attention_mask=torch.tensor([[1, 1]])).items
    assert other[0] != alone[0]
    assert given(WORDS).items != batch  # without the mask it is something else


def test_rows_are_as_wide_as_what_is_judged() -> None:
    inputs = given(WORDS)
    assert made(inputs, torch.ones(2, 4))["rows:row:"].shape == (2, 4)
    assert made(inputs, torch.ones(2))["rows:row:"].shape == (2, 1)
    wide = torch.zeros(2, 50_000)
    wide[1, 7] = 1
    assert made(inputs, {"logits": wide})["rows:top:logits"].tolist() == [[0], [7]]
    vocabulary = made(inputs, {"logits": torch.zeros(2, 3, 50_000)})
    assert list(vocabulary) == ["rows:tokens:logits"]
    assert made(inputs, torch.ones(2, 3, 8, 8)) == {}


def test_inputs_that_only_pass_through_are_no_answer() -> None:
    inputs = given({"input_ids": WORDS, "attention_mask": MASK})
    output = {"input_ids": WORDS, "attention_mask": MASK, "chosen": WORDS + 1}
    assert list(made(inputs, output)) == ["rows:tokens:chosen"]


def test_a_mask_of_padding_is_true_where_there_is_none() -> None:
    inputs = given(WORDS, src_key_padding_mask=MASK == 0)
    assert inputs.mask.tolist() == (MASK == 1).tolist()


PROGRAM = """
import torch
class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(50, 2000)
    def forward(self, words, attention_mask):
        return {"last_hidden_state": self.table(words)}
net = Encoder().eval()
with torch.no_grad():
    for call in range(10):
        net(torch.full((32, 40), call), torch.ones(32, 40))
"""


def test_large_outputs_leave_rows_and_a_digest_where_the_whole_does_not_fit(tmp_path: Path) -> None:
    assert run_inside(PROGRAM, hook={"look": {"folder": str(tmp_path)}}).returncode == 0
    files = sorted(tmp_path.glob("outputs-*/*.safetensors"))
    headers = []
    for path in files:
        data = path.read_bytes()
        headers.append(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]))
    assert len(headers) == 10  # of 10 MB each
    assert sum("out.last_hidden_state" in header for header in headers) == 6
    assert all("rows:mean:last_hidden_state" in header for header in headers)
    assert len({header["__metadata__"]["outputs"] for header in headers}) == 10
