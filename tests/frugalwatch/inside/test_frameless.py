"""A method that is watched looks, fails, warns and pickles as it did."""

from __future__ import annotations

import copy
import inspect
import pickle
import traceback
import warnings
from typing import Any

import pytest

from frugalwatch.inside.path._frugalwatch.frameless import Watched, watch


class Example:
    """Has methods that a test watches."""

    def add(self, first: int, second: int = 2) -> int:
        """Add them."""
        return first + second

    def fail(self) -> None:
        raise ValueError("on purpose")

    def warn(self) -> None:
        warnings.warn("look there", stacklevel=2)

    def twice(self, first: int) -> int:
        return self.add(first) + self.add(first)

    def caller(self) -> str:
        return inspect.stack()[1].function


PLAIN_ADD = Example.add


@pytest.fixture
def events() -> Any:
    seen: list[tuple[object, ...]] = []

    def begin(owner: object) -> object:
        seen.append(("begin", owner))
        return len(seen)

    def end(owner: object, begun: object) -> None:
        seen.append(("end", owner, begun))

    names = ("add", "fail", "warn", "twice", "caller")
    for name in names:
        watch(Example, name, begin, end)
    yield seen
    for name in names:
        setattr(Example, name, Example.__dict__[name].__wrapped__)


def test_calls_are_seen_from_begin_to_end(events: list[tuple[object, ...]]) -> None:
    example = Example()
    assert example.add(1) == 3
    assert example.add(1, second=5) == 6
    assert events == [
        ("begin", example),
        ("end", example, 1),
        ("begin", example),
        ("end", example, 3),
    ]


def test_calls_inside_calls_are_seen_inside(events: list[tuple[object, ...]]) -> None:
    assert Example().twice(1) == 6
    assert [event[0] for event in events] == ["begin", "begin", "end", "begin", "end", "end"]


def test_what_raises_has_no_frame_of_ours(events: list[tuple[object, ...]]) -> None:
    with pytest.raises(ValueError, match="on purpose") as caught:
        Example().fail()
    assert [event[0] for event in events] == ["begin", "end"]
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names == ["test_what_raises_has_no_frame_of_ours", "fail"]


def test_warnings_blame_the_caller(events: list[tuple[object, ...]]) -> None:
    with pytest.warns(UserWarning, match="look there") as caught:
        Example().warn()
    assert caught[0].filename == __file__
    assert Example().caller() == "test_warnings_blame_the_caller"
    assert events


def test_looking_is_no_call(events: list[tuple[object, ...]]) -> None:
    example = Example()
    assert hasattr(example, "add")
    assert Example.add is PLAIN_ADD
    assert inspect.isfunction(Example.add)
    assert inspect.ismethod(example.add)
    assert str(inspect.signature(example.add)) == "(first: 'int', second: 'int' = 2) -> 'int'"
    assert (example.add.__name__, example.add.__doc__) == ("add", "Add them.")
    assert example.add.__module__ == __name__
    assert example.add.__self__ is example
    assert inspect.getsource(example.add) == inspect.getsource(PLAIN_ADD)
    assert example.add == example.add
    assert hash(example.add) == hash(example.add)
    assert example.add != example.twice
    assert "bound method Example.add of" in repr(example.add)
    assert not events


def test_copies_and_pickles_hold_nothing_of_ours(events: list[tuple[object, ...]]) -> None:
    assert events == []
    method = pickle.loads(pickle.dumps(Example().add))
    assert method(1) == 3
    watched = Example.__dict__["add"]
    assert isinstance(watched, Watched)
    by_value = pickle.dumps(watched)
    assert b"_frugalwatch" not in by_value
    assert pickle.loads(by_value) is PLAIN_ADD
    assert copy.deepcopy(watched) is PLAIN_ADD
    inner = Example().add.__func__
    assert pickle.loads(pickle.dumps(inner)) is PLAIN_ADD, "as cloudpickle does it"


def test_what_a_class_does_not_define_itself_is_not_watched() -> None:
    class Child(Example):
        attribute = 3

    with pytest.raises(KeyError):
        watch(Child, "add", lambda _: None, lambda _owner, _begun: None)
    with pytest.raises(TypeError):
        watch(Child, "attribute", lambda _: None, lambda _owner, _begun: None)
