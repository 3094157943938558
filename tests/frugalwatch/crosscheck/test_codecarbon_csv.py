"""codecarbon's emissions.csv, read and written."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from frugalwatch.crosscheck.codecarbon_csv import (
    COLUMNS,
    KWH_J,
    emissions_columns,
    read_emissions,
    write_emissions,
)
from frugalwatch.errors import UsageError

# A line that codecarbon 3.3.2 wrote.
ROW: dict[str, object] = {
    "timestamp": "2026-11-22T05:25:08",
    "project_name": "train",
    "run_id": "71474745-2c05-44f3-8449-d47b14729063",
    "duration": 3.015716391999831,
    "emissions": 1.2825613669181586e-06,
    "cpu_energy": 6.677420370451856e-07,
    "gpu_energy": 0.0,
    "ram_energy": 2.221920039444285e-05,
    "energy_consumed": 2.288694243148804e-05,
    "country_name": "France",
    "country_iso_code": "FRA",
    "os": "Linux-6.1",
    "codecarbon_version": "3.3.2",
    "cpu_count": 2,
    "cpu_model": "Intel(R) Xeon(R) Processor",
    "tracking_mode": "machine",
    "pue": 1.0,
}


def write(path: Path, *rows: dict[str, object], columns: tuple[str, ...] = COLUMNS) -> str:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def test_a_row_becomes_joules_and_its_own_factor(tmp_path: Path) -> None:
    (row,), skipped = read_emissions(write(tmp_path / "e.csv", ROW))
    assert skipped == []
    assert (row.project, row.country_iso3, row.cpu_count) == ("train", "FRA", 2)
    assert row.cpu_j + row.gpu_j + row.ram_j == pytest.approx(2.288694243148804e-05 * KWH_J)
    assert row.g_per_kwh == pytest.approx(56.04, abs=0.01)


def test_its_pue_is_taken_out_of_its_energies(tmp_path: Path) -> None:
    (row,), _ = read_emissions(write(tmp_path / "e.csv", ROW | {"pue": 1.5}))
    assert row.ram_j == pytest.approx(2.221920039444285e-05 * KWH_J / 1.5)


def test_of_a_run_that_was_flushed_several_times_the_longest_counts(tmp_path: Path) -> None:
    early = ROW | {"duration": 1.0, "energy_consumed": 1e-6}
    path = write(tmp_path / "e.csv", early, ROW, ROW | {"run_id": "other"})
    rows, skipped = read_emissions(path)
    assert [row.line for row in rows] == [3, 4]
    assert [(gone.line, gone.why) for gone in skipped] == [(2, "a part of the run on line 3")]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"duration": ""}, "it has no duration"),
        ({"duration": "0"}, "it has no duration"),
        ({"energy_consumed": "0"}, "it has no energy"),
        ({"cpu_energy": "-1"}, "negative cpu_energy"),
        ({"cpu_energy": "nan"}, "cpu_energy is nan"),
        ({"ram_energy": "many"}, "ram_energy is no number: 'many'"),
        ({"timestamp": "yesterday"}, "its timestamp 'yesterday' is no date"),
    ],
)
def test_a_bad_row_is_skipped_with_its_reason_and_the_others_are_taken(
    tmp_path: Path, change: dict[str, object], why: str
) -> None:
    rows, skipped = read_emissions(write(tmp_path / "e.csv", ROW | change | {"run_id": "bad"}, ROW))
    assert len(rows) == 1
    assert [(gone.line, gone.why) for gone in skipped] == [(2, why)]


def test_an_older_release_without_newer_columns_is_read(tmp_path: Path) -> None:
    old = tuple(c for c in COLUMNS if c not in ("pue", "wue", "run_id", "water_consumed"))
    (row,), _ = read_emissions(write(tmp_path / "e.csv", ROW, columns=old))
    assert row.pue == 1.0
    assert row.run_id  # made from its time and duration


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", ""),
        ("a,b\n1,2\n", "emissions.csv"),
        ("task_name,timestamp,duration\nx,y,1\n", "file of tasks"),
        ("\x00\x00\xff", ""),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, hint: str) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as refused:
        read_emissions(str(path))
    assert hint in str(refused.value)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_emissions(str(tmp_path / "none.csv"))


RUN: dict[str, object] = {
    "run_id": "20261122-1",
    "command": ["python", "train.py"],
    "group": None,
    "started_utc": "2026-11-22T05:25:05Z",
    "duration_s": 100.0,
    "co2e_g": 12.5,
    "carbon": {"zone": "FR", "zone_name": "France", "pue": 1.2},
    "devices": [
        {"domain": "cpu", "counted": True, "energy_j": 3000.0},
        {"domain": "cpu", "counted": False, "energy_j": 2000.0},
        {"domain": "ram", "counted": True, "energy_j": 600.0},
        {"domain": "gpu", "counted": True, "energy_j": None},
    ],
}


def test_a_run_is_written_in_their_units() -> None:
    columns = emissions_columns(RUN)
    assert columns["cpu_energy"] == pytest.approx(3000 * 1.2 / KWH_J)
    assert columns["cpu_power"] == 30.0
    assert columns["energy_consumed"] == pytest.approx(3600 * 1.2 / KWH_J)
    assert columns["emissions"] == 0.0125
    assert columns["emissions_rate"] == pytest.approx(0.000125)
    assert "gpu_energy" not in columns  # unknown is an empty cell and never a zero
    assert columns["project_name"] == "python train.py"


def test_what_is_written_can_be_read_back(tmp_path: Path) -> None:
    text = io.StringIO()
    assert write_emissions([RUN, RUN | {"run_id": "b"}], text) == 2
    assert text.getvalue().splitlines()[0] == ",".join(COLUMNS)
    path = tmp_path / "e.csv"
    path.write_text(text.getvalue())
    rows, skipped = read_emissions(str(path))
    assert skipped == []
    assert [row.run_id for row in rows] == ["20261122-1", "b"]
    assert rows[0].cpu_j == pytest.approx(3000.0)
    assert rows[0].pue == 1.2
    assert rows[0].g_per_kwh == pytest.approx(12.5 / (3600 * 1.2 / KWH_J))
