"""Every example runs under `frugalwatch run`, on settings short enough for a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The caller's environment with a home of the test's own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FRUGALWATCH_", "XDG_"))
    }
    return kept | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def watch(
    environment: Mapping[str, str], folder: Path, *job: str, text_in: str | None = None
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run a job under FrugalWatch; returns how it ended and the run object it wrote."""
    record = folder / "run.json"
    result = subprocess.run(
        [sys.executable, "-m", "frugalwatch", "run", "--json", str(record), "--", *job],
        cwd=ROOT,
        env=dict(environment),
        check=False,
        capture_output=True,
        text=True,
        input=text_in,
        timeout=110,
    )
    assert record.exists(), result.stderr
    run: dict[str, Any] = json.loads(record.read_text())
    assert run["schema"] == "frugalwatch.run/1"
    return result, run


def test_digits_are_learned_and_the_training_is_measured(
    environment: dict[str, str], tmp_path: Path
) -> None:
    script = EXAMPLES / "train_digits" / "train.py"
    options = ("--epochs", "3", "--width", "8")
    result, run = watch(environment, tmp_path, sys.executable, str(script), *options)
    assert result.returncode == 0, result.stderr
    last = result.stdout.splitlines()[-1]
    assert last.startswith("epoch  3")
    assert float(last.split()[-1].rstrip("%")) > 70
    assert run["exit_code"] == 0
    assert run["cpu_s"] > 1
    # One of the two is known on any machine: counters give the first, the model the second.
    assert run["energy_j"] is not None or run["estimated_j"] is not None
    assert run["co2e_g"] > 0


def test_phases_steps_and_metrics_reach_the_run_object(
    environment: dict[str, str], tmp_path: Path
) -> None:
    script = EXAMPLES / "phases" / "train_with_phases.py"
    options = ("--epochs", "2", "--hidden", "64")
    result, run = watch(environment, tmp_path, sys.executable, str(script), *options)
    assert result.returncode == 0, result.stderr
    named = [(phase["name"], phase["number"]) for phase in run["phases"]]
    assert named == [("load", None), ("epoch", 1), ("epoch", 2)]
    assert all(phase["duration_s"] > 0 and not phase["unfinished"] for phase in run["phases"])
    assert run["steps"]["steps"] == 2 * 47  # 1500 images in batches of 32
    assert [metric["name"] for metric in run["metrics"]] == ["accuracy", "accuracy"]
    said = float(result.stdout.splitlines()[-1].split()[-1].rstrip("%"))
    assert abs(100 * run["metrics"][-1]["value"] - said) < 0.051


def test_phases_example_runs_without_frugalwatch_around_it(environment: dict[str, str]) -> None:
    script = EXAMPLES / "phases" / "train_with_phases.py"
    command = [sys.executable, str(script), "--epochs", "1", "--hidden", "64"]
    result = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=110
    )
    assert result.stdout.startswith("epoch  1  accuracy")
    assert result.stderr == ""


def test_shell_job_is_measured_and_its_output_untouched(
    environment: dict[str, str], tmp_path: Path
) -> None:
    job = ("sh", str(EXAMPLES / "plain_shell" / "compress.sh"), "20000")
    alone = subprocess.run(job, check=True, capture_output=True, text=True, timeout=60)
    result, run = watch(environment, tmp_path, *job)
    assert result.stdout == alone.stdout
    assert result.returncode == 0
    assert run["cpu_s"] > 0


def test_standard_input_reaches_the_shell_job(environment: dict[str, str], tmp_path: Path) -> None:
    result, _ = watch(environment, tmp_path, "sort", "-rn", text_in="2\n30\n1\n")
    assert result.stdout == "30\n2\n1\n"


@pytest.mark.parametrize(
    ("limits", "status", "words"),
    [
        (("--max-cpu-s", "100"), 0, "within budget: CPU time (measured)"),
        (("--max-cpu-s", "0.0001"), 3, "over budget: CPU time (measured)"),
        (("--max-j", "1000000"), 0, "within budget: energy"),
        (("--max-j", "0.0001", "--max-cpu-s", "100"), 3, "over budget: energy"),
    ],
)
def test_budget_of_a_real_run_is_judged(
    environment: dict[str, str],
    tmp_path: Path,
    limits: tuple[str, ...],
    status: int,
    words: str,
) -> None:
    watch(environment, tmp_path, "sh", "-c", "seq 200000 | sort -rn > /dev/null")
    result = check_budget(tmp_path, *limits)
    assert (result.returncode, result.stderr) == (status, "")
    assert words in result.stdout


def check_budget(folder: Path, *limits: str) -> subprocess.CompletedProcess[str]:
    script = EXAMPLES / "ci_budget" / "check_budget.py"
    return subprocess.run(
        [sys.executable, str(script), str(folder / "run.json"), *limits],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_budget_takes_the_cautious_end_and_says_what_is_modelled(tmp_path: Path) -> None:
    run: dict[str, object] = {"energy_j": 90.0, "energy_high_j": 110.0, "cpu_s": 1.0}
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert check_budget(tmp_path, "--max-j", "100").returncode == 3
    run = {"energy_j": None, "estimated_j": 50.0, "estimated_high_j": 99.0, "cpu_s": 1.0}
    (tmp_path / "run.json").write_text(json.dumps(run))
    modelled = check_budget(tmp_path, "--max-j", "100")
    assert modelled.returncode == 0
    assert "modelled" in modelled.stdout


def test_budget_without_a_figure_is_an_error_not_a_pass(tmp_path: Path) -> None:
    run = {"energy_j": None, "estimated_j": None, "estimated_high_j": None, "cpu_s": None}
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert check_budget(tmp_path, "--max-j", "100").returncode == 1


def test_every_example_has_a_readme_that_names_its_files() -> None:
    folders = [path for path in EXAMPLES.iterdir() if path.is_dir() and path.name[0] not in "._"]
    assert len(folders) >= 4
    for folder in folders:
        text = (folder / "README.md").read_text()
        for script in [*folder.glob("*.py"), *folder.glob("*.sh")]:
            assert script.relative_to(ROOT).as_posix() in text


def test_the_forgetful_inference_is_counted_by_call(
    environment: dict[str, str], tmp_path: Path
) -> None:
    script = EXAMPLES / "forgotten_eval" / "infer.py"
    record = tmp_path / "run.json"
    counting = (sys.executable, "-m", "frugalwatch", "run", "--count", "calls")
    result = subprocess.run(
        [*counting, "--json", str(record), "--", sys.executable, str(script), "--sentences", "20"],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert result.returncode == 0, result.stderr
    counts = [int(line.split()[1]) for line in result.stdout.splitlines()]
    assert sum(counts) == 20
    run = json.loads(record.read_text())
    assert [(each["unit"], each["count"]) for each in run["units"]] == [("call", 20)]
