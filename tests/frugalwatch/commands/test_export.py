from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

from frugalwatch.cli import main
from frugalwatch.ledger.connection import open_ledger
from tests.frugalwatch.ledger.advice_kit import add_advice, add_verification
from tests.frugalwatch.ledger.runs import fill


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "frugalwatch" / "frugalwatch.db"
    fill(path)
    return path


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_json_is_one_array_of_run_objects_oldest_first(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export"]) == 0
    shown = capsys.readouterr()
    documents = json.loads(shown.out)
    assert [document["run_id"] for document in documents] == ["run-1", "run-2", "run-3"]
    assert [document["number"] for document in documents] == [1, 2, 3], "this ledger's numbers"
    assert "run 4 is not finished" in shown.err
    assert "hint: frugalwatch recover" in shown.err


def test_named_runs_come_in_the_order_in_which_they_were_named(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "3", "run-1"]) == 0
    documents = json.loads(capsys.readouterr().out)
    assert [document["number"] for document in documents] == [3, 1]
    assert main(["export", "77"]) == 1
    assert "no run called '77'" in capsys.readouterr().err


def test_json_with_samples_has_cumulative_joules(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "1", "--samples"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert [(row["t_s"], row["energy_j"]) for row in document["samples"]] == [
        (0.0, 0.0),
        (5.0, 750.0),
        (10.0, 1500.0),
    ]


def test_csv_has_a_row_for_every_run_with_empty_cells_for_unknown(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--format", "csv"]) == 0
    table = rows(capsys.readouterr().out)
    assert [row["run"] for row in table] == ["1", "2", "3", "4", "5", "6"]
    assert (table[0]["energy_j"], table[0]["estimated_j"]) == ("1500.0", "")
    assert (table[2]["energy_j"], table[2]["estimated_j"]) == ("", "1500.0")
    assert json.loads(table[0]["command"]) == ["python", "train.py"]


def test_csv_of_samples_has_a_row_for_every_sample(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "1", "2", "--format", "csv", "--samples"]) == 0
    table = rows(capsys.readouterr().out)
    assert len(table) == 6
    assert table[1] == {
        "run": "1",
        "run_key": "run-1",
        "device": "rapl:package-0",
        "domain": "cpu",
        "origin": "measured",
        "t_s": "5.0",
        "energy_j": "750.0",
        "low_j": "750.0",
        "high_j": "750.0",
        "power_w": "150.0",
    }


def test_codecarbon_columns_are_those_of_its_file(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "1", "2", "--codecarbon"]) == 0
    table = rows(capsys.readouterr().out)
    assert [row["run_id"] for row in table] == ["run-1", "run-2"]
    assert float(table[0]["energy_consumed"]) == pytest.approx(1500 / 3.6e6)
    assert float(table[0]["emissions"]) == pytest.approx(0.0002)
    assert main(["export", "--codecarbon", "--samples"]) == 2
    assert "hint" in capsys.readouterr().err


def test_nothing_to_export_is_an_empty_array_or_a_heading(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "4"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_file_appears_only_when_it_is_complete(
    ledger: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "out.json"
    target.write_text("before")
    assert main(["export", "1", "-o", str(target)]) == 0
    assert capsys.readouterr().out == ""
    assert json.loads(target.read_text())[0]["number"] == 1
    assert [name for name in os.listdir(tmp_path) if "partial" in name] == []
    assert main(["export", "1", "-o", str(tmp_path / "none" / "out.json")]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_a_pipe_is_written_to_and_not_replaced(ledger: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert main(["export", "1", "-o", str(pipe)]) == 0
    assert json.loads(os.read(reader, 65536))[0]["number"] == 1
    os.close(reader)
    assert pipe.is_fifo()


def test_advice_goes_out_with_what_became_of_it(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conn = open_ledger(str(ledger), create=False)
    add_verification(conn, add_advice(conn, "2025-a"))
    add_advice(conn, "2025-b", {}, state="failed", started_utc_ns=2**62)
    conn.execute("""UPDATE run SET environment = '{"FRUGALWATCH_ADVICE": "A1.1"}' WHERE id = 2""")
    conn.close()
    assert main(["export", "--advice"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["schema"], first["advice"]) == ("frugalwatch.advice/1", "A1")
    assert [one["verdict"] for one in first["verifications"]] == ["held"]
    assert first["runs_with_it"] == [{"run": 2, "run_id": "run-2", "recommendation": 1}]
    assert (second["advice"], second["state"]) == ("A2", "failed")
    assert main(["export", "--advice", "--format", "csv"]) == 0
    (row,) = rows(capsys.readouterr().out)
    assert (row["change"], row["verdict"], row["runs_with_it"]) == ("one thread", "held", "1")


def test_advice_takes_no_run(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--advice", "last"]) == 2
    assert "--advice goes with" in capsys.readouterr().err
    assert main(["export", "--advice", "--format", "csv"]) == 0
    assert rows(capsys.readouterr().out) == []
