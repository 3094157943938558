"""What each process of a job is told to have used: it adds up, and claims no more than is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frugalwatch.report.processes_text import process_table
from tests.frugalwatch.report.inside_kit import Inside
from tests.frugalwatch.report.kit import GPU, GPU_KEY, MODEL, PACKAGE, Story

IDLE = PACKAGE._replace(idle_w=20.0, idle_low_w=19.0, idle_high_w=21.0)
THREADS = {"cpu_limit": 2.0}


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "l.db", start=THREADS).reads(IDLE, 58)


def of_kind(run: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [part for part in run["processes"] if part["kind"] == kind]


def total(run: dict[str, Any], key: str) -> float:
    return float(sum(part[key] for part in run["processes"]))


def test_the_rows_add_up_to_the_jobs_cpu_time_and_its_share(story: Story) -> None:
    story.process(10, "python", 30, (1, 60)).process(11, "python", 10, (1, 60))
    story.process(0, "", 4, (1, 50), gone=51, count=3)
    run = story.ends(cpu_s=50, busy_s=100).settled()
    assert [p["kind"] for p in run["processes"]] == ["process", "process", "others", "ended"]
    assert total(run, "cpu_s") == pytest.approx(run["cpu_s"])
    assert total(run, "energy_j") == pytest.approx(run["job_share_j"])
    first, second = of_kind(run, "process")
    assert first["energy_j"] == pytest.approx(3 * second["energy_j"])
    assert first["energy_j"] == pytest.approx(run["job_share_j"] * 0.6)
    assert (of_kind(run, "ended")[0]["cpu_s"], first["origin"]) == (pytest.approx(6), "attributed")


def test_a_process_may_have_used_what_was_not_seen_of_it(story: Story) -> None:
    """One that was there at the end has only its last second unseen; one that went, up to when."""
    story.process(10, "python", 30, (1, 60)).process(11, "python", 10, (1, 20), gone=20.5)
    run = story.ends(cpu_s=45, busy_s=45).settled()
    there, went = of_kind(run, "process")
    (ended,) = of_kind(run, "ended")
    assert there["cpu_high_s"] == pytest.approx(30.02), "two roundings of 10 ms"
    assert went["cpu_high_s"] == pytest.approx(11.02), "half a second on two threads"
    assert ended["cpu_low_s"] == pytest.approx(5 - 1.04)
    for part in run["processes"]:
        assert part["cpu_low_s"] <= part["cpu_s"] <= part["cpu_high_s"]
        assert part["low_j"] <= part["energy_j"] <= part["high_j"]
    assert went["high_j"] / run["job_share_high_j"] == pytest.approx(11.02 / 45)


def test_nobody_can_have_used_more_unseen_than_there_was(story: Story) -> None:
    run = story.process(11, "sh", 1, (1, 2), gone=40).ends(cpu_s=3, busy_s=9).settled()
    assert of_kind(run, "process")[0]["cpu_high_s"] == pytest.approx(3)
    assert of_kind(run, "ended")[0]["cpu_low_s"] == 0


def test_without_a_known_number_of_cpus_all_of_the_rest_may_be_anybodys(tmp_path: Path) -> None:
    story = Story(tmp_path / "l.db").reads(IDLE, 58)
    run = story.process(10, "python", 30, (1, 60)).ends(cpu_s=45, busy_s=45).settled()
    assert of_kind(run, "process")[0]["cpu_high_s"] == pytest.approx(45)


def test_processes_of_a_lower_bound_may_come_to_more_than_it(story: Story) -> None:
    """A parent that ignores SIGCHLD: its children's time was seen, and reached no total."""
    story.process(10, "python", 1, (1, 60)).process(11, "python", 3, (1, 30), gone=31)
    run = story.ends(cpu_s=1, busy_s=10).settled()
    assert of_kind(run, "ended") == []
    assert total(run, "cpu_s") == pytest.approx(4)
    assert total(run, "energy_j") == pytest.approx(run["job_share_j"])


def test_a_gpu_is_split_by_sm_time_and_the_cpu_by_cpu_time(story: Story) -> None:
    story.reads(GPU._replace(idle_w=50.0), 225).gpu_use(GPU_KEY, 0, 0, 0)
    story.gpu_use(GPU_KEY, 60, 40, 50)
    story.process(10, "python", 45, (1, 60), gpu_s=10).process(11, "python", 5, (1, 60), gpu_s=30)
    run = story.ends(cpu_s=50, busy_s=50).settled()
    shares = {d["device"]: d["job_share_j"] for d in run["devices"]}
    first, second = of_kind(run, "process")
    assert first["pid"] == 10
    expected = shares[PACKAGE.key] * 0.9 + shares[GPU_KEY] * 0.25
    assert first["energy_j"] == pytest.approx(expected)
    assert first["gpus"] == [{"device": GPU_KEY, "busy_s": 10.0}]
    assert total(run, "energy_j") == pytest.approx(run["job_share_j"])
    assert second["energy_j"] > first["energy_j"]


