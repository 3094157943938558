"""What the typed words name."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.workloads.recognise import Word, recognise, takes_late_options
from frugalwatch.errors import UsageError

PROTOCOL = "def load_model(): ...\ndef inputs(): ...\n"


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("model.onnx", "onnx"),
        ("m/Model.ONNX", "onnx"),
        ("model.pt2", "program"),
        ("model.pt", "torchscript"),
        ("model.pth", "torchscript"),
        ("C3", "capture"),
        ("A7", "advice"),
        ("40", "run"),
        ("last", "run"),
        ("20260101-120000-ab", "run"),
        ("C03", "command"),
        ("python", "command"),
        ("onnx", "command"),
    ],
)
def test_a_word_names_one_thing(word: str, kind: Word) -> None:
    assert recognise((word,)) == kind


def test_a_program_on_the_path_is_a_command_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "C3"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert recognise(("C3",)) == "command"


def test_a_python_file_is_a_workload_if_it_says_what_to_load(tmp_path: Path) -> None:
    path = tmp_path / "workload.py"
    path.write_text(PROTOCOL)
    assert recognise((str(path),)) == "workload"
    assert recognise(("python", str(path))) == "command"
    path.write_text("from elsewhere import load_model\ninputs = [1, 2].copy\n")
    assert recognise((str(path),)) == "workload"
    path.write_text("def train(model): ...\n")
    assert recognise((str(path),)) == "workload"


def test_a_python_file_that_is_neither_is_refused_with_what_to_type(tmp_path: Path) -> None:
    path = tmp_path / "infer.py"
    path.write_text("def inputs(): ...\n")
    with pytest.raises(UsageError) as caught:
        recognise((str(path),))
    assert "defines only inputs()" in str(caught.value)
    assert f"advise -- python {path}" in caught.value.hint
    path.chmod(0o755)
    assert recognise((str(path),)) == "command"


def test_it_is_read_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "workload.py"
    path.write_text(PROTOCOL + f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    recognise((str(path),))
    assert not (tmp_path / "ran").exists()


def test_options_may_follow_what_cannot_be_a_command(tmp_path: Path) -> None:
    path = tmp_path / "workload.py"
    path.write_text(PROTOCOL)
    assert takes_late_options(("model.onnx", "--inputs"))
    assert takes_late_options((str(path),))
    assert not takes_late_options(("python", "infer.py", "--inputs"))
    assert not takes_late_options(("40",))
    assert not takes_late_options(())
