"""Series of runs, for who asked: one run id a job, final figures, no arguments of commands."""

from __future__ import annotations

import pytest

from frugalwatch.metrics import names
from frugalwatch.metrics.runs import program
from tests.frugalwatch.metrics.kit import UTC_S, ledger, recording, told


def test_a_run_has_its_energy_times_and_carbon() -> None:
    figures = told(ledger(recording(1, range(3601), 1000.0)), at_s=3700, runs=True)
    (energy,) = figures[names.RUN_ENERGY]
    assert energy.value == 3_600_000
    assert energy.labels["run_id"] == "run-1"
    assert figures[names.RUN_STARTED][0].value == UTC_S
    assert figures[names.RUN_ENDED][0].value == UTC_S + 3600
    assert figures[names.RUN_CO2E][0].value == pytest.approx(36.0)
    assert figures[names.RUN_INFO][0].labels["program"] == "train.py"


def test_runs_of_one_job_have_one_series_and_its_energy_once() -> None:
    ranks = [recording(n, range(11), group_key="slurm-77") for n in (1, 2)]
    figures = told(ledger(*ranks), at_s=20, runs=True)
    assert [(s.labels["run_id"], s.value) for s in figures[names.RUN_ENERGY]] == [("slurm-77", 100)]
    assert len(figures[names.RUN_INFO]) == 2


def test_a_run_that_goes_on_has_no_end() -> None:
    figures = told(ledger(recording(1, range(11), ended=False)), at_s=1e6, runs=True)
    assert figures[names.RUN_ENDED] == []
    assert figures[names.RUN_ENERGY][0].value == 100


def test_a_run_of_long_ago_is_told_no_more() -> None:
    conn = ledger(recording(1, range(11)))
    assert told(conn, at_s=3000, runs=True)[names.RUN_ENERGY]
    assert told(conn, at_s=4000, runs=True)[names.RUN_ENERGY] == []


def test_the_daemons_own_recording_is_no_run() -> None:
    conn = ledger(recording(1, range(11), run_key="daemon-boot-1-abc"))
    figures = told(conn, at_s=20, runs=True)
    assert figures[names.RUN_INFO] == []
    assert figures[names.ENERGY][0].value == 100


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ('["python3", "-u", "src/train.py", "--token", "x"]', "train.py"),
        ('["/usr/bin/python3", "-m", "pytest"]', "python3"),
        ('["./bin/job", "secret"]', "job"),
        ("[]", ""),
    ],
)
def test_arguments_of_a_command_are_not_told(command: str, name: str) -> None:
    assert program(command) == name
