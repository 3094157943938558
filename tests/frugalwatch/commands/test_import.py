"""`frugalwatch import codecarbon FILE` into a real ledger."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from frugalwatch.cli import main
from frugalwatch.ledger.connection import open_ledger
from tests.frugalwatch.crosscheck.test_codecarbon_csv import ROW, write


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state" / "frugalwatch" / "frugalwatch.db"


def results(ledger: Path) -> list[dict[str, object]]:
    connection = sqlite3.connect(ledger)
    rows = connection.execute("SELECT result FROM run ORDER BY id").fetchall()
    connection.close()
    return [json.loads(row[0]) for row in rows]


def test_runs_come_in_as_estimated_with_their_own_factor(ledger: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "emissions.csv", ROW, ROW | {"run_id": "two", "gpu_energy": 1e-4})
    assert main(["import", "codecarbon", path]) == 0
    one, two = results(ledger)
    assert one["state"] == "done"
    assert one["command"] == ["train"]
    assert one["energy_j"] is None  # nothing imported is ever called measured
    assert one["estimated_j"] == pytest.approx(82.39, abs=0.01)
    assert one["estimated_low_j"] == pytest.approx(41.2, abs=0.01)
    assert one["estimated_high_j"] == pytest.approx(164.8, abs=0.1)
    assert one["co2e_g"] == pytest.approx(1.28256e-3, rel=1e-4)
    assert one["duration_s"] == pytest.approx(3.0157, abs=1e-3)
    carbon = one["carbon"]
    assert isinstance(carbon, dict)
    assert (carbon["zone"], carbon["source"]) == ("FRA", "codecarbon 3.3.2")
    devices = two["devices"]
    assert isinstance(devices, list)
    assert [(d["device"], d["origin"], d["boundary"]) for d in devices] == [
        ("codecarbon:cpu", "estimated", "die"),
        ("codecarbon:gpu", "estimated", "board"),
        ("codecarbon:ram", "estimated", "board"),
    ]
    assert all("imported" in d["source"] for d in devices)


def test_its_pue_counts_once(ledger: Path, tmp_path: Path) -> None:
    # codecarbon multiplies the PUE into energies: 1.5 times the energy, 1.5 times the emissions.
    inflated = ROW | {
        "pue": 1.5,
        **{
            key: float(str(ROW[key])) * 1.5
            for key in ("cpu_energy", "ram_energy", "energy_consumed", "emissions")
        },
    }
    assert main(["import", "codecarbon", write(tmp_path / "emissions.csv", inflated)]) == 0
    (run,) = results(ledger)
    assert run["estimated_j"] == pytest.approx(82.39, abs=0.01)
    assert run["co2e_g"] == pytest.approx(1.28256e-3 * 1.5, rel=1e-4)


def test_importing_twice_adds_nothing(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "emissions.csv", ROW)
    main(["import", "codecarbon", path])
    before = results(ledger)
    capsys.readouterr()
    assert main(["import", "codecarbon", path]) == 0
    assert capsys.readouterr().out == "imported 0 runs, 1 were there already\n"
    assert results(ledger) == before


def test_an_import_that_was_cut_off_is_finished_by_the_next(ledger: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "emissions.csv", ROW)
    main(["import", "codecarbon", path])
    connection = open_ledger(str(ledger), create=False)
    connection.execute("UPDATE run SET result = NULL, estimated_uj = NULL")
    connection.close()
    main(["import", "codecarbon", path])
    assert results(ledger)[0]["estimated_j"] == pytest.approx(82.39, abs=0.01)


def test_skipped_rows_are_reported_with_the_reason(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "emissions.csv", ROW, ROW | {"run_id": "b", "duration": ""})
    assert main(["import", "codecarbon", path]) == 0
    assert "skipped line 3: it has no duration" in capsys.readouterr().out
    main(["import", "codecarbon", path, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "schema": "frugalwatch.import/1",
        "imported": [],
        "known": [f"codecarbon-{ROW['run_id']}"],
        "skipped": [{"line": 3, "why": "it has no duration"}],
    }


def test_another_file_is_refused_and_no_ledger_is_made(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    assert main(["import", "codecarbon", str(other)]) == 2
    error = capsys.readouterr().err
    assert "is no emissions file of codecarbon" in error
    assert "hint:" in error
    assert not ledger.exists()


def test_rows_without_emissions_use_our_factor_and_say_so(ledger: Path, tmp_path: Path) -> None:
    main(["import", "codecarbon", write(tmp_path / "e.csv", ROW | {"emissions": ""})])
    carbon = results(ledger)[0]["carbon"]
    assert isinstance(carbon, dict)
    assert carbon["zone"] == "WORLD"
    assert carbon["assumed"] is True


def test_the_sums_in_the_ledger_are_those_of_the_run_object(ledger: Path, tmp_path: Path) -> None:
    main(["import", "codecarbon", write(tmp_path / "e.csv", ROW)])
    connection = sqlite3.connect(ledger)
    (estimated,) = connection.execute("SELECT estimated_uj FROM run").fetchone()
    (devices,) = connection.execute("SELECT sum(energy_uj) FROM run_device").fetchone()
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    assert estimated == devices == pytest.approx(82_392_993, abs=2)


def test_an_imported_figure_is_said_to_be_the_other_trackers(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "emissions.csv", ROW)
    assert main(["import", "codecarbon", path]) == 0
    capsys.readouterr()
    assert main(["show"]) == 0
    assert "modelled by codecarbon: do not report it as measured" in capsys.readouterr().out
