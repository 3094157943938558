"""`frugalwatch advice`: the forms of a stored advice, and where they go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from advisor.commands.advice import command
from frugalwatch.ledger.connection import open_ledger
from tests.advisor.report.kit import document, recommendation
from tests.frugalwatch.ledger.advice_kit import add_advice, add_verification


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    path = str(tmp_path / "l.db")
    conn = open_ledger(path, create=True)
    add_verification(conn, add_advice(conn, "2025-a", document()))
    add_advice(conn, "2025-b", {}, state="running")
    doubtful = document(state="interrupted", recommendations=[recommendation()])
    add_advice(conn, "2025-c", doubtful, state="interrupted")
    conn.close()
    return path


def advice(ledger: str, *words: str) -> Result:
    return CliRunner().invoke(command, ["--ledger", ledger, *words], catch_exceptions=False)


def test_one_call_writes_the_page_and_the_markdown(ledger: str, tmp_path: Path) -> None:
    page, text = tmp_path / "a.html", tmp_path / "a.md"
    done = advice(ledger, "A1", "--html", str(page), "--markdown", str(text))
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"wrote {page}" in done.stderr
    assert page.read_text().startswith("<!doctype html>")
    assert text.read_text().startswith("# FrugalWatch advice A1\n")
    piped = advice(ledger, "A1", "--markdown", "-")
    assert piped.stdout == text.read_text()


def test_what_verify_found_is_in_every_form(ledger: str) -> None:
    for words in ((), ("--markdown", "-"), ("--html", "-")):
        said = " ".join(advice(ledger, "A1", *words).stdout.split())
        assert "held, 20" in said, words
        assert "-45 % (-47..-43)" in said
    found = json.loads(advice(ledger, "A1", "--json").stdout)
    assert found["verifications"][0]["verdict"] == "held"


def test_a_rate_adds_a_year_with_the_grid_that_was_assumed(ledger: str) -> None:
    done = advice(ledger, "A1", "--requests-per-day", "1000", "--json")
    found = json.loads(done.stdout)
    assert found["carbon"]["assumed"] is True
    assert found["recommendations"][0]["per_request"]["per_year"]["co2e_kg"]["value"] > 0
    text = " ".join(advice(ledger, "A1", "--requests-per-day", "1000").stdout.split())
    assert "assumed: World" in text


def test_one_that_was_cut_short_says_how_to_go_on(ledger: str) -> None:
    assert "frugalwatch advise --resume A2" in advice(ledger, "A2").stdout
    assert "frugalwatch advise --resume A3" in advice(ledger, "A3").stdout
    assert "frugalwatch advise --resume A3" in advice(ledger, "A3", "--markdown", "-").stdout


def test_a_file_that_cannot_be_written_is_named(ledger: str, tmp_path: Path) -> None:
    done = advice(ledger, "A1", "--html", str(tmp_path / "none" / "a.html"))
    assert done.exit_code == 1
    assert "No such file" in done.output


def test_a_form_without_an_advice_is_refused(ledger: str) -> None:
    done = advice(ledger, "--html", "-")
    assert done.exit_code == 2
    assert "name the advice" in done.output
