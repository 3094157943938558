"""A program's module is sampled, exported, built and put back into the unmodified program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from advisor import store
from advisor.agreement import compare
from advisor.artefacts.manifest import read_manifest, write_manifest
from advisor.candidates import candidates
from advisor.preparing import with_sample, workshop
from advisor.replay import Isolation, Replayer
from advisor.techniques.base import Facts, Technique
from advisor.techniques.onnx_int8 import StaticInt8
from advisor.techniques.onnx_runtime import OnnxRuntime
from advisor.workload import Workload
from advisor.workshop import CannotBuildError, Workshop, advice_folder, keep_only, remove_if_empty
from frugalwatch.ledger.connection import open_ledger
from tests.advisor.test_inside_program import workload
from tests.advisor.test_sandbox import needs_namespaces

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

# Enough for int8 to pay, and small enough for a busy machine.
PROGRAM = """
import torch
torch.manual_seed(0)
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 64, 3, padding=1), torch.nn.BatchNorm2d(64), torch.nn.ReLU(),
            torch.nn.Conv2d(64, 128, 3, padding=1), torch.nn.ReLU(),
            torch.nn.Conv2d(128, 128, 3, padding=1), torch.nn.ReLU())
        self.head = torch.nn.Linear(128, 10)
    def forward(self, x):
        return {"scores": self.head(self.body(x).mean((2, 3)))}
net = Net().eval()
with torch.no_grad():
    total = sum(float(net(x)["scores"].sum()) for x in torch.randn(96, 1, 3, 16, 16))
print(f"{total:.2f}")
"""


def replayer(folder: Path, text: str = PROGRAM) -> Replayer:
    private = folder / "private"
    private.mkdir()
    return Replayer(workload(folder, "infer.py", text), Isolation(), str(private), hook=True)


@needs_namespaces
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_module_is_exported_quantized_and_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only: tuple[Technique, ...] = (OnnxRuntime(), StaticInt8())
    for where in ("advisor.advise.techniques", "advisor.candidates.techniques"):
        monkeypatch.setattr(where, lambda *, hook, **_: only if hook else ())
    replays = replayer(tmp_path)
    first = replays.replay(watch=True, look=True)
    assert first.ok, first.tail()
    said: list[str] = []
    known = Facts({}, 1, 1, 1, frozenset(), replays.inside, frozenset({"avx512_vnni"}))
    known = with_sample(known, replays, said.append)
    assert known.sample is not None
    (module,) = known.sample.modules
    assert (module.kind, len(module.calls), len(module.kept)) == ("Net", 96, 96)
    assert "onnxruntime" in known.sample.packages
    assert module.pickle is None  # nobody needs it here

    with closing(open_ledger(str(tmp_path / "l.db"), create=True)) as conn:
        number = store.begin_advice(conn, replays_of(tmp_path), cpus=1, seed=0)
        with workshop(conn, number, known, replays, said.append) as bench:
            variants, answers = candidates(known, bench=bench)
    assert said == ["a sample of its calls", "building onnx-0", "building static-int8"]
    by_name = {v.name: v for v in variants}
    full = by_name["ONNX Runtime"]
    assert not full.lossy
    assert full.artefact == str(tmp_path / "advice" / "A1" / "onnx-0")
    small = by_name.get("static int8")
    if small is None:  # on a CPU without units for it
        assert any("times the CPU time" in a.applicability.reason for a in answers)
    else:
        assert small.lossy
        assert small.artefact is not None
        manifest = read_manifest(small.artefact)
        assert manifest is not None
        assert manifest["calibration"]["inputs"] == len(small.calibrated) >= 16
        assert manifest["files"]["model.onnx"]["bytes"] < 600_000  # of 900 kB

    swapped = replays.replay(full.change, look=True)
    assert swapped.ok, (swapped.why, swapped.tail())
    agreement = compare(first.outputs, swapped.outputs)
    assert agreement.calls == 96
    assert agreement.to_rounding

    (tmp_path / "other").mkdir()
    other = replayer(tmp_path / "other", PROGRAM.replace("manual_seed(0)", "manual_seed(1)"))
    refused = other.replay(full.change)
    assert refused.state == "not applied"
    assert "not those that were exported" in refused.why


def replays_of(folder: Path) -> Workload:
    return workload(folder, "infer.py", PROGRAM)


def test_a_manifest_speaks_of_the_very_files(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"model")
    write_manifest(str(tmp_path), how="by hand", cost={}, about={}, versions={"onnx": "1"})
    found = read_manifest(str(tmp_path))
    assert found is not None
    assert found["files"]["model.onnx"]["bytes"] == 5
    (tmp_path / "model.onnx").write_bytes(b"other")
    assert read_manifest(str(tmp_path)) is None


def test_each_ledger_has_folders_of_its_own(tmp_path: Path) -> None:
    work = workload(tmp_path, "x.py", "")
    folders = []
    for name in ("a.db", "b.db"):
        with closing(open_ledger(str(tmp_path / name), create=True)) as conn:
            number = store.begin_advice(conn, work, cpus=1, seed=0)
            folders.append(advice_folder(conn, number))
            assert advice_folder(conn, number) == folders[-1]  # when it goes on
    assert [os.path.basename(each) for each in folders] == ["A1", "A1-2"]
    assert os.stat(folders[0]).st_mode & 0o777 == 0o700
    remove_if_empty(folders[0])
    assert not os.path.exists(folders[0])


def test_what_is_not_recommended_is_deleted(tmp_path: Path) -> None:
    for name in ("onnx-0", "static-int8"):
        (tmp_path / "A1" / name).mkdir(parents=True)
        folder = str(tmp_path / "A1" / name)
        write_manifest(folder, how="by hand", cost={}, about={}, versions={})
    keep_only(str(tmp_path / "A1"), {str(tmp_path / "A1" / "onnx-0")})
    assert os.listdir(tmp_path / "A1") == ["onnx-0"]
    keep_only(str(tmp_path / "A1"), ())
    assert not (tmp_path / "A1").exists()


def test_a_builder_that_takes_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advisor.workshop._BUILD_LIMIT_S", 0.05)
    bench = Workshop(str(tmp_path / "A1"), None, replayer(tmp_path), lambda _: None)
    for _ in range(2):  # the second time without trying again
        with pytest.raises(CannotBuildError, match=r"dynamic_int8 took longer than 0\.05 s"):
            bench.build("int8", "dynamic_int8", {"source": "nowhere"})
    assert os.listdir(tmp_path / "A1") == []
    # All are killed, and the first was waited for; the kernel may take a moment for the others.
    left = [p for p in psutil.process_iter() if _is_ours(p, str(tmp_path))]
    _, alive = psutil.wait_procs(left, timeout=10)
    assert not [p for p in alive if _is_ours(p, str(tmp_path))]


def _is_ours(process: psutil.Process, folder: str) -> bool:
    try:
        return process.pid != os.getpid() and any(folder in each for each in process.cmdline())
    except psutil.Error:
        return False


def test_a_missing_package_of_ours_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "onnx.py").write_text("raise ImportError('no', name='onnx')")
    order, result = tmp_path / "order.json", tmp_path / "result.json"
    order.write_text(json.dumps({"source": "x", "folder": "y", "samples": []}))
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from advisor.artefacts.run import main"
    words = [str(tmp_path), "onnx_fused", str(order), str(result)]
    subprocess.run([sys.executable, "-c", f"{code}; main(*sys.argv[1:])", *words], check=True)
    why = json.loads(result.read_text())["why_not"]
    assert why == "needs onnx beside frugalwatch: pip install 'frugalwatch[advisor]'"
