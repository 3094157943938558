"""Changes that act inside a real torch program: seen, applied, measured, applied again.

The programs waste so much that no load of the machine hides it: a model that burns CPU time while
gradients are on, and a dataset that sleeps.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from advisor import store
from advisor.advise import advise
from advisor.budget import Budget
from advisor.options import Options
from advisor.replay import Isolation, Replayer
from advisor.search import Plan
from advisor.stopping import Stop
from advisor.techniques.base import Change, Technique
from advisor.techniques.inference_mode import InferenceMode
from advisor.workload import Workload
from frugalwatch.ledger.connection import open_ledger
from tests.advisor.kit import written
from tests.advisor.test_commands import frugalwatch
from tests.advisor.test_sandbox import needs_namespaces

pytest.importorskip("torch")
pytestmark = [needs_namespaces, pytest.mark.timeout(900)]

# Ten times the work where gradients are on. Dropout, so that eval() would change the answers.
FORGETFUL = """
import sys, time, torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.drop = torch.nn.Linear(4, 3), torch.nn.Dropout(0.5)
    def forward(self, x):
        until = time.process_time() + (0.06 if torch.is_grad_enabled() else 0.006)
        while time.process_time() < until:
            sum(range(1000))
        time.sleep(0.02)
        return self.drop(self.linear(x))
torch.manual_seed(0)
net = Net()
inputs = torch.randn(24, 1, 4)
print(sum(float(net(x).sum().detach()) for x in inputs))
open("written", "w").write("x")
print("grad", net(inputs[0]).requires_grad, "training", net.training, file=sys.stderr)
"""

SLEEPY = """
import sys, time, torch
class Data(torch.utils.data.Dataset):
    def __len__(self): return 24
    def __getitem__(self, i):
        time.sleep(0.1)
        asked = torch.utils.data.get_worker_info()
        return torch.full((4,), -1.0 if asked is None else float(asked.id))
asked = set()
net = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(net.parameters(), 1e-4)
for batch in torch.utils.data.DataLoader(Data(), batch_size=2):
    asked.update(batch[:, 0].int().tolist())
    optimizer.zero_grad(); net(batch).sum().backward(); optimizer.step()
print("asked", sorted(asked), file=sys.stderr)
"""


def workload(folder: Path, name: str, text: str) -> Workload:
    """One thread, so that the second yardstick is the program itself."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FRUGALWATCH", "PYTHON"))}
    return Workload((sys.executable, written(folder, name, text)), str(folder), {**kept, **threads})


def replayer(folder: Path, work: Workload, stop: Stop | None = None) -> Replayer:
    private = folder / "private"
    private.mkdir()
    return Replayer(work, Isolation(), str(private), hook=True, stop=stop)


def test_what_a_program_does_is_seen_and_its_switches_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only: tuple[Technique, ...] = (InferenceMode(),)
    for where in ("advisor.advise.techniques", "advisor.candidates.techniques"):
        monkeypatch.setattr(where, lambda *, hook, **_: only if hook else ())
    # The least of rounds, and yet both ways are tried out.
    monkeypatch.setattr("advisor.selecting._TRYING_SHARE", math.inf)
    work = workload(tmp_path, "infer.py", FORGETFUL)
    with closing(open_ledger(str(tmp_path / "l.db"), create=True)) as conn:
        options = Options(Plan(Budget(1), rounds=3), Isolation())
        document: dict[str, Any] = advise(conn, work, options, lambda _: None)
    rows = {r["name"]: r for r in document["recommendations"] + document["not_recommended"]}

    lossless = rows["inference mode"]
    assert lossless["quality"]["finding"] == "identical"
    assert lossless["quality"]["lossless"]
    assert lossless["quality"]["outputs"]["identical_calls"] == 25
    assert lossless["per_unit"]["ratio"]["value"] < 0.5  # the truth is a tenth
    assert lossless["ratio"]["value"] < 0.9
    assert document["work"] == {"kind": "inference", "unit": "call", "count": 25}
    assert document["baselines"][0]["unit_cpu_s"] > 0.04

    forgotten = rows["eval, inference mode"]
    assert forgotten["verdict"] == "changes the answers"  # dropout is gone
    assert not forgotten["quality"]["lossless"]
    assert forgotten["quality"]["outputs"]["distance"] > 0.1
    assert not (tmp_path / "written").exists()


