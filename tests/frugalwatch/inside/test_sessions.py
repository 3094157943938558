"""ONNX Runtime sessions: looked at, and made otherwise, in a program that knows nothing of it."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from advisor.inside import read_inside
from advisor.outputs import read_outputs
from tests.frugalwatch.inside.kit import Ran, run_inside

pytest.importorskip("numpy")

STAND_IN = str(Path(__file__).parents[2] / "support" / "onnxruntime_stand_in")
PROGRAM = """
import sys, numpy, onnxruntime
options = None
if "own" in sys.argv:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 3
model = "model.onnx" if "bytes" not in sys.argv else open("model.onnx").read().encode()
session = onnxruntime.InferenceSession(model, options)
for number in range(4):
    x = numpy.full((2, 3), number % 3, dtype="float32")
    print(float(session.run(None, {"x": x})[0].sum()))
made = session.get_session_options()
print(made.intra_op_num_threads, sorted(made.entries.values()))
"""


def model(folder: Path, name: str, factor: float = 2.0) -> Path:
    path = folder / name
    inputs = [["x", "tensor(float)", ["batch", 3]]]
    path.write_text(json.dumps({"inputs": inputs, "factor": factor}))
    return path


def run(folder: Path, *words: str, hook: dict[str, Any] | None = None) -> Ran:
    (folder / "job.py").write_text(PROGRAM)
    command = [sys.executable, "job.py", *words]
    return run_inside(command, hook=hook, cwd=folder, PYTHONPATH=STAND_IN)


def notes(ran: Ran) -> list[str]:
    return [message[2] for message in ran.told("note")]


def test_a_program_is_told_apart_by_its_sessions_and_what_they_answer(tmp_path: Path) -> None:
    path = model(tmp_path, "model.onnx")
    seen = tmp_path / "seen"
    seen.mkdir()
    plain = run(tmp_path)
    looked = run(tmp_path, hook={"look": {"folder": str(seen)}})
    assert looked.stdout == plain.stdout
    assert looked.told("problem") == []
    inside = read_inside(str(seen), {"units": [{"unit": "request", "count": 4}]})
    assert inside is not None
    assert (inside.unit, inside.units, inside.roots, inside.learns) == ("request", 4, (), False)
    (session,) = inside.sessions
    assert (session.model, session.calls, session.threads) == (str(path), 4, 0)
    assert (session.spinning, session.optimization) == (True, "ORT_ENABLE_ALL")
    assert session.inputs == (("x", "tensor(float)", ("batch", 3)),)
    outputs = read_outputs(str(seen))
    assert [list(each.tensors[0].values()) for each in outputs] == [
        [0, 0],
        [6, 6],
        [12, 12],
        [0, 0],
    ]
    assert outputs[0].inputs == outputs[3].inputs != outputs[1].inputs
    assert [row.how for row in outputs[0].rows] == ["row"]
    assert len(outputs[0].items) == 2


def test_inputs_are_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    model(tmp_path, "model.onnx")
    seen = tmp_path / "seen"
    seen.mkdir()
    run(tmp_path, hook={"look": {"folder": str(seen), "inputs": True}})
    assert len(list(seen.glob("inputs-*/*.safetensors"))) == 4
    assert not list(seen.glob("outputs-*"))


def test_a_session_that_runs_in_place_of_a_module_is_not_the_programs(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    model(tmp_path, "model.onnx")
    (tmp_path / "factory.py").write_text(
        textwrap.dedent(
            """
            import onnxruntime, torch

            def make(module, args, kwargs, options):
                session = onnxruntime.InferenceSession("model.onnx")
                return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
            """
        )
    )
    (tmp_path / "job.py").write_text(
        textwrap.dedent(
            """
            import onnxruntime, torch

            own = onnxruntime.InferenceSession("model.onnx")
            net = torch.nn.Linear(3, 3).requires_grad_(False).eval()
            for _ in range(5):
                answer = net(torch.ones(2, 3))
            print(float(answer.sum()), own.run(None, {"x": answer.numpy()})[0].sum())
            """
        )
    )
    (seen := tmp_path / "seen").mkdir()
    switches = {"replace": {"factory": f"{tmp_path}/factory.py:make", "class": "Linear"}}
    ran = run_inside(
        [sys.executable, "job.py"],
        hook={"look": {"folder": str(seen)}, "switches": switches},
        cwd=tmp_path,
        PYTHONPATH=STAND_IN,
    )
    assert ran.stdout.startswith("12.0 ")
    inside = read_inside(str(seen), {"units": [{"unit": "call", "count": 5}]})
    assert inside is not None
    [session] = inside.sessions
    assert session.calls == 1


def test_threads_spinning_and_the_file_of_a_session_are_switched(tmp_path: Path) -> None:
    path, other = model(tmp_path, "model.onnx"), model(tmp_path, "other.onnx", factor=20.0)
    switches = {
        "session_threads": 1,
        "session_spinning": "off",
        "session_model": {str(path): str(other)},
    }
    ran = run(tmp_path, "own", hook={"switches": switches})
    assert ran.stdout.splitlines() == ["0.0", "120.0", "240.0", "0.0", "1 ['0', '0']"]
    said = notes(ran)
    assert f"switch session_model: applied ({other} for model.onnx)" in said
    assert "switch session_threads=1: applied (other.onnx, was 3)" in said
    assert len(said) == 3


def test_a_session_from_bytes_keeps_its_model_and_says_so(tmp_path: Path) -> None:
    path = model(tmp_path, "model.onnx")
    switches = {"session_model": {str(path): "/nowhere"}}
    ran = run(tmp_path, "bytes", hook={"switches": switches})
    assert ran.returncode == 0
    assert notes(ran) == [
        "switch session_model: not applied: the program makes its session from bytes, not from a"
        " file"
    ]


def test_an_artefact_that_is_gone_leaves_the_program_as_it_is(tmp_path: Path) -> None:
    path = model(tmp_path, "model.onnx")
    ran = run(tmp_path, hook={"switches": {"session_model": {str(path): "/gone.onnx"}}})
    assert ran.stdout.splitlines()[1] == "12.0"
    assert notes(ran) == ["switch session_model: not applied: /gone.onnx is gone"]


def test_a_switch_of_sessions_without_a_session_says_so() -> None:
    ran = run_inside("print(1)", hook={"switches": {"session_threads": 1}})
    assert notes(ran) == [
        "switch session_threads=1: not applied: the program did not import onnxruntime"
    ]