def test_a_gpu_whose_user_is_not_known_leaves_the_energy_unknown(story: Story) -> None:
    story.reads(GPU, 225).process(10, "python", 40, (1, 60)).process(11, "sh", 10, (1, 60))
    run = story.ends().settled()
    for part in run["processes"]:
        assert (part["energy_j"], part["low_j"], part["high_j"]) == (None, None, None)
        assert part["gpus"] == []
    assert total(run, "cpu_s") == pytest.approx(50)
    text = "\n".join(process_table(run))
    assert "40.0 s" in text
    assert "The job's share" not in text


def test_an_idle_gpu_of_the_job_leaves_the_cpus_energy(story: Story) -> None:
    """The driver said that others used it: nothing of it is the job's, and that is known."""
    story.reads(GPU._replace(idle_w=50.0), 225)
    story.gpu_use(GPU_KEY, 0, 0, 0).gpu_use(GPU_KEY, 60, 0, 50)
    run = story.process(10, "python", 50, (1, 60)).ends(cpu_s=50, busy_s=50).settled()
    assert total(run, "energy_j") == pytest.approx(run["job_share_j"])


def test_the_name_is_what_the_hook_says_and_a_pid_used_again_is_not_confused(
    story: Story,
) -> None:
    Inside(story, 10, second=0.2, program="first.py", rank=0, world_size=2)
    Inside(story, 10, second=30.2, program="second.py", rank=1, world_size=2)
    story.process(10, "python", 20, (1, 20), gone=21).process(10, "python", 15, (31, 60))
    story.process(12, "sh", 14, (1, 60))
    run = story.ends().settled()
    named = [(p["program"], p["name"], p["rank"]) for p in of_kind(run, "process")]
    assert named == [("first.py", "python", 0), ("second.py", "python", 1), (None, "sh", None)]
    text = "\n".join(process_table(run))
    assert "second.py, rank 1 of 2" in text
    assert "sh " in text


def test_a_model_is_split_too_and_stays_a_model(tmp_path: Path) -> None:
    story = Story(tmp_path / "l.db", start=THREADS).reads(MODEL, 6.2, spread=(0.5, 2))
    story.process(10, "python", 30, (1, 60)).process(11, "python", 20, (1, 60))
    run = story.ends().settled()
    assert total(run, "estimated_j") == pytest.approx(run["estimated_job_share_j"])
    assert {part["energy_j"] for part in run["processes"]} == {None}
    assert "~" in "\n".join(process_table(run))


def test_a_run_that_goes_on_is_told_as_of_its_last_account(story: Story) -> None:
    """The CPU time used since then is nobody's yet, and not of those that came and went."""
    for second in (10, 20, 30):
        story.journal.usage(story.at(second), second * 1_000_000, second * 1_100_000)
    story.process(10, "python", 14, (1, 20)).process(11, "python", 5, (1, 20))
    story.journal.processes(story.processes, [])
    story.journal.heartbeat(story.at(30))
    story.journal.commit()
    run = story.settled()
    assert total(run, "cpu_s") == pytest.approx(20)
    assert of_kind(run, "ended")[0]["cpu_s"] == pytest.approx(1)
    assert run["cpu_s"] == pytest.approx(30)
    assert total(run, "energy_j") == pytest.approx(run["job_share_j"]), "of all of it until now"


def test_in_the_first_second_of_a_run_nobodys_share_is_known(story: Story) -> None:
    story.journal.usage(story.at(0), 0, 0)
    story.journal.heartbeat(story.at(0.5))
    story.journal.commit()
    run = story.settled()
    assert (run["state"], run["busy_share"], run["job_share_j"]) == ("running", None, None)


def test_a_job_that_was_over_before_the_first_look_has_no_processes(story: Story) -> None:
    run = story.ends().settled()
    assert run["processes"] == []
    assert process_table(run) == []
    assert process_table({}) == [], "settled by an older version"


def test_show_is_silent_about_a_job_of_one_process(story: Story) -> None:
    story.process(10, "python", 49.8, (1, 60)).process(9, "sh", 0.01, (1, 60))
    assert process_table(story.ends().settled()) == []


def test_show_cuts_a_long_list_and_says_so(story: Story) -> None:
    for pid in range(10, 40):
        story.process(pid, f"worker-{pid}", 1.5, (1, 60))
    lines = process_table(story.ends(cpu_s=45, busy_s=45).settled())
    assert sum("worker" in line for line in lines) == 12
    assert "18 more processes used 27.0 s of CPU time." in lines
