"""Where a job is heading: an estimate with a range, from the job's own stretches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from frugalwatch.screen.records import RunNow
from tests.frugalwatch.screen.kit import CPU, GPU, MODEL, LiveRun, World, watch

PID = 9


def looked_at(ledger: Path, world: World) -> RunNow:
    run = watch(ledger, world).look().run
    assert run is not None
    return run


def epochs(run: LiveRun, powers: list[float], seconds: int = 10) -> None:
    for number, watts in enumerate(powers):
        token = run.journal.phase_began(PID, "epoch", run.world.mono_ns(), number=number)
        run.go(seconds, {CPU.key: watts})
        run.journal.phase_ended(token, run.world.mono_ns())
    assert run.journal.commit()


def steps(run: LiveRun, powers: list[float], each_s: int = 2) -> None:
    done = 0
    run.journal.step(PID, run.world.mono_ns(), 0)
    for watts in powers:
        run.go(each_s, {CPU.key: watts})
        done += 5
        run.journal.step(PID, run.world.mono_ns(), done)
    assert run.journal.commit()


def test_the_rest_is_like_the_second_half_within_the_cheapest_and_the_dearest(
    tmp_path: Path,
) -> None:
    world = World()
    run = LiveRun(tmp_path / "l.db", world)
    run.journal.goal(PID, world.mono_ns(), "epoch", 10)
    epochs(run, [90.0, 40.0, 50.0, 60.0])
    run.go(1, {CPU.key: 55.0})
    heading = looked_at(tmp_path / "l.db", world).projection
    assert heading is not None
    assert (heading.what, heading.done, heading.total) == ("epoch", 4, 10)
    found = heading.measured
    assert found is not None
    so_far = 10 * (90 + 40 + 50 + 60)
    # Six epochs of ten seconds are left; the second that went by is one of theirs.
    assert found.value == pytest.approx(so_far + 6 * 550, rel=0.01)
    assert found.low == pytest.approx(so_far + 6 * 400, rel=0.01)
    assert found.high == pytest.approx(so_far + 6 * 900, rel=0.01)
    assert heading.left_s is not None
    assert heading.left_s.value == pytest.approx(59, abs=0.5)
    assert heading.estimated is None


def test_steps_are_cut_into_stretches_of_time(tmp_path: Path) -> None:
    world = World()
    run = LiveRun(tmp_path / "l.db", world)
    run.journal.goal(PID, world.mono_ns(), "", 200)
    steps(run, [100.0] * 10 + [50.0] * 10)
    heading = looked_at(tmp_path / "l.db", world).projection
    assert heading is not None
    assert (heading.what, heading.done, heading.share) == ("steps", 100, 0.5)
    assert heading.measured is not None
    assert heading.measured.value == pytest.approx(3000 + 20 * 100, rel=0.02)
    assert heading.measured.high == pytest.approx(3000 + 40 * 100, rel=0.02)


def test_a_model_is_projected_beside_what_is_measured(tmp_path: Path) -> None:
    world = World()
    run = LiveRun(tmp_path / "l.db", world, (GPU, MODEL))
    run.journal.goal(PID, world.mono_ns(), "epoch", 4)
    for number in range(2):
        token = run.journal.phase_began(PID, "epoch", world.mono_ns(), number=number)
        run.go(10, {GPU.key: 200.0, MODEL.key: 30.0})
        run.journal.phase_ended(token, world.mono_ns())
    assert run.journal.commit()
    heading = looked_at(tmp_path / "l.db", world).projection
    assert heading is not None
    assert heading.measured is not None
    assert heading.measured.value == pytest.approx(8000, rel=0.01)
    assert heading.estimated is not None
    assert heading.estimated.value == pytest.approx(1200, rel=0.01)
    assert heading.estimated.low < 0.6 * 1200 < 1.7 * 1200 < heading.estimated.high


@pytest.mark.parametrize(
    ("tell", "shown"),
    [
        (lambda run: epochs(run, [50.0, 50.0, 50.0]), None),  # said nothing of a goal
        (lambda run: run.go(20, {CPU.key: 50.0}), None),
    ],
)
def test_a_job_that_says_no_goal_gets_no_projection(
    tmp_path: Path, tell: Callable[[LiveRun], None], shown: object
) -> None:
    world = World()
    run = LiveRun(tmp_path / "l.db", world)
    tell(run)
    assert looked_at(tmp_path / "l.db", world).projection is shown


def test_a_first_epoch_shows_how_far_but_not_where_to(tmp_path: Path) -> None:
    world = World()
    run = LiveRun(tmp_path / "l.db", world)
    run.journal.goal(PID, world.mono_ns(), "epoch", 10)
    epochs(run, [50.0])
    heading = looked_at(tmp_path / "l.db", world).projection
    assert heading is not None
    assert (heading.done, heading.measured, heading.left_s) == (1, None, None)


def test_a_job_that_does_more_than_it_said_is_done(tmp_path: Path) -> None:
    world = World()
    run = LiveRun(tmp_path / "l.db", world)
    run.journal.goal(PID, world.mono_ns(), "epoch", 2)
    epochs(run, [50.0] * 3)
    heading = looked_at(tmp_path / "l.db", world).projection
    assert heading is not None
    assert (heading.done, heading.share, heading.measured) == (3, 1.0, None)
