from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalwatch.report.attribution import (
    Attribution,
    Energy,
    Idle,
    attribute,
    busy_share,
    modelled_above_idle,
)

DEVICE = Energy(1200.0, 1190.0, 1210.0)  # 30 s at 40 W
IDLE = Idle(39.0, 38.0, 39.5)


def test_idle_power_is_taken_off_with_its_bounds_crossed() -> None:
    found = attribute(DEVICE, idle=IDLE, seconds=30, share=0.5)
    assert found.above_idle == Energy(30.0, 1190 - 39.5 * 30, 1210 - 38 * 30)
    assert found.job_share == Energy(15.0, 2.5, 35.0)


def test_with_idle_unknown_the_share_lies_between_nothing_and_everything() -> None:
    found = attribute(DEVICE, idle=None, seconds=30, share=0.0025)
    assert found == Attribution(None, Energy(3.0, 0.0, 1210.0))


def test_with_the_share_unknown_only_what_is_above_idle_is_said() -> None:
    found = attribute(DEVICE, idle=IDLE, seconds=30, share=None)
    assert found.above_idle is not None
    assert found.job_share is None
    assert attribute(DEVICE, idle=None, seconds=30, share=None) == Attribution(None, None)


@pytest.mark.parametrize(("share", "expected_j"), [(0.0, 0.0), (1.0, 30.0)])
def test_a_share_of_nothing_and_of_everything(share: float, expected_j: float) -> None:
    found = attribute(DEVICE, idle=IDLE, seconds=30, share=share)
    assert found.job_share is not None
    assert found.job_share.value == expected_j


def test_a_device_below_its_idle_power_has_nothing_above_it() -> None:
    found = attribute(Energy(10, 9, 11), idle=Idle(5, 4, 6), seconds=30, share=1.0)
    assert found.above_idle == Energy(0, 0, 0)


@pytest.mark.parametrize(
    ("job_us", "busy_us", "share"),
    [
        (None, 1, None),
        (1, None, None),
        (250, 1000, 0.25),
        (1003, 1000, 1.0),  # the machine's ticks are 10 ms long
        (1000, 1000, 1.0),
        (5, 0, 1.0),
        (0, 0, 0.0),
        (0, 1000, 0.0),
    ],
)
def test_busy_share_is_between_nothing_and_one(
    job_us: int | None, busy_us: int | None, share: float | None
) -> None:
    assert busy_share(job_us, busy_us) == share


def test_bounds_of_a_model_move_with_the_bounds_of_its_idle_power() -> None:
    found = modelled_above_idle(Energy(100, 50, 200), Idle(4, 2, 8), 10)
    assert found == Energy(60, 30, 120)


@given(
    joules=st.floats(0, 1e6),
    down=st.floats(0.1, 1),
    up=st.floats(1, 10),
    idle_w=st.floats(0, 500),
    seconds=st.floats(0, 1e4),
    share=st.floats(0, 1),
)
def test_every_figure_lies_between_its_bounds(
    *, joules: float, down: float, up: float, idle_w: float, seconds: float, share: float
) -> None:
    device = Energy(joules, joules * down, joules * up)
    idle = Idle(idle_w, idle_w * down, idle_w * up)
    figures = [modelled_above_idle(device, idle, seconds)]
    for known in (idle, None):
        found = attribute(device, idle=known, seconds=seconds, share=share)
        figures += [f for f in (found.above_idle, found.job_share) if f is not None]
        assert found.job_share is not None
        assert found.job_share.high <= device.high
    for figure in figures:
        assert 0 <= figure.low <= figure.value <= figure.high
