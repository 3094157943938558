"""`frugalwatch config show` and `check`."""

import json
import os

import pytest
from click.testing import CliRunner

from frugalwatch.commands.config import command
from frugalwatch.config.fields import FIELDS


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project folder to stand in, without any configuration from outside."""
    for name in list(os.environ):
        if name.startswith("FRUGALWATCH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run(*arguments):
    return CliRunner().invoke(command, arguments)


def test_check_of_nothing_finds_nothing(project):
    result = run("check")
    assert (result.exit_code, result.output) == (0, "no problem (no configuration file)\n")


def test_check_lists_every_problem_with_file_key_and_nearest_key(project, monkeypatch):
    monkeypatch.setenv("FRUGALWATCH_ZNE", "FR")
    (project / "frugalwatch.toml").write_text('intervall_s = 3\npue = 0.5\nzone = "Frnace"\n')
    (project / "pyproject.toml").write_text("[tool.frugalwatch\n")
    result = run("check")
    file = str(project / "frugalwatch.toml")
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert lines[0].startswith("environment: FRUGALWATCH_ZNE")
    assert lines[1] == f"{file}: intervall_s: no such setting (did you mean interval_s?)"
    assert lines[2] == f"{file}: pue: must lie between 1 and 10, not 0.5"
    assert lines[3].startswith(
        f"{project / 'pyproject.toml'} [tool.frugalwatch]: is not valid TOML"
    )
    assert lines[4].startswith(f"{file}: zone: no zone 'Frnace'")
    assert "FR (France)" in lines[4]
    assert len(lines) == 5
    assert result.stderr == f"5 problems ({file})\n"


def test_check_as_json(project):
    (project / "frugalwatch.toml").write_text("intervall_s = 3\n")
    result = run("check", "--json")
    assert result.exit_code == 2
    document = json.loads(result.stdout)
    assert document["schema"] == "frugalwatch.config-check/1"
    assert document["problems"] == [
        {
            "file": str(project / "frugalwatch.toml"),
            "key": "intervall_s",
            "message": "no such setting",
            "nearest": "interval_s",
        }
    ]


def test_show_prints_each_value_and_the_file_that_it_came_from(project):
    (project / "frugalwatch.toml").write_text('zone = "FR"\nsources_off = ["rapl", "nvidia"]\n')
    result = run("show")
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert list(rows) == list(FIELDS)
    assert rows["zone"].split() == ["zone", "FR", str(project / "frugalwatch.toml")]
    assert "rapl, nvidia" in rows["sources_off"]
    assert rows["hook"].split() == ["hook", "true", "default"]


def test_show_as_json_has_values_origins_and_problems(project):
    (project / "frugalwatch.toml").write_text('zone = "FR"\nbad = 1\n')
    result = run("show", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["schema"] == "frugalwatch.config/1"
    zone = document["settings"]["zone"]
    assert zone == {"value": "FR", "origin": str(project / "frugalwatch.toml")}
    assert document["settings"]["interval_s"] == {"value": 1.0, "origin": "default"}
    assert [problem["key"] for problem in document["problems"]] == ["bad"]


def test_show_warns_on_stderr_and_still_succeeds(project):
    (project / "frugalwatch.toml").write_text("bad = 1\n")
    result = run("show")
    assert result.exit_code == 0
    assert "warning: " in result.stderr
    assert "bad" not in result.stdout


def test_a_password_in_an_address_is_not_printed(project, monkeypatch):
    monkeypatch.setenv("FRUGALWATCH_LIVE_GRID_URL", "https://ada:pass@word@grid.example/x")
    for arguments in (("show",), ("show", "--json")):
        output = run(*arguments).output
        assert "https://***@grid.example/x" in output
        assert "pass" not in output


def test_a_folder_that_is_gone_is_no_traceback(project, monkeypatch):
    gone = project / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = run("check")
    assert result.exit_code == 0
    monkeypatch.chdir(project)
