"""What a person told, and what another machine measured, and what the model makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.calibration import (
    Calibration,
    ToldPower,
    WorkloadCalibration,
    WorkPower,
    calibrated_model,
)
from collectors.cpu_identity import parse_cpuinfo
from collectors.cpu_model import cpu_model_collector
from collectors.cpu_power_model import CpuPowerModel, table_model
from collectors.cpu_table import thread_power
from collectors.tdp_codecarbon import NoTdp, Tdp, socket_tdp, socket_threads, tdp_model
from tests.support.machine_tree import EPYC_MILAN, ICE_LAKE_SP, MachineTree, cpuinfo

TABLE = table_model(thread_power(parse_cpuinfo(cpuinfo(ICE_LAKE_SP, 8))), 8.0, 8)
MEASURED = WorkloadCalibration(
    key="Ice Lake",
    cpu="Intel(R) Xeon(R) Platinum 8380",
    threads=160,
    idle_w=160.0,
    boundary="die",
    encloses=("cpu", "ram"),
    work=(
        WorkPower("scalar", 2.0),
        WorkPower("memory", 2.6),
        WorkPower("avx-fp32", 3.2),
        WorkPower("sibling", 1.2),
    ),
)


def width(model: CpuPowerModel) -> float:
    return model.full_w.high / model.full_w.low


def test_nothing_known_leaves_the_table() -> None:
    assert calibrated_model(TABLE, None, "Ice Lake") is TABLE
    assert calibrated_model(TABLE, Calibration(), "Ice Lake") is TABLE


def test_two_points_give_the_watts_and_a_narrower_band() -> None:
    model = calibrated_model(TABLE, Calibration(told=ToldPower(38.0, 145.0)), "Ice Lake")
    assert (model.idle_w.value, model.full_w.value) == (38.0, 145.0)
    assert model.active_w.value == pytest.approx(107.0 / 8)
    assert width(model) < width(TABLE)
    assert model.boundary == "server_ac"


def test_a_slice_gets_its_part_of_what_was_told_of_the_machine() -> None:
    quarter = table_model(thread_power(parse_cpuinfo(cpuinfo(ICE_LAKE_SP, 8))), 2.0, 8)
    model = calibrated_model(quarter, Calibration(told=ToldPower(40.0, 160.0)), "Ice Lake")
    assert (model.idle_w.value, model.full_w.value) == (10.0, 40.0)


def test_one_point_idle_keeps_the_tables_step_from_idle_to_full() -> None:
    model = calibrated_model(TABLE, Calibration(told=ToldPower(idle_w=20.0)), "Ice Lake")
    assert model.idle_w.value == 20.0
    assert model.active_w.value == pytest.approx(TABLE.active_w.value)


def test_one_point_full_load_keeps_the_tables_ratio_of_idle_to_full() -> None:
    model = calibrated_model(TABLE, Calibration(told=ToldPower(full_w=100.0)), "Ice Lake")
    assert model.full_w.value == 100.0
    assert model.idle_w.value == pytest.approx(100 * 0.756 / 3.878)


@given(st.floats(1, 1000) | st.none(), st.floats(0, 3000) | st.none(), st.floats(0.5, 8))
def test_bounds_contain_the_figure_whatever_was_told(
    idle_w: float | None, extra_w: float | None, threads: float
) -> None:
    table = table_model(thread_power(parse_cpuinfo(cpuinfo(ICE_LAKE_SP, 8))), threads, 8)
    full_w = None if extra_w is None else (idle_w or 1.0) + extra_w
    model = calibrated_model(table, Calibration(told=ToldPower(idle_w, full_w)), "Ice Lake")
    for band in (model.idle_w, model.full_w, model.active_w):
        assert 0 <= band.low <= band.value <= band.high
    assert model.full_w.low >= model.idle_w.low
    assert model.full_w.high >= model.idle_w.high


def test_a_file_of_the_same_family_narrows_the_band_and_changes_the_boundary() -> None:
    model = calibrated_model(TABLE, Calibration(workloads=MEASURED), "Ice Lake")
    assert model.idle_w.value == pytest.approx(8.0)  # 1 W a thread
    assert model.active_w.value == pytest.approx(2.3)  # the median of four kinds
    assert model.active_w.low == pytest.approx(1.2 * 0.85)
    assert model.active_w.high == pytest.approx(3.2 * 1.15)
    assert model.boundary == "die"
    assert width(model) < 4.0
    assert "4 kinds of work measured on" in model.source
    assert "Platinum 8380" in model.source


def test_a_file_of_another_family_is_not_used_and_the_note_says_so() -> None:
    model = calibrated_model(TABLE, Calibration(workloads=MEASURED), "EPYC 3rd Gen")
    assert model.idle_w == TABLE.idle_w
    assert "a calibration of Ice Lake is not used on EPYC 3rd Gen" in model.note


def test_what_was_told_of_this_machine_wins_over_another_machines_file() -> None:
    both = Calibration(told=ToldPower(38.0, 145.0), workloads=MEASURED)
    assert calibrated_model(TABLE, both, "Ice Lake").idle_w.value == 38.0


# codecarbon's table, in its own form


@pytest.fixture
def tdp_table(tmp_path: Path) -> tuple[str, str]:
    path = tmp_path / "cpu_power.csv"
    path.write_text(
        "Name,TDP\nIntel Xeon Platinum 8375C,300\nAMD EPYC 7763,280\n"
        '"Intel Core i9, odd",125\nbroken,x\n'
    )
    return str(path), "3.3.2"


@pytest.mark.parametrize(
    ("name", "watts"),
    [
        ("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", 300.0),
        ("AMD EPYC 7763 64-Core Processor", 280.0),
    ],
)
def test_a_cpu_is_found_without_its_decorations(
    tdp_table: tuple[str, str], name: str, watts: float
) -> None:
    found = socket_tdp(name, tdp_table)
    assert isinstance(found, Tdp)
    assert found.watts == watts


@pytest.mark.parametrize("name", ["", "Intel(R) Xeon(R) Processor", "AMD EPYC 77", "broken"])
def test_no_fuzzy_match(tdp_table: tuple[str, str], name: str) -> None:
    assert isinstance(socket_tdp(name, tdp_table), NoTdp)


def test_codecarbon_that_is_not_installed_is_said_with_the_remedy() -> None:
    try:
        import codecarbon  # noqa: F401
    except ImportError:
        found = socket_tdp("AMD EPYC 7763")
        assert isinstance(found, NoTdp)
        assert found.remedy == "pip install 'frugalwatch[crosscheck]'"
    else:
        pytest.skip("codecarbon is installed here")


def test_the_tdp_is_scaled_to_the_visible_share_of_the_socket(tdp_table: tuple[str, str]) -> None:
    identity = parse_cpuinfo(cpuinfo(EPYC_MILAN, 256, siblings=128))
    table = table_model(thread_power(identity), 32.0, 256)
    model = tdp_model(table, identity, tdp_table)
    assert model.full_w.value == pytest.approx(280 * 32 / 128)
    assert model.idle_w.value == pytest.approx(28 * 32 / 128)
    assert (model.boundary, model.encloses) == ("die", ("cpu",))


def test_behind_a_hypervisor_the_socket_is_unknown_and_the_table_stands(
    tdp_table: tuple[str, str],
) -> None:
    identity = parse_cpuinfo(cpuinfo(ICE_LAKE_SP | {"flags": "fpu hypervisor"}, 4))
    assert socket_threads(identity) is None
    model = tdp_model(TABLE, identity, tdp_table)
    assert model.full_w == TABLE.full_w
    assert "hides how many threads the socket has, so its 300 W cannot be scaled" in model.note


def test_that_codecarbon_is_installed_changes_no_figure_by_itself(tmp_path: Path) -> None:
    tree = MachineTree(tmp_path)
    tree.cpu(EPYC_MILAN, 128)
    (device,) = cpu_model_collector(tree.host).probe().devices
    assert "SPECpower" in device.source
