from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from frugalwatch.cli import main
from tests.support.fake_sysfs import Constant, PowercapTree, Zone, write_chip
from tests.support.nvml_stub import NvmlStub, StubGpu
from tests.support.unprivileged import as_nobody

Said = pytest.CaptureFixture[str]
ZONES = [Zone("package-0", Constant(40), subzones=(Zone("core"), Zone("dram", Constant(3))))]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(folder))
    for name in list(os.environ):
        if name.startswith(("FRUGALWATCH_", "SLURM_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FRUGALWATCH_SYSFS", str(tmp_path / "sys"))
    monkeypatch.chdir(folder)
    return folder


def doctor(capsys: Said, *arguments: str) -> str:
    assert main(["doctor", *arguments]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def everything_below(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_readable_counters_come_first(tmp_path: Path, capsys: Said) -> None:
    PowercapTree(tmp_path, ZONES)
    said = doctor(capsys).replace(str(tmp_path), "")
    assert "\nMeasured here: CPU, RAM\n" in said
    assert "rapl:package-0:core: measured, die, part of rapl:package-0" in said
    assert "Models" not in said
    assert max(map(len, said.splitlines())) <= 80
    assert said.isascii()


def test_without_counters_it_says_that_energy_will_be_modelled(
    tmp_path: Path, capsys: Said
) -> None:
    said = doctor(capsys).replace(str(tmp_path), "")
    assert "\nNothing here can be measured: energy will be modelled, and marked ~\n" in said
    assert "hint: on bare metal: sudo modprobe intel_rapl_msr" in said
    assert "\nModels, where no source answers\n  cpu_model  yes" in said
    assert max(map(len, said.splitlines())) <= 80


def test_counters_that_only_root_may_read_come_with_the_exact_remedy(
    tmp_path: Path, capsys: Said
) -> None:
    import collectors.rapl
    import frugalwatch.doctor.examine
    import frugalwatch.doctor.render  # noqa: F401 - loaded before root is given up

    PowercapTree(tmp_path, ZONES, energy_mode=0o400)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and str(folder) not in ("/", "/tmp"):
            folder.chmod(0o755)

    def look() -> list[object]:
        from frugalwatch.config.load import Loaded, load
        from frugalwatch.doctor.examine import examine

        loaded: Loaded = load({}, cwd="/", environ={})
        (rapl,) = [s for s in examine(loaded, {"HOME": "/"}).sources if s.name == "rapl"]
        return [len(rapl.devices), rapl.reason, rapl.remedy]

    devices, reason, remedy = as_nobody(look)
    assert collectors.rapl
    assert devices == 0
    assert "root" in str(reason)
    assert remedy


def test_other_sensors_are_listed(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "sys").mkdir()
    write_chip(
        tmp_path / "sys", "hwmon0", "ina3221", {"in1_label": "VDD_IN", "power1_input": 5000000}
    )
    said = doctor(capsys, "hwmon", "--json")
    (source,) = json.loads(said)["sources"]
    assert source["name"] == "hwmon"
    assert (source["ok"], bool(source["devices"])) in ((True, True), (False, False))


def test_one_source_alone_has_no_other_sections(tmp_path: Path, capsys: Said) -> None:
    PowercapTree(tmp_path, ZONES)
    said = doctor(capsys, "rapl")
    assert said.startswith("Sources\n  rapl       yes     3 devices")
    assert "Machine" not in said
    assert "nvidia" not in said
    assert "Checks" not in said


def test_json_holds_the_same_with_units(tmp_path: Path, capsys: Said) -> None:
    PowercapTree(tmp_path, ZONES)
    found = json.loads(doctor(capsys, "--json"))
    assert found["schema"] == "frugalwatch.doctor/1"
    assert set(found) == {"schema", "machine", "sources", "models", "checks"}
    by_name = {source["name"]: source for source in found["sources"]}
    assert set(by_name) == {"rapl", "nvidia", "amd", "hwmon", "battery"}
    assert by_name["rapl"]["ok"] is True
    assert by_name["battery"]["reason"] == "this machine has no battery"
    dram = by_name["rapl"]["devices"][2]
    assert (dram["device"], dram["domain"], dram["boundary"]) == (
        "rapl:package-0:dram",
        "ram",
        "die",
    )
    assert {check["name"] for check in found["checks"]} >= {"ledger", "configuration", "grid zone"}
    assert found["machine"]["memory_bytes"] > 0


def test_a_gpu_is_found_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The driver's library is chosen at a program's start, so the program is started."""
    import subprocess
    import sys

    stub = NvmlStub(tmp_path, [StubGpu()])
    repository = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-m", "frugalwatch", "doctor", "nvidia"],
        env={**os.environ, **stub.environment(), "PYTHONPATH": repository},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "nvidia     yes     1 device" in done.stdout
    assert "NVIDIA A100-SXM4-80GB" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_source_that_was_switched_off_is_said(
    tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    PowercapTree(tmp_path, ZONES)
    monkeypatch.setenv("FRUGALWATCH_SOURCES_OFF", "rapl")
    said = doctor(capsys, "rapl")
    assert "rapl       off     switched off by configuration" in said


def test_problems_of_the_configuration_and_the_ledger_are_notes(
    home: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "frugalwatch.toml").write_text("zoen = 'FR'\n")
    (home / "frugalwatch").mkdir()
    (home / "frugalwatch" / "frugalwatch.db").write_bytes(b"no database" * 1000)
    said = " ".join(doctor(capsys).split())
    assert "note configuration: 1 problem, the first:" in said
    assert "hint: frugalwatch config check" in said
    assert "note ledger: the ledger" in said
    assert "it is damaged" in said


def test_a_zone_that_is_set_is_fine(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "note  grid zone: not set" in doctor(capsys)
    monkeypatch.setenv("FRUGALWATCH_ZONE", "FR")
    assert "ok    grid zone: FR 2025" in doctor(capsys)


def test_nothing_is_written(home: Path, tmp_path: Path, capsys: Said) -> None:
    PowercapTree(tmp_path, ZONES)
    doctor(capsys)  # what a first look may leave behind: a private folder for sockets
    before = everything_below(tmp_path)
    doctor(capsys)
    assert everything_below(tmp_path) == before
    assert not any("frugalwatch.db" in path for path in before)


def test_a_cross_check_of_no_length_is_refused(capsys: Said) -> None:
    assert main(["doctor", "--crosscheck", "0"]) == 2
    assert "0.5 to 3600" in capsys.readouterr().err
