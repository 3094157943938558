"""Programs that are not as one would wish: each gets sensible behaviour and a clear sentence.

Those that read stdin, write files, or are over at once are in test_commands.py.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from advisor.replay import Isolation, Replayer
from advisor.sampling import take_sample
from advisor.techniques.base import Change
from advisor.workload import Workload
from advisor.workshop import CannotBuildError, Workshop
from tests.advisor.kit import written
from tests.advisor.test_commands import frugalwatch
from tests.advisor.test_sandbox import needs_namespaces
from tests.frugalwatch.inside.kit import interpreters

pytestmark = [needs_namespaces, pytest.mark.timeout(900)]

STAND_IN = str(Path(__file__).parents[1] / "support" / "onnxruntime_stand_in")
QUICK = ("--rounds", "3", "--budget", "1s")
SPIN = """
import os, threading, time
stop = threading.Event()
threading.Thread(target=stop.wait, daemon=True).start()
until = time.process_time() + (0.05 if os.environ.get("OMP_NUM_THREADS") == "1" else 0.5)
while time.process_time() < until:
    sum(range(1000))
"""


def program(folder: Path, text: str) -> tuple[str, str]:
    return sys.executable, written(folder, "program.py", text)


def replayer(folder: Path, text: str, *words: str, python: str = sys.executable) -> Replayer:
    private = folder / "private"
    private.mkdir()
    argv = (python, written(folder, "program.py", text), *words)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FRUGALWATCH", "PYTHON"))}
    work = Workload(argv, str(folder), kept)
    return Replayer(work, Isolation(), str(private), hook=True)


def document(folder: Path, *words: str) -> Mapping[str, Any]:
    done = frugalwatch(folder, "advise", *QUICK, "--json", *words)
    assert done.returncode == 0, done.stderr
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def test_a_program_that_is_not_deterministic_is_left_to_the_reader(tmp_path: Path) -> None:
    text = SPIN + "import random; print(random.random())"
    found = document(tmp_path, "--", *program(tmp_path, text))
    rows = [*found["recommendations"], *found["not_recommended"]]
    assert rows, found["not_tried"]
    assert {row["quality"]["finding"] for row in rows} == {"cannot tell"}
    assert "differs from run to run" in rows[0]["quality"]["reason"]
    assert "--metric" in rows[0]["quality"]["reason"]


def test_a_metric_that_is_never_printed_is_said(tmp_path: Path) -> None:
    text = SPIN + "print('done')"
    words = ("--metric", r"accuracy: (\S+)", "--", *program(tmp_path, text))
    found = document(tmp_path, *words)
    rows = [*found["recommendations"], *found["not_recommended"]]
    assert "found no number" in rows[0]["quality"]["reason"]


def test_a_metric_that_is_never_printed_is_said_where_nothing_is_tried_too(tmp_path: Path) -> None:
    text = "import time; time.sleep(0.4); print('done')"
    found = document(tmp_path, "--metric", r"accuracy: (\S+)", "--", *program(tmp_path, text))
    assert any(note.startswith("--metric found no number") for note in found["notes"])


def test_what_a_program_writes_is_gone_and_starts_anew_in_each_replay(tmp_path: Path) -> None:
    text = SPIN + "open('log', 'a').write('x'); print(len(open('log').read()))"
    (tmp_path / "log").write_text("before")
    found = document(tmp_path, "--", *program(tmp_path, text))
    assert (tmp_path / "log").read_text() == "before"
    rows = [*found["recommendations"], *found["not_recommended"]]
    assert {row["quality"]["finding"] for row in rows} == {"identical"}  # 7 each time


def test_a_model_that_cannot_be_exported_is_told_in_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    text = """
import torch
class Thing:
    def __init__(self, x): self.x = x
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)
    def forward(self, x):
        return Thing(self.linear(x))
net = Net().eval()
with torch.no_grad():
    for _ in range(3):
        net(torch.ones(1, 4))
