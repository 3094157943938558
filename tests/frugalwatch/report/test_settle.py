from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.frugalwatch.ledger.kit import one
from tests.frugalwatch.report.stories import STORIES


@pytest.mark.parametrize("name", STORIES)
def test_the_ledger_holds_what_the_object_says(name: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    run = STORIES[name](path)
    number = run["number"]

    def stored(column: str) -> object:
        return one(path, f"SELECT {column} FROM run WHERE id = {number}")

    assert json.loads(str(stored("result"))) == run
    for column, key in (
        ("energy_uj", "energy_j"),
        ("energy_low_uj", "energy_low_j"),
        ("energy_high_uj", "energy_high_j"),
        ("estimated_uj", "estimated_j"),
        ("co2e_ug", "co2e_g"),
    ):
        value = stored(column)
        assert value == (None if run[key] is None else pytest.approx(run[key] * 1e6, abs=1))
    assert stored("coverage") == run["coverage"]
    assert json.loads(str(stored("carbon"))) == run["carbon"]
    attribution = json.loads(str(stored("attribution")))
    assert attribution["headline"] == run["headline"]
    assert attribution["job_share_j"] == run["job_share_j"]
    counted = one(
        path, f"SELECT total(energy_j) FROM run_device_energy WHERE run = {number} AND counted"
    )
    parts = [run[key] for key in ("energy_j", "estimated_j") if run[key] is not None]
    assert counted == pytest.approx(sum(parts), abs=1e-5)
