"""Steps, batches and epochs are counted exactly, and torch computes what it computes without us."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.frugalwatch.inside.kit import Ran, run_inside

pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(300)  # seconds on an idle machine, minutes on a crowded one
HERE = Path(__file__).parent
_LOG_LINE = re.compile(r"^[A-Z]\d{4} .*\n", re.MULTILINE)  # torch's own, with time and pid


@pytest.fixture(scope="module")
def scenarios() -> Ran:
    """The program of many scenarios, which has run to its end."""
    ran = run_inside([sys.executable, str(HERE / "torch_scenarios.py")])
    assert ran.returncode == 0, ran.stderr
    return ran


def test_every_way_of_training_has_the_steps_batches_and_epochs_that_it_has(
    scenarios: Ran,
) -> None:
    results = json.loads(scenarios.stdout)
    assert len(results) > 15
    wrong = {name: result for name, result in results.items() if result[0] != result[1]}
    assert wrong == {}
    assert scenarios.told("problem") == []


def test_what_was_counted_is_told(scenarios: Ran) -> None:
    done = [done for done, _ in json.loads(scenarios.stdout).values()]
    assert scenarios.counts() == {
        unit: sum(each[unit] for each in done) for unit in ("step", "batch", "epoch")
    }


def test_activities_add_up_to_less_than_the_time_there_was(scenarios: Ran) -> None:
    _, begun_ns, *_ = scenarios.told("hello")[0]
    pid, ended_ns, spent = scenarios.told("spent")[-1]
    assert pid == scenarios.told("hello")[0][0]
    assert set(spent) == {"data_wait", "backward", "optimizer", "evaluation"}
    assert all(figure > 0 for figure in spent.values())
    # Eight threads made steps side by side, on two cores or more.
    assert sum(spent.values()) - spent["optimizer"] < ended_ns - begun_ns


def test_step_times_are_told_as_a_histogram(scenarios: Ran) -> None:
    buckets: dict[int, int] = {}
    for _, _, unit, pairs in scenarios.told("times"):
        assert unit == "step"
        buckets |= dict(pairs)  # the last one holds
    # One fewer than steps for each thread, and after each evaluation; where steps are short, up to
    # thirty more at each end of a thread, that no timed one has stood for yet.
    steps = scenarios.counts()["step"]
    assert steps - 150 < sum(buckets.values()) < steps
    assert all(1.02**bucket < 100e9 for bucket in buckets)


def test_of_many_short_steps_all_are_counted_and_those_timed_stand_for_the_others() -> None:
    program = """
