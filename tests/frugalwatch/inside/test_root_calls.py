"""Which calls are calls of a root module, and what listening to them leaves as it was."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frugalwatch.inside.path._frugalwatch import calls, root_calls
from frugalwatch.inside.path._frugalwatch.count_calls import sample_count
from tests.frugalwatch.inside.kit import run_inside

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402


class Seen:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bool, bool, str | None]] = []
        self.samples: list[int | None] = []

    def begin(self, call: root_calls.RootCall) -> None:
        self.samples.append(sample_count(call))

    def end(self, call: root_calls.RootCall) -> None:
        error = None if call.error is None else type(call.error).__name__
        assert call.ended_ns >= call.began_ns > 0
        name = type(calls.own_module(call.module)).__name__
        self.calls.append((name, call.training, call.grad, error))

    @property
    def names(self) -> list[str]:
        return [name for name, *_ in self.calls]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x: Any) -> Any:
        return self.second(self.first(x))


@pytest.fixture
def problems() -> list[str]:
    return []


@pytest.fixture
def finder(problems: list[str]) -> Iterator[root_calls.Calls]:
    original = nn.Module.__call__
    found = root_calls.Calls(torch, lambda where, text: problems.append(text))
    yield found
    found.set([], [])
    assert nn.Module.__call__ is original


@pytest.fixture
def seen(finder: root_calls.Calls, problems: list[str]) -> Iterator[Seen]:
    listener = Seen()
    finder.set([listener], [])
    yield listener
    assert problems == []


X = torch.ones(3, 4)


def test_one_call_of_a_model_is_one_call_however_deep_it_is(seen: Seen) -> None:
    model = Net()
    model(X)
    model.eval()
    with torch.no_grad():
        model(X)
    assert seen.calls == [("Net", True, True, None), ("Net", False, False, None)]
    assert seen.samples == [3, 3]


def test_several_models_and_one_inside_another(seen: Seen) -> None:
    class Teacher(nn.Module):
        def __init__(self, student: nn.Module) -> None:
            super().__init__()
            self.student = student

        def forward(self, x: Any) -> Any:
            return self.student(x)

    student = Net()
    Teacher(student)(X)
    student(X)
    nn.Linear(4, 1)(X)
    assert seen.names == ["Teacher", "Net", "Linear"]


def test_losses_and_what_has_no_parameters_are_no_models(seen: Seen) -> None:
    loss = nn.CrossEntropyLoss(weight=torch.ones(2))  # a buffer
    loss(Net()(X), torch.zeros(3, dtype=torch.long))
    nn.ReLU()(X)
    assert seen.names == ["Net"]


def test_an_unregistered_model_inside_a_module_without_parameters_is_found(seen: Seen) -> None:
    class Pipeline(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.models = [Net(), Net()]

        def forward(self, x: Any) -> Any:
            return [model(x) for model in self.models]

    Pipeline()(X)
    assert seen.names == ["Net", "Net"]


def test_a_call_that_fails_is_seen_and_fails_as_before(seen: Seen) -> None:
    model = Net()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        model(torch.ones(3, 5))
    model(X)
    assert [error for *_, error in seen.calls] == ["RuntimeError", None]


def test_hooks_of_the_program_run_as_before_and_stay_the_only_ones(seen: Seen) -> None:
    model, order = Net(), []
    model.register_forward_pre_hook(lambda module, args: order.append("before"))
    model.second.register_forward_hook(lambda module, args, out: order.append("inner"))
    model.register_forward_hook(lambda module, args, out: order.append("after"))
    model(X)
    assert order == ["before", "inner", "after"]
    assert seen.names == ["Net"]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert sum(hooks) == 3


def test_a_model_moved_or_changed_after_its_first_call_is_still_found(seen: Seen) -> None:
    model = Net()
    model(X)
    model.double()
    model(X.double())
    model.to("cpu", torch.float32)
    model.load_state_dict(Net().state_dict())
    model(X)
    assert seen.names == ["Net"] * 3


def test_calls_of_several_threads_are_all_counted(seen: Seen) -> None:
    model = Net()
    threads = [threading.Thread(target=lambda: [model(X) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen.calls) == 200


def test_replicas_in_threads_belong_to_the_call_of_their_owner(seen: Seen) -> None:
    class Parallel(nn.Module):
        """What DataParallel does on several GPUs."""

        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(4, 2)

        def forward(self, x: Any) -> Any:
            outputs: list[Any] = []
            replica = self.module._replicate_for_data_parallel()
            for name, value in self.module.named_parameters():
                setattr(replica, name, value)
            thread = threading.Thread(target=lambda: outputs.append(replica(x)))
            thread.start()
            thread.join()
            return outputs[0]

    Parallel()(X)
    assert seen.names == ["Parallel"]


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_checkpointing_repeats_in_backward_is_no_call(seen: Seen, reentrant: bool) -> None:
    from torch.utils.checkpoint import checkpoint

    class Checkpointed(Net):
        def forward(self, x: Any) -> Any:
            return checkpoint(self.first, x, use_reentrant=reentrant)

    Checkpointed()(X.clone().requires_grad_()).sum().backward()
    assert seen.names == ["Checkpointed"]


DISTRIBUTED = """
import sys, torch
from torch import distributed, nn
store = distributed.FileStore(sys.argv[1], 1)
distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
model = nn.parallel.DistributedDataParallel(nn.Linear(4, 2))
for _ in range(2):
    model(torch.ones(3, 4)).sum().backward()
