"""Run-time switches: what each does to a program, and what it says of itself."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from frugalwatch.inside.path._frugalwatch import (
    root_calls,
    switches,
    switches_calls,
    switches_process,
)

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

X = torch.ones(2, 3, 8, 8)


class Line:
    """Hears the notes."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def tell(self, kind: str, text: str) -> None:
        assert kind == "note"
        self.said.append(text)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.drop, self.head = nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.Linear(144, 2)
        self.seen: list[Any] = []

    def forward(self, x: Any) -> Any:
        self.seen.append(
            (
                self.training,
                torch.is_inference_mode_enabled(),
                x.is_contiguous(memory_format=torch.channels_last),
            )
        )
        return self.head(self.drop(self.conv(x)).flatten(1))


Switch = Callable[..., list[str]]


@pytest.fixture
def switch() -> Iterator[Switch]:
    """Puts switches around root calls; gives the list that their notes go to."""
    finder = root_calls.Calls(torch, lambda where, text: None)

    def on(**options: Any) -> list[str]:
        line = Line()
        notes = switches.Notes(line)  # type: ignore[arg-type]
        made = []
        for name, value in options.items():
            order, make = switches_calls.SWITCHES[name]
            made.append((order, make(value, name, notes)))
        finder.set([], [each for _, each in sorted(made, key=lambda each: each[0])])
        return line.said

    yield on
    finder.set([], [])


def test_inference_mode_is_for_calls_in_evaluation_mode_only(switch: Switch) -> None:
    said = switch(inference_mode=True)
    net = Net()
    assert net(X).requires_grad
    net.eval()
    assert net(X).is_inference()
    assert [seen[1] for seen in net.seen] == [False, True]
    assert said == [
        "switch inference_mode: not applied: Net is in training mode",
        "switch inference_mode: applied (Net)",
    ]


def test_eval_leaves_a_training_alone_and_stops_dropout_in_use(switch: Switch) -> None:
    said = switch(eval=True, inference_mode=True)
    net = Net()
    net(X).sum().backward()
    with torch.no_grad():
        assert torch.equal(net(X), net(X))
    assert [seen[0] for seen in net.seen] == [True, False, False]
    assert net(X).is_inference()  # in evaluation mode by now
    assert said[0] == ("switch eval: not applied: Net is called in training mode with gradients on")
    assert "switch eval: applied (Net)" in said


def test_autocast_computes_narrow_and_gives_float32_back(switch: Switch) -> None:
    net = Net().eval()
    plain = net(X)
    said = switch(autocast="bfloat16")
    narrow = net(X)
    assert narrow.dtype == torch.float32
    assert not torch.equal(narrow, plain)
    assert torch.allclose(narrow, plain, atol=0.05)
    assert said == ["switch autocast: applied (Net on cpu)"]


def test_channels_last_arranges_weights_and_inputs_and_keeps_answers(switch: Switch) -> None:
    net = Net().eval()
    plain, weight = net(X), net.conv.weight
    said = switch(channels_last=True)
    assert torch.allclose(net(X), plain, atol=1e-5)
    assert net.seen[-1][2]
    assert net.conv.weight is weight  # the optimizer's parameters stay the same objects
    assert weight.is_contiguous(memory_format=torch.channels_last)
    nn.Linear(4, 2)(torch.ones(1, 4))
    assert said == [
        "switch channels_last: applied (Net)",
        "switch channels_last: not applied: Linear has no two-dimensional convolution",
    ]


@pytest.mark.filterwarnings("ignore")
def test_compile_compiles_once_and_a_failing_compiler_costs_nothing(switch: Switch) -> None:
    compiled: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(1)
        return graph.forward

    layer = nn.Linear(4, 2).eval()
    x = torch.ones(3, 4)
    plain = layer(x)
    said = switch(compile={"backend": backend})
    for _ in range(3):
        assert torch.equal(layer(x), plain)
    assert (compiled, said) == ([1], ["switch compile: applied (Linear)"])

    def broken(graph: Any, inputs: Any) -> Any:
        raise ValueError("no C++ compiler")

    said = switch(compile={"backend": broken})
    other = nn.Linear(4, 2).eval()
    assert torch.equal(other(x), other.forward(x))
    assert said[0].startswith("switch compile: not applied: BackendCompilerFailed: ")
    switch(compile={"backend": "eager"})
    with pytest.raises(RuntimeError, match="cannot be multiplied"):  # the program's own mistake
        other(torch.ones(3, 5))


