"""A program that trains in many ways and says how many steps, batches and epochs each way has.

Run by the tests with the hook inside: prints, for each scenario, what it did and what was counted.
"""

import json
import sys
import warnings
from threading import Thread

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

warnings.simplefilter("ignore")
torch.set_num_threads(1)
UNITS = ("step", "batch", "epoch")


def counted() -> dict[str, int]:
    from _frugalwatch.line import process_line
    from _frugalwatch.tallies import tallies_of

    tallies = tallies_of(process_line())
    return {unit: tallies.tally(unit).count() for unit in UNITS}


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))


def sgd(net: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), lr=0.01)


X, Y = torch.randn(103, 4), torch.randn(103, 1)


def loss(net: torch.nn.Module, x: torch.Tensor = X, y: torch.Tensor = Y) -> torch.Tensor:
    return ((net(x) - y) ** 2).mean()


def gradient_accumulation() -> dict[str, int]:
    net = model()
    optimizer = sgd(net)
    for number in range(12):
        loss(net).backward()
        if number % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()
    return {"step": 3}


def several_optimizers() -> dict[str, int]:
    first, second = model(), model()
    one, two = sgd(first), torch.optim.AdamW(second.parameters())
    for _ in range(5):
        loss(first).backward()
        one.step()
        loss(second).backward()
        two.step()
    return {"step": 10}


def closure_that_is_called_often() -> dict[str, int]:
    net = model()
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=4)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(net)
        value.backward()
        return value

    for _ in range(3):
        optimizer.step(closure)
    return {"step": 3}


def scaler_that_skips() -> dict[str, int]:
    if not hasattr(torch.amp, "GradScaler"):  # before torch 2.3 there is none for the CPU
        return {}
    net = model()
    optimizer, scaler = sgd(net), torch.amp.GradScaler("cpu", init_scale=2.0)
    for number in range(4):
        optimizer.zero_grad()
        value = loss(net)
        if number == 1:
            value = value * float("inf")  # the scaler leaves this step out
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
    return {"step": 3}


class Outer(torch.optim.Optimizer):
    """An optimizer that holds another one, as ZeRO and many wrappers do."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        self.inner = inner
        super().__init__(inner.param_groups, {})

    def step(self, closure: object = None) -> None:
        self.inner.step()


def optimizer_inside_another() -> dict[str, int]:
    net = model()
    optimizer = Outer(sgd(net))
    for _ in range(4):
        loss(net).backward()
        optimizer.step()
    return {"step": 4}


class Failing(torch.optim.SGD):
    """Its step raises when it is told to."""

    fail = False

    @torch.no_grad()
    def step(self, closure: object = None) -> None:
        if self.fail:
            raise RuntimeError("on purpose")
        super().step()


def step_that_raises() -> dict[str, int]:
    net, other = model(), model()
    failing, sound = Failing(net.parameters(), lr=0.01), sgd(other)
    for number in range(6):
        loss(net).backward()
        failing.fail = number == 2
        try:
            failing.step()
        except RuntimeError:
            loss(other).backward()
            sound.step()  # is no part of the step that failed
    return {"step": 6}


def exception_in_forward() -> dict[str, int]:
    net = model()
    optimizer = sgd(net)
    for number in range(4):
        try:
            loss(net, X[:, :3] if number == 1 else X).backward()
            optimizer.step()
        except RuntimeError:
            pass
    return {"step": 3}


def hooks_of_the_users_own() -> dict[str, int]:
    net = model()
    optimizer = sgd(net)
    called = []
    optimizer.register_step_post_hook(lambda *_: called.append(1))
    net.register_forward_hook(lambda *_: None)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    for _ in range(4):
        loss(net).backward()
        optimizer.step()
        scheduler.step()
    assert len(called) == 4
    return {"step": 4}


def model_inside_another_and_moved() -> dict[str, int]:
    inner = model()
    net = torch.nn.Sequential(inner, torch.nn.Linear(1, 1))
    optimizer = sgd(net)
    for number in range(4):
        if number == 2:
            net.to(torch.float64).to(torch.float32)
        loss(net).backward()
        optimizer.step()
    return {"step": 4}


def compiled_model() -> dict[str, int]:
    net = model()
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    optimizer = sgd(net)
    for _ in range(4):
        loss(compiled).backward()
        optimizer.step()
    return {"step": 4}


def replicas_in_threads() -> dict[str, int]:
    net = model()
    optimizer = sgd(net)
    for _ in range(3):
        outputs: list[torch.Tensor] = []
        threads = [Thread(target=lambda into=outputs: into.append(net(X))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (outputs[0].mean() + outputs[1].mean()).backward()
        optimizer.step()
    return {"step": 3}


def steps_in_threads() -> dict[str, int]:
    def train() -> None:
        net = model()
        optimizer = sgd(net)
        for _ in range(200):
            optimizer.step()

    threads = [Thread(target=train) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"step": 1600}


def epochs_and_evaluations() -> dict[str, int]:
    net = model()
    optimizer = sgd(net)
    train = DataLoader(TensorDataset(X, Y), batch_size=10, shuffle=True)
    test = DataLoader(TensorDataset(X, Y), batch_size=50)
    for _ in range(3):
        for x, y in train:
            loss(net, x, y).backward()
            optimizer.step()
        for x, _y in test:
            net(x)
    return {"step": 33, "batch": 33 + 9, "epoch": 3}


def loader_that_is_left_early() -> dict[str, int]:
    net = model()
    optimizer = sgd(net)
    for _ in range(2):
        for number, (x, y) in enumerate(DataLoader(TensorDataset(X, Y), batch_size=10)):
            loss(net, x, y).backward()
            optimizer.step()
            if number == 3:
                break
    return {"step": 8, "batch": 8, "epoch": 0}


class Broken(Dataset):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> torch.Tensor:
        if index == 7:
            raise KeyError("on purpose")
        return X[index]


def dataset_that_raises() -> dict[str, int]:
    net = model()
    optimizer = sgd(net)
    try:
        for x in DataLoader(Broken(), batch_size=2):
            net(x).mean().backward()
            optimizer.step()
    except KeyError:
        return {"step": 3, "batch": 3, "epoch": 0}
    raise AssertionError


class Stream(IterableDataset):
    def __iter__(self):
        yield from X[:7]


def stream_of_unknown_length() -> dict[str, int]:
    net = model()
    optimizer = sgd(net)
    for x in DataLoader(Stream(), batch_size=3):
        net(x).mean().backward()
        optimizer.step()
    return {"step": 3, "batch": 3, "epoch": 1}


def workers() -> dict[str, int]:
    net = model()
    optimizer = sgd(net)
    loader = DataLoader(TensorDataset(X, Y), batch_size=20, num_workers=2, persistent_workers=True)
    for _ in range(2):
        for x, y in loader:
            loss(net, x, y).backward()
            optimizer.step()
    return {"step": 12, "batch": 12, "epoch": 2}


SCENARIOS = [value for value in list(globals().values()) if callable(value)]
SCENARIOS = [
    f for f in SCENARIOS if getattr(f, "__annotations__", {}).get("return") == dict[str, int]
]

if __name__ == "__main__":
    result = {}
    for scenario in SCENARIOS:
        if scenario is counted:
            continue
        before = counted()
        expected = scenario()
        after = counted()
        result[scenario.__name__] = [
            {unit: expected.get(unit, 0) for unit in UNITS},
            {unit: after[unit] - before[unit] for unit in UNITS},
        ]
    json.dump(result, sys.stdout)
