"""Precedence, origins, and every way in which a configuration can be wrong."""

import os
import subprocess
import sys
import textwrap
import threading

import pytest

import frugalwatch
from frugalwatch.config.load import load
from frugalwatch.config.settings import Settings

ROOT = os.path.dirname(os.path.dirname(frugalwatch.__file__))


@pytest.fixture
def home(tmp_path):
    """A project folder and an environment whose user configuration lies beside it."""
    project = tmp_path / "project"
    user = tmp_path / "config" / "frugalwatch"
    project.mkdir()
    user.mkdir(parents=True)
    return project, user, {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}


def read(home, cli=None, **variables):
    project, _, environ = home
    return load(cli or {}, cwd=str(project), environ={**environ, **variables})


def test_nothing_set_gives_the_defaults(home):
    loaded = read(home)
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.problems == ()


def test_the_strongest_place_wins_key_by_key(home):
    project, user, _ = home
    (user / "config.toml").write_text('zone = "AT"\ncurrency = "CHF"\npue = 1.5\nhook = false\n')
    (project / "pyproject.toml").write_text(
        '[tool.frugalwatch]\nzone = "BE"\ncurrency = "GBP"\npue = 1.4\n'
    )
    (project / "frugalwatch.toml").write_text('zone = "DE"\ncurrency = "USD"\n')
    loaded = read(home, {"zone": "FR", "currency": None}, FRUGALWATCH_ZONE="ES")
    assert (loaded.settings.zone, loaded.origins["zone"]) == ("FR", "command line")
    assert loaded.settings.currency == "USD"
    assert loaded.origins["currency"] == str(project / "frugalwatch.toml")
    assert loaded.settings.pue == 1.4
    assert loaded.origins["pue"] == f"{project / 'pyproject.toml'} [tool.frugalwatch]"
    assert loaded.settings.hook is False
    assert loaded.origins["hook"] == str(user / "config.toml")
    assert loaded.origins["summary"] == "default"
    without = read(home, FRUGALWATCH_ZONE="ES")
    assert (without.settings.zone, without.origins["zone"]) == (
        "ES",
        "environment FRUGALWATCH_ZONE",
    )


def test_variables_of_ours_that_are_no_settings_are_no_problem(home):
    loaded = read(
        home,
        FRUGALWATCH_RUN_ID="a",
        FRUGALWATCH_PIPE="b",
        FRUGALWATCH_SYSFS="c",
        FRUGALWATCH_PROCFS="d",
        FRUGALWATCH_ZONE="",
    )
    assert loaded.problems == ()
    assert loaded.settings == Settings()


def test_a_slip_in_a_variable_is_reported_with_what_was_meant(home):
    (problem,) = read(home, FRUGALWATCH_INTERVL_S="3", FRUGALWATCH_QQQ="1").problems
    assert (problem.file, problem.key) == ("environment", "FRUGALWATCH_INTERVL_S")
    assert problem.near == "FRUGALWATCH_INTERVAL_S"


def test_every_bad_key_of_every_file_is_listed_and_the_good_ones_hold(home):
    project, user, _ = home
    (project / "frugalwatch.toml").write_text(
        'zone = "DE"\nintervall_s = 3\npue = 0.2\nhook = "yes"\n[nested]\nx = 1\n'
    )
    (user / "config.toml").write_text('currency = 5\nprice_per_kwh = 0.3\nsumary = "line"\n')
    loaded = read(home)
    own, users = str(project / "frugalwatch.toml"), str(user / "config.toml")
    assert [(p.file, p.key, p.near) for p in loaded.problems] == [
        (own, "intervall_s", "interval_s"),
        (own, "pue", ""),
        (own, "hook", ""),
        (own, "nested", ""),
        (users, "currency", ""),
        (users, "sumary", "summary"),
    ]
    assert loaded.settings == Settings(zone="DE", price_per_kwh=0.3)


def test_a_bad_value_lets_the_next_weaker_place_speak(home):
    project, user, _ = home
    (project / "frugalwatch.toml").write_text("interval_s = -1\n")
    (user / "config.toml").write_text("interval_s = 5\n")
    loaded = read(home)
    assert loaded.settings.interval_s == 5.0
    assert len(loaded.problems) == 1


def test_a_weaker_place_is_checked_even_where_a_stronger_one_wins(home):
    project, _, _ = home
    (project / "frugalwatch.toml").write_text("interval_s = -1\n")
    assert [p.key for p in read(home, {"interval_s": 2}).problems] == ["interval_s"]


