"""`frugalwatch calibrate`: told, measured with simulated counters and real loops, imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from collectors.base import Device, Observation, Probe, Reading
from collectors.cpu_identity import parse_cpuinfo
from collectors.cpu_table import thread_power
from collectors.fake import Constant
from collectors.host import Host
from frugalwatch.calibration.idle import measure_idle
from frugalwatch.calibration.workloads import document, measure_workloads
from frugalwatch.cli import main
from frugalwatch.errors import FrugalWatchError
from frugalwatch.meter import Meter
from tests.support.fake_sysfs import PowercapTree, Zone
from tests.support.machine_tree import EPYC_MILAN, ICE_LAKE_SP, MachineTree, cpuinfo


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def calibrate(*arguments: str) -> int:
    return main(["calibrate", *arguments])


def known(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert calibrate("--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "frugalwatch.calibration/1"
    return dict(document)


def model(document: dict[str, object]) -> dict[str, object]:
    found = document["model"]
    assert isinstance(found, dict)
    return found


def test_what_is_told_is_kept_and_used(capsys: pytest.CaptureFixture[str]) -> None:
    before = model(known(capsys))
    assert calibrate("--idle-w", "38", "--full-w", "145") == 0
    after = known(capsys)
    assert (after["told_idle_w"], after["told_full_w"]) == (38.0, 145.0)
    assert model(after)["idle_w"] == 38.0
    assert "told 38 W idle" in str(model(after)["source"])
    assert before != model(after)


def test_one_point_is_added_to_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    calibrate("--idle-w", "38")
    calibrate("--full-w", "145")
    after = known(capsys)
    assert (after["told_idle_w"], after["told_full_w"]) == (38.0, 145.0)


def test_clear_forgets(capsys: pytest.CaptureFixture[str]) -> None:
    calibrate("--idle-w", "38")
    assert calibrate("--clear") == 0
    assert known(capsys)["told_idle_w"] is None


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--idle-w", "145", "--full-w", "38"], "must draw more than idle"),
        (["--idle-w", "-3"], "must be a number of watts above 0"),
        (["--idle-w", "nan"], "must be a number of watts above 0"),
        (["--idle-w", "38", "--clear"], "one thing at a time"),
        (["--workloads", "--seconds", "1"], "takes 6 to 3600 seconds"),
        (["--idle", "0"], "takes 1 to 3600 seconds"),
        (["--import", "none.json"], "cannot use none.json"),
    ],
)
def test_what_cannot_be_is_refused_with_exit_2(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate(*arguments) == 2
    assert problem in capsys.readouterr().err
    assert known(capsys)["told_idle_w"] is None


def test_a_full_load_below_the_idle_told_earlier_is_refused() -> None:
    calibrate("--idle-w", "38")
    assert calibrate("--full-w", "20") == 2


def test_without_counters_measuring_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sys").mkdir()
    monkeypatch.setenv("FRUGALWATCH_SYSFS", str(tmp_path / "sys"))
    monkeypatch.setenv("FRUGALWATCH_SOURCES_OFF", "nvidia")
    assert calibrate("--idle", "1") == 1
    error = capsys.readouterr().err
    assert "no energy counter" in error
    assert "hint: read a wall meter instead" in error


# idle, on simulated counters


def test_idle_watts_of_every_counter_are_measured_and_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRUGALWATCH_SOURCES_OFF", "nvidia")
    with PowercapTree(tmp_path, [Zone("package-0", Constant(20.0), range_j=15.0)]) as tree:
        tree.start()
        monkeypatch.setenv("FRUGALWATCH_SYSFS", tree.sysfs)
        assert calibrate("--idle", "2", "--anyway") == 0
        found = known(capsys)["idle_w"]
    assert isinstance(found, dict)
    assert found["rapl:package-0"]["idle_w"] == pytest.approx(20.0, rel=0.03)
    assert found["rapl:package-0"]["low_w"] <= found["rapl:package-0"]["idle_w"]


def test_a_busy_machine_is_not_taken_for_an_idle_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRUGALWATCH_SOURCES_OFF", "nvidia")
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with PowercapTree(tmp_path, [Zone("package-0", Constant(20.0))]) as tree:
            tree.start()
            monkeypatch.setenv("FRUGALWATCH_SYSFS", tree.sysfs)
            assert calibrate("--idle", "1") == 1
            assert "nothing was stored: the machine was not idle" in capsys.readouterr().err
            assert known(capsys)["idle_w"] == {}
    finally:
        burner.kill()
        burner.wait()


def children_busy_us() -> int:
    """CPU time of this process's children: the loops, and nothing of what else runs here."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid():
                ticks += int(fields[11]) + int(fields[12])
    return ticks * 1_000_000 // os.sysconf("SC_CLK_TCK")


class Scripted:
    """A counter whose energy is 10 W of idle and 3 J for every CPU second of the loops."""

    name = "scripted"
    isolate = False

    def __init__(self, idle_w: float = 10.0, joules_per_cpu_s: float = 3.0) -> None:
        self._idle_w, self._active = idle_w, joules_per_cpu_s
        self._opened_ns = time.monotonic_ns()

    def probe(self) -> Probe:
        device = Device("rapl:package-0", "cpu", "package-0", "measured", "die", "scripted RAPL")
        return Probe(self.name, devices=(device,))

    def read(self) -> Sequence[Observation]:
        now_ns = time.monotonic_ns()
        joules = self._idle_w * (now_ns - self._opened_ns) / 1e9
        joules += self._active * children_busy_us() / 1e6
        return (Reading("rapl:package-0", now_ns, round(joules * 1e6)),)

    def close(self) -> None:
        """Nothing to give back."""


