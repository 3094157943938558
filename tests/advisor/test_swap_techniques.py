"""When each swap of the program's module is offered, with its reason, and what stacks with what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from advisor.inside import Inside, Root
from advisor.sampling import Sample, SampledCall, SampledModule
from advisor.stacking import by_promise, combinations, different
from advisor.techniques.base import Change, Facts, Technique, Variant
from advisor.techniques.onnx_int8 import (
    DynamicInt8,
    MixedInt8,
    StaticInt8,
    WeightInt8,
    calibration_calls,
)
from advisor.techniques.onnx_runtime import OnnxRuntime
from advisor.techniques.openvino_swap import OpenVino

NET = Root("Net", {"evaluation no_grad": 64}, parameters=1_000_000)
LINEAR = {"Linear": 12, "LayerNorm": 6, "Embedding": 1}
IMAGES = {"Conv2d": 9, "BatchNorm2d": 9, "Linear": 1}


def module(number: int = 0, kind: str = "Net", calls: int = 64, **about: Any) -> SampledModule:
    made = tuple(
        SampledCall(n, 0, 1000, f"digest-{n}", {"in.0": ("F32", (1, 8))}, f"{n}-in", f"{n}-out")
        for n in range(calls)
    )
    known = {"parameters": 1_000_000, "layers": LINEAR, **about}
    return SampledModule(number, kind, "/nowhere", known, made)


def facts(
    *modules: SampledModule, root: Root = NET, learns: bool = False, packages: str = "onnxruntime"
) -> Facts:
    sample = Sample("/nowhere", modules or (module(),), packages={packages: "1.22"})
    inside = Inside((root,), learns=learns)
    flags = frozenset({"avx512_vnni"})
    return Facts({}, 2, 2, 2, frozenset(), inside, flags, sample)


def refusal(technique: Technique, known: Facts) -> str:
    answer = technique.applies(known)
    assert not answer.yes, answer
    return answer.reason


def test_a_training_keeps_a_model_that_learns() -> None:
    assert "it trains" in refusal(OnnxRuntime(), facts(learns=True))


def test_a_job_without_the_run_time_is_told_what_to_install() -> None:
    assert refusal(OnnxRuntime(), facts(packages="numpy")) == (
        "needs onnxruntime: pip install onnxruntime"
    )


def test_openvino_is_offered_where_the_program_has_it() -> None:
    assert OpenVino().applies(facts(packages="openvino")).yes
    assert refusal(OpenVino(), facts()) == "needs openvino: pip install openvino"


def test_training_mode_is_refused_where_it_matters_only() -> None:
    called = Root("Net", {"training no_grad": 9})
    assert OnnxRuntime().applies(facts(root=called)).yes
    matters = replace(called, mode_dependent=("Dropout",))
    assert "call eval() on it first" in refusal(OnnxRuntime(), facts(root=matters))


def test_a_module_on_a_gpu_is_left_there() -> None:
    assert refusal(OnnxRuntime(), facts(root=replace(NET, devices=("cuda",)))) == (
        "Net is on a GPU"
    )


def test_of_several_modules_the_one_that_takes_most_time_is_swapped() -> None:
    known = facts(module(0, "Small", calls=4), module(1, "Net", calls=12))
    assert "Net, one of 2 modules that it calls and 75 % of their time" in (
        OnnxRuntime().applies(known).reason
    )


def test_each_precision_is_offered_to_the_networks_that_it_suits() -> None:
    text, images = facts(module(layers=LINEAR)), facts(module(layers=IMAGES))
    assert DynamicInt8().applies(text).yes
    assert WeightInt8().applies(text).yes
    assert MixedInt8().applies(text).yes
    assert "attention loses too much" in refusal(StaticInt8(), text)
    assert StaticInt8().applies(images).yes
    assert "static int8 suits them" in refusal(DynamicInt8(), images)
    assert "no matrix products" in refusal(WeightInt8(), images)
    assert "no matrix products" in refusal(MixedInt8(), images)


def test_tiny_networks_and_cpus_without_units_are_refused() -> None:
    tiny = facts(module(parameters=20_000, layers=IMAGES))
    assert "20,000 weights" in refusal(StaticInt8(), tiny)
    plain = replace(facts(module(layers=IMAGES)), cpu_flags=frozenset({"avx2"}))
    assert "VNNI" in refusal(StaticInt8(), plain)


def test_calibration_takes_its_own_part_of_the_inputs() -> None:
    chosen = calibration_calls(module(calls=640))
    assert 100 < len(chosen) < 160  # two blocks of ten
    assert {c.number // 16 % 10 for c in chosen} == {1, 6}


def variant(name: str, switches: dict[str, object], *, lossy: bool = False) -> Variant:
    return Variant(name, name, Change(switches=switches), lossy=lossy)


SWAP = variant("swap", {"replace": {"factory": "a"}})
INT8 = variant("int8", {"replace": {"factory": "b"}}, lossy=True)
COMPILED = variant("compiled", {"compile": True})
THREADS = variant("threads", {"threads": 1})
OUTER = variant("outer", {"replace": {"factory": "c", "options": {}, "outer": True}})


@pytest.mark.parametrize("other", [COMPILED, INT8, variant("modes", {"inference_mode": True})])
def test_what_has_no_effect_beside_a_swap_is_not_stacked_with_it(other: Variant) -> None:
    assert combinations([SWAP, other]) == []


def test_a_swap_stacks_with_threads_and_inside_of_unpadding() -> None:
    (stacked,) = combinations([INT8, THREADS, OUTER])
    assert stacked.lossy
    assert stacked.change.switches["threads"] == 1
    replaced: Any = stacked.change.switches["replace"]
    assert replaced["factory"] == "c"
    assert replaced["options"]["inner"]["factory"] == "b"


def test_the_best_lossless_swap_is_confirmed_beside_a_better_lossy_one() -> None:
    others = [variant(f"other int8 {n}", {"replace": {"factory": n}}, lossy=True) for n in "xyz"]
    assert different([INT8, *others, SWAP, THREADS]) == [INT8, SWAP, THREADS]
    names = [v.name for v in by_promise([INT8, SWAP, THREADS])]
    assert names == ["int8", "int8 + threads", "swap + threads", "swap", "threads"]


def test_the_best_of_each_kind_is_confirmed_where_models_change() -> None:
    """Whoever wants no other model sees what pruning alone saves, and int8 alone, and neither."""
    students = [replace(INT8, name=f"student {n}", answers="learnt") for n in "ab"]
    pruned = [replace(INT8, name=f"pruned {n}", answers="pruned") for n in "ab"]
    ranked = [*students, *pruned, INT8, SWAP, THREADS]
    assert different(ranked) == [students[0], pruned[0], INT8, SWAP]
    assert different(students) == students


def test_the_linear_layers_that_gpt_2_calls_conv1d_are_no_convolutions() -> None:
    writer = module(layers={"Conv1D": 16, "LayerNorm": 9, "Embedding": 2, "Linear": 1})
    assert DynamicInt8().applies(facts(writer)).yes
    assert WeightInt8().applies(facts(writer)).yes
    assert not StaticInt8().applies(facts(writer)).yes
