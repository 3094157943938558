"""The programs that call a model over and over, run as the advisor runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from advisor.inside import read_inside
from advisor.workloads.driven import _DRIVER, enough_calls
from advisor.workloads.files import refuse_pickle
from frugalwatch.errors import UsageError
from tests.advisor.test_commands import frugalwatch
from tests.frugalwatch.inside.kit import interpreters, run_inside

numpy = pytest.importorskip("numpy")
STAND_IN = str(Path(__file__).parents[2] / "support" / "onnxruntime_stand_in")

WORKLOAD = """
import advisor, collectors  # folders of the user's own, beside this file
def load_model():
    return lambda *args, **kwargs: calls.append((args, kwargs))
calls = []
def inputs():
    yield 1
    yield (2, 3)
    yield {"x": 4}
def evaluate(model):
    print(calls)
    return {"accuracy": 0.75, "loss": 2}
def train(model):
    print("training", model is not None)
    return 0.5
"""


def drive(folder: Path, *words: str, python: str = sys.executable) -> Any:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [python, _DRIVER, *words],
        cwd=folder,
        env={**environment, "PYTHONPATH": STAND_IN, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def model(folder: Path, *inputs: list[Any]) -> None:
    described = list(inputs) or [["x", "tensor(float)", ["batch", 3]]]
    (folder / "m.onnx").write_text(json.dumps({"inputs": described, "factor": 1.0}))


def workload(folder: Path) -> None:
    for name in ("advisor", "collectors"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
    (folder / "w.py").write_text(WORKLOAD)


def test_a_workload_file_is_called_with_its_own_inputs_in_any_form(tmp_path: Path) -> None:
    workload(tmp_path)
    done = drive(tmp_path, "workload", "w.py", "--calls", "4")
    assert done.stdout.splitlines() == [
        "w.py: 4 calls",
        "[((1,), {}), ((2, 3), {}), ((), {'x': 4}), ((1,), {})]",
        "accuracy: 0.75",
        "loss: 2",
    ], done.stderr
    trained = drive(tmp_path, "workload", "w.py", "--train")
    assert trained.stdout.splitlines() == ["training True", "w.py: trained", "train: 0.5"]


@pytest.mark.parametrize("python", interpreters("3.9", "3.13") or [sys.executable])
def test_a_driver_runs_on_old_and_new_interpreters_without_anything_installed(
    tmp_path: Path, python: str
) -> None:
    workload(tmp_path)
    done = drive(tmp_path, "workload", "w.py", "--probe", "0.01", python=python)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert (seen["inputs"], seen["inputs_count"]) == ("own", 3)
    assert seen["evaluates"] == ["accuracy", "loss"]
    assert seen["call_s"] > 0


def test_what_a_workload_file_lacks_is_said(tmp_path: Path) -> None:
    (tmp_path / "w.py").write_text("def inputs(): return [1]\n")
    done = drive(tmp_path, "workload", "w.py")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        3,
        "error: w.py defines no load_model()",
    )
    (tmp_path / "w.py").write_text("def inputs(): return []\ndef load_model(): return print\n")
    assert "no inputs to call" in drive(tmp_path, "workload", "w.py").stderr


def test_an_onnx_file_is_called_with_made_up_inputs_that_are_the_same_each_time(
    tmp_path: Path,
) -> None:
    model(
        tmp_path,
        ["input_ids", "tensor(int64)", ["batch", "sequence"]],
        ["attention_mask", "tensor(int64)", ["batch", "sequence"]],
    )
    seen = json.loads(drive(tmp_path, "onnx", "m.onnx", "--probe", "0.01").stdout)
    assert seen["inputs"] == "synthesised"
    assert seen["described"] == ["input_ids int64 1x64", "attention_mask int64 1x64"]
    assert seen["samples_per_call"] == 1
    sized = ("--dims", "batch=4,sequence=7")
    seen = json.loads(drive(tmp_path, "onnx", "m.onnx", "--probe", "0.01", *sized).stdout)
    assert seen["described"] == ["input_ids int64 4x7", "attention_mask int64 4x7"]
    wrong = drive(tmp_path, "onnx", "m.onnx", "--dims", "length=7")
    assert "no open dimension called length" in wrong.stderr
    assert "hint: it has batch, sequence" in wrong.stderr


def test_rows_of_an_array_are_requests_or_batches(tmp_path: Path) -> None:
    model(tmp_path)
    rows = numpy.ones((10, 3))  # float64, as NumPy makes them; the model takes float32
    numpy.savez(tmp_path / "named.npz", x=rows)
    numpy.save(tmp_path / "alone.npy", rows)
    numpy.savez(tmp_path / "stacked.npz", x=numpy.ones((5, 2, 3)))
    for words, count, samples in (
        (("named.npz",), 10, 1),
        (("alone.npy",), 10, 1),
        (("named.npz", "--batch", "4"), 2, 4),
        (("stacked.npz",), 5, 2),
    ):
        probed = drive(tmp_path, "onnx", "m.onnx", "--probe", "0.01", "--inputs", *words)
        seen = json.loads(probed.stdout)
        assert (seen["inputs"], seen["inputs_count"]) == ("given", count)
        assert seen["samples_per_call"] == samples


def test_inputs_that_do_not_fit_are_said(tmp_path: Path) -> None:
    model(tmp_path)
    numpy.savez(tmp_path / "other.npz", a=numpy.ones((2, 3)), b=numpy.ones((2, 3)))
    done = drive(tmp_path, "onnx", "m.onnx", "--inputs", "other.npz")
    assert done.returncode == 3
    assert "has a, b, but the model takes x" in done.stderr
    (tmp_path / "broken.npz").write_bytes(b"PK")
    assert "cannot be read" in drive(tmp_path, "onnx", "m.onnx", "--inputs", "broken.npz").stderr
    numpy.savez(tmp_path / "flat.npz", x=numpy.ones(5))
    failed = drive(tmp_path, "onnx", "m.onnx", "--inputs", "flat.npz")
    assert "error: the model fails on input 1 of 5: ValueError: invalid rank" in failed.stderr
    (tmp_path / "m.onnx").write_text("no model")
    assert "cannot be loaded" in drive(tmp_path, "onnx", "m.onnx").stderr


def test_a_replay_takes_some_seconds_and_whole_passes() -> None:
    assert enough_calls(8, 0.01, 0.5) == 200  # 2 s, and 25 passes
    assert enough_calls(7, 0.01, 0.5) == 203
    assert enough_calls(400, 0.01, 1.0) == 400  # one pass of 4 s rather than a half
    assert enough_calls(100_000, 0.01, 1.0) == 200  # a pass would be 1000 s
    assert enough_calls(1, 10.0, 1.0) == 5
    assert enough_calls(1, 0.01, 60.0) == 600  # as long as loading, 6 s at most


TORCH = """
import sys, torch
net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5)).eval()
batch = torch.export.Dim("batch", max=64)
program = torch.export.export(net, (torch.ones(2, 3),), dynamic_shapes=({0: batch},))
torch.export.save(program, "m.pt2")
torch.jit.trace(net, torch.ones(2, 3)).save("m.pt")
torch.save(net.state_dict(), "weights.pt")
"""


def test_files_of_torch_are_called_as_modules_in_evaluation_mode(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    made = run_inside([sys.executable, "-c", TORCH], hooked=False, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    numpy.savez(tmp_path / "rows.npz", numpy.ones((6, 3)))
    for kind, name, inputs in (
        ("program", "m.pt2", ()),
        ("torchscript", "m.pt", ("--inputs", "rows.npz")),
    ):
        seen = tmp_path / f"seen-{kind}-{len(inputs)}"
        seen.mkdir()
        command = [sys.executable, _DRIVER, kind, name, "--calls", "5", *inputs]
        ran = run_inside(command, hook={"look": {"folder": str(seen)}}, cwd=tmp_path)
        assert (ran.returncode, ran.stdout) == (0, f"{name}: 5 calls\n"), ran.stderr
        inside = read_inside(str(seen), {})
        assert inside is not None
        assert [root.called("evaluation") for root in inside.roots] == [5]
    refuse_pickle(str(tmp_path / "m.pt"))
    with pytest.raises(UsageError, match="no TorchScript"):
        refuse_pickle(str(tmp_path / "weights.pt"))
    silent = drive(tmp_path, "torchscript", "m.pt")
    assert "does not say what its inputs look like" in silent.stderr


CAPTURED = """
import torch
class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)
    def forward(self, x, scale=1.0):
        return {"y": self.layer(x) * scale, "grad": torch.tensor(torch.is_grad_enabled())}
net = Own().eval()
for number in range(3):
    net(torch.ones(2, 4) * number, scale=2.0)
with torch.inference_mode():
    net(torch.ones(5, 4))
"""


def test_calls_of_a_capture_are_made_again_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "program.py").write_text(CAPTURED)
    command = ("run", "-q", "--capture", "--", sys.executable, str(tmp_path / "program.py"))
    assert frugalwatch(tmp_path, *command).returncode == 0
    capture = tmp_path / "state" / "frugalwatch" / "captures" / "C1"
    seen = tmp_path / "seen"
    seen.mkdir()
    words = [sys.executable, _DRIVER, "capture", str(capture), "--calls", "8"]
    ran = run_inside(words, hook={"look": {"folder": str(seen)}})
    assert (ran.returncode, ran.stdout) == (0, "C1: 8 calls\n"), ran.stderr
    inside = read_inside(str(seen), {})
    assert inside is not None
    (root,) = inside.roots
    assert root.name == "Own"
    assert dict(root.calls) == {"evaluation grad": 6, "evaluation no_grad": 2}
