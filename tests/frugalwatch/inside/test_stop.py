"""The end after so many steps, and a whole replay: switched, stopped, and the user's files kept."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from pathlib import Path

import pytest

from advisor import sandbox
from frugalwatch.inside.path._frugalwatch.stop import STOPPED
from tests.advisor.test_sandbox import needs_namespaces
from tests.frugalwatch.e2e.kit import Frugalwatch
from tests.frugalwatch.inside.kit import run_inside

pytest.importorskip("torch")

# Would go on for ever, swallows everything, and has much to do at its end.
TRAINING = textwrap.dedent(
    """
    import atexit, itertools, sys
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    atexit.register(lambda: open("at-exit", "w").close())
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1))
    optimizer = torch.optim.Adam(model.parameters())
    data = DataLoader(TensorDataset(torch.randn(64, 4)), batch_size=4, num_workers=1)
    torch.set_num_threads(2)
    sys.stdout.write("begun")
    try:
        for epoch in itertools.count():
            for (x,) in data:
                optimizer.zero_grad()
                model(x).sum().backward()
                optimizer.step()
            torch.save(model.state_dict(), "checkpoint.pt")
            with open("log.txt", "a") as file:
                file.write(f"epoch {epoch}\\n")
    except:
        sys.stdout.write("swallowed")
    finally:
        open("final.txt", "w").close()
    """
)


def test_it_ends_at_once_whatever_the_program_catches_and_says_so(tmp_path: Path) -> None:
    ran = run_inside(TRAINING, hook={"stop": {"after": 20, "unit": "step"}}, cwd=tmp_path)
    assert ran.returncode == STOPPED, ran.stderr
    assert (ran.stdout, ran.stderr) == ("begun", "")  # flushed, and nothing else
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.pt", "log.txt"]  # of the first epoch
    assert ran.counts()["step"] == 20
    assert ["stopped after 20 steps, as asked"] in [message[2:] for message in ran.told("note")]


@pytest.mark.parametrize(
    ("unit", "loop"),
    [
        ("call", "model(x)"),
        ("user_step", "frugalwatch.step()"),
    ],
)
def test_calls_and_the_programs_own_steps_count_too(unit: str, loop: str, tmp_path: Path) -> None:
    needed = {
        "call": "import torch\nmodel, x = torch.nn.Linear(2, 2), torch.ones(1, 2)",
        "user_step": "import frugalwatch.job_api as frugalwatch",
    }[unit]
    text = f"{needed}\nfor number in range(100):\n    print(number, flush=True)\n    {loop}\n"
    path = str(Path(sandbox.__file__).parents[1])
    ran = run_inside(text, hook={"stop": {"after": 7, "unit": unit}}, cwd=tmp_path, PYTHONPATH=path)
    assert (ran.returncode, ran.stdout.split()) == (STOPPED, [str(n) for n in range(7)])


def test_a_unit_that_cannot_be_counted_is_said_and_the_program_runs_to_its_end() -> None:
    ran = run_inside("print('whole')", hook={"stop": {"after": 3, "unit": "wish"}})
    assert (ran.returncode, ran.stdout) == (0, "whole\n")
    assert ["stop: not applied: cannot stop after 3 wish"] in [m[2:] for m in ran.told("note")]


def state_of(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Everything in a folder: content, mode and time of change."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        stat = path.stat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (content, stat.st_mode, stat.st_mtime_ns)
    return found


@needs_namespaces
def test_a_replay_with_a_switch_and_a_stop_leaves_the_users_folder_alone(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text(TRAINING)
    (project / "checkpoint.pt").write_bytes(b"a good one")
    (project / "log.txt").write_text("epoch 99\n")
    before = state_of(project)
    frugalwatch = Frugalwatch(tmp_path)
    hook = {"switches": {"threads": 1}, "stop": {"after": 40, "unit": "step"}}
    order = {
        "set": {},
        "unset": [],
        "report": str(tmp_path / "launch"),
        "cover": True,
        "network": False,
    }
    run, result = frugalwatch.measure(
        *("--hook", json.dumps(hook), "--"),
        *(sys.executable, "-I", "-S", "-B", sandbox.__file__, json.dumps(order)),
        *(sys.executable, "train.py"),
        cwd=project,
        timeout_s=100,
    )
    assert "error" not in json.loads((tmp_path / "launch").read_text())
    assert (run["exit_code"], result.stdout) == (STOPPED, b"begun"), result.said
    assert state_of(project) == before
    notes = " ".join(str(event) for event in [run["events"], run.get("inside")])
    for text in ("threads=1: applied (the program asked for 2)", "stopped after 40 steps"):
        assert text in notes, notes