distributed.destroy_process_group()
"""


def test_distributed_data_parallel_is_one_call_of_the_model_within(tmp_path: Path) -> None:
    ran = run_inside(
        [sys.executable, "-c", DISTRIBUTED, str(tmp_path / "store")], hook={"count": ["calls"]}
    )
    assert ran.returncode == 0, ran.stderr
    assert (ran.counts()["call"], ran.samples("call")) == (2, [6])
    model = nn.Linear(4, 2)
    wrapped = type("DistributedDataParallel", (nn.Module,), {})()
    wrapped.module = model
    assert calls.own_module(wrapped) is model


COMPILED = """
import torch
from torch import nn
import torch._dynamo as dynamo

class Net(nn.Module):
    def __init__(self, breaks=False):
        super().__init__()
        self.first, self.second, self.breaks = nn.Linear(4, 4), nn.Linear(4, 4), breaks

    def forward(self, x):
        x = self.first(x)
        if self.breaks:
            dynamo.graph_break()
        return self.second(x)

def in_parts(x):
    y = plain(x)
    dynamo.graph_break()
    return plain(y)

plain, broken, in_place, hooked = Net(), Net(breaks=True), Net(), Net()
in_place.compile(backend="eager", fullgraph=True)
hooked.first.register_forward_hook(lambda module, args, out: out * 1.0)
for name, function in (
    ("model", torch.compile(plain, backend="eager", fullgraph=True)),
    ("in place", in_place),
    ("model in parts", torch.compile(broken, backend="eager")),
    ("function", torch.compile(lambda x: hooked(x) + 1, backend="eager", fullgraph=True)),
    ("function in parts", torch.compile(in_parts, backend="eager")),
):
    function(torch.ones(3, 4))
    function(torch.ones(3, 4))
    counters = dynamo.utils.counters
    print(name, dict(counters["stats"]), sum(counters["graph_break"].values()))
    counters.clear()
