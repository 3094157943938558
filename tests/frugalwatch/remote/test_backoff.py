"""How long is waited, and what a server may ask for."""

from __future__ import annotations

import random
import time
from email.utils import formatdate

import pytest

from frugalwatch.remote.backoff import Backoff
from frugalwatch.remote.transport import Transport, address
from tests.frugalwatch.remote.receiver import Receiver


def test_waits_double_up_to_a_limit_and_no_two_nodes_wait_the_same() -> None:
    many = [Backoff(chance=random.Random(n)) for n in range(200)]
    for failure in range(14):
        limit = min(300.0, 2.0**failure)
        waits = [one.failed() for one in many]
        assert all(0.1 * limit <= wait <= limit for wait in waits)
        assert max(waits) - min(waits) > 0.8 * limit
    for one in many:
        one.worked()
    assert all(one.failed() <= 1.0 for one in many)


def test_what_a_server_asks_for_is_the_least() -> None:
    one = Backoff()
    assert all(120.0 <= one.failed(120.0) <= 132.0 for _ in range(50))


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("999999999", 3600, 3600),
        (600.0, 1, 601),
        (-600.0, 0, 0),
    ],
)
def test_a_wait_is_read_as_seconds_or_as_a_date(
    said: str | float, least: float, most: float
) -> None:
    if isinstance(said, float):  # from now on: the date of the test, not of its collection
        said = formatdate(time.time() + said, usegmt=True)
    receiver = Receiver()
    receiver.refuse = [(503, {"Retry-After": said}, b"")]
    transport = Transport(address(receiver.url))
    try:
        answer = transport.post(b"", {})
        assert answer.retry_after_s is not None
        assert least <= answer.retry_after_s <= most
    finally:
        transport.close()
        receiver.close()


@pytest.mark.parametrize("said", ["soon", "nan", ""])
def test_what_is_no_wait_is_ignored(said: str) -> None:
    receiver = Receiver()
    receiver.refuse = [(503, {"Retry-After": said}, b"")]
    transport = Transport(address(receiver.url))
    try:
        assert transport.post(b"", {}).retry_after_s is None
    finally:
        transport.close()
        receiver.close()
