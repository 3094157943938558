"""A server to send to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.frugalwatch.remote.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Takes what is sent, and finds no fault with it."""
    one = Receiver()
    yield one
    one.close()
    assert one.faults == []