"""


def test_compiled_models_are_counted_and_compile_as_before() -> None:
    hooked = run_inside(COMPILED, hook={"count": ["calls"]})
    plain = run_inside(COMPILED, hooked=False)
    assert plain.returncode == 0, plain.stderr
    assert hooked.stdout == plain.stdout
    # What is inside a compiled function is part of that function.
    assert hooked.counts()["call"] == 6


@pytest.mark.filterwarnings("ignore")
def test_what_is_only_traced_is_no_call(seen: Seen) -> None:
    model = Net().eval()
    torch.export.export(model, (X,))
    torch.fx.symbolic_trace(model)
    torch.jit.trace(model, X, check_trace=False)
    torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    assert seen.calls == []


def test_the_encoders_fast_path_is_still_taken(seen: Seen, monkeypatch: Any) -> None:
    taken = []
    real = torch._transformer_encoder_layer_fwd
    monkeypatch.setattr(
        torch, "_transformer_encoder_layer_fwd", lambda *a, **k: taken.append(1) or real(*a, **k)
    )
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    with torch.no_grad():
        layer(torch.ones(1, 3, 8))
    assert taken == [1]


def test_a_model_pickles_and_copies_as_before(seen: Seen) -> None:
    model = Net()
    model(X)
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(X), model(X))
    assert torch.equal(copy.deepcopy(model)(X), model(X))
    assert b"frugalwatch.inside" not in pickle.dumps(nn.Linear(4, 4))


def test_outputs_and_random_numbers_are_bit_equal(finder: root_calls.Calls) -> None:
    def train() -> tuple[list[Any], Any]:
        torch.manual_seed(7)
        model = nn.Sequential(Net(), nn.Dropout(0.5))
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.randn(8, 4)).pow(2).sum().backward()
            optimizer.step()
        return [p.detach().clone() for p in model.parameters()], torch.get_rng_state()

    plain, state = train()
    finder.set([Seen()], [lambda call, proceed: proceed()])
    watched, watched_state = train()
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    assert torch.equal(state, watched_state)


def test_a_listener_that_fails_is_told_and_let_go_and_the_program_goes_on(
    finder: root_calls.Calls, problems: list[str]
) -> None:
    class Broken(Seen):
        def begin(self, call: root_calls.RootCall) -> None:
            raise ValueError("mine")

    broken = Broken()
    finder.set([broken], [])
    model = Net()
    for _ in range(10):
        assert model(X).shape == (3, 2)
    assert len(broken.calls) == 3  # none after the third failure
    assert problems == [
        "Broken: ValueError: mine",
        "Broken: ValueError: mine; it was switched off",
    ]


def test_interceptors_enclose_each_other_and_may_do_without_the_call(
    finder: root_calls.Calls,
) -> None:
    def double(call: root_calls.RootCall, proceed: Any) -> Any:
        call.args = (call.args[0] * 2,)
        return proceed()

    def replace(call: root_calls.RootCall, proceed: Any) -> Any:
        return "replaced", float(call.args[0].sum())

    model = Net()
    finder.set([], [replace, double])  # the later one is outside
    assert model(X) == ("replaced", 24.0)
    finder.set([], [double])
    doubled = model(X)
    finder.set([], [])
    assert torch.equal(doubled, model(X * 2))


def test_a_wrapper_of_the_programs_around_every_call_is_still_called(
    problems: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, wrapped = nn.Module.__call__, []

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        wrapped.append(type(self).__name__)
        return own(self, *args, **kwargs)

    monkeypatch.setattr(nn.Module, "__call__", wrapper)
    finder, listener = root_calls.Calls(torch, lambda _, text: problems.append(text)), Seen()
    finder.set([listener], [])
    try:
        Net()(X)
    finally:
        finder.set([], [])
    assert nn.Module.__call__ is wrapper
    assert wrapped == ["Net", "Linear", "Sequential", "ReLU", "Linear"]
    assert (listener.names, problems) == (["Net"], [])


def test_nothing_keeps_the_programs_tensors_alive(seen: Seen) -> None:
    import gc
    import weakref

    gc.disable()
    try:
        x = torch.ones(3, 5)
        with pytest.raises(RuntimeError) as caught:
            Net()(x)
        del caught
        y = torch.ones(3, 4)
        model = Net()
        output = model(y)
        gone = [weakref.ref(each) for each in (y, output)]
        del y, output, x
        assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((X,), {}, 3),
        ((), {"input_ids": torch.ones(2, 7)}, 2),
        (({"a": torch.ones(5, 1)},), {}, 5),
        (("text", 3), {}, None),
        ((torch.tensor(1.0),), {}, None),
    ],
)
def test_samples_are_the_first_dimension_of_the_first_tensor(
    args: Any, kwargs: Any, expected: int | None
) -> None:
    call = root_calls.RootCall(Net(), args, kwargs, 0, torch)
    assert sample_count(call) == expected
