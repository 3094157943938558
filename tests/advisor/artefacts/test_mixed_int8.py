"""8 bits where they lose little: which products are told apart, and how many are put in blocks."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from advisor.artefacts import dynamic_int8, finishing, mixed_int8, weight_int8
from advisor.artefacts.mixed_int8 import fewest
from advisor.artefacts.sensitivity import Product, by_damage, products
from advisor.artefacts.timing import session
from advisor.gates.options import GateOptions
from advisor.workshop import CannotBuildError
from tests.advisor.artefacts.samples_kit import write_call
from tests.advisor.artefacts.test_builders import HEADS, WIDTH, Encoder, feed
from tests.advisor.replacements.test_onnx_swap import export

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime")
pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]

CALLS = 320
# How fast anything is on this machine is not what is asked here.
FAST = {"cpu_ratio": 0.5, "calls": 1.0, "distance": 0.0}


@pytest.fixture(scope="module")
def spiky(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An encoder of which one product has inputs with a few large ones among small ones."""
    torch.manual_seed(0)
    model = Encoder()
    with torch.no_grad():
        model.layers[1].wide.weight[:2] *= 300
        model.layers[1].narrow.weight[:, :2] /= 300
    folder = tmp_path_factory.mktemp("spiky") / "model"
    export(model, folder, torch.randint(0, 100, (2, 7)), torch.ones(2, 7, dtype=torch.int64))
    return str(folder)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    folder = tmp_path_factory.mktemp("calls")
    random = np.random.default_rng(1)
    found: list[list[Any]] = []
    for number in range(CALLS):
        ids = random.integers(0, 100, (1, 9))
        path = write_call(folder, number, (ids, np.ones((1, 9), "i8")), {})
        found.append([number, f"d{number}", path])
    return found


def order(source: str, folder: Path, calls: list[list[Any]], overlap: float) -> dict[str, Any]:
    folder.mkdir()
    gate = asdict(GateOptions(measure="overlap", limit=overlap))
    return {
        "source": source,
        "folder": str(folder),
        "samples": [path for _, _, path in calls[:4]],
        "about": {"heads": HEADS, "hidden_size": WIDTH},
        "judged_by": {"screening": calls, "gate": gate},
    }


def test_the_product_whose_inputs_have_spikes_loses_most(spiky: str) -> None:
    model = onnx.load(os.path.join(spiky, "model.onnx"))
    found = products(model)
    assert len(found) == 12  # not those of two computed factors
    graded = by_damage(model, [feed(3, 9), feed(2, 5)])
    assert sorted(each.name for each in graded) == sorted(found)
    worst, second = graded[0], graded[1]
    assert "layers.1/narrow" in worst.name
    assert worst.weights == 2 * WIDTH * WIDTH
    assert worst.damage > 10 * second.damage > 0


