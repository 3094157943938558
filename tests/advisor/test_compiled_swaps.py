"""When compiling ahead of time, OpenVINO's 8 bits, and 4 bits are offered, with their reasons."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from advisor.replay import Replay
from advisor.techniques.aot_inductor import AotInductor
from advisor.techniques.base import Applicability, Facts, Variant
from advisor.techniques.openvino_int8 import OpenVinoInt8
from advisor.techniques.weight_int4 import WeightInt4
from advisor.workshop import Workshop
from tests.advisor.test_swap_techniques import IMAGES, facts, module, refusal


def with_torch(known: Facts, version: str) -> Facts:
    assert known.sample is not None
    return replace(known, sample=replace(known.sample, torch=version))


def with_compiler(known: Facts, folder: str) -> Facts:
    return replace(known, environment={"PATH": folder})


def test_compiling_ahead_needs_a_compiler_and_no_other_run_time(tmp_path: Path) -> None:
    known = with_torch(facts(packages="numpy"), "2.13.0+cpu")
    assert "needs a C++ compiler" in refusal(AotInductor(), with_compiler(known, str(tmp_path)))
    compiler = f"{tmp_path}/g++"
    with open(compiler, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\n")
    os.chmod(compiler, 0o755)
    assert AotInductor().applies(with_compiler(known, str(tmp_path))).yes


def test_compiling_ahead_needs_a_torch_that_makes_packages() -> None:
    assert refusal(AotInductor(), with_torch(facts(), "2.5.1")) == (
        "needs torch 2.6 or later, and the program's is 2.5.1"
    )


def test_a_training_is_not_compiled_ahead() -> None:
    assert "it trains" in refusal(AotInductor(), with_torch(facts(learns=True), "2.13.0"))


def test_openvino_in_8_bits_needs_packages_on_both_sides() -> None:
    known = facts(packages="openvino")
    assert refusal(OpenVinoInt8(), facts()) == "needs openvino: pip install openvino"
    without = OpenVinoInt8(is_here=lambda name: name == "openvino")
    assert refusal(without, known) == (
        "needs nncf beside frugalwatch: pip install 'frugalwatch[openvino]'"
    )
    technique = OpenVinoInt8(is_here=lambda _: True)
    assert technique.applies(known).yes
    assert [v.name for v in technique.variants(known)] == [
        "OpenVINO int8",
        "OpenVINO weight-only int8",
    ]
    plain = replace(known, cpu_flags=frozenset())
    assert "VNNI" in refusal(technique, plain)
    tiny = facts(module(parameters=5_000), packages="openvino")
    assert "5,000 weights" in refusal(technique, tiny)


def test_4_bits_are_for_large_transformers() -> None:
    large = facts(module(parameters=22_000_000))
    assert WeightInt4().applies(large).yes
    assert "which caches hold" in refusal(WeightInt4(), facts())
    assert WeightInt4().applies(facts()).possible
    images = facts(module(parameters=22_000_000, layers=IMAGES))
    assert "no matrix products" in refusal(WeightInt4(), images)


class Replays:
    """Stands for a replay in which a maker worked: it leaves a result, or dies before that."""

    def __init__(self, folder: Path, result: Mapping[str, object] | None) -> None:
        self._folder = folder
        self._result = result
        self.told: dict[str, Any] = {}

    def new_folder(self, name: str) -> str:
        place = self._folder / name
        place.mkdir()
        return str(place)

    def replay(self, *, ask: Mapping[str, Any], limit_s: float) -> Replay:
        self.told = ask["switches"]["replace"]
        if self._result is not None:
            path = os.path.join(self.told["options"]["folder"], "result.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(self._result, file)
        return Replay("ok", 0, 0, 2.0, 3.0, None, "", "", "")


def compiling(
    folder: Path, result: Mapping[str, object] | None
) -> tuple[Variant | Applicability, Replays, Workshop]:
    """What a search gets of AOTInductor where the maker left this result."""
    known = with_torch(facts(), "2.13.0")
    replays = Replays(folder, result)
    bench = Workshop(str(folder / "A1"), known.sample, replays, lambda _: None)  # type: ignore[arg-type]
    technique = AotInductor()
    (variant,) = technique.variants(known)
    return technique.prepare(variant, bench), replays, bench


def test_a_module_that_cannot_be_compiled_is_told_with_the_reason(tmp_path: Path) -> None:
    found, _, bench = compiling(tmp_path, {"why_not": "its answer holds a Thing"})
    assert found == Applicability(
        False, "Net cannot be compiled ahead of time: its answer holds a Thing"
    )
    assert bench.spent.cpu_s == 3.0


def test_a_program_that_dies_meanwhile_is_told_so(tmp_path: Path) -> None:
    found, _, _ = compiling(tmp_path, None)
    assert found == Applicability(
        False, "Net cannot be compiled ahead of time: it ended before it was done"
    )


def test_what_was_compiled_is_run_with_one_thread_by_a_loader_of_its_own(tmp_path: Path) -> None:
    found, replays, bench = compiling(tmp_path, {"distance": 0.0})
    assert isinstance(found, Variant)
    assert replays.told["factory"].endswith("compile_aoti.py:make")
    assert os.path.exists(replays.told["factory"].partition(":")[0])
    folder = os.path.join(bench.folder, "aoti-0")
    assert found.artefact == folder
    assert sorted(os.listdir(folder)) == ["load.py", "manifest.json", "swapped.py"]
    assert found.change.switches["threads"] == 1
    replaced: Any = found.change.switches["replace"]
    assert replaced["factory"] == f"{folder}/load.py:make"
