"""What the hook saw, in the commands that list, show and export runs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from frugalwatch.cli import main
from frugalwatch.ledger.connection import open_ledger
from tests.frugalwatch.report import stories


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "frugalwatch" / "frugalwatch.db"
    path.parent.mkdir()
    stories.inside(path)
    return path


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_runs_as_json_name_what_each_run_leads_with(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert (run["unit"]["unit"], run["unit"]["count"]) == ("step", 1090)
    assert run["unit"]["per_unit"]["energy_j"] == pytest.approx(14.9, rel=0.01)


def test_units_as_csv_have_a_row_each_with_the_costs_of_their_samples(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--units"]) == 0
    step, batch = rows(capsys.readouterr().out)
    assert (step["unit"], step["count"], step["ranks"]) == ("step", "1090", "2")
    assert step["energy_per_sample_j"] == ""
    assert float(batch["energy_per_sample_j"]) == pytest.approx(
        float(batch["energy_per_unit_j"]) / 32
    )
    assert float(step["p50_s"]) == pytest.approx(0.0305, rel=0.02)


def test_phases_as_csv_hold_activities_too(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "1", "--phases"]) == 0
    table = rows(capsys.readouterr().out)
    assert [row["name"] for row in table] == ["data_wait", "optimizer", "other"]
    assert {(row["kind"], row["origin"]) for row in table} == {("activity", "attributed")}
    assert float(table[0]["duration_s"]) == pytest.approx(22)


def test_two_tables_at_once_are_refused(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--units", "--phases"]) == 2
    assert "--phases and --units are two tables" in capsys.readouterr().err


def test_a_run_that_an_older_version_settled_is_shown_and_exported(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conn = open_ledger(str(ledger), create=False)
    conn.execute(
        "UPDATE run SET result = json_remove(result, '$.units', '$.activities', '$.inside')"
    )
    conn.close()
    for words in (["show"], ["runs", "--json"], ["export", "--units"], ["export", "--phases"]):
        assert main(words) == 0, words
    assert "Per step" not in capsys.readouterr().out
