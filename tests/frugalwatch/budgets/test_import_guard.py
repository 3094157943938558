"""What a run with budgets and alerts loads: no more than it needs, and nothing for the network."""

from __future__ import annotations

import json
from pathlib import Path

from tests.frugalwatch.e2e.kit import REPOSITORY, Frugalwatch
from tests.frugalwatch.test_import_hygiene import HEAVY, SPY


def test_a_run_with_a_budget_and_a_webhook_loads_nothing_heavy(tmp_path: Path) -> None:
    spy, notes = tmp_path / "spy", tmp_path / "notes"
    spy.mkdir()
    notes.mkdir()
    (spy / "sitecustomize.py").write_text(SPY.format(folder=str(notes)))
    frugalwatch = Frugalwatch(tmp_path)
    frugalwatch.environment["FRUGALWATCH_ALERT_WEBHOOK"] = "http://127.0.0.1:9/"
    environment = {**frugalwatch.environment, "PYTHONPATH": f"{spy}:{REPOSITORY}"}
    options = ("--interval", "0.1", "--budget", "0.001J", "--alert", "metric(x)>1")
    run, _ = frugalwatch.measure(*options, "--", "sleep", "1", environment=environment)
    assert run["budgets"][0]["verdict"] != "kept"
    frugalwatch.wait_for_state("done")
    found: dict[str, set[str]] = {}
    for path in notes.iterdir():
        found.setdefault(path.name.partition(".")[0], set()).update(json.loads(path.read_text()))
    for process in ("supervisor", "fw-sampler"):
        modules = found[process]
        assert {m for m in modules if m in HEAVY or m.partition(".")[0] in HEAVY} == set(), process
    assert "sqlite3" not in found["supervisor"]
    assert "frugalwatch.budgets.run_watch" not in found["supervisor"]
