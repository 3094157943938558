"""The console script finds our packages and nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frugalwatch.e2e.kit import REPOSITORY

SHOW = """
import sys
sys.path[:0] = {extra!r}
from frugalwatch._entry import forget_user_modules, forget_user_paths
forget_user_paths()
forget_user_modules()
import collectors
print(collectors.__file__)
print([p for p in sys.path if p in {watched!r}])
"""


def shown(
    folder: Path, *, extra: list[str], watched: list[str], environment: dict[str, str]
) -> list[str]:
    """Where `collectors` came from, and which of the watched paths stayed."""
    result = subprocess.run(
        [sys.executable, "-c", SHOW.format(extra=extra, watched=watched)],
        cwd=folder,
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout.splitlines()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for package in ("collectors", "advisor"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('user code ran')\n")
    return tmp_path


OURS = str(REPOSITORY / "collectors" / "__init__.py")


@pytest.mark.parametrize("path", [".", "{}", "{}/", "{}:.", ":{}", "{}/../{name}"])
def test_pythonpath_and_the_current_folder_are_for_the_job(project: Path, path: str) -> None:
    value = path.format(project, name=project.name)
    written = [entry for entry in value.split(":") if entry]
    file, kept = shown(
        project,
        extra=["", str(REPOSITORY)],
        watched=["", ".", str(project), *written],
        environment={"PYTHONPATH": f"{value}:{REPOSITORY}"},
    )
    assert file == OURS
    assert kept == "[]"


def test_a_checkout_of_our_own_is_found_even_if_it_is_on_pythonpath(tmp_path: Path) -> None:
    file, _ = shown(REPOSITORY, extra=[], watched=[], environment={"PYTHONPATH": str(REPOSITORY)})
    assert file == OURS


def test_a_link_to_the_current_folder_is_the_current_folder(project: Path) -> None:
    link = project.parent / f"{project.name}-link"
    link.symlink_to(project)
    file, kept = shown(
        project,
        extra=[str(link), str(REPOSITORY)],
        watched=[str(link)],
        environment={"PYTHONPATH": str(REPOSITORY)},
    )
    assert (file, kept) == (OURS, "[]")


def test_other_places_of_modules_stay(project: Path) -> None:
    other = project / "site-packages"
    other.mkdir()
    _, kept = shown(
        project,
        extra=[str(other)],
        watched=[str(other)],
        environment={"PYTHONPATH": str(REPOSITORY)},
    )
    assert kept == f"[{str(other)!r}]"


def test_help_and_version_need_no_current_folder(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    result = subprocess.run(
        [sys.executable, "-m", "frugalwatch", "--version"],
        cwd=gone,
        preexec_fn=gone.rmdir,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0
    assert result.stdout.startswith("frugalwatch ")
