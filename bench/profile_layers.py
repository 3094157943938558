"""How near the layers' times of `run --profile` come to torch's own profiler, on the CPU.

    python bench/profile_layers.py            a CNN, forward and backward, one thread

One process is profiled and, between, runs the same model under torch.profiler with a named range
around each layer; nodes of backward belong to the layer by the sequence number that autograd gives
them. Both see the same machine in turns of 50 and 10 calls, and the medians of a call are compared.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap

from frugalwatch.inside import folder
from frugalwatch.profile.layers import read_roots
from frugalwatch.profile.recorded import read_process

JOB = """
import json, os, time
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function
torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(
    nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
    nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, 10),
)
x, ranges, found = torch.randn(64, 1, 8, 8), [], {}
def before(name):
    def enter(module, args):
        ranges.append(record_function("layer " + name)); ranges[-1].__enter__()
    return enter
def after(module, args, output): ranges.pop().__exit__(None, None, None)
def reference(calls):
    handles = []
    for name, module in model.named_children():
        handles += [module.register_forward_pre_hook(before(name)),
                    module.register_forward_hook(after)]
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(calls): model(x).sum().backward()
    for handle in handles: handle.remove()
    forward, sequence = {}, {}
    events = seen.events()
    for e in events:
        if e.name.startswith("layer "):
            name = e.name[6:]
            forward.setdefault(name, []).append(e.cpu_time_total)
            stack = list(e.cpu_children)
            while stack:
                child = stack.pop(); stack += child.cpu_children
                if child.sequence_nr >= 0 and child.scope == 0:
                    sequence[child.sequence_nr] = name
    backward = {}
    for e in events:
        if e.name.startswith("autograd::engine::evaluate_function") and e.sequence_nr in sequence:
            name = sequence[e.sequence_nr]
            backward.setdefault(name, []).append((e.time_range.start, e.cpu_time_total))
    for name, times in forward.items():
        each = [t for _, t in sorted(backward.get(name, []))]
        nodes = len(each) // calls
        steps = [sum(each[i * nodes:(i + 1) * nodes]) for i in range(calls)] if nodes else [0.0]
        both = found.setdefault(name, ([], []))
        both[0].extend(times)
        both[1].extend(steps)
for _ in range(5): model(x).sum().backward()
end = time.monotonic() + float(os.environ["BENCH_SECONDS"])
while time.monotonic() < end:
    for _ in range(50): model(x).sum().backward()
    reference(10)
print(json.dumps({n: [sorted(v[i])[len(v[i]) // 2] / 1e6 for i in (0, 1)]
                  for n, v in found.items()}))
"""


def main() -> int:
    """Run the job profiled, and print both figures for each layer."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "30"
    with tempfile.TemporaryDirectory() as place:
        os.mkfifo(os.path.join(place, "pipe"))
        hook = {"profile": {"hz": 100, "folder": place}}
        environment = dict(
            os.environ,
            PYTHONPATH=folder(),
            FRUGALWATCH_PIPE=os.path.join(place, "pipe"),
            FRUGALWATCH_RUN_KEY="run",
            FRUGALWATCH_HOOK=json.dumps(hook),
            BENCH_SECONDS=seconds,
        )
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(JOB)],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        (name,) = os.listdir(os.path.join(place, "run"))
        process = read_process(os.path.join(place, "run", name))
    assert process is not None
    (root,) = read_roots([process])
    print(f"{root.watched} of {root.calls} calls watched; medians")
    print("layer                 forward: ours, torch's          backward: ours, torch's")
    reference = json.loads(done.stdout)
    watched = [line[5] for line in process.layers if line[0] == "call" and line[2] > 0]
    for index, layer in enumerate(root.layers):
        if layer.name not in reference:
            continue
        forward, backward = reference[layer.name]
        rows = [row for rows in watched for row in rows if row[0] == index]
        ours = statistics.median(row[3] / row[1] for row in rows) / 1e9
        back = statistics.median(row[5] for row in rows) / 1e9
        print(f"{layer.name} {layer.kind:<18} {_pair(ours, forward)}      {_pair(back, backward)}")
    return 0


def _pair(ours_s: float, theirs_s: float) -> str:
    near = f"{100 * (ours_s / theirs_s - 1):+.0f} %" if theirs_s else ""
    return f"{1e6 * ours_s:7.0f} {1e6 * theirs_s:7.0f} us {near:>6}"


if __name__ == "__main__":
    raise SystemExit(main())
