"""When each technique that acts inside a torch program is offered, and the reason when not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from advisor.candidates import candidates
from advisor.inside import Inside, Loader, Root
from advisor.techniques.autocast import Autocast
from advisor.techniques.base import Facts, Technique
from advisor.techniques.channels_last import ChannelsLast
from advisor.techniques.compiled import Compiled
from advisor.techniques.cudnn_benchmark import CudnnBenchmark
from advisor.techniques.inference_mode import InferenceMode
from advisor.techniques.loader_workers import LoaderWorkers
from advisor.techniques.pinned_memory import PinnedMemory
from advisor.techniques.tf32 import Tf32

NET = Root("Net", {"evaluation grad": 10})
DROPPING = Root("Net", {"training grad": 10}, mode_dependent=("Dropout",))
IMAGES = replace(NET, convolutions_2d=3, images_in=True)
ON_GPU = replace(IMAGES, devices=("cuda",))
LOADER = Loader(0, 32, False, "Data")


def facts(inside: Inside | None, cpus: int = 4, flags: tuple[str, ...] = (), **env: str) -> Facts:
    return Facts(env, cpus, cpus, 1, frozenset(), inside, frozenset(flags))


def refusal(technique: Technique, known: Facts) -> str:
    answer = technique.applies(known)
    assert not answer.yes
    return answer.reason


def offered(technique: Technique, known: Facts) -> list[dict[str, object]]:
    assert technique.applies(known).yes
    return [dict(v.change.switches) for v in technique.variants(known)]


@pytest.mark.parametrize("technique", [InferenceMode(), Autocast(), ChannelsLast(), Compiled()])
def test_a_program_without_torch_is_told_so(technique: Technique) -> None:
    assert "no call of a torch module" in refusal(technique, facts(None))


def test_gradients_are_switched_off_where_nothing_learns() -> None:
    assert offered(InferenceMode(), facts(Inside((NET,)))) == [{"inference_mode": True}]
    assert "it trains" in refusal(InferenceMode(), facts(Inside((NET,), learns=True)))
    done = Root("Net", {"evaluation no_grad": 10})
    assert "off already" in refusal(InferenceMode(), facts(Inside((done,))))


def test_a_forgotten_eval_is_a_variant_of_its_own() -> None:
    known = facts(Inside((DROPPING,)))
    assert offered(InferenceMode(), known) == [
        {"inference_mode": "always"},  # the same answers, without gradients
        {"eval": "always", "inference_mode": True},
    ]
    assert "eval() was not called on Net, which holds Dropout" in (
        InferenceMode().applies(known).reason
    )


def test_eval_is_not_offered_where_it_changes_nothing() -> None:
    plain = Root("Net", {"training no_grad": 10})
    assert not InferenceMode().applies(facts(Inside((plain,)))).yes


def test_bf16_needs_units_of_the_cpu() -> None:
    inside = Inside((NET,))
    assert refusal(Autocast(), facts(inside)) == "this CPU has no bf16 units"
    assert refusal(Autocast(), facts(inside, flags=("avx512_vnni",))).endswith("bf16 units")
    assert offered(Autocast(), facts(inside, flags=("avx512_bf16",))) == [{"autocast": "bfloat16"}]
    assert "amx_bf16" in Autocast().applies(facts(inside, flags=("amx_bf16",))).reason


def test_autocast_is_not_put_on_what_is_narrow_already() -> None:
    narrow = Inside((replace(NET, dtypes=("bfloat16",)),))
    assert "no float32" in refusal(Autocast(), facts(narrow, flags=("amx_bf16",)))
    own = Inside((replace(NET, autocast="torch.bfloat16"),))
    assert "autocast itself" in refusal(Autocast(), facts(own, flags=("amx_bf16",)))


def test_a_gpu_gets_fp16_for_inference_only() -> None:
    inference = Inside((ON_GPU,), cuda_capability=(8, 0))
    kinds = [{"autocast": "bfloat16"}, {"autocast": "float16"}]
    assert offered(Autocast(), facts(inference)) == kinds
    assert offered(Autocast(), facts(replace(inference, learns=True))) == kinds[:1]
    assert "unverified on hardware" in Autocast().applies(facts(inference)).reason
    old = Inside((ON_GPU,), cuda_capability=(6, 1))
    assert "no units" in refusal(Autocast(), facts(old))


def test_channels_last_is_for_convolutions_of_images() -> None:
    assert offered(ChannelsLast(), facts(Inside((IMAGES,)))) == [{"channels_last": True}]
    assert "no two-dimensional convolution" in refusal(ChannelsLast(), facts(Inside((NET,))))
    done = Inside((replace(IMAGES, channels_last=True),))
    assert "already" in refusal(ChannelsLast(), facts(done))


def test_compiling_needs_a_compiler_and_a_program_that_does_not_itself(tmp_path: Path) -> None:
    inside = Inside((NET,))
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    assert offered(Compiled(), facts(inside, PATH=str(tmp_path))) == [{"compile": True}]
    assert Compiled().variants(facts(inside))[0].pays_later
    assert "C++ compiler" in refusal(Compiled(), facts(inside, PATH=str(tmp_path / "none")))
    done = Inside((replace(NET, compiled=True),))
    assert "itself" in refusal(Compiled(), facts(done, PATH=str(tmp_path)))


def test_workers_are_offered_to_a_program_that_waits_for_its_data() -> None:
    waiting = Inside((NET,), (LOADER,), shares={"data_wait": 0.6})
    found = offered(LoaderWorkers(), facts(waiting))
    assert [each["loader"] for each in found] == [
        {"workers": 1, "persistent": True},
        {"workers": 4, "persistent": True},
    ]
    assert {v.claim for v in LoaderWorkers().variants(facts(waiting))} == {"time"}
    brief = replace(waiting, shares={"data_wait": 0.01})
    assert "only 1 % of its time" in refusal(LoaderWorkers(), facts(brief))
    assert "no torch DataLoader" in refusal(LoaderWorkers(), facts(Inside((NET,))))
    served = replace(waiting, loaders=(replace(LOADER, workers=4),))
    assert offered(LoaderWorkers(), facts(served)) == [{"loader": {"workers": 0}}]


def test_what_needs_a_gpu_says_so_and_is_marked_unverified() -> None:
    gpu = Inside((ON_GPU,), (LOADER,), cuda_capability=(8, 0))
    for technique in (PinnedMemory(), Tf32(), CudnnBenchmark()):
        assert refusal(technique, facts(Inside((IMAGES,)))) == "no module of it is on a GPU"
        assert "unverified on hardware" in technique.applies(facts(gpu)).reason
        assert "unverified on hardware" in technique.variants(facts(gpu))[0].risk


@pytest.mark.parametrize(
    ("technique", "inside", "reason"),
    [
        (Tf32(), Inside((ON_GPU,), cuda_capability=(7, 5)), "no TF32 units"),
        (Tf32(), Inside((ON_GPU,), cuda_capability=(8, 0), matmul_precision="high"), "already"),
        (CudnnBenchmark(), Inside((ON_GPU,), cudnn_benchmark=True), "itself"),
        (CudnnBenchmark(), Inside((replace(ON_GPU, shapes_count=30),)), "too many shapes"),
        (PinnedMemory(), Inside((ON_GPU,)), "no torch DataLoader"),
        (PinnedMemory(), Inside((ON_GPU,), (replace(LOADER, pin_memory=True),)), "already"),
    ],
)
def test_what_a_gpu_program_has_already_is_not_offered(
    technique: Technique, inside: Inside, reason: str
) -> None:
    assert reason in refusal(technique, facts(inside))


def test_two_settings_of_a_loader_are_one_change() -> None:
    waiting = Inside((ON_GPU,), (LOADER,), shares={"data_wait": 0.6})
    workers = LoaderWorkers().variants(facts(waiting))[0].change
    pinned = PinnedMemory().variants(facts(waiting))[0].change
    both = {"loader": {"workers": 1, "persistent": True, "pin_memory": True}}
    assert workers.with_(pinned).switches == both


def test_without_torch_the_inside_is_refused_in_one_line() -> None:
    _, answers = candidates(facts(None))
    assert [r.technique for r in answers if "torch" in r.applicability.reason] == [
        "inside the program"
    ]
    _, off = candidates(facts(None), hook=False)
    assert "switched off" in off[0].applicability.reason
