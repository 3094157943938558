"""Who waits for a module hears of it, and an import is what it would be without."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frugalwatch.inside.kit import run_inside

BEGIN = """
import sys
from _frugalwatch.imports import when_imported
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with modules that a test may import."""
    (tmp_path / "good.py").write_text(
        "import sys\nready = 1\nloader = type(__loader__).__name__, type(__spec__).__name__\n"
    )
    (tmp_path / "bad.py").write_text("import sys\nsys.bad = getattr(sys, 'bad', 0) + 1\n1 / 0\n")
    (tmp_path / "flaky.py").write_text(
        "import sys\nsys.tries = getattr(sys, 'tries', 0) + 1\nif sys.tries < 2: raise OSError\n"
    )
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("from pack import inner\nname = 'pack'\n")
    (tmp_path / "pack" / "inner.py").write_text("import pack\nname = 'inner'\n")
    return tmp_path


def said(text: str, package: Path) -> list[str]:
    ran = run_inside(BEGIN + text, PYTHONPATH=str(package))
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    assert ran.told("problem") == []
    return ran.stdout.split()


def test_a_callback_hears_once_of_a_module_that_is_ready(package: Path) -> None:
    text = """
when_imported("good", lambda module: print("called", module.ready, module is sys.modules["good"]))
print("waiting")
import good
import importlib; importlib.reload(good)
import good
when_imported("good", lambda module: print("late", module.ready))
"""
    assert said(text, package) == ["waiting", "called", "1", "True", "late", "1"]


def test_looking_for_a_module_is_no_import(package: Path) -> None:
    text = """
import importlib.util
when_imported("good", lambda module: print("called"))
print(importlib.util.find_spec("good").origin == sys.path[-1])
print(importlib.util.find_spec("absent"))
when_imported("absent", lambda module: print("never"))
try: import absent
except ModuleNotFoundError as error: print(error.name)
"""
    assert said(text, package) == ["False", "None", "absent"]


def test_specs_and_loaders_are_pythons_own(package: Path) -> None:
    text = """
plain = type(sys.__spec__)
when_imported("good", lambda module: None)
import good
import pack
same = sorted(vars(good.__spec__)) == sorted(vars(pack.inner.__spec__))
print(type(good.__spec__) is plain, *good.loader, same)
"""
    assert said(text, package) == ["True", "SourceFileLoader", "ModuleSpec", "True"]


def test_a_module_that_fails_fails_with_its_own_traceback_and_may_be_tried_again(
    package: Path,
) -> None:
    text = """
when_imported("flaky", lambda module: print("called", sys.tries))
try: import flaky
except OSError: print("failed")
import flaky
"""
    assert said(text, package) == ["failed", "called", "2"]
    failing = BEGIN + "when_imported('bad', print)\nimport bad\n"
    ours = run_inside(failing, PYTHONPATH=str(package))
    plain = run_inside("\n" * 4 + "import bad\n", hooked=False, PYTHONPATH=str(package))
    assert ours.stderr == plain.stderr
    assert ours.returncode == 1


def test_a_submodule_and_a_package_are_heard_of_when_each_is_ready(package: Path) -> None:
    text = """
when_imported("pack", lambda module: print(module.name))
when_imported("pack.inner", lambda module: print(module.name))
import pack
"""
    assert said(text, package) == ["inner", "pack"]


def test_a_module_that_is_being_imported_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "from _frugalwatch.imports import when_imported\n"
        "when_imported('slow', lambda module: print('called', module.ready))\n"
        "print('still')\nready = 1\n"
    )
    ran = run_inside("import slow", PYTHONPATH=str(tmp_path))
    assert ran.stdout.split() == ["still", "called", "1"]


def test_a_callback_that_fails_is_a_problem_told_and_the_others_are_called(package: Path) -> None:
    text = BEGIN + (
        "when_imported('good', lambda module: 1 / 0)\n"
        "when_imported('good', lambda module: print('called'))\n"
        "import good\nprint('goes on')\n"
    )
    ran = run_inside(text, PYTHONPATH=str(package))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "called\ngoes on\n", "")
    ((_, _, where, text),) = ran.told("problem")
    assert where == "after import of good"
    assert "ZeroDivisionError" in text
