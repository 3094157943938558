"""A drop-in accelerator is replayed where the program uses its library and has it installed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from advisor.techniques.base import Facts
from advisor.techniques.drop_in import DropIn
from tests.advisor.test_swap_techniques import refusal
from tests.frugalwatch.inside.kit import run_inside

MAPPED = frozenset({"_check_build.cpython-311-x86_64-linux-gnu.so"})
FACTS = Facts({}, 2, 2, 2, MAPPED, argv=(sys.executable, "train.py"))


def test_it_needs_the_library_in_use_and_the_accelerator_installed() -> None:
    installed = DropIn(has_it=lambda *_: True)
    assert installed.applies(FACTS).yes
    assert "not seen to use scikit-learn" in refusal(
        installed, replace(FACTS, libraries=frozenset({"libc.so.6"}))
    )
    assert refusal(DropIn(has_it=lambda *_: False), FACTS) == (
        "needs scikit-learn-intelex: pip install scikit-learn-intelex"
    )
    shell = replace(FACTS, argv=("make", "train"))
    assert "does not begin with a Python" in refusal(installed, shell)


def test_this_interpreter_is_asked_and_has_none() -> None:
    known = replace(FACTS, argv=("/nowhere/python3", "train.py"))
    assert "does not begin" in refusal(DropIn(), known)


def test_the_estimators_are_in_place_before_the_program_imports_them(tmp_path: Path) -> None:
    """With stand-ins of both libraries: what matters is the order."""
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn" / "__init__.py").write_text("")
    (tmp_path / "sklearn" / "svm.py").write_text("class SVC: by = 'sklearn'")
    (tmp_path / "sklearnex.py").write_text(
        "__version__ = '9'\n"
        "def patch_sklearn(verbose):\n"
        "    import sklearn.svm\n"
        "    sklearn.svm.SVC.by = 'intel'\n"
    )
    text = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    text += "from sklearn.svm import SVC\nprint(SVC.by)"
    ran = run_inside(text, cwd=tmp_path, hook={"switches": {"sklearnex": True}})
    assert ran.stdout == "intel\n"
    assert [m[2] for m in ran.told("note")] == ["switch sklearnex: applied (sklearnex 9)"]
    (tmp_path / "sklearnex.py").unlink()
    without = run_inside(text, cwd=tmp_path, hook={"switches": {"sklearnex": True}})
    assert without.stdout == "sklearn\n"
    assert "No module named 'sklearnex'" in str(without.told("note"))