import time, torch
net = torch.nn.Linear(2, 2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
net.weight.grad = torch.zeros(2, 2)
for _ in range(7000):
    optimizer.step()
time.sleep(0.05)
for _ in range(3):
    optimizer.step()
    time.sleep(0.02)
"""
    ran = run_inside([sys.executable, "-c", program])
    assert ran.returncode == 0, ran.stderr
    assert ran.counts()["step"] == 7003
    (
        *_,
        (_, _, unit, pairs),
    ) = ran.told("times")
    assert unit == "step"
    assert sum(count for _, count in pairs) == pytest.approx(7002, rel=0.01)
    mean_ns = sum(1.02 ** (bucket + 0.5) * count for bucket, count in pairs) / 7002
    optimizer_ns = ran.told("spent")[-1][2]["optimizer"]
    assert 0 < optimizer_ns < mean_ns * 7002


def test_short_steps_are_counted_once_whoever_makes_them_in_turn_or_inside_of_another() -> None:
    program = """
import threading, torch
def optimizer(kind=torch.optim.SGD):
    net = torch.nn.Linear(2, 2)
    net.weight.grad = torch.zeros(2, 2)
    return kind(net.parameters(), lr=0.0)
class Ahead(torch.optim.Optimizer):
    def __init__(self, inner):
        self.inner = inner
        super().__init__(inner.param_groups, {})
    def step(self):
        self.inner.step()
class Own(torch.optim.SGD):
    def step(self):
        super().step()
own, one, two = optimizer(Own), optimizer(), optimizer()
def alone(each, count):
    for _ in range(count):
        each.step()
alone(one, 1000)
for _ in range(500):
    one.step(); two.step()
alone(two, 503)
holding = Ahead(two)
alone(holding, 1000)
alone(two, 503)
alone(own, 1000)
threads = [threading.Thread(target=alone, args=(optimizer(), 1000)) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    ran = run_inside([sys.executable, "-c", program])
    assert ran.returncode == 0, ran.stderr
    assert ran.told("problem") == []
    assert ran.counts()["step"] == 1000 + 1000 + 503 + 1000 + 503 + 1000 + 3000
    buckets = {bucket: count for *_, pairs in ran.told("times") for bucket, count in pairs}
    assert sum(buckets.values()) == pytest.approx(8006, rel=0.05)


@pytest.mark.slow
def test_results_graphs_exports_warnings_and_tracebacks_are_the_same_to_the_bit() -> None:
    command = [sys.executable, str(HERE / "torch_results.py")]
    plain, ours = run_inside(command, hooked=False), run_inside(command)
    assert plain.stdout.splitlines() == ours.stdout.splitlines()
    assert _LOG_LINE.sub("", plain.stderr) == _LOG_LINE.sub("", ours.stderr)
    assert plain.returncode == ours.returncode == 1, "it ends with an error of its own"
    assert len(plain.stdout.splitlines()) >= 15, plain.stderr
    assert ours.counts()["step"] >= 22
    assert ours.told("problem") == []


def test_samples_are_those_of_the_batches_or_unknown() -> None:
    script = """
        import torch
        from torch.utils.data import DataLoader, TensorDataset, IterableDataset
        class Stream(IterableDataset):
            def __iter__(self): yield from range(5)
        data = TensorDataset(torch.ones(103, 2))
        list(DataLoader(data, batch_size=10)), list(DataLoader(data, batch_size=10, drop_last=True))
        import os
        if os.fork() == 0:
            list(DataLoader(Stream(), batch_size=2))
            os._exit(0)
        os.wait()
    """
    assert run_inside(script).samples("batch") == [203, None]


def test_of_many_short_batches_all_are_counted_and_those_timed_stand_for_the_others() -> None:
    program = """
import json, torch
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset
data = TensorDataset(torch.ones(1003, 2))
done = [0, 0]

def take(loader, most=None):
    for number, (batch,) in enumerate(loader):
        done[0] += 1
        done[1] += len(batch)
        if number == most:
            return

class Fewer(Sampler):  # than it says
    def __len__(self): return 1000
    def __iter__(self): return iter(range(500))

class Failing(Dataset):
    def __len__(self): return 400
    def __getitem__(self, index):
        if index == 399:
            raise KeyError(index)
        return (torch.ones(2),)

for _ in range(3):
    take(DataLoader(data, batch_size=4))
take(DataLoader(data, batch_size=4, shuffle=True, drop_last=True))
take(DataLoader(data, batch_size=4), 157)  # left early
again = DataLoader(data, batch_size=4, num_workers=1, persistent_workers=True)
take(again, 101)
take(again)
take(DataLoader(data, batch_size=4, sampler=Fewer()))
for _ in zip(DataLoader(data, batch_size=4), DataLoader(data, batch_size=4)):
    done[0] += 2
    done[1] += 2 * len(_[0][0])
one_by_one = iter(DataLoader(data, batch_size=4))
step = one_by_one.__next__
for _ in range(200):
    done[0] += 1
    done[1] += len(step()[0])
for _ in range(2):
    try:
        take(DataLoader(Failing(), batch_size=2))
    except KeyError:
        pass
print(json.dumps(done))
"""
    ran = run_inside([sys.executable, "-c", program])
    batches, samples = json.loads(ran.stdout)
    assert ran.told("problem") == []
    assert ran.counts() == {"batch": batches}
    assert ran.samples("batch") == [samples]


def test_the_wait_for_batches_is_that_of_all_where_most_are_let_by() -> None:
    program = """
import time, torch
from torch.utils.data import DataLoader, Dataset

class Slow(Dataset):
    def __len__(self): return 2000
    def __getitem__(self, index):
        began = time.perf_counter()
        while time.perf_counter() - began < 0.0002 + index % 5 * 0.0002:
            pass
        return torch.ones(2)

waited = 0.0
batches = iter(DataLoader(Slow(), batch_size=2, shuffle=True))
for _ in range(1000):
    began = time.perf_counter()
    next(batches)
    waited += time.perf_counter() - began
    time.sleep(0.0005)
print(waited)
"""
    ran = run_inside([sys.executable, "-c", program])
    waited_s = float(ran.stdout)
    assert ran.counts() == {"batch": 1000}
    assert waited_s > 1.0
    assert ran.told("spent")[-1][2]["data_wait"] / 1e9 == pytest.approx(waited_s, rel=0.25)


def test_an_evaluation_is_timed_once_where_calls_are_counted_too() -> None:
    script = """
        import time, torch
        from torch.utils.data import DataLoader, TensorDataset
        net = torch.nn.Linear(2, 1).eval()
        with torch.no_grad():
            for (x,) in DataLoader(TensorDataset(torch.ones(20, 2)), batch_size=10):
                net(x)
                time.sleep(0.2)  # is no call of the model
    """
    alone, counted = run_inside(script), run_inside(script, hook={"count": ["calls"]})
    assert alone.told("spent")[-1][2]["evaluation"] > 0.4e9
    assert counted.told("spent")[-1][2]["evaluation"] < 0.2e9
    assert counted.counts() == {"batch": 2, "call": 2}
