from __future__ import annotations

import json
from pathlib import Path

import pytest

from frugalwatch.cli import main
from tests.frugalwatch.e2e.kit import Frugalwatch, until
from tests.frugalwatch.ledger.runs import fill
from tests.frugalwatch.report.stories import STORIES

Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frugalwatch").mkdir()
    return tmp_path


@pytest.fixture
def ledger(home: Path) -> Path:
    """Six runs, three of each version; `run-0` to `run-5`."""
    path = home / "frugalwatch" / "frugalwatch.db"
    STORIES["compared"](path)
    return path


@pytest.mark.parametrize(
    ("name", "number"),
    [([], 6), (["last"], 6), (["-1"], 6), (["-2"], 5), (["3"], 3), (["run-0"], 1)],
)
def test_a_run_by_its_number_its_key_or_from_the_last_one_back(
    name: list[str], number: int, ledger: Path, capsys: Said
) -> None:
    assert main(["show", *name]) == 0
    assert capsys.readouterr().out.startswith(f"FrugalWatch  run {number}   python train.py")
    assert main(["show", "--json", *name]) == 0
    assert json.loads(capsys.readouterr().out)["number"] == number


def test_options_may_stand_beside_a_run_counted_from_the_end(ledger: Path, capsys: Said) -> None:
    for words in (["-2", "--json"], ["--json", "-2"], ["--json", "--", "-2"]):
        assert main(["show", *words]) == 0
        assert json.loads(capsys.readouterr().out)["number"] == 5


def test_export_takes_the_same_names(ledger: Path, capsys: Said) -> None:
    assert main(["export", "-2", "--format", "json", "1"]) == 0
    assert {run["number"] for run in json.loads(capsys.readouterr().out)} == {5, 1}


@pytest.mark.parametrize("name", ["7", "nobody", "-7"])
def test_an_unknown_run_names_the_list(name: str, ledger: Path, capsys: Said) -> None:
    assert main(["show", name]) == 1
    assert capsys.readouterr().err == f"error: no run called '{name}'\nhint: frugalwatch runs\n"


def test_the_text_is_plain_in_a_pipe_and_holds_every_section(ledger: Path, capsys: Said) -> None:
    assert main(["show"]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    for title in ("Devices", "Whose energy is it", "Carbon", "Run"):
        assert f"\n\n{title}\n" in text
    assert "Next" not in text


def test_colour_can_be_forced(ledger: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["show"]) == 0
    assert "\x1b[1m" in capsys.readouterr().out


def test_a_run_that_was_never_settled_is_computed_from_what_is_there(
    home: Path, capsys: Said
) -> None:
    fill(home / "frugalwatch" / "frugalwatch.db")
    assert main(["show", "5", "--json"]) == 0  # killed, without totals
    run = json.loads(capsys.readouterr().out)
    assert (run["state"], run["exit_signal"]) == ("killed", 9)
    assert run["energy_j"] == pytest.approx(1500)
    assert run["carbon"]["assumed"] is True


def test_a_run_that_goes_on_is_shown_live(frugalwatch: Frugalwatch) -> None:
    process = frugalwatch.start("run", "--interval", "0.05", "--", "sleep", "30")
    try:
        frugalwatch.wait_for_state("running")
        with until(10, "two samples") as again:
            while again() and frugalwatch.one("SELECT count(*) FROM sample") < 4:
                pass
        shown = frugalwatch("show")
        run = json.loads(frugalwatch("show", "--json").stdout)
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert shown.stdout.decode().splitlines()[1].startswith("  running    ")
    assert (run["state"], run["exit_code"]) == ("running", None)
    assert 0 < run["duration_s"] < 30
    assert run["estimated_j"] > 0
    assert json.loads(frugalwatch("show", "--json").stdout)["exit_code"] == 128 + 15
