"""When techniques that change the model itself are offered, and why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.inside import Inside, Root
from advisor.replacements import semi_structured
from advisor.techniques import techniques
from advisor.techniques.pruning import Pruning
from advisor.techniques.semi_structured import SemiStructured
from advisor.techniques.unstructured import Unstructured
from tests.advisor.test_swap_techniques import IMAGES, NET, facts, module, refusal


def test_models_are_changed_only_where_the_user_asks_for_it() -> None:
    names = {family: {t.name for t in techniques(family=family)} for family in FAMILIES}
    assert "pruning" not in names["runtime"]
    assert "pruning" in names["compress"]
    assert "threads" not in names["compress"]
    assert names["all"] == names["runtime"] | names["compress"]


FAMILIES = ("runtime", "compress", "all")


def test_pruning_needs_inputs_that_judge_nothing() -> None:
    assert Pruning().applies(facts(module(calls=640))).yes
    assert "too few: give it about" in refusal(Pruning(), facts(module(calls=100)))


def test_a_tiny_network_has_nothing_to_spare() -> None:
    tiny = facts(module(calls=640, parameters=5_000))
    assert "5,000 weights: too few to spare" in refusal(Pruning(), tiny)


def test_a_training_is_not_pruned() -> None:
    assert "it trains" in refusal(Pruning(), facts(module(calls=640), learns=True))


def test_zeros_are_built_only_for_who_insists_since_they_gain_nothing_here() -> None:
    answer = Unstructured().applies(facts(module(calls=640)))
    assert not answer.yes
    assert answer.possible
    assert "gains nothing in time or energy on this machine" in answer.reason
    assert "compressed file" in answer.reason


def test_two_in_four_is_for_gpus_that_skip_them() -> None:
    assert "GPU" in refusal(SemiStructured(), facts())
    on_gpu = facts(root=replace(NET, devices=("cuda",)))
    assert "no units that skip" in refusal(SemiStructured(), on_gpu)
    ampere = replace(on_gpu, inside=inside(replace(NET, devices=("cuda",))))
    answer = SemiStructured().applies(ampere)
    assert answer.yes
    assert "unverified on hardware" in answer.reason
    (variant,) = SemiStructured().variants(ampere)
    assert variant.lossy
    images = replace(ampere, sample=facts(module(layers=IMAGES)).sample)
    assert "no linear layers" in refusal(SemiStructured(), images)


def inside(root: Root) -> Inside:
    return Inside((root,), cuda_capability=(8, 0))


def test_two_larger_of_four_weights_stay() -> None:
    torch = pytest.importorskip("torch")
    weight = torch.tensor([[1.0, -4.0, 0.5, 3.0, 0.0, 0.1, -0.2, 0.05]])
    mask = semi_structured.two_of_four(weight)
    assert mask.tolist() == [[0, 1, 0, 1, 0, 1, 1, 0]]


def test_without_a_gpu_the_kernels_are_refused() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match="only kernels of GPUs"):
        semi_structured.make(torch.nn.Linear(128, 128), (), {}, {})
