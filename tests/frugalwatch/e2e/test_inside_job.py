"""What a run knows of the inside of a Python job, through the whole program, against the truth."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.frugalwatch.e2e.kit import Frugalwatch, RunObject, events, sampler_of, until
from tests.support.fake_sysfs import PowercapTree, Square, Zone

TRAIN = """
import json, sys, time
import torch
from torch.utils.data import DataLoader, TensorDataset
torch.set_num_threads(1)
data = TensorDataset(torch.randn(320, 8), torch.randn(320, 1))
model = torch.nn.Linear(8, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
begun = None
for epoch in range(15):
    for x, y in DataLoader(data, batch_size=32):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
        begun = begun or time.monotonic_ns()
        time.sleep(0.02)
ended = time.monotonic_ns()
time.sleep(1.5)  # such as saving: no step
print(json.dumps([begun, ended]))
"""

TELLS = """
import os, sys, time
from _frugalwatch.line import process_line
line = process_line()
def work(count, unit="request"):
    for number in range(1, count + 1):
        line.tell("count", unit, number, number * 4)
        line.tell("spent", {"data_wait": number * 1_000_000})
        line.tell("times", unit, [[800, number]])
        time.sleep(0.01)
"""


def python(*texts: str) -> list[str]:
    return [sys.executable, "-c", "\n".join(textwrap.dedent(text) for text in texts)]


def unit(run: RunObject, name: str) -> dict[str, Any]:
    (found,) = [u for u in run["units"] if u["unit"] == name]
    return dict(found)


def test_joules_per_step_of_a_training_agree_with_what_was_used(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with PowercapTree(tmp_path, [Zone("package-0", Square(20.0, 70.0, 0.7))]) as tree:
        tree.start()
        frugalwatch = Frugalwatch(tmp_path)
        frugalwatch.environment["FRUGALWATCH_SYSFS"] = tree.sysfs
        run, result = frugalwatch.measure("--interval", "0.1", "--", *python(TRAIN))
        begun, ended = json.loads(result.stdout)
        steps = unit(run, "step")
        assert (steps["count"], steps["source"], steps["processes"]) == (150, "hook", 1)
        assert (unit(run, "batch")["count"], unit(run, "batch")["samples"]) == (150, 150 * 32)
        assert unit(run, "epoch")["count"] == 15
        start, _ = frugalwatch.window()
        told_ns = [start + round(steps[key] * 1e9) for key in ("began_s", "ended_s")]
        assert begun - 50_000_000 <= told_ns[0] < begun + 500_000_000
        assert told_ns[1] <= ended, "what came after the last step is no part of the steps"
        assert steps["ended_s"] - steps["began_s"] > 2
        number = steps["per_s"] * (told_ns[1] - told_ns[0]) / 1e9
        truth_j = tree.true_energy_j("package-0", *told_ns) / number
        each = steps["per_unit"]
        assert each["energy_j"] == pytest.approx(truth_j, rel=0.05)
        assert each["low_j"] <= truth_j <= each["high_j"]
        assert each["high_j"] < 1.3 * each["low_j"]
        assert unit(run, "batch")["per_sample"]["energy_j"] == pytest.approx(truth_j / 32, rel=0.1)
        assert steps["durations"]["durations"] >= 149
        assert 0.02 <= steps["durations"]["p50_s"] < 0.2
        # Parts add up to what was used, and a part that was seen is no more than its bounds allow.
        parts = {part["activity"]: part for part in run["activities"]["parts"]}
        assert {"data_wait", "backward", "optimizer", "other"} <= set(parts)
        known = [part["energy_j"] for part in parts.values() if part["energy_j"] is not None]
        assert sum(known) == pytest.approx(run["energy_j"], rel=0.05)
        said = frugalwatch("show").stdout.decode()
        assert "150 steps, 150 batches, 15 epochs" in said
        assert "Per step" in said


def test_ranks_are_told_apart_and_their_steps_are_one(frugalwatch: Frugalwatch) -> None:
    job = """
        import os, subprocess, sys
        if "RANK" not in os.environ:
            for process in [
                subprocess.Popen([sys.executable, __file__], env={**os.environ, **place})
                for place in ({"RANK": "0", "WORLD_SIZE": "2"}, {"RANK": "1", "WORLD_SIZE": "2"})
            ]:
                process.wait()
            sys.exit()
        import frugalwatch
        work(30, "step")
        frugalwatch.step(10 + int(os.environ["RANK"]))
    """
    script = frugalwatch.folder / "ranks.py"
    script.write_text(TELLS + textwrap.dedent(job))
    run, _ = frugalwatch.measure("--interval", "0.1", "--", sys.executable, str(script))
    assert (run["steps"]["steps"], run["steps"]["source"]) == (11, "job"), "its own come first"
    (hook,) = [u for u in run["units"] if u["source"] == "hook"]
    assert (hook["count"], hook["ranks"], hook["samples"]) == (30, 2, 240)
    ranks = [(p["rank"], p["counts"]) for p in run["inside"]["processes"] if p["counts"]]
    assert ranks == [(0, {"step": 30}), (1, {"step": 30})]
    assert run["inside"]["processes_count"] == 3


def test_a_program_that_execs_another_has_the_work_of_both(frugalwatch: Frugalwatch) -> None:
    job = """
        work(20)
        if len(sys.argv) == 1:
            os.execv(sys.executable, [sys.executable, __file__, "again"])
    """
    script = frugalwatch.folder / "twice.py"
    script.write_text(TELLS + textwrap.dedent(job))
    run, _ = frugalwatch.measure("--interval", "0.1", "--", sys.executable, str(script))
    assert (unit(run, "request")["count"], unit(run, "request")["samples"]) == (40, 160)
    assert unit(run, "request")["durations"]["durations"] == 40


def test_a_sampler_that_is_killed_loses_nothing_of_what_was_told(frugalwatch: Frugalwatch) -> None:
    target = frugalwatch.folder / "out.json"
    job = "work(100)\nopen(sys.argv[1], 'w').close()\nsys.stdin.read()\nwork(150)"
    marker = frugalwatch.folder / "half"
    process = frugalwatch.start(
        *("run", "--interval", "0.1", "--json", str(target), "--"),
        *python(TELLS, job),
        str(marker),
        stdin=-1,
    )
    with until(20, "half of the work") as again:
        while not marker.exists():
            again()
    os.kill(sampler_of(process.pid), signal.SIGKILL)
    process.communicate(b"", timeout=60)
    run = json.loads(target.read_text())
    assert events(run, "sampler_restarted")
    assert unit(run, "request")["count"] == 150
    assert unit(run, "request")["durations"]["durations"] == 150
    assert run["inside"]["hook"] == "reported", "said to the sampler that died"
    assert run["activities"]["processes"] == 1


def test_show_says_why_nothing_was_seen_inside(frugalwatch: Frugalwatch) -> None:
    for words, reason in (
        (["--", sys.executable, "-I", "-c", "pass"], "`python -I` ignores PYTHONPATH"),
        (["--", sys.executable, "-S", "-c", "pass"], "`python -S` starts without sitecustomize"),
        (["--no-hook", "--", sys.executable, "-c", "pass"], "the hook is switched off"),
    ):
        run, _ = frugalwatch.measure(*words)
        assert run["inside"]["hook"] in ("silent", "off")
        said = " ".join(frugalwatch("show").stdout.decode().split())
        assert f"Nothing was seen inside the program: {reason}" in said
    run, _ = frugalwatch.measure("--", "true")
    assert run["inside"] is None
    run, _ = frugalwatch.measure("--", sys.executable, "-c", "pass")
    assert (run["inside"]["hook"], run["inside"]["reason"]) == ("reported", None)


def test_what_failed_inside_is_in_show_and_nowhere_in_the_jobs_output(
    frugalwatch: Frugalwatch,
) -> None:
    job = "line.problem('torch_steps', ValueError('no such thing'))\nline.tell('note', 'compiled')"
    run, result = frugalwatch.measure("--summary", "none", "--", *python(TELLS, job))
    assert (result.stdout, result.stderr) == (b"", b"")
    assert [p["where"] for p in run["inside"]["problems"]] == ["torch_steps"]
    said = frugalwatch("show").stdout.decode()
    assert "hook problem in torch_steps: ValueError('no such thing')" in said
    assert "note: compiled" in said