def test_switches_of_an_advice_are_applied_by_run_with(tmp_path: Path) -> None:
    work = workload(tmp_path, "infer.py", FORGETFUL)
    with closing(open_ledger(str(tmp_path / "l.db"), create=True)) as conn:
        number = store.begin_advice(conn, work, cpus=2, seed=0)
        change = Change(switches={"eval": "always", "inference_mode": True})
        store.finish_advice(conn, number, "done", _recommending(change))
    done = frugalwatch(tmp_path, "run", "--with", "A1", "-q", "--", *work.argv)
    assert done.stderr.splitlines()[-1] == "grad False training False"
    with sqlite3.connect(tmp_path / "l.db") as conn:
        notes = [row[0] for row in conn.execute("SELECT detail FROM event WHERE kind='hook_note'")]
    assert any(note.startswith("switch inference_mode: applied") for note in notes)

    refused = frugalwatch(tmp_path, "run", "--no-hook", "--with", "A1", "--", "touch", "started")
    assert refused.returncode == 2
    assert "needs the hook" in refused.stderr
    assert not (tmp_path / "started").exists()


def _recommending(change: Change) -> dict[str, Any]:
    ratio = {"value": 0.5, "low": 0.4, "high": 0.6, "rounds": 3}
    row = {"number": 1, "name": "x", "change": change.as_json(), "ratio": ratio}
    return {"recommendations": [row], "unit": "cpu_s"}


def test_workers_take_the_waiting_out_of_a_loader(tmp_path: Path) -> None:
    replays = replayer(tmp_path, workload(tmp_path, "train.py", SLEEPY))
    first = replays.replay(watch=True, look=True)
    inside = replays.inside
    assert first.ok, first.tail()
    assert inside is not None
    assert [(each.workers, each.dataset) for each in inside.loaders] == [(0, "Data")]
    assert (inside.learns, inside.steps, inside.unit) == (True, 12, "step")
    assert inside.roots[0].called("training", "grad") == 12
    assert inside.shares["data_wait"] > 0.05  # the rest is starting

    alone = replays.replay()
    helped = replays.replay(Change(switches={"loader": {"workers": 4, "persistent": True}}))
    assert helped.ok, (helped.why, helped.tail())
    assert alone.marginal is not None
    assert alone.marginal.wall_s > 0.2  # two items that sleep 0.1 s each
    assert "asked [-1]" in alone.tail()
    assert "asked [0, 1, 2, 3]" in helped.tail()


def test_a_switch_that_cannot_act_is_said_and_a_long_program_is_stopped(tmp_path: Path) -> None:
    replays = replayer(tmp_path, workload(tmp_path, "train.py", SLEEPY), Stop(3))
    first = replays.replay(watch=True, look=True)
    assert first.ok, first.tail()
    assert replays.inside is not None
    assert replays.inside.units == 3
    with open(first.output) as file:
        assert file.read() == ""  # it never came to its last line

    refused = replays.replay(Change(switches={"channels_last": True}))
    assert refused.state == "not applied"
    assert refused.why == "channels last: Linear has no two-dimensional convolution"


def test_a_program_without_torch_gets_no_hook_after_the_first_look(tmp_path: Path) -> None:
    code = "import os; print('FRUGALWATCH_HOOK' in os.environ, 'FRUGALWATCH_PIPE' in os.environ)"
    replays = replayer(tmp_path, workload(tmp_path, "plain.py", code))
    looked, plain = replays.replay(watch=True, look=True), replays.replay()
    assert replays.inside is None
    texts = []
    for found in (looked, plain):
        with open(found.output) as file:
            texts.append(file.read().split())
    assert texts == [["True", "True"], ["False", "False"]]
    assert json.dumps(plain.outputs) == "[]"
