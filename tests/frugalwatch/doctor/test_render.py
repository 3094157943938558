from __future__ import annotations

from dataclasses import replace

import pytest

from collectors.base import Device
from frugalwatch.doctor.examine import Check, Examination, SourceFound
from frugalwatch.doctor.render import as_text
from frugalwatch.report.style import Style
from tests.frugalwatch.report.kit import CORE, GPU, MODEL, PACKAGE, PSYS

PLAIN = Style(on=False)
RAPL = SourceFound("rapl", (PACKAGE, CORE, PSYS), "", "", verified=False)
NVIDIA = SourceFound("nvidia", (GPU,), "", "", verified=True)
WHOLE = Examination(
    host="node7",
    cpu="AMD EPYC 7763 64-Core Processor",
    cores=64,
    threads=128,
    memory_bytes=256 * 2**30,
    sources=(RAPL, NVIDIA),
    models=(),
    checks=(Check("ledger", True, "/home/user/frugalwatch.db: 1 run"),),
)


@pytest.mark.parametrize(
    ("sources", "models", "verdict"),
    [
        ((RAPL, NVIDIA), (), "Measured here: GPU, CPU, the whole machine"),
        ((NVIDIA,), (MODEL,), "Measured here: GPU; modelled: CPU"),
        ((), (MODEL,), "Nothing here can be measured: energy will be modelled, and marked ~"),
    ],
)
def test_the_verdict_names_what_is_measured_and_what_is_not(
    sources: tuple[SourceFound, ...], models: tuple[Device, ...], verdict: str
) -> None:
    modelled = tuple(SourceFound("cpu_model", (m,), "", "", verified=True) for m in models)
    found = replace(WHOLE, sources=sources, models=modelled)
    assert f"\n{verdict}\n" in as_text(found, PLAIN, whole=True)


def test_a_path_that_never_ran_on_its_hardware_says_so_once() -> None:
    noted = SourceFound(
        "rapl",
        tuple(d._replace(note="unverified on hardware") for d in (PACKAGE, CORE)),
        "",
        "",
        verified=False,
    )
    said = as_text(replace(WHOLE, sources=(noted,)), PLAIN, whole=False)
    assert said.count("unverified on hardware") == 1


def test_a_source_of_which_one_device_is_forbidden_says_which_and_how() -> None:
    part = SourceFound(
        "rapl", (PACKAGE,), "package-1 is readable by root only", "sudo chmod x", verified=True
    )
    lines = as_text(replace(WHOLE, sources=(part,)), PLAIN, whole=False).splitlines()
    assert lines[1] == "  rapl       in part 1 device"
    assert lines[-2].strip() == "not all: package-1 is readable by root only"
    assert lines[-1].strip() == "hint: sudo chmod x"


def test_long_keys_and_notes_stay_within_eighty_columns() -> None:
    long = GPU._replace(key="nvidia:MIG-" + "8f3c0a52-" * 4, note="word; " * 40, part_of=GPU.key)
    sources = (replace(NVIDIA, devices=(GPU, long), remedy="type this " * 20),)
    checks = (Check("x", False, "detail " * 30, "remedy " * 30),)
    said = as_text(replace(WHOLE, sources=sources, checks=checks), PLAIN, whole=True)
    assert max(map(len, said.splitlines())) <= 80


def test_json_has_null_where_nothing_is_known() -> None:
    found = WHOLE.as_json()
    sources = found["sources"]
    assert isinstance(sources, list)
    assert sources[0]["reason"] is None
    assert sources[1]["verified_on_hardware"] is True
    assert sources[0]["devices"][1]["part_of"] == "rapl:package-0"