def test_a_project_cannot_open_the_network_and_the_user_can(home):
    project, user, _ = home
    text = (
        'live_grid = "electricity-maps"\nlive_grid_url = "http://evil.example"\n'
        'live_grid_token_env = "AWS_SECRET_ACCESS_KEY"\n'
    )
    (project / "frugalwatch.toml").write_text(text)
    loaded = read(home)
    assert loaded.settings == Settings()
    assert [p.key for p in loaded.problems] == ["live_grid", "live_grid_url", "live_grid_token_env"]
    (project / "frugalwatch.toml").unlink()
    (user / "config.toml").write_text(text)
    assert read(home).settings.live_grid == "electricity-maps"


def test_relative_ledgers_lie_beside_the_file_that_names_them(home):
    project, user, environ = home
    (user / "config.toml").write_text('ledger = "runs.db"\n')
    assert read(home).settings.ledger == str(user / "runs.db")
    assert read(home, {"ledger": "a/../b.db"}).settings.ledger == str(project / "b.db")
    assert read(home, FRUGALWATCH_LEDGER="~/l.db").settings.ledger == environ["HOME"] + "/l.db"


def _directory(path):
    path.mkdir()


def _fifo(path):
    os.mkfifo(path)


def _huge(path):
    path.write_bytes(b"#" * 1_000_001)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.write_bytes(b'zone = "\xff"\n'), "not UTF-8 text (line 1)"),
        (lambda p: p.write_text('zone = "FR\n'), "not valid TOML"),
        (lambda p: p.write_text("a = " + "[" * 20000), "not valid TOML"),
        (lambda p: p.write_text("a = " + "9" * 5000), "not valid TOML"),
        (_directory, "is a folder"),
        (_fifo, "not a regular file"),
        (_huge, "larger than"),
        (lambda p: p.symlink_to(p), "cannot be read"),
    ],
    ids=["latin-1", "syntax", "deep", "long-number", "folder", "fifo", "huge", "link-loop"],
)
def test_a_file_that_cannot_be_used_is_one_problem_and_never_a_traceback(home, make, words):
    project, user, _ = home
    make(project / "frugalwatch.toml")
    (user / "config.toml").write_text('zone = "FR"\n')
    answers = []
    thread = threading.Thread(target=lambda: answers.append(read(home)), daemon=True)
    thread.start()
    thread.join(10)
    assert answers, "load() hangs"
    (problem,) = answers[0].problems
    assert problem.file == str(project / "frugalwatch.toml")
    assert problem.key == ""
    assert words in problem.message
    assert answers[0].settings.zone == "FR"


def test_a_pyproject_that_is_none_of_our_business_is_not_parsed(home):
    project, _, _ = home
    (project / "pyproject.toml").write_text("this is not TOML at all [[[")
    assert read(home).problems == ()
    (project / "pyproject.toml").write_text("[tool]\nfrugalwatch = 3\n")
    assert [p.message for p in read(home).problems] == ["must be a table"]
    (project / "pyproject.toml").write_text('[project]\ndependencies = ["frugalwatch"]\n')
    assert read(home).problems == ()


def test_a_dangling_configuration_folder_is_as_good_as_none(home):
    project, _, environ = home
    (project / "file").write_text("")
    loaded = load(
        {}, cwd=str(project / "file"), environ={**environ, "XDG_CONFIG_HOME": "/dev/null"}
    )
    assert loaded.problems == ()


def test_an_unreadable_file_is_a_problem(without_privileges):
    # pytest's own folders are closed to others, so the project lies beside them.
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = os.path.join(folder, "frugalwatch.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write('zone = "FR"\n')
        os.chmod(path, 0)

        def look():
            loaded = load({}, cwd=folder, environ={"HOME": "/nonexistent"})
            return repr([tuple(p) for p in loaded.problems])

        assert without_privileges(look) == repr(
            [(path, "", "cannot be read: Permission denied", "")]
        )


def test_unknown_and_bad_options_are_problems_of_the_command_line(home):
    loaded = read(home, {"zonne": "FR", "interval_s": "x", "pue": 1.2})
    assert [(p.file, p.key, p.near) for p in loaded.problems] == [
        ("command line", "zonne", "zone"),
        ("command line", "interval_s", ""),
    ]
    assert loaded.settings.pue == 1.2


def test_without_files_neither_toml_nor_difflib_is_imported(tmp_path):
    code = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {ROOT!r})
        from frugalwatch.config.load import load
        from frugalwatch.carbon.grid import resolve
        empty = {str(tmp_path)!r}
        loaded = load({{"zone": "FR"}}, cwd=empty, environ={{"HOME": empty}})
        assert resolve(loaded.settings).zone == "FR"
        heavy = {{"tomllib", "difflib", "pathlib", "csv", "urllib", "http", "json", "ssl",
                 "importlib.metadata", "importlib.resources", "click", "collectors"}}
        print(sorted(heavy & set(sys.modules)))
        """
    )
    # -S: what an installed .pth file imports is not ours.
    answer = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
