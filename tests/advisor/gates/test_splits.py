"""No input is in two parts, whatever comes again and in whatever batches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from advisor.gates.splits import JUDGING_SHARE, Row, part_of, split

CONTENT = st.text("abcdefgh", min_size=1, max_size=3)
CALLS = st.lists(st.lists(CONTENT, min_size=1, max_size=40), max_size=60)


def rows(calls: list[list[str]], numbers: list[int] | None = None) -> list[Row]:
    found = []
    for number, contents in enumerate(calls):
        call = number if numbers is None else numbers[number]
        found += [Row(call, len(contents), each, f"call {contents}") for each in contents]
    return found


@given(CALLS)
def test_each_content_is_in_one_part_and_once(calls: list[list[str]]) -> None:
    inputs = rows(calls)
    found = split(inputs)
    parts = [
        [inputs[p].digest for p in part]
        for part in (found.calibration, found.screening, found.judging)
    ]
    together = [digest for part in parts for digest in part]
    assert len(together) == len(set(together))
    assert set(together) == {r.digest for r in inputs}


@given(CALLS, st.sets(CONTENT))
def test_what_calibrated_never_screens_or_judges(calls: list[list[str]], used: set[str]) -> None:
    inputs = rows(calls)
    by_row = split(inputs, used)
    assert used.isdisjoint(inputs[p].digest for p in (*by_row.screening, *by_row.judging))
    if calls:  # a whole call that was used, wherever its inputs come again
        by_call = split(inputs, {f"call {calls[0]}"})
        later = {inputs[p].digest for p in (*by_call.screening, *by_call.judging)}
        assert later.isdisjoint(calls[0])


@given(CALLS, st.data())
def test_a_sample_of_the_calls_is_split_as_all_of_them_are(
    calls: list[list[str]], data: st.DataObject
) -> None:
    chosen = data.draw(st.sets(st.integers(0, max(0, len(calls) - 1))))
    kept = [n for n in sorted(chosen) if n < len(calls)]
    sample = rows([calls[n] for n in kept], kept)
    used = {sample[p].call_digest for p in split(sample).calibration}
    everything = rows(calls)
    judging = {everything[p].digest for p in split(everything, used).judging}
    calibrating = {sample[p].digest for p in split(sample).calibration}
    assert judging.isdisjoint(calibrating)


def test_neighbours_in_time_have_one_part() -> None:
    assert len({part_of(call) for call in range(16)}) == 1
    assert len({part_of(call, 4) for call in range(4, 8)}) == 1


def test_parts_have_their_shares_of_a_long_run_at_every_batch_size() -> None:
    for size in (1, 3, 8, 32):
        calls = [[f"{call}:{row}" for row in range(size)] for call in range(3200 // size)]
        found = split(rows(calls))
        assert abs(len(found.judging) / 3200 - JUDGING_SHARE) < 0.05
        assert abs(len(found.calibration) / 3200 - 0.2) < 0.05
        assert len(found.screening) > 0.05 * 3200
