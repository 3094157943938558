"""Which Python runs a model, and what is said where none can."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.workloads.interpreters import MissingPackageError, ask, choose
from frugalwatch.errors import UsageError

HERE = dict(os.environ)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing in it; its `bin`."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin"


def test_the_one_that_was_named_is_used(bare: Path) -> None:
    found = choose(("json",), str(bare / "python"), HERE, "m.onnx")
    assert found.path == str(bare / "python")  # the link, which is what makes it an environment
    assert found.version == sys.version_info[:3]


def test_what_the_named_one_lacks_is_said_with_the_remedy(bare: Path) -> None:
    with pytest.raises(MissingPackageError) as caught:
        choose(("json", "nosuchpackage"), str(bare / "python"), HERE, "m.onnx")
    assert "lacks nosuchpackage" in str(caught.value)
    assert f"{bare}/python -m pip install nosuchpackage" in caught.value.hint


def test_without_a_name_the_shells_python_comes_first_and_ours_after_it(bare: Path) -> None:
    environment = {**HERE, "PATH": f"{bare}:/usr/bin"}
    assert choose((), None, environment, "m.onnx").path == str(bare / "python")
    assert choose(("click",), None, environment, "m.onnx").path == sys.executable
    with pytest.raises(MissingPackageError) as caught:
        choose(("nosuchpackage",), None, environment, "m.onnx")
    assert caught.value.why.count("lacks nosuchpackage") == 2


def test_a_name_that_is_no_python_is_refused(tmp_path: Path) -> None:
    for name in ("/nowhere/python", "true", str(tmp_path)):
        with pytest.raises(UsageError, match="no Python that works"):
            choose((), name, HERE, "m.onnx")


def test_a_users_folder_called_torch_is_no_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bare: Path
) -> None:
    (tmp_path / "torch").mkdir()
    monkeypatch.chdir(tmp_path)
    found = ask(str(bare / "python"), ("torch",), HERE)
    assert found is not None
    assert found.missing == ("torch",)
