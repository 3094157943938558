"""Run times added in a layer over the program's environment, from a folder of wheels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from advisor import store
from advisor.artefacts.manifest import write_manifest
from advisor.preparing import tidy
from advisor.run_times import FOLDER, CannotInstallError, install, with_run_times
from advisor.techniques.onnx_runtime import OnnxRuntime
from advisor.techniques.swapping import swap_switch
from advisor.workshop import advice_folder
from frugalwatch.ledger.connection import open_ledger
from tests.advisor.test_inside_program import workload
from tests.advisor.test_swap_techniques import facts

pytestmark = pytest.mark.timeout(300)


def wheel(folder: Path, name: str, version: str, needs: str = "") -> None:
    """A wheel with one module of that name."""
    about = f"{name}-{version}.dist-info"
    required = f"Requires-Dist: {needs}\n" if needs else ""
    files = {
        f"{name}.py": f"__version__ = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{about}/RECORD"])
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with pip and a package `base` of version 1."""
    folder = tmp_path_factory.mktemp("job")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    wheels = folder / "wheels"
    wheel(wheels, "base", "1.0")
    wheel(wheels, "base", "2.0")
    wheel(wheels, "helper", "3.0")
    wheel(wheels, "onnxruntime", "9.0", needs="helper>=2")
    wheel(wheels, "openvino", "9.0", needs="base>=2")
    python = folder / "env" / "bin" / "python"
    words = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "base==1.0"]
    subprocess.run(words, check=True, env=offline(folder))
    return folder


def offline(job: Path) -> Mapping[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    named = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(job / "wheels"),
        "PIP_CONFIG_FILE": "/dev/null",
    }
    return {**kept, **named}


def contents(job: Path) -> list[str]:
    return sorted(str(p) for p in (job / "env").rglob("*") if "__pycache__" not in str(p))


def test_what_lacks_is_added_beside_an_environment_that_stays_as_it_was(
    job: Path, tmp_path: Path
) -> None:
    before = contents(job)
    python = str(job / "env" / "bin" / "python")
    known = replace(facts(packages="numpy"), environment=offline(job))
    assert known.sample is not None
    known = replace(known, sample=replace(known.sample, interpreter=python))
    assert not OnnxRuntime().applies(known).yes
    said: list[str] = []
    found, notes = with_run_times(known, ["onnxruntime"], str(tmp_path), said.append)
    assert notes == [
        "added for the replays, beside the program's environment: helper 3.0, onnxruntime 9.0"
    ]
    assert said == ["installing onnxruntime in a throw-away layer"]
    assert contents(job) == before
    assert OnnxRuntime().applies(found).yes
    options = json.loads(swap_switch(found, "/nowhere").as_text())["switches"]["replace"]["options"]
    assert options["path"] == found.layer == str(tmp_path / FOLDER)
    code = "import sys; sys.path.append(sys.argv[1]); import onnxruntime, base;"
    code += "print(onnxruntime.__version__, base.__version__)"
    words = [python, "-c", code, found.layer]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "9.0 1.0\n"
    # What was installed before a kill is taken as it is.
    again, _ = with_run_times(
        replace(known, environment={}), ["onnxruntime"], str(tmp_path), said.append
    )
    assert again.layer == found.layer


def test_what_needs_another_version_of_something_there_is_refused(
    job: Path, tmp_path: Path
) -> None:
    python = str(job / "env" / "bin" / "python")
    with pytest.raises(CannotInstallError, match=r"base 2\.0, and the environment has 1\.0"):
        install(["openvino"], python, str(tmp_path / "layer"), offline(job))
    assert not (tmp_path / "layer").exists()


def test_what_cannot_be_found_is_said_in_a_note(job: Path, tmp_path: Path) -> None:
    known = replace(facts(packages="numpy"), environment=offline(job))
    assert known.sample is not None
    python = str(job / "env" / "bin" / "python")
    known = replace(known, sample=replace(known.sample, interpreter=python))
    found, notes = with_run_times(known, ["torchao"], str(tmp_path), lambda _: None)
    assert found == known
    assert notes[0].startswith("torchao cannot be added: No matching distribution found")


def test_without_pip_on_either_side_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CannotInstallError, match="ensurepip"):
        install(["onnxruntime"], "/nowhere/python", str(tmp_path / "layer"), {})


def test_what_the_environment_has_is_not_fetched(tmp_path: Path) -> None:
    known = facts(packages="onnxruntime")
    found, notes = with_run_times(known, ["onnxruntime"], str(tmp_path), lambda _: None)
    assert (found, notes) == (known, ["onnxruntime: in the program's environment already"])


def test_a_program_without_a_run_time_is_told_of_the_option(tmp_path: Path) -> None:
    _, notes = with_run_times(facts(packages="numpy"), [], str(tmp_path), lambda _: None)
    assert "--install-runtime onnxruntime" in notes[0]
    assert with_run_times(facts(), [], str(tmp_path), lambda _: None)[1] == []


def test_the_layer_stays_with_a_recommendation_that_needs_it(tmp_path: Path) -> None:
    work = workload(tmp_path, "x.py", "")
    with closing(open_ledger(str(tmp_path / "l.db"), create=True)) as conn:
        for needed in (True, False):
            number = store.begin_advice(conn, work, cpus=1, seed=0)
            folder = Path(advice_folder(conn, number))
            (folder / FOLDER).mkdir()
            (folder / "onnx-0").mkdir()
            write_manifest(str(folder / "onnx-0"), how="", cost={}, about={}, versions={})
            options = {"path": str(folder / FOLDER)} if needed else {}
            change = {"switches": {"replace": {"options": options}}}
            row = {"artefact": str(folder / "onnx-0"), "change": change}
            tidy(conn, number, {"state": "done", "recommendations": [row]})
            assert (folder / "onnx-0").exists()
            assert (folder / FOLDER).exists() == needed
