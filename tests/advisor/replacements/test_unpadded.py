"""Batches run in parts give what the whole gives, or are refused with the reason."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from advisor.replacements import unpadded  # noqa: E402

WIDTH = 40


class Encoder(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A small text encoder: states of tokens, and one row for each text."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = torch.nn.Embedding(50, 16)
        self.layer = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.calls: list[tuple[int, ...]] = []

    def forward(self, input_ids: Any, attention_mask: Any = None, scale: float = 1.0) -> Any:
        self.calls.append(tuple(input_ids.shape))
        states = self.layer(self.words(input_ids), src_key_padding_mask=attention_mask == 0)
        mask = attention_mask.unsqueeze(-1)
        return {"states": states * scale, "pooled": (states * mask).sum(1) / mask.sum(1)}


def batch(lengths: list[int], width: int = WIDTH) -> dict[str, Any]:
    mask = torch.zeros(len(lengths), width, dtype=torch.long)
    for row, length in enumerate(lengths):
        mask[row, :length] = 1
    torch.manual_seed(sum(lengths))
    return {"input_ids": torch.randint(1, 50, mask.shape), "attention_mask": mask}


MIXED = [3, 40, 5, 38, 4, 12]


@pytest.fixture
def model() -> Encoder:
    return Encoder().eval()


def assert_same(whole: Any, parts: Any, lengths: list[int]) -> None:
    torch.testing.assert_close(parts["pooled"], whole["pooled"])
    assert parts["states"].shape == whole["states"].shape
    for row, length in enumerate(lengths):
        a, b = whole["states"][row], parts["states"][row]
        torch.testing.assert_close(b[:length], a[:length])
        assert not b[length:].any()


def test_parts_give_what_the_whole_gives_in_its_order(model: Encoder) -> None:
    inputs = batch(MIXED)
    with torch.no_grad():
        whole = model(**inputs)
        run = unpadded.make(model, (), inputs, {"call_cost_tokens": 5})
        model.calls.clear()
        parts = run(**inputs)
    assert_same(whole, parts, MIXED)
    # Short ones with short ones: 17 of 240 positions are computed for nothing.
    assert sorted(model.calls) == [(1, 12), (2, 40), (3, 5)]
    assert run.refused == ""


def test_arguments_by_place_and_inside_a_dict_are_cut_as_well(model: Encoder) -> None:
    inputs = batch(MIXED)
    with torch.no_grad():
        by_place = unpadded.make(model, tuple(inputs.values()), {}, {"call_cost_tokens": 5})
        assert_same(model(**inputs), by_place(*inputs.values(), scale=1.0), MIXED)

        class Wrapper(torch.nn.Module):  # type: ignore[misc, name-defined]
            def forward(self, features: dict[str, Any]) -> Any:
                features["seen"] = True  # as sentence-transformers does
                return model(features["input_ids"], features["attention_mask"])

        wrapper = Wrapper().eval()
        in_dict = unpadded.make(wrapper, (inputs,), {}, {"call_cost_tokens": 5})
        assert "seen" not in inputs  # the check leaves the program's own inputs alone
        model.calls.clear()
        assert_same(model(**inputs), in_dict(inputs), MIXED)
    assert len(model.calls) == 1 + 3


def test_a_batch_of_one_is_cut_to_its_length(model: Encoder) -> None:
    inputs = batch([7])
    with torch.no_grad():
        run = unpadded.make(model, (), inputs, {})
        model.calls.clear()
        found = run(**inputs)
        assert model.calls == [(1, 7)]
        assert_same(model(**inputs), found, [7])


def test_a_first_batch_without_padding_is_checked_with_rows_cut_short(model: Encoder) -> None:
    run = unpadded.make(model, (), batch([40, 40]), {"call_cost_tokens": 5})
    assert "worth a second call" in run.refused
    later = batch([30, 2, 3], 30)
    with torch.no_grad():
        assert_same(model(**later), run(**later), [30, 2, 3])
    assert run.refused == ""


def test_random_numbers_stay_where_the_program_has_them(model: Encoder) -> None:
    inputs = batch(MIXED)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    unpadded.make(model, (), inputs, {})
    assert torch.equal(torch.rand(3), expected)


class Averaging(Encoder):
    """Pools over padding too, so that what it answers depends on it."""

    def forward(self, input_ids: Any, attention_mask: Any = None) -> Any:
        return super().forward(input_ids, attention_mask)["states"].mean(1)


class Transposed(Encoder):
    def forward(self, input_ids: Any, attention_mask: Any = None) -> Any:
        return super().forward(input_ids, attention_mask)["states"].transpose(0, 1)


class WithAttentions(Encoder):
    def forward(self, input_ids: Any, attention_mask: Any = None) -> Any:
        states = super().forward(input_ids, attention_mask)["states"]
        return states, (states @ states.transpose(1, 2))


class Loss(Encoder):
    def forward(self, input_ids: Any, attention_mask: Any = None) -> Any:
        return super().forward(input_ids, attention_mask)["pooled"].sum()


class Counting(Encoder):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, input_ids: Any, attention_mask: Any = None) -> Any:
        self.count += 1
        return super().forward(input_ids, attention_mask)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Averaging, "differ by .* where padding is left out"),
        (Transposed, "do not begin with the rows"),
        (WithAttentions, "length of the sequence at another place"),
        (Loss, "not one value for each row"),
        (Counting, "change its own weights or buffers"),
    ],
)
def test_what_parts_would_change_is_refused(kind: type[Encoder], why: str) -> None:
    with pytest.raises(unpadded.RefusedError, match=why):
        unpadded.make(kind().eval(), (), batch(MIXED), {})


def test_inputs_that_do_not_suit_are_refused(model: Encoder) -> None:
    left = batch(MIXED)
    left["attention_mask"] = left["attention_mask"].flip(1)
    empty = batch([*MIXED, 0])
    unknown = {**batch(MIXED), "positions": torch.arange(WIDTH)}
    square = {**batch(MIXED), "bias": torch.zeros(len(MIXED), WIDTH, WIDTH)}
    listed = {**batch(MIXED), "texts": ["a"] * len(MIXED)}
    for inputs, why in (
        (left, "not stand at the end"),
        (empty, "nothing but padding"),
        (unknown, "without rows"),
        (square, "at another place"),
        (listed, "has no rows"),
        ({"input_ids": torch.ones(2, 3)}, "no attention mask"),
    ):
        with pytest.raises(unpadded.RefusedError, match=why):
            unpadded.make(model, (), inputs, {})
    with pytest.raises(unpadded.RefusedError, match="training mode"):
        unpadded.make(Encoder(), (), batch(MIXED), {})


def test_a_later_batch_that_does_not_suit_runs_whole(model: Encoder) -> None:
    run = unpadded.make(model, (), batch(MIXED), {"call_cost_tokens": 5})
    left = batch(MIXED)
    left["attention_mask"] = left["attention_mask"].flip(1)
    model.calls.clear()
    with torch.no_grad():
        found = run(**left)
        assert model.calls == [(len(MIXED), WIDTH)]
        torch.testing.assert_close(found, model(**left))
    assert "not stand at the end" in run.refused


def test_parts_can_be_run_by_another_replacement(model: Encoder, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text(
        "def make(module, args, kwargs, options):\n"
        "    def run(*a, **k):\n"
        "        found = module(*a, **k)\n"
        "        return {key: value * options['times'] for key, value in found.items()}\n"
        "    run.refused = ''\n"
        "    return run\n"
    )
    inner = {"factory": f"{other}:make", "options": {"times": 2.0}}
    inputs = batch(MIXED)
    with torch.no_grad():
        run = unpadded.make(model, (), inputs, {"call_cost_tokens": 5, "inner": inner})
        model.calls.clear()
        parts = run(**inputs)
        assert len(model.calls) == 3
        torch.testing.assert_close(parts["pooled"], 2 * model(**inputs)["pooled"])
    assert run.refused == ""
    run._inner.refused = "it has no weights"
    assert run.refused == "it has no weights"


def test_a_model_of_ones_own_is_changed_by_one_line(model: Encoder) -> None:
    inputs = batch(MIXED)
    with torch.no_grad():
        whole = model(**inputs)
        assert unpadded.apply(model, call_cost_tokens=5) is model
        assert_same(whole, model(**inputs), MIXED)
        averaging = unpadded.apply(Averaging().eval())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            averaging(**inputs)
            averaging(**inputs)
        assert len(caught) == 1
        assert "not run in parts" in str(caught[0].message)


@pytest.mark.parametrize(
    ("lengths", "cost", "parts"),
    [
        ([10, 10, 10], 0, [([0, 1, 2], 10)]),
        ([2, 10, 2, 10], 5, [([1, 3], 10), ([0, 2], 2)]),
        ([2, 10, 2, 10], 16, [([0, 1, 2, 3], 10)]),  # saves 16 positions: not worth a call
        ([1, 5, 10], 1, [([2], 10), ([1], 5), ([0], 1)]),
        ([9, 10, 1, 1], 2, [([0, 1], 10), ([2, 3], 1)]),
    ],
)
def test_batches_are_split_where_it_pays(
    lengths: list[int], cost: float, parts: list[tuple[list[int], int]]
) -> None:
    assert unpadded.split(lengths, cost) == parts


def test_lengths_of_parts_are_multiples_where_shapes_cost() -> None:
    found = unpadded.split([3, 40, 5, 38, 4, 19], 5, 16)
    assert sorted(found) == [([0, 2, 4], 16), ([1, 3], 40), ([5], 32)]


def test_what_runs_the_parts_says_what_a_call_costs_it(model: Encoder) -> None:
    class Run:
        call_cost_tokens = 5.0
        length_step = 16

        def __init__(self) -> None:
            self.shapes: list[tuple[int, ...]] = []

        def __call__(self, **inputs: Any) -> Any:
            self.shapes.append(tuple(inputs["input_ids"].shape))
            return model(**inputs)

    inner, inputs = Run(), batch(MIXED)
    with torch.no_grad():
        found = unpadded.Unpadded(model, model, inner)
        found.check((), inputs)
        parts = found(**inputs)
        whole = model(**inputs)
    assert sorted(inner.shapes) == [(2, 40), (4, 16)]
    assert_same(whole, parts, MIXED)


def test_no_way_to_split_is_cheaper() -> None:
    import itertools
    import random

    source = random.Random(3)
    for _ in range(40):
        lengths = [source.randint(1, 30) for _ in range(6)]
        cost = source.choice([0.5, 4, 15])
        found = sum(len(rows) * length + cost for rows, length in unpadded.split(lengths, cost))
        ordered = sorted(lengths)
        for cuts in itertools.product([0, 1], repeat=5):
            bounds = [0, *(at + 1 for at, cut in enumerate(cuts) if cut), 6]
            other = sum((b - a) * ordered[b - 1] + cost for a, b in itertools.pairwise(bounds))
            assert found <= other + 1e-9
    long = [source.randint(1, 4000) for _ in range(500)]
    parts = unpadded.split(long, 30)
    assert sorted(row for rows, _ in parts for row in rows) == list(range(500))
    assert all(long[row] <= length for rows, length in parts for row in rows)
