"""What `pip install frugalwatch` puts on a machine: the code, and every file that it reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("frugalwatch", "collectors", "advisor")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the tree, as the build backend that pip would use makes it."""
    source = tmp_path_factory.mktemp("source") / "frugalwatch"
    source.mkdir()
    for name in (*PACKAGES, "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(source)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=100)
    (built,) = source.glob("*.whl")
    return built


def shipped_files() -> set[str]:
    """Every file of the three packages in the tree, apart from what Python makes itself."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == shipped_files()


def test_wheel_holds_migrations_tables_and_type_markers(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = archive.namelist()
    assert "frugalwatch/ledger/migrations/0001_initial.sql" in inside
    assert "collectors/data/cpu_power.csv" in inside
    for table in ("grid", "cloud", "embodied"):
        assert f"frugalwatch/carbon/data/{table}.tsv" in inside
    for package in PACKAGES:
        assert f"{package}/py.typed" in inside


def test_wheel_names_its_licence_and_its_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        by_name = {
            name.split("/", 1)[1]: name for name in archive.namelist() if "dist-info" in name
        }
        entry_points = archive.read(by_name["entry_points.txt"]).decode()
    assert "frugalwatch = frugalwatch._entry:main" in entry_points
    assert "licenses/LICENSE" in by_name


def test_installed_copy_runs_a_job_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    """The wheel in a folder of its own, without the repository: it finds its own data files."""
    site, state = tmp_path / "site", tmp_path / "state"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import frugalwatch; "
        "print(frugalwatch.__file__, file=sys.stderr); "
        "from frugalwatch._entry import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(site), "run", "--", "echo", "ran"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_STATE_HOME": str(state)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "ran\n"
    assert result.stderr.startswith(str(site))
    assert list(state.rglob("*.db")), result.stderr