def test_spikes_that_are_evened_out_need_no_blocks(
    spiky: str, tmp_path: Path, calls: list[list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "compared", lambda *_: FAST)
    made = mixed_int8.build(order(spiky, tmp_path / "mixed", calls, 0.88))
    assert (made["in_blocks"], made["strength"]) == ([], 0.8)
    assert str(made["how"]).startswith("inputs evened out (SmoothQuant, 0.8)")
    kinds = [n.op_type for n in onnx.load(str(tmp_path / "mixed" / "model.onnx")).graph.node]
    assert kinds.count("MatMulNBits") == 0
    assert kinds.count("QAttention") == 2
    assert sorted(os.listdir(tmp_path / "mixed")) == ["model.onnx", "signature.json"]


def test_where_evening_out_is_too_little_what_did_best_goes_into_blocks(
    spiky: str, tmp_path: Path, calls: list[list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told:
        """Says of one model after the other how well it does; those in blocks all do."""

        values = iter((0.5, 0.7, 0.9, 0.8))  # plain, then the three strengths

        def judged(self, _: object) -> SimpleNamespace:
            value = next(self.values, None)
            return SimpleNamespace(value=value, measure="overlap", sure=value is None)

    monkeypatch.setattr(finishing, "compared", lambda *_: FAST)
    monkeypatch.setattr(mixed_int8, "scorer_of", lambda _: Told())
    made = mixed_int8.build(order(spiky, tmp_path / "mixed", calls, 0.97))
    assert made["strength"] == mixed_int8._STRENGTHS[1]  # not the last one tried
    assert len(made["in_blocks"]) == 1  # type: ignore[arg-type]
    graph = onnx.load(str(tmp_path / "mixed" / "model.onnx")).graph
    assert [n.op_type for n in graph.node].count("MatMulNBits") == 1
    assert sum(n.name.startswith("frugalwatch.even.") for n in graph.node) > 1


def test_one_product_in_blocks_is_enough_where_one_is_spiky(
    spiky: str, tmp_path: Path, calls: list[list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "compared", lambda *_: FAST)
    monkeypatch.setattr(mixed_int8, "BLOCK", 32)
    monkeypatch.setattr(mixed_int8, "_STRENGTHS", ())
    made = mixed_int8.build(order(spiky, tmp_path / "mixed", calls, 0.88))
    (name,) = made["in_blocks"]  # type: ignore[misc]
    assert "layers.1/narrow" in str(name)
    assert "; 1 of " in str(made["how"])
    kinds = [n.op_type for n in onnx.load(str(tmp_path / "mixed" / "model.onnx")).graph.node]
    assert kinds.count("MatMulNBits") == 1
    assert kinds.count("QAttention") == 2
    assert session(str(tmp_path / "mixed" / "model.onnx")).run(None, feed(2, 5))[0].shape[0] == 2
    assert sorted(os.listdir(tmp_path / "mixed")) == ["model.onnx", "signature.json"]


def test_all_products_scaled_at_each_call_lose_less_with_inputs_to_even_out_by(
    spiky: str, tmp_path: Path, calls: list[list[Any]]
) -> None:
    asked = {**order(spiky, tmp_path / "plain", calls, 0.9), "transformer": True, "insist": True}
    plain = dynamic_int8.build(asked)
    asked["folder"] = str(tmp_path / "evened")
    os.mkdir(asked["folder"])
    asked["calibration"] = [path for _, _, path in calls[:32]]
    evened = dynamic_int8.build(asked)
    assert not str(plain["how"]).startswith("inputs evened out")
    assert str(evened["how"]).startswith("inputs evened out")
    assert float(str(evened["distance"])) < 0.5 * float(str(plain["distance"]))
    assert sorted(os.listdir(asked["folder"])) == ["model.onnx", "signature.json"]


def test_where_8_bits_are_fine_or_hopeless_nothing_is_mixed(
    spiky: str, tmp_path: Path, calls: list[list[Any]]
) -> None:
    with pytest.raises(CannotBuildError, match="dynamic int8 keeps the limit without it"):
        mixed_int8.build(order(spiky, tmp_path / "fine", calls, 0.2))
    with pytest.raises(CannotBuildError, match=r"with all \d+ products in blocks"):
        mixed_int8.build(order(spiky, tmp_path / "hopeless", calls, 0.999))


@pytest.mark.parametrize("needed", range(1, 9))
def test_the_fewest_that_keep_the_limit_are_found_and_made_last(needed: int) -> None:
    ranked = [Product(str(at), 1, 1.0 / (1 + at)) for at in range(8)]
    tried: list[int] = []

    def keeps(number: int) -> bool:
        tried.append(number)
        return number >= needed

    assert fewest(ranked, keeps) == needed
    assert tried[-1] == needed
    assert len(tried) <= 6


def test_blocks_are_as_large_as_the_limit_lets_them_be(
    spiky: str, tmp_path: Path, calls: list[list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "compared", lambda *_: FAST)
    loose = weight_int8.build(order(spiky, tmp_path / "loose", calls, 0.5))
    strict = weight_int8.build(order(spiky, tmp_path / "strict", calls, 0.999))
    assert "blocks of 128" in str(loose["how"])
    assert "blocks of 32" in str(strict["how"])
