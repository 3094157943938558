"""Who the CPU is, and which published server stands for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.cpu_identity import CpuIdentity, parse_cpuinfo, read_cpu_identity
from collectors.cpu_table import thread_power
from collectors.host import Host
from tests.support.machine_tree import (
    CASCADE_LAKE,
    EPYC_MILAN,
    ICE_LAKE_SP,
    MASKED_SAPPHIRE_RAPIDS,
    NEOVERSE_N1,
    ROCKET_LAKE,
    SKYLAKE_SP,
    cpuinfo,
)


def identity(fields: dict[str, str], threads: int = 8) -> CpuIdentity:
    return parse_cpuinfo(cpuinfo(fields, threads))


@pytest.mark.parametrize(
    ("fields", "microarchitecture", "row", "match"),
    [
        (ICE_LAKE_SP, "Ice Lake-SP", "Ice Lake", "server"),
        (SKYLAKE_SP, "Skylake-SP", "Skylake", "server"),
        (CASCADE_LAKE, "Cascade Lake", "Cascade Lake", "server"),
        (SKYLAKE_SP | {"stepping": "11"}, "Cooper Lake", "Cascade Lake", "nearest"),
        (EPYC_MILAN, "Zen 3 (Milan)", "EPYC 3rd Gen", "server"),
        (EPYC_MILAN | {"model": "17"}, "Zen 4 (Genoa)", "EPYC 4th Gen", "server"),
        (
            EPYC_MILAN | {"cpu family": "26", "model": "2"},
            "Zen 5 (Turin / Turin Dense)",
            "EPYC 5th Gen",
            "server",
        ),
        (NEOVERSE_N1, "Neoverse N1 (Graviton2 / Altra)", "Neoverse N1", "server"),
        (
            NEOVERSE_N1 | {"CPU part": "0xd4f"},
            "Neoverse V2 (Graviton4 / Grace / Axion)",
            "Neoverse N1",
            "far",
        ),
        (ROCKET_LAKE, "Rocket Lake", "any server", "client"),
    ],
)
def test_cpuid_leads_to_the_row_of_its_microarchitecture(
    fields: dict[str, str], microarchitecture: str, row: str, match: str
) -> None:
    power = thread_power(identity(fields))
    assert (power.microarchitecture, power.key, power.match) == (microarchitecture, row, match)


def test_stepping_tells_skylake_from_cascade_lake_since_their_model_is_the_same() -> None:
    assert thread_power(identity(SKYLAKE_SP)).idle_w.value == 0.532
    assert thread_power(identity(CASCADE_LAKE)).idle_w.value == 0.603


def test_tile_registers_overrule_a_client_model_number() -> None:
    power = thread_power(identity(MASKED_SAPPHIRE_RAPIDS))
    assert power.key == "Sapphire Rapids"
    assert "AMX first appeared in Sapphire Rapids" in power.note
    assert "model 167 (Rocket Lake)" in power.note
    honest = thread_power(identity(MASKED_SAPPHIRE_RAPIDS | {"model": "143"}))
    assert power.full_w.high > honest.full_w.high
    assert power.idle_w.low < honest.idle_w.low


def test_tile_registers_agree_with_a_granite_rapids_model_number() -> None:
    power = thread_power(identity(MASKED_SAPPHIRE_RAPIDS | {"model": "173"}))
    assert (power.key, power.match, power.note) == ("Granite Rapids", "server", "")


def test_an_unknown_cpu_gets_the_band_over_all_servers_and_says_so() -> None:
    power = thread_power(identity(ICE_LAKE_SP | {"model": "999"}))
    assert (power.key, power.match) == ("any server", "none")
    assert "all 17 kinds of server CPU" in power.note
    assert power.full_w.high >= 12.75  # the 90th percentile of the hungriest row, Sandy Bridge
    assert power.idle_w.low <= 0.184  # the 10th percentile of the thriftiest, EPYC 5th Gen


def test_a_machine_without_cpuinfo_still_gets_an_answer(tmp_path: Path) -> None:
    assert read_cpu_identity(Host(procfs=str(tmp_path))) is None
    assert thread_power(None).key == "any server"


def test_a_class_of_cpus_named_by_qemu_widens_the_band() -> None:
    masked = SKYLAKE_SP | {
        "model name": "Intel Xeon Processor (Skylake, IBRS)",
        "flags": "fpu hypervisor",
    }
    power = thread_power(identity(masked))
    assert power.key == "Skylake"
    assert power.full_w.high == pytest.approx(2.5 * 4.149)
    assert "may be newer" in power.note


def test_qemu_numbers_its_ice_lake_server_like_an_atom() -> None:
    power = thread_power(identity(ICE_LAKE_SP | {"model": "134"}))
    assert power.key == "Ice Lake"


def test_a_desktop_name_on_a_server_model_number_is_no_server() -> None:
    power = thread_power(
        identity(SKYLAKE_SP | {"model name": "Intel(R) Core(TM) i9-7900X CPU @ 3.30GHz"})
    )
    assert power.match == "nearest"


def test_few_records_widen_the_band() -> None:
    power = thread_power(identity(ICE_LAKE_SP | {"model": "207"}))  # Emerald Rapids, 4 records
    assert power.idle_w.high == pytest.approx(2.5 * 0.803)
    assert "only 4 published records" in power.note


def test_published_spread_wider_than_the_common_band_is_kept() -> None:
    power = thread_power(identity(EPYC_MILAN | {"model": "17"}))  # EPYC 4: idle p90 is 3.8 times
    assert power.idle_w.high == 1.433
    assert power.full_w.high == pytest.approx(2 * 1.854)


def test_threads_cores_and_sockets_are_counted() -> None:
    one = parse_cpuinfo(cpuinfo(ICE_LAKE_SP, 128, siblings=64))
    assert (one.threads, one.cores, one.sockets, one.siblings) == (128, 64, 2, 64)
    assert not one.hypervisor


def test_arm_has_no_name_and_a_board_block_is_no_cpu() -> None:
    text = cpuinfo(NEOVERSE_N1, 4) + "\nHardware\t: BCM2835\nRevision\t: c03114\n"
    one = parse_cpuinfo(text)
    assert (one.vendor, one.model, one.threads, one.cores) == ("arm:0x41", 0xD0C, 4, 4)
    assert one.label == "ARM implementer 0x41 part 0xd0c"


@pytest.mark.parametrize("text", ["", "\n\n", "garbage", "processor\t: 0\n", "model\t: x\n"])
def test_damaged_cpuinfo_is_an_unknown_cpu(text: str) -> None:
    one = parse_cpuinfo(text)
    assert one.threads == 1
    assert thread_power(one).match == "none"


def test_every_cpu_row_leads_to_an_existing_power_row() -> None:
    import collectors.cpu_table as table

    path = Path(table.__file__).parent / "data" / "cpu_power.csv"
    lines = [line.split(",") for line in path.read_text().splitlines() if line[0] != "#"]
    powers = {line[1] for line in lines if line[0] == "power"}
    for line in lines:
        if line[0] == "cpu":
            assert len(line) == 10
            assert line[8] in powers if line[9] in ("server", "nearest", "far") else not line[8]
        else:
            assert len(line) == 10
            idle, idle_p10, idle_p90, full, full_p10, full_p90 = map(float, line[2:8])
            assert 0 < idle_p10 <= idle <= idle_p90 < full_p90
            assert full_p10 <= full <= full_p90
