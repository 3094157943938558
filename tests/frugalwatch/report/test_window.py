from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.fake import Constant, Ramp, Square, Trace
from frugalwatch.ledger.connection import memory_ledger
from frugalwatch.report.window import Span, StreamInfo, window_energy

SECOND = 1_000_000_000
STREAM = StreamInfo(1, "measured", 1.0, 1.0, None)


@pytest.fixture(scope="module")
def ledger() -> Iterator[sqlite3.Connection]:
    connection = memory_ledger()
    yield connection
    connection.close()


def fill(
    connection: sqlite3.Connection,
    times_s: Iterable[float],
    energy_j: Callable[[float], float],
    *,
    spread: tuple[float, float] = (1.0, 1.0),
    power_w: float | None = None,
) -> None:
    """Samples of stream 1 at these times: cumulative joules since the first of them."""
    connection.execute("DELETE FROM sample")
    times = sorted(times_s)
    for t in times:
        joules = energy_j(t) - energy_j(times[0])
        connection.execute(
            "INSERT INTO sample VALUES (1, ?, ?, ?, ?, ?)",
            (
                round(t * SECOND),
                round(joules * 1e6),
                round(joules * spread[0] * 1e6),
                round(joules * spread[1] * 1e6),
                None if power_w is None else round(power_w * 1000),
            ),
        )


def span(begin_s: float, end_s: float) -> Span:
    return Span(round(begin_s * SECOND), round(end_s * SECOND))


def constant(power_w: float) -> Callable[[float], float]:
    return lambda t: power_w * t


traces = st.one_of(
    st.builds(Constant, st.floats(1, 500)),
    st.builds(Square, st.floats(1, 200), st.floats(200, 500), st.floats(0.5, 3)),
    st.builds(Ramp, st.floats(0, 200), st.floats(200, 400), st.floats(1, 20)),
)


@settings(max_examples=60, deadline=None)
@given(trace=traces, cut=st.floats(1, 19), begin=st.floats(0, 0.9), end=st.floats(19.1, 20))
def test_two_parts_of_a_window_add_up_to_the_whole(
    ledger: sqlite3.Connection, trace: Trace, cut: float, begin: float, end: float
) -> None:
    fill(ledger, [i * 0.37 for i in range(56)], trace.energy_j)
    parts = [window_energy(ledger, STREAM, span(*ends), ()) for ends in ((begin, cut), (cut, end))]
    whole = window_energy(ledger, STREAM, span(begin, end), ())
    assert sum(p.energy_uj or 0 for p in parts) == pytest.approx(whole.energy_uj, abs=2)
    assert whole.coverage == 1
    for figure in (*parts, whole):
        assert figure.energy_uj is not None
        assert figure.low_uj is not None
        assert figure.high_uj is not None
        assert 0 <= figure.low_uj <= figure.energy_uj <= figure.high_uj


@settings(max_examples=60, deadline=None)
@given(trace=traces, times=st.sets(st.integers(0, 2000), min_size=2, max_size=40))
def test_a_window_between_two_samples_has_exactly_their_difference(
    ledger: sqlite3.Connection, trace: Trace, times: set[int]
) -> None:
    seconds = sorted(t / 100 for t in times)
    fill(ledger, seconds, trace.energy_j)
    found = window_energy(ledger, STREAM, span(seconds[0], seconds[-1]), ())
    truth = trace.energy_j(seconds[-1]) - trace.energy_j(seconds[0])
    assert found.energy_uj == pytest.approx(truth * 1e6, abs=2)


@settings(max_examples=100, deadline=None)
@given(
    low=st.floats(50, 100),
    high=st.floats(100, 149),
    period=st.floats(0.2, 3),
    first=st.floats(0, 5),
    last=st.floats(6, 12),
    gap=st.one_of(st.none(), st.tuples(st.floats(0, 5), st.floats(0.5, 5))),
)
def test_the_truth_lies_within_the_bounds_whatever_was_not_read(
    ledger: sqlite3.Connection,
    *,
    low: float,
    high: float,
    period: float,
    first: float,
    last: float,
    gap: tuple[float, float] | None,
) -> None:
    """Late first look, early last look, a gap whose energy is missing: bounds by the limit.

    Power stays between p and 2p, as the fill of the ends presumes.
    """
    trace = Square(low, high, period)
    missing: tuple[Span, ...] = ()
    counted = trace.energy_j
    times = [first + i * 0.25 for i in range(100) if first + i * 0.25 <= last]
    if gap is not None:
        begin, end = gap[0], gap[0] + gap[1]
        missing = (span(begin, end),)
        # Cumulative figures stand still inside the gap.
        times = [t for t in times if not begin < t < end]

        def counted(t: float) -> float:
            inside = trace.energy_j(max(begin, min(t, end))) - trace.energy_j(begin)
            return trace.energy_j(t) - inside

    if len(times) < 2:
        return
    fill(ledger, times, counted)
    stream = STREAM._replace(power_limit_w=150.0)
    found = window_energy(ledger, stream, span(0, 12), missing)
    if found.energy_uj is None:
        return
    assert found.low_uj is not None
    assert found.high_uj is not None
    truth_uj = trace.energy_j(12) * 1e6
    # Reading off between two samples is wrong by half of an interval's swing at most.
    slack_uj = (high - low) * 0.25 * 1e6
    assert found.low_uj - slack_uj <= truth_uj <= found.high_uj + slack_uj
    assert 0 <= found.coverage <= 1


