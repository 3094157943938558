"""A real job under `run --capture`: unharmed, and what was kept of it gives its answers again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from frugalwatch.captures.reading import Capture, read_capture
from frugalwatch.inside import folder as hook_folder
from tests.frugalwatch.e2e.kit import Frugalwatch, Result
from tests.frugalwatch.inside.kit import run_inside

pytest.importorskip("torch")

# Classes in __main__ with what resists pickling; training with dropout, then use with no gradients.
JOB = textwrap.dedent(
    """
    import hashlib, os, random, sys, threading, warnings
    import torch
    from torch import nn

    warnings.simplefilter("error")
    random.seed(1)
    torch.manual_seed(1)

    class Block(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.layer, self.drop = nn.Linear(size, size), nn.Dropout(0.3)
            self.activation = lambda x: torch.relu(x)
            self.norm = nn.BatchNorm1d(size)

        def forward(self, x):
            return self.norm(self.drop(self.activation(self.layer(x))))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([Block(6), Block(6)])
            self.head = nn.Linear(6, 3)

        def forward(self, x, *, scale=1.0):
            for block in self.blocks:
                x = block(x) + x
            x.mul_(scale)
            return {"logits": self.head(x), "note": "text"}

    class Locked(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.lock = nn.Linear(6, 2), threading.Lock()

        def forward(self, x):
            with self.lock:
                return self.layer(x) if float(x.sum()) > 0 else x

    net, locked = Net(), Locked()
    optimizer, loss = torch.optim.SGD(net.parameters(), lr=0.1), nn.CrossEntropyLoss()
    for _ in range(20):
        optimizer.zero_grad()
        loss(net(torch.randn(8, 6))["logits"], torch.randint(0, 3, (8,))).backward()
        optimizer.step()
    net.eval()
    outputs = []
    with torch.no_grad():
        for number in range(12):
            outputs.append(net(torch.full((number % 3 + 1, 6), float(number % 4)), scale=2.0))
        locked(torch.ones(1, 6))
    try:
        net(torch.ones(2, 5))
    except RuntimeError:
        pass
    digest = hashlib.sha256()
    for tensor in [*net.state_dict().values(), *[each["logits"] for each in outputs]]:
        digest.update(tensor.numpy().tobytes())
    digest.update(torch.get_rng_state().numpy().tobytes())
    digest.update(repr(random.getstate()).encode())
    print(digest.hexdigest())
    print([len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()])
    print(sorted(n for n in sys.modules if not n.startswith(("_frugalwatch", "sitecustomize"))))
    print(threading.active_count(), sorted(os.listdir("/proc/self/fd"))[:3])
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        print("no children")
    """
)

LOADER = textwrap.dedent(
    """
    import sys
    sys.path.insert(0, sys.argv[1])
    import torch
    from _frugalwatch.capture_load import load_call, load_module, load_program
    process, key = sys.argv[2:]
    module = load_module(process + "/module-0", key)
    program = load_program(process + "/module-0", key)
    for number in range(20, 32):
        args, kwargs = load_call(process, number)
        logits = load_call(process, number, "out")["logits"]
        args2, kwargs2 = load_call(process, number)
        with torch.no_grad():
            assert torch.allclose(module(*args, **kwargs)["logits"], logits, atol=1e-6), number
            assert torch.allclose(program(*args2, **kwargs2)["logits"], logits, atol=1e-6), number
    print(type(module).__module__, type(module).__name__)
    """
)


@dataclass
class Captured:
    """One run with `--capture`, and the same program alone."""

    frugalwatch: Frugalwatch
    result: Result
    alone: str
    capture: Capture

    @property
    def process(self) -> Path:
        return Path(self.capture.processes[0].path)

    def command(self, *arguments: str) -> Result:
        return self.frugalwatch("capture", *arguments)


@pytest.fixture(scope="module")
def captured(tmp_path_factory: Any) -> Captured:
    folder = tmp_path_factory.mktemp("capture")
    script = folder / "job.py"
    script.write_text(JOB)
    alone = run_inside([sys.executable, str(script)], hooked=False)
    assert alone.returncode == 0, alone.stderr
    frugalwatch = Frugalwatch(folder)
    result = frugalwatch(
        *("run", "--capture", "calls=64,days=2", "--summary", "block", "--"),
        *(sys.executable, str(script), "--token", "secret"),
        timeout_s=110,
    )
    assert result.returncode == 0, result.said
    (path,) = (folder / "state" / "frugalwatch" / "captures").glob("C*")
    return Captured(frugalwatch, result, alone.stdout, read_capture(str(path)))


def test_the_job_computes_the_same_and_sees_nothing_of_us(captured: Captured) -> None:
    assert captured.result.stdout.decode() == captured.alone
    assert "no children" in captured.alone


def test_calls_are_kept_in_order_with_shapes_and_repeats(captured: Captured) -> None:
    (process,) = captured.capture.processes
    net, locked = process.modules
    assert (net.calls, net.training_calls, net.kept, net.failed) == (33, 20, 33, 1)
    assert (locked.calls, locked.kept) == (1, 1)
    assert process.order == (*[0] * 32, 1, 0)
    (slot,) = net.inputs
    assert (slot.name, slot.dtype, slot.shape) == ("in.0", "F32", ((1, 8), (5, 6)))
    # 12 calls of 1 to 3 samples of 4 values: lcm(3, 4) = 12, so no repeat
    assert net.repeat_rate == 0.0
    lines = [json.loads(x) for x in (captured.process / "calls.jsonl").read_text().splitlines()]
    weights = [line["weights"] for line in lines if line["module"] == 0 and "error" not in line]
    assert weights[:20] == sorted(set(weights[:20]))  # every step changed them
    assert len(set(weights[20:])) == 1
    assert lines[-1]["error"] == "RuntimeError"


def test_module_and_program_answer_as_the_job_did_in_a_new_interpreter(captured: Captured) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-I", "-c", LOADER, hook_folder(), str(captured.process)),
            str(captured.process.parent.parent / "key"),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["__main__", "Net"]  # from its value, not from a file


def test_the_program_has_an_open_batch_and_the_settings_are_there(captured: Captured) -> None:
    about = captured.capture.modules[0].about
    assert captured.capture.modules[0].part("program")["dynamic"] == {"x": [0]}
    assert about["class"] == "__main__.Net"
    assert about["settings"]["float32_matmul_precision"] == "highest"
    assert about["settings"]["deterministic_algorithms"] is False
    assert about["parameters"] == 2 * (42 + 12) + 21


def test_what_could_not_be_stored_says_why(captured: Captured) -> None:
    locked = captured.capture.modules[1]
    assert "lock" in str(locked.part("pickle")["why_not"])
    assert "why_not" in locked.part("program")
    assert locked.part("weights")["bytes"]


def test_only_the_user_can_read_it_and_secrets_are_masked(captured: Captured) -> None:
    for folder, _, names in os.walk(captured.process.parent.parent):
        assert os.stat(folder).st_mode & 0o777 == 0o700
        for name in names:
            assert os.stat(os.path.join(folder, name)).st_mode & 0o077 == 0, name
    manifest = captured.capture.manifest
    assert manifest["command"][-2:] == ["--token", "***"]
    assert manifest["environment"]["HOME"] is None
    assert manifest["cwd"] == str(captured.frugalwatch.folder)
    assert "secret" not in (captured.process / "process.json").read_text()


def test_the_end_says_what_was_stored_and_until_when(captured: Captured) -> None:
    said = " ".join(captured.result.said.split())
    assert "Captured C1: 2 modules, 34 calls with inputs and outputs" in said
    assert "may hold personal data" in said
    assert str(captured.capture.manifest["expires_utc"])[:10] in said


def test_show_lists_everything_in_words_and_as_json(captured: Captured) -> None:
    shown = captured.command("show", "C1").stdout.decode()
    for text in ("run 1", "__main__.Net", "33 (13 in use, 20 in training, 1 failed)", "not stored"):
        assert text in shown, shown
    document = json.loads(captured.command("show", "1", "--json").stdout)
    assert document["schema"] == "frugalwatch.capture/1"
    assert document["processes"][0]["call_order"] == [[0, 32], [1, 1], [0, 1]]
    assert "seal" not in json.dumps(document)
    listed = json.loads(captured.command("list", "--json").stdout)["captures"]
    assert [(each["capture"], each["modules"]) for each in listed] == [("C1", 2)]


# -- by the hook alone -----------------------------------------------------------------------------

KILLED = """
import os, signal, torch
from torch import nn
model = nn.Linear(4, 2).eval()
for number in range({calls}):
    model(torch.full((1, 4), float(number % 5)))
{then}
"""


def run_captured(tmp_path: Path, text: str, **limits: object) -> tuple[Any, Capture]:
    options = {"folder": str(tmp_path), **limits}
    ran = run_inside(text, hook={"capture": options})
    return ran, read_capture(str(tmp_path))


def test_a_killed_job_leaves_a_readable_capture_within_its_limits(tmp_path: Path) -> None:
    then = "os.kill(os.getpid(), signal.SIGKILL)"
    ran, capture = run_captured(tmp_path, KILLED.format(calls=100, then=then), calls=8)
    assert ran.returncode == -9
    (module,) = capture.modules
    assert (module.calls, module.hashed) == (100, 100)
    assert module.repeat_rate == 0.95
    assert 4 <= module.kept <= 8
    assert not [name for name in os.listdir(tmp_path / "process-1" / "calls") if ".new" in name]
    # The copy of the process outlives the job and finishes what it was at.
    lock = tmp_path / "process-1" / "module-0" / "storing.lock"
    subprocess.run(["flock", str(lock), "true"], check=True, timeout=100)
    assert read_capture(str(tmp_path)).modules[0].part("program")["max_abs_difference"] == 0.0


def test_when_the_bytes_are_spent_the_job_goes_on_and_the_reason_is_kept(tmp_path: Path) -> None:
    text = KILLED.format(calls=64, then="print('done')")
    ran, capture = run_captured(tmp_path, text, bytes=20_000)
    assert ran.stdout == "done\n"
    kept = [p for p in tmp_path.rglob("*") if p.suffix in (".safetensors", ".pickle", ".pt2")]
    assert 10_000 < sum(p.stat().st_size for p in kept) <= 20_000
    assert capture.modules[0].calls == 64  # the index is small and goes on
    assert ["capture: the bytes allowed are spent"] in [m[2:] for m in ran.told("note")]
    assert capture.processes[0].notes == ("the bytes allowed are spent",)


HANDLED = """
import signal, torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.more = nn.Linear(4, 2), lambda x: x + 1

    def forward(self, x):
        return self.more(self.layer(x))

signal.signal(signal.SIGCHLD, lambda *given: print("a child of mine"))
model = Net().eval()
for number in range(3):
    model(torch.full((2, 4), float(number)))
"""


def test_where_a_copy_would_be_noticed_the_program_is_exported_after_the_job(
    tmp_path: Path,
) -> None:
    script = tmp_path / "job.py"
    script.write_text(HANDLED)
    frugalwatch = Frugalwatch(tmp_path)
    result = frugalwatch("run", "--capture", "-q", "--", sys.executable, str(script))
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    capture = read_capture(str(tmp_path / "state" / "frugalwatch" / "captures" / "C1"))
    (module,) = capture.modules
    assert module.part("pickle")["by"] == "frugalwatch"
    assert module.part("program")["dynamic"] == {"x": [0]}
