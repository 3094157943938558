"""Who started a run is personal data: stored where that was switched on, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from frugalwatch.machine import user_name
from tests.frugalwatch.e2e.kit import Frugalwatch


@pytest.mark.parametrize(("setting", "stored"), [(None, None), ("yes", user_name())])
def test_the_users_name_is_stored_only_with_by_user(
    tmp_path: Path, setting: str | None, stored: str | None
) -> None:
    program = Frugalwatch(tmp_path)
    program.environment["USER"] = "somebody"
    if setting is not None:
        program.environment["FRUGALWATCH_BY_USER"] = setting
    assert program("run", "-q", "--", "true").returncode == 0
    environment = json.loads(program.one("SELECT environment FROM run"))
    assert environment["USER"] == stored


def test_a_project_cannot_switch_it_on(tmp_path: Path) -> None:
    program = Frugalwatch(tmp_path)
    program.environment["USER"] = "somebody"
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "frugalwatch.toml").write_text("by_user = true\n")
    program("run", "-q", "--", "true", cwd=str(folder))
    environment = json.loads(program.one("SELECT environment FROM run"))
    assert environment["USER"] is None
