"""The account of a job's processes: who is who, and that nothing is lost when it is cut short."""

from __future__ import annotations

from itertools import pairwise

from frugalwatch.sampler.job_processes import MOST_TOLD, ProcessAccount
from frugalwatch.sampler.job_tree import ProcessUse

SECOND = 1_000_000_000
MAIN = ProcessUse(10, 500, "python", 1_000_000)


def use(pid: int, own_us: int, *, starttime: int = 700, name: str = "worker") -> ProcessUse:
    return ProcessUse(pid, starttime, name, own_us)


def test_a_process_is_told_with_its_last_name_and_figures() -> None:
    account = ProcessAccount()
    account.look([MAIN._replace(name="sh"), use(11, 5)], SECOND)
    account.look([MAIN], 2 * SECOND)
    account.look([MAIN._replace(own_us=3_000_000)], 3 * SECOND)
    rows, gpus = account.rows()
    assert rows == [
        (10, 500, "python", 1, SECOND, 3 * SECOND, None, 3_000_000),
        (11, 700, "worker", 1, SECOND, SECOND, 2 * SECOND, 5),
    ]
    assert gpus == []


def test_a_pid_that_was_given_out_again_is_another_process() -> None:
    account = ProcessAccount()
    account.look([use(11, 500, starttime=700)], SECOND)
    account.look([use(11, 20, starttime=900)], 2 * SECOND)
    rows, _ = account.rows()
    assert {row[1]: (row[6], row[7]) for row in rows} == {
        700: (2 * SECOND, 500),
        900: (None, 20),
    }


def test_one_that_a_look_missed_is_not_counted_twice() -> None:
    account = ProcessAccount()
    for second, found in ((1, [MAIN]), (2, []), (3, [MAIN._replace(own_us=2_000_000)])):
        account.look(found, second * SECOND)
    rows, _ = account.rows()
    assert rows == [(10, 500, "python", 1, SECOND, 3 * SECOND, None, 2_000_000)]


def test_a_job_of_ten_thousand_processes_stays_small_and_adds_up() -> None:
    account = ProcessAccount()
    pid = 100
    for second in range(1, 101):
        account.look([MAIN, *(use(pid + i, (pid + i) % 97) for i in range(100))], second * SECOND)
        account.gpu("gpu-0", pid, 7)
        pid += 100
    rows, gpus = account.rows()
    assert len(rows) == MOST_TOLD + 1
    (others,) = [row for row in rows if row[0] == 0]
    assert others[3] == 10_001 - MOST_TOLD
    assert sum(row[7] for row in rows) == 1_000_000 + sum(p % 97 for p in range(100, 10_100))
    assert sum(busy_us for *_, busy_us in gpus) == 700
    assert rows[0][0] == MAIN.pid, "who used most stays by itself"
    assert len(account._ended) <= 2 * MOST_TOLD + 100


def test_gpu_time_is_added_up_by_process_and_device() -> None:
    account = ProcessAccount()
    account.look([MAIN, use(11, 5)], SECOND)
    for busy_us in (400, 600):
        account.gpu("gpu-0", 10, busy_us)
    account.gpu("gpu-1", 11, 70)
    account.look([MAIN], 2 * SECOND)
    rows, gpus = account.rows()
    assert [row[0] for row in rows] == [10, 11]
    assert gpus == [("gpu-0", 10, 500, 1000), ("gpu-1", 11, 700, 70)]


def test_a_new_sampler_goes_on_with_the_account_of_the_dead_one() -> None:
    first = ProcessAccount()
    first.look([MAIN, use(11, 40), use(12, 50)], SECOND)
    first.look([MAIN, use(12, 50)], 2 * SECOND)
    first.gpu("gpu-0", 10, 1000)
    second = ProcessAccount()
    second.go_on_from(*first.rows())
    second.look([MAIN._replace(own_us=4_000_000)], 5 * SECOND)
    second.gpu("gpu-0", 10, 500)
    assert second.rows() == (
        [
            (10, 500, "python", 1, SECOND, 5 * SECOND, None, 4_000_000),
            (11, 700, "worker", 1, SECOND, SECOND, 2 * SECOND, 40),
            (12, 700, "worker", 1, SECOND, 2 * SECOND, 5 * SECOND, 50),
        ],
        [("gpu-0", 10, 500, 1500)],
    )


def test_a_new_sampler_counts_nobody_twice_who_was_in_the_sum() -> None:
    everybody = [use(100 + i, 1000 + i) for i in range(3 * MOST_TOLD)]
    first = ProcessAccount()
    first.look(everybody, SECOND)
    before = sum(row[7] for row in first.rows()[0])
    second = ProcessAccount()
    second.go_on_from(*first.rows())
    second.look(everybody, 2 * SECOND)
    second.look(everybody, 3 * SECOND)
    rows, _ = second.rows()
    assert sum(row[7] for row in rows) == before
    assert sum(row[3] for row in rows) == 3 * MOST_TOLD


def test_the_end_of_the_jobs_first_process_is_exact() -> None:
    account = ProcessAccount()
    account.look([MAIN], SECOND)
    account.job_ended(10, 1_700_000, 2 * SECOND)
    account.job_ended(11, 9_000_000, 2 * SECOND)  # nobody saw that one
    assert account.rows()[0] == [(10, 500, "python", 1, SECOND, 2 * SECOND, None, 1_700_000)]


def test_it_is_written_often_at_first_then_every_ten_seconds_and_only_if_it_changed() -> None:
    account = ProcessAccount()
    written = []
    for second in range(1, 100):
        now, used_us = second * SECOND, min(second, 60) * 1000
        if account.is_due(now, 0, used_us):
            account.told(now, used_us)
            written.append(second)
    assert written[:5] == [1, 2, 3, 4, 6]
    assert 60 <= written[-1] <= 70
    pauses = [b - a for a, b in pairwise(written)]
    assert pauses == sorted(pauses)
    assert max(pauses) == 10
    account.look([MAIN], 100 * SECOND)
    account.gpu("gpu-0", 10, 1)
    assert account.is_due(100 * SECOND, 0, 60_000)
