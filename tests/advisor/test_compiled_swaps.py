"""When compiling ahead of time, OpenVINO's 8 bits, and 4 bits are offered, with their reasons."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from advisor.techniques.aot_inductor import AotInductor
from advisor.techniques.base import Facts
from advisor.techniques.openvino_int8 import OpenVinoInt8
from advisor.techniques.weight_int4 import WeightInt4
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