"""
    replays = replayer(tmp_path, text)
    sample, _ = take_sample(replays)
    assert sample is not None
    bench = Workshop(str(tmp_path / "A1"), sample, replays, lambda _: None)
    with pytest.raises(CannotBuildError) as raised:
        bench.export(sample.modules[0])
    assert str(raised.value) == (
        "Net cannot be exported: its answer holds a Thing, which no exported model can give"
    )


def test_arguments_reach_the_program_as_they_were_typed(tmp_path: Path) -> None:
    text = "import sys, time; time.sleep(0.4); print(sys.argv[1:])"
    words = ["--rounds", "7", "-q", "--", "*.py", "a b", ""]
    done = replayer(tmp_path, text, *words).replay(watch=True)
    assert done.text().strip() == str(words)


@pytest.mark.parametrize(
    ("last", "status"), [("os.kill(os.getpid(), 9)", "137"), ("raise SystemExit(3)", "3")]
)
def test_a_program_that_dies_in_the_middle_is_shown_with_its_last_words(
    tmp_path: Path, last: str, status: str
) -> None:
    text = f"import os, sys\nprint('half way', file=sys.stderr, flush=True)\n{last}\n"
    done = frugalwatch(tmp_path, "advise", "--", *program(tmp_path, text))
    assert done.returncode == 1
    assert f"it ended with status {status}" in done.stderr
    assert "| half way" in done.stderr
    assert "hint: " in done.stderr


def test_a_program_that_wants_to_download_is_told_how(tmp_path: Path) -> None:
    text = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    done = frugalwatch(tmp_path, "advise", "--", *program(tmp_path, text))
    assert done.returncode == 1
    assert "Network is unreachable" in done.stderr
    assert "--allow-network" in done.stderr


def test_a_program_of_a_second_is_said_to_be_mostly_its_start(tmp_path: Path) -> None:
    found = document(tmp_path, "--", sys.executable, "-c", "import time; time.sleep(0.4)")
    assert any("less than a second" in note for note in found["notes"])


def test_what_a_program_does_is_told_as_training_inference_or_neither(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    for text, kind in (
        ("import sklearn.linear_model as m; m.Ridge().fit([[0.], [1.]], [0, 1])", "training"),
        ("print(1)", "unknown"),
    ):
        folder = tmp_path / kind
        folder.mkdir()
        replays = replayer(folder, text)
        assert replays.replay(watch=True).ok
        assert replays.work_kind == kind


def test_each_of_several_models_is_seen(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    text = """
import torch
encoder, head = torch.nn.Linear(4, 8), torch.nn.Bilinear(8, 8, 2)
with torch.no_grad():
    for _ in range(5):
        code = encoder(torch.ones(1, 4)); head(code, code)
"""
    replays = replayer(tmp_path, text)
    assert replays.replay(watch=True, look=True).ok
    assert replays.inside is not None
    assert [root.name for root in replays.inside.roots] == ["Linear", "Bilinear"]
    assert (replays.inside.units, replays.work_kind) == (10, "inference")


@pytest.mark.parametrize("python", interpreters("3.9", "3.13"))
def test_a_program_of_another_python_without_torch_is_replayed_and_seen(
    tmp_path: Path, python: str
) -> None:
    replays = replayer(tmp_path, "import sys; print(sys.version_info[:2])", python=python)
    done = replays.replay(watch=True, look=True)
    assert done.ok, done.tail()
    assert replays.inside is None
    again = replays.replay(Change({"OMP_NUM_THREADS": "1"}))
    assert again.text() == done.text()


def test_a_model_file_is_advised_on_and_its_made_up_inputs_are_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numpy")
    monkeypatch.setenv("PYTHONPATH", STAND_IN)
    inputs = [["x", "tensor(float)", ["batch", 3]]]
    model = {"inputs": inputs, "factor": 2.0, "burn_s": 0.006}
    (tmp_path / "m.onnx").write_text(json.dumps(model))
    words = ("advise", *QUICK, "-q", "m.onnx", "--calls", "6", "--python", sys.executable)
    done = frugalwatch(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert "ONNX file m.onnx: 6 calls" in told
    assert "SYNTHESISED from its signature, not your data" in told
    assert "note: the inputs are synthesised" in told
    found = json.loads(frugalwatch(tmp_path, "advice", "A1", "--json").stdout)
    assert found["workload"]["inputs"] == "synthesised"
    assert found["work"] == {"kind": "inference", "unit": "request", "count": 6}
    rows = {r["name"]: r for r in [*found["recommendations"], *found["not_recommended"]]}
    assert rows["one thread"]["change"]["switches"] == {"session_threads": 1}
    assert rows["one thread"]["quality"]["finding"] == "identical"
    assert rows["one thread"]["ratio"]["value"] < 0.9


def test_a_model_file_without_its_runtime_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("{}")
    pythons = interpreters("3.13", "3.12", "3.9") or [sys.executable]
    done = frugalwatch(tmp_path, "advise", "m.onnx", "--python", pythons[0])
    if done.returncode == 0:
        pytest.skip("it has onnxruntime")
    assert "no Python here can load m.onnx" in done.stderr
    assert f"{pythons[0]} -m pip install onnxruntime" in done.stderr
    assert "--python PATH" in done.stderr


def test_options_of_model_files_are_refused_beside_a_command(tmp_path: Path) -> None:
    done = frugalwatch(tmp_path, "advise", "--inputs", "x.npz", "--", "true")
    assert done.returncode == 2
    assert "--inputs is for a model file" in done.stderr
    late = frugalwatch(tmp_path, "advise", "m.onnx", "and", "more")
    assert late.returncode == 2
    assert "stands alone" in late.stderr
