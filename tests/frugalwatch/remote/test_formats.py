"""What goes over the wire, decoded by code that was written from the formats' descriptions."""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frugalwatch.errors import UsageError
from frugalwatch.remote.protobuf import Point, Series, write_request
from frugalwatch.remote.query import query_url, quoted
from frugalwatch.remote.snappy import compress
from frugalwatch.remote.transport import address
from tests.frugalwatch.remote.receiver import decode, unsnappy

_NAMES = st.text("abcdefghij_", min_size=1, max_size=4)
_VALUES = st.text('aé\u4e2d\U0001f600\n" ', min_size=1, max_size=6).map(lambda text: text * 50)
_POINTS = st.lists(
    st.tuples(st.integers(-(2**62), 2**62), st.floats(allow_nan=False)), min_size=1, max_size=5
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.dictionaries(_NAMES, _VALUES, min_size=1), _POINTS), max_size=4))
def test_what_was_encoded_is_decoded_again(
    wanted: list[tuple[dict[str, str], list[tuple[int, float]]]],
) -> None:
    series = [Series(labels, [Point(*one) for one in points]) for labels, points in wanted]
    found = list(decode(write_request(series)))
    assert found == [(tuple(sorted(labels.items())), points) for labels, points in wanted]


@pytest.mark.parametrize("without", [False, True])
@pytest.mark.parametrize("size", [0, 1, 59, 60, 65535, 65536, 65537, 300_000])
def test_a_block_is_read_by_any_decoder(
    size: int, without: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if without:
        monkeypatch.setitem(sys.modules, "cramjam", None)
    data = bytes(n * n % 251 for n in range(size))
    assert unsnappy(compress(data)) == data


def test_a_password_is_taken_out_of_an_address() -> None:
    place = address("https://ann:s%40crét@host:9090/api/v1/write")
    assert place.url == "https://host:9090/api/v1/write"
    assert place.authorization == "Basic YW5uOnNAY3LDqXQ="
    assert address("http://host/", "tok").authorization == "Bearer tok"
    assert address("http://[::1]:9090/w").url == "http://[::1]:9090/w"


@pytest.mark.parametrize("url", ["host:9090", "ftp://host/", "http:///write", "http://host:x/"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        address(url)


def test_the_query_address_follows_from_the_one_to_write_to() -> None:
    assert query_url("http://h:9090/api/v1/write") == "http://h:9090"
    assert query_url("http://h/prefix/api/v1/write") == "http://h/prefix"
    assert query_url("http://mimir/api/v1/push") == "http://mimir/prometheus"
    assert query_url("http://h/elsewhere") is None


def test_a_label_in_a_query_cannot_end_its_quotes() -> None:
    assert quoted('a"b\\c\nd') == '"a\\"b\\\\c\\nd"'