def test_a_model_is_not_measured_as_idle(tmp_path: Path) -> None:
    from collectors.ram_model import RamModelCollector

    tree = MachineTree(tmp_path)
    tree.memory(1 << 34)
    model_host = Host(tree.host.sysfs, tree.host.procfs)
    with Meter([Scripted(), RamModelCollector(model_host)]) as meter:
        result = measure_idle(meter, Host(), 0.5, threads=64)
    assert [found.device.key for found in result.devices] == ["rapl:package-0"]


# kinds of work, with real loops


def test_loops_find_the_watts_that_a_busy_cpu_adds() -> None:
    identity = parse_cpuinfo(Path("/proc/cpuinfo").read_text())
    with Meter([Scripted(idle_w=10.0, joules_per_cpu_s=3.0)]) as meter:
        result = measure_workloads(
            meter, identity, children_busy_us, seconds=6.0, kinds=("scalar", "memory")
        )
    assert result.skipped == {}
    assert result.work == {
        "scalar": pytest.approx(3.0, rel=0.05),
        "memory": pytest.approx(3.0, rel=0.05),
    }
    assert result.idle_w == pytest.approx(10.0, rel=0.01)
    assert result.boundary == "die"
    text = json.dumps(document(result, identity, thread_power(identity), 1.8e9), indent=1)
    assert len(text) < 2000
    assert json.loads(text)["schema"] == "frugalwatch.workload-calibration/1"


def test_a_kind_that_needs_what_is_not_installed_is_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("numpy", "torch"):
        (tmp_path / f"{module}.py").write_text(f"raise ImportError('no {module} here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    identity = parse_cpuinfo(cpuinfo(ICE_LAKE_SP, 1))
    with Meter([Scripted()]) as meter:
        result = measure_workloads(
            meter, identity, children_busy_us, seconds=3.0, kinds=("avx-fp32", "int8")
        )
    assert result.work == {}
    assert result.skipped == {"avx-fp32": "no torch here", "int8": "no torch here"}


def test_a_counter_that_does_not_follow_the_load_gives_no_watts() -> None:
    identity = parse_cpuinfo(cpuinfo(ICE_LAKE_SP, 1))
    with Meter([Scripted(joules_per_cpu_s=-1.0)]) as meter:
        result = measure_workloads(
            meter, identity, children_busy_us, seconds=3.0, kinds=("scalar",)
        )
    assert result.work == {}
    assert "no more power" in result.skipped["scalar"]


def test_kinds_of_work_need_a_counter_for_the_cpu() -> None:
    identity = parse_cpuinfo(cpuinfo(ICE_LAKE_SP, 1))
    with Meter([]) as meter, pytest.raises(FrugalWatchError, match="no energy counter"):
        measure_workloads(meter, identity, children_busy_us, seconds=6.0)


# a file of another machine


@pytest.fixture
def ice_lake_without_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MachineTree:
    tree = MachineTree(tmp_path / "machine")
    tree.cpu(ICE_LAKE_SP, 8)
    monkeypatch.setenv("FRUGALWATCH_PROCFS", tree.host.procfs)
    return tree


def workload_file(path: Path, fields: dict[str, str]) -> str:
    from frugalwatch.calibration.workloads import WorkloadResult

    identity = parse_cpuinfo(cpuinfo(fields, 64))
    result = WorkloadResult(
        seconds=60.0,
        idle_w=64.0,
        background_cpus=0.1,
        boundary="die",
        encloses=("cpu", "ram"),
        sources=("RAPL",),
        work={"scalar": 2.0, "memory": 2.4, "avx-fp32": 3.0},
        skipped={"int8": "no torch here"},
    )
    content = document(result, identity, thread_power(identity), 1.8e9)
    path.write_text(json.dumps(content, indent=1))
    assert 500 < path.stat().st_size < 1500  # about a kilobyte, as promised
    return str(path)


def test_a_file_of_the_same_family_narrows_the_band(
    ice_lake_without_counters: MachineTree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = model(known(capsys))
    assert calibrate("--import", workload_file(tmp_path / "w.json", ICE_LAKE_SP)) == 0
    document = known(capsys)
    after = model(document)
    assert document["work_w_per_cpu"] == {"scalar": 2.0, "memory": 2.4, "avx-fp32": 3.0}
    assert after["idle_w"] == pytest.approx(8.0)
    assert after["full_w"] == pytest.approx(8.0 + 8 * 2.4)
    assert after["boundary"] == "die"

    def width(of: dict[str, object]) -> float:
        return float(str(of["full_high_w"])) / float(str(of["full_low_w"]))

    assert width(after) < width(before) / 1.4


def test_a_file_of_another_family_is_refused(
    ice_lake_without_counters: MachineTree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate("--import", workload_file(tmp_path / "w.json", EPYC_MILAN)) == 2
    error = capsys.readouterr().err
    assert "is about another CPU family" in error
    assert "measured on EPYC 3rd Gen" in error
    assert known(capsys)["work_w_per_cpu"] is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "frugalwatch.run/1"}', "[" * 100_000, "x" * 70_000]
)
def test_a_file_that_is_something_else_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "w.json"
    path.write_text(text)
    assert calibrate("--import", str(path)) == 2
    assert "calibrate --workloads" in capsys.readouterr().err


def test_the_plain_text_names_cpu_model_and_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert calibrate() == 0
    out = capsys.readouterr().out
    assert "Known    nothing yet" in out
    assert "~ W idle" in out
    assert "Next     frugalwatch calibrate --idle-w" in out
