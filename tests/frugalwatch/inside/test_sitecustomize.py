"""The hook begins in every Python process of a job, and none can tell but by `_frugalwatch`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from frugalwatch.inside import folder
from tests.frugalwatch.inside.kit import interpreters, run_inside

# Prints what a program could see of us.
LOOK = """
import json, os, sys
print(json.dumps({
    "path": sys.path,
    "modules": sorted(sys.modules),
    "descriptors": sorted(os.listdir("/proc/self/fd")),
    "sitecustomize": getattr(sys.modules.get("sitecustomize"), "__file__", None),
    "warnings": sys.warnoptions, "hooks": len(sys.path_hooks),
    "write": "write" in vars(sys.stdout),
}))
try:
    import sitecustomize
    print("mine", sitecustomize.__file__, sitecustomize.__spec__.origin)
except ImportError as error:
    print("none", error, error.name)
"""


def seen(text: str) -> dict[str, list[str]]:
    first: dict[str, list[str]] = json.loads(text.split("\n", maxsplit=1)[0])
    return first


def test_a_program_sees_nothing_of_us_but_our_package() -> None:
    plain, ours = run_inside(LOOK, hooked=False), run_inside(LOOK)
    expected, found = seen(plain.stdout), seen(ours.stdout)
    assert plain.stdout.split("\n")[1:] == ours.stdout.split("\n")[1:]
    added = set(found.pop("modules")) - set(expected.pop("modules"))
    assert {name.partition(".")[0] for name in added} == {"_frugalwatch"}
    assert set(found.pop("descriptors")) - set(expected.pop("descriptors")) <= {
        str(number) for number in range(240, 256)
    }, "the job's own files get the numbers that they would get"
    assert found == expected
    assert ours.stderr == plain.stderr == ""


def test_the_process_says_hello_with_its_version_and_program(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("pass")
    ran = run_inside([sys.executable, str(script)])
    ((_, _, version, rank, local, size, program, features),) = ran.told("hello")
    assert version == "{}.{}.{}".format(*sys.version_info[:3])
    assert (rank, local, size, program, features) == (None, None, None, "train.py", [])
    (hello,) = run_inside([sys.executable, "-m", "json.tool", "-h"]).told("hello")
    assert hello[6] == "-m json.tool"


@pytest.mark.parametrize("where", ["in front", "behind"])
def test_the_users_own_sitecustomize_runs_once_and_keeps_its_name(
    tmp_path: Path, where: str
) -> None:
    mine = tmp_path / "sitecustomize.py"
    mine.write_text("print('mine runs', __name__, __file__)\nimport sys\nsys.mine = 1\n")
    path = f"/nowhere:{tmp_path}" if where == "behind" else str(tmp_path)
    plain = run_inside(LOOK, hooked=False, PYTHONPATH=path)
    ours = run_inside(LOOK, PYTHONPATH=path)
    first, *rest = ours.stdout.split("\n")
    assert [first, *rest[1:]] == [plain.stdout.split("\n")[0], *plain.stdout.split("\n")[2:]]
    assert first == f"mine runs sitecustomize {mine}"
    assert rest[1] == f"mine {mine} {mine}"
    assert len(ours.told("hello")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "raise ValueError('of my own')",
        "import nowhere_to_be_found",
        "import os; os.execv('/bin/echo', ['echo', 'gone'])",
        "1 +",
        "raise ImportError('no', name='sitecustomize')",
        "import sys; del sys.modules['sitecustomize']",
    ],
)
def test_a_users_sitecustomize_that_fails_fails_as_ever(tmp_path: Path, text: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(text)
    plain = run_inside("print('goes on')", hooked=False, PYTHONPATH=str(tmp_path))
    ours = run_inside("print('goes on')", PYTHONPATH=str(tmp_path))
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        plain.returncode,
        plain.stdout,
        plain.stderr,
    )


def test_a_users_sitecustomize_that_exits_ends_the_interpreter_as_ever(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit(7)")
    plain = run_inside("print('goes on')", hooked=False, PYTHONPATH=str(tmp_path))
    ours = run_inside("print('goes on')", PYTHONPATH=str(tmp_path))
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    # Python calls this fatal and shows its own innards, with a line of ours among them.
    assert ours.stderr.splitlines()[-1] == plain.stderr.splitlines()[-1] == "SystemExit: 7"


def test_a_users_usercustomize_runs_too(tmp_path: Path) -> None:
    (tmp_path / "usercustomize.py").write_text("print('of the user')")
    ran = run_inside("print('program')", PYTHONPATH=str(tmp_path))
    plain = run_inside("print('program')", hooked=False, PYTHONPATH=str(tmp_path))
    assert ran.stdout == plain.stdout  # a virtual environment has none


@pytest.mark.parametrize("flag", ["-I", "-S", "-E"])
def test_an_isolated_interpreter_has_no_hook_and_works(flag: str) -> None:
    text = "import sys; print(len(sys.path) > 0, '_frugalwatch' in sys.modules)"
    ran = run_inside([sys.executable, flag, "-c", text])
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "True False\n", "")
    assert ran.messages == []


def test_without_a_pipe_the_hook_only_gives_way(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('mine')")
    text = "import sys; print('_frugalwatch' in sys.modules)"
    ran = run_inside(text, hooked=False, PYTHONPATH=f"{folder()}:{tmp_path}")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "mine\nFalse\n", "")


def test_a_pipe_that_is_gone_is_no_matter_of_the_jobs() -> None:
    text = "print('goes on')"
    ran = run_inside(text, hooked=False, PYTHONPATH=folder(), FRUGALWATCH_PIPE="/nowhere/pipe")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "goes on\n", "")


@pytest.mark.parametrize("asked", ["nonsense", "[1]", '{"unheard-of": 1}', '{"metric": ["("]}'])
def test_nonsense_asked_of_the_hook_is_a_problem_told_and_the_job_goes_on(asked: str) -> None:
    ran = run_inside("print('goes on')", FRUGALWATCH_HOOK=asked)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "goes on\n", "")
    assert len(ran.told("problem")) == 1
    assert len(ran.told("hello")) == 1


@pytest.mark.parametrize("python", list(dict.fromkeys([sys.executable, *interpreters()])))
def test_every_interpreter_that_is_here_says_hello_and_finds_its_own_sitecustomize(
    python: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('mine')")
    text = (
        "import sys; print(any('inside/path' in p for p in sys.path),"
        " sys.modules['sitecustomize'].__file__)"
    )
    ran = run_inside([python, "-c", text], PYTHONPATH=str(tmp_path))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"mine\nFalse {tmp_path}/sitecustomize.py\n"
    (hello,) = ran.told("hello")
    assert f"/{hello[2]}/" in python or sys.executable == python or "/usr/bin" in python
    assert ran.told("problem") == []


@pytest.mark.parametrize("python", interpreters("2.7", "3.6", "3.7", "3.8"))
def test_an_interpreter_that_is_too_old_passes_through(python: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('mine')")
    quiet = {"PYTHONDONTWRITEBYTECODE": "1"}  # Python 2 would, beside the source
    ran = run_inside([python, "-c", "import sitecustomize"], PYTHONPATH=str(tmp_path), **quiet)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "mine\n", "")
    assert ran.messages == []
    alone = run_inside([python, "-c", "print('goes on')"], **quiet)
    assert (alone.returncode, alone.stdout, alone.stderr) == (0, "goes on\n", "")


def test_every_module_compiles_on_every_python_that_a_job_may_have() -> None:
    import ast

    sources = sorted(Path(folder()).rglob("*.py"))
    assert len(sources) > 10
    for source in sources:
        for minor in (9, 10, 11, 12, 13):
            ast.parse(source.read_text(), str(source), feature_version=(3, minor))