def test_a_short_lead_in_is_filled_with_the_power_shown_at_the_first_look(
    ledger: sqlite3.Connection,
) -> None:
    fill(ledger, [0.2, 1, 2, 3, 10], constant(100), power_w=50)
    found = window_energy(ledger, STREAM, span(0, 10), ())
    assert found.energy_uj == 980_000_000 + 10_000_000  # 0.2 s at 50 W
    assert found.low_uj == 980_000_000  # the fill may not have been there at all
    assert found.high_uj == 980_000_000 + 2 * 10_000_000
    assert found.coverage == pytest.approx(0.98)


def test_a_longer_lead_in_is_filled_with_the_early_mean(ledger: sqlite3.Connection) -> None:
    fill(ledger, [1, 2, 4, 10], lambda t: 100 * min(t, 4) + 10 * max(0.0, t - 4), power_w=400)
    found = window_energy(ledger, STREAM, span(0, 10), ())
    assert found.energy_uj == 360_000_000 + 100_000_000


@pytest.mark.parametrize(("first_s", "end_s"), [(2.5, 10.0), (0.6, 1.1)])
def test_a_lead_in_that_is_too_long_is_not_filled_but_raises_the_bound(
    ledger: sqlite3.Connection, first_s: float, end_s: float
) -> None:
    """Over two seconds, or over half of the window: nothing is made up."""
    fill(ledger, [first_s, end_s], constant(100))
    found = window_energy(ledger, STREAM, span(0, end_s), ())
    assert found.energy_uj == round((end_s - first_s) * 100e6)
    assert found.high_uj == round(end_s * 100e6)  # at the highest power seen
    assert found.coverage == pytest.approx(1 - first_s / end_s)


def test_a_lead_in_with_a_failed_first_look_is_a_gap_and_counts_once(
    ledger: sqlite3.Connection,
) -> None:
    fill(ledger, [1, 2, 10], constant(100))
    found = window_energy(ledger, STREAM, span(0, 10), (span(0.4, 1),))
    assert found.energy_uj == 900_000_000
    assert found.high_uj == 1_000_000_000
    assert found.coverage == pytest.approx(0.9)


def test_a_gap_adds_its_whole_time_at_the_power_limit_to_the_upper_bound(
    ledger: sqlite3.Connection,
) -> None:
    fill(ledger, [0, 4, 6, 10], constant(100))
    stream = STREAM._replace(power_limit_w=300.0)
    found = window_energy(ledger, stream, span(0, 10), (span(4, 6), span(5, 6), span(-3, -1)))
    assert found.energy_uj == found.low_uj == 1_000_000_000
    assert found.high_uj == 1_600_000_000
    assert found.coverage == pytest.approx(0.8)


def test_a_sensor_that_stopped_is_not_filled(ledger: sqlite3.Connection) -> None:
    fill(ledger, [0, 1, 4], constant(100))
    found = window_energy(ledger, STREAM, span(0, 10), (span(4, 10),))
    assert (found.energy_uj, found.high_uj) == (400_000_000, 1_000_000_000)
    assert found.coverage == pytest.approx(0.4)


def test_an_early_gap_does_not_forbid_to_fill_the_last_milliseconds(
    ledger: sqlite3.Connection,
) -> None:
    fill(ledger, [0, 1, 9.9], constant(100))
    found = window_energy(ledger, STREAM, span(0, 10), (span(1, 2),))
    assert found.energy_uj == pytest.approx(1_000_000_000)


def test_nothing_read_inside_the_window_is_unknown_and_not_zero(
    ledger: sqlite3.Connection,
) -> None:
    fill(ledger, [0, 1, 4], constant(100))
    for window in (span(4, 5), span(6, 9), span(-2, 0)):
        found = window_energy(ledger, STREAM, window, ())
        assert (found.energy_uj, found.low_uj, found.high_uj, found.coverage) == (
            None,
            None,
            None,
            0.0,
        )
    fill(ledger, [3], constant(100))
    assert window_energy(ledger, STREAM, span(0, 10), ()).energy_uj is None


def test_a_sensor_that_reads_zero_is_a_measured_zero(ledger: sqlite3.Connection) -> None:
    fill(ledger, [0, 10], constant(0))
    assert window_energy(ledger, STREAM, span(0, 10), ()).energy_uj == 0


def test_bounds_of_a_model_are_those_of_the_window_and_not_of_what_was_before(
    ledger: sqlite3.Connection,
) -> None:
    fill(ledger, [0, 10, 20], constant(100), spread=(0.5, 2.0))
    model = STREAM._replace(origin="estimated")
    found = window_energy(ledger, model, span(10, 20), ())
    assert (found.low_uj, found.high_uj) == (500_000_000, 2_000_000_000)


def test_the_gain_of_a_sensor_widens_both_bounds(ledger: sqlite3.Connection) -> None:
    fill(ledger, [0, 10], constant(100))
    found = window_energy(ledger, STREAM._replace(gain_low=0.94, gain_high=1.06), span(0, 10), ())
    assert (found.low_uj, found.energy_uj, found.high_uj) == (
        940_000_000,
        1_000_000_000,
        1_060_000_000,
    )