def test_another_implementation_takes_the_place_of_a_module(switch: Switch, tmp_path: Path) -> None:
    factory = tmp_path / "factory.py"
    factory.write_text(
        textwrap.dedent(
            """
            def make(module, args, kwargs, options):
                assert module(*args).shape == (2, 2)  # the original may be used
                return lambda x: module.head(module.conv(x).flatten(1)) * options["factor"]

            def refuse(module, args, kwargs, options):
                raise ValueError("no kernel for this one")
            """
        )
    )
    net = Net().eval()
    plain = net(X)
    made = {"factory": f"{factory}:make", "options": {"factor": 2.0}}
    applied = switch(replace=made)
    assert torch.allclose(net(X), plain * 2)
    assert applied == ["switch replace: applied (Net)"]
    refused = switch(replace={"factory": f"{factory}:refuse"})
    assert torch.equal(net(X), plain)
    assert refused == ["switch replace: not applied: ValueError: no kernel for this one"]
    other_class = switch(replace={**made, "class": "Other"})
    assert torch.equal(net(X), plain)
    assert other_class == []
    hooked = switch(replace=made)
    net.register_forward_hook(lambda *a: None)
    assert torch.equal(net(X), plain)
    assert hooked == ["switch replace: not applied: the program has hooks on Net"]


def test_threads_stay_at_the_switch_whatever_the_program_sets(monkeypatch: Any) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(torch, "set_num_threads", own := torch.set_num_threads)
    line = Line()
    try:
        notes = switches.Notes(line)  # type: ignore[arg-type]
        switches_process._threads(torch, 1, "threads=1", notes)
        torch.set_num_threads(7)
        assert torch.get_num_threads() == 1
        with pytest.raises(RuntimeError, match="positive"):
            torch.set_num_threads(-1)
    finally:
        own(before)
    assert line.said == [
        f"switch threads=1: applied (was {before})",
        "switch threads=1: applied (the program asked for 7)",
    ]


@pytest.mark.parametrize(
    ("switched", "arguments", "expected"),
    [
        ({"workers": 2, "prefetch": 4}, {}, (2, 4, False)),
        ({"workers": 2}, {"num_workers": 1, "persistent_workers": True}, (2, 2, True)),
        ({"workers": 0}, {"num_workers": 2, "prefetch_factor": 8}, (0, None, False)),
        ({"prefetch": 4}, {}, (0, None, False)),
    ],
)
def test_a_loader_gets_the_workers_of_the_switch(
    monkeypatch: Any, switched: Any, arguments: Any, expected: Any
) -> None:
    from torch.utils.data import dataloader

    class Loader(dataloader.DataLoader):
        pass

    line = Line()
    monkeypatch.setattr(dataloader.DataLoader, "__init__", dataloader.DataLoader.__init__)
    notes = switches.Notes(line)  # type: ignore[arg-type]
    switches_process._loader(dataloader, switched, "loader", notes)
    loader = Loader([1, 2, 3], 2, True, **arguments)
    found = (loader.num_workers, loader.prefetch_factor, loader.persistent_workers)
    assert found == expected
    assert loader.batch_size == 2
    assert line.said[-1].startswith("switch loader: applied")
    with pytest.raises(TypeError):
        Loader()


def test_gpu_switches_say_why_not_where_there_is_none() -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    line = Line()
    notes = switches.Notes(line)  # type: ignore[arg-type]
    switches_process._tf32(torch, True, "tf32", notes)
    switches_process._cudnn_benchmark(torch, True, "cudnn_benchmark", notes)
    assert all("not applied: " in each for each in line.said)
    assert len(line.said) == 2


def test_what_never_came_to_act_is_said_at_the_end() -> None:
    line = Line()
    notes = switches.Notes(line)  # type: ignore[arg-type]
    notes.expect("compile", "no call of a root module was seen")
    notes.expect("autocast=bfloat16", "no call of a root module was seen")
    notes.applied("compile", "Net")
    notes.report()
    assert line.said[1:] == [
        "switch autocast=bfloat16: not applied: no call of a root module was seen"
    ]
