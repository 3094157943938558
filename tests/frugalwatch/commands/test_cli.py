from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from frugalwatch.cli import COMMANDS, cli, main
from tests.frugalwatch.ledger.kit import REPOSITORY
from tests.frugalwatch.ledger.runs import fill

Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def program(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-m", "frugalwatch", *arguments],
        check=False,
        **{"env": environ, "stderr": subprocess.PIPE, "timeout": 60, **options},
    )


def test_the_version_is_the_packages(capsys: Said) -> None:
    import frugalwatch

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"frugalwatch {frugalwatch.__version__}\n"


def test_no_arguments_print_a_short_help(capsys: Said) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) <= 45
    for name, (_, line) in COMMANDS.items():
        assert f"  {name}" in said
        assert line.split()[0] in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps_with_an_example_in_eighty_columns(name: str, capsys: Said) -> None:
    context = click.Context(cli, info_name="frugalwatch", terminal_width=80)
    command = cli.get_command(context, name)
    assert command is not None
    assert COMMANDS[name][1].endswith(".")
    said = command.get_help(
        click.Context(command, info_name=name, parent=context, terminal_width=80)
    )
    assert max(map(len, said.splitlines())) <= 80
    if not isinstance(command, click.Group):
        assert f"frugalwatch {name}" in said.split("Options:")[0].split("\n", 1)[1]


@pytest.mark.parametrize(
    ("arguments", "status", "error", "hint"),
    [
        (["rnus"], 2, "no command called 'rnus'", "did you mean `runs`? frugalwatch --help"),
        (["zzz"], 2, "no command called 'zzz'", "frugalwatch --help"),
        (["show", "--jsno"], 2, "no such option", "'--json'? frugalwatch show --help"),
        (["run"], 2, "missing argument", "frugalwatch run --help"),
        (["run", "--"], 2, "missing argument", "frugalwatch run --help"),
        (["run", "--interval", "x", "true"], 2, "not a valid float", "frugalwatch run --help"),
        (["run", "--interval", "-3", "true"], 2, "must lie between", "frugalwatch run --help"),
        (["runs", "--limit", "0"], 2, "0 is not in the range", "frugalwatch runs --help"),
        (["config", "chek"], 2, "no such command 'chek'", "'check'? frugalwatch config --help"),
        (["doctor", "cpu"], 2, "no source called 'cpu'", "one of: rapl"),
        (["completion", "tcsh"], 2, "'tcsh' is not one of", "frugalwatch completion --help"),
        (["import", "codecarbon", "no.csv"], 2, "no.csv: No such file", ""),
        (["show"], 1, "no runs yet in", "frugalwatch run -- COMMAND"),
        (["show", "-2"], 1, "no runs yet in", "frugalwatch run -- COMMAND"),
    ],
)
def test_an_error_says_what_and_what_to_type_in_three_lines(
    arguments: list[str], status: int, error: str, hint: str, capsys: Said
) -> None:
    assert main(arguments) == status
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == ""
    assert len(lines) <= 3
    assert lines[0].startswith("error: ")
    assert error in lines[0]
    if hint:
        assert lines[-1].startswith("hint: ")
        assert hint in lines[-1]


def test_a_mistyped_option_runs_nothing(home: Path) -> None:
    done = program("run", "--intervl", "3", "touch", "made", cwd=home)
    assert done.returncode == 2
    assert b"hint: did you mean '--interval'?" in done.stderr
    assert not (home / "made").exists()


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        (["--", "echo", "-x", "--json"], b"-x --json\n"),
        (["echo", "--", "-q"], b"-- -q\n"),
    ],
)
def test_words_after_the_command_are_the_commands(
    arguments: list[str], out: bytes, home: Path
) -> None:
    done = program("run", "-q", *arguments, cwd=home, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, out)


LEDGER_READERS = (["runs"], ["show"], ["export"], ["recover"], ["calibrate"])


@pytest.mark.parametrize("arguments", LEDGER_READERS, ids=lambda a: a[0])
@pytest.mark.parametrize(
    ("what", "error", "hint"),
    [
        ("garbage", "it is damaged", ".recover"),
        ("torn", "it is damaged", ".recover"),
        ("newer", "was written by a newer FrugalWatch", "pip install --upgrade frugalwatch"),
        ("foreign", "another program's database", "--ledger FILE"),
        ("folder", "cannot be used", "--ledger FILE"),
    ],
)
def test_a_ledger_that_cannot_be_read_is_explained(
    *, arguments: list[str], what: str, error: str, hint: str, home: Path, capsys: Said
) -> None:
    import sqlite3

    path = home / "frugalwatch" / "frugalwatch.db"
    fill(path)
    if what == "garbage":
        path.write_bytes(os.urandom(5000))
    elif what == "torn":
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 4096 * 20)
    elif what == "newer":
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 999")
        connection.close()
    elif what == "foreign":
        path.unlink()
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE mine (x)")
        connection.close()
    else:
        path.unlink()
        path.mkdir()
    assert main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) <= 3
    assert lines[0].startswith("error: ")
    assert error in lines[0]
    assert hint in lines[-1]


def test_debug_shows_the_traceback(capsys: Said) -> None:
    from frugalwatch.errors import NotFoundError

    with pytest.raises(NotFoundError):
        main(["--debug", "show", "99"])


def test_a_failure_that_nobody_foresaw_is_three_lines(
    capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr("frugalwatch.commands.runs.list_runs", broken)
    fill(Path("frugalwatch") / "frugalwatch.db")
    assert main(["runs"]) == 1
    assert capsys.readouterr().err == (
        "error: RuntimeError: no such thing\nThis is a mistake in FrugalWatch.\n"
        "hint: frugalwatch --debug runs ... shows where; please report it\n"
    )


def test_a_reader_that_goes_away_is_no_error(home: Path) -> None:
    for number in range(40):
        (home / f"f{number}").touch()
    fill(home / "frugalwatch" / "frugalwatch.db")
    for arguments in (("runs",), ("runs", "--json"), ("doctor", "--json"), ("--help",)):
        reader, writer = os.pipe()
        os.close(reader)
        done = program(*arguments, cwd=home, stdout=writer)
        os.close(writer)
        assert done.stderr.replace(b"~ estimated, not measured\n", b"").count(b"Traceback") == 0
        assert b"error" not in done.stderr


def test_a_full_disk_under_stdout_is_said(home: Path) -> None:
    fill(home / "frugalwatch" / "frugalwatch.db")
    with open("/dev/full", "wb") as full:
        done = program("runs", "--json", cwd=home, stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: No space left on device")
    assert b"Traceback" not in done.stderr


def test_a_closed_stdout_is_no_mistake_of_ours(home: Path) -> None:
    fill(home / "frugalwatch" / "frugalwatch.db")
    script = f"exec {sys.executable} -m frugalwatch runs >&-"
    done = subprocess.run(
        ["sh", "-c", script],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, b"mistake" in done.stderr) == (0, False)
