"""Which tests run while no other test does, which beside their like only, and which seldom.

Tests run side by side, one process per core or more, so each computes with one thread unless it
says otherwise: threads that wait for each other on a core that is taken cost minutes in all.

Signals are as in a terminal, also where a shell started the tests in the background: those that it
ignores there would be ignored by every program that a test starts, and then interrupts.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
    signal.signal(signal.SIGINT, signal.default_int_handler)
_HERE = Path(__file__).parent

# They hold shares of the CPU, or figures that only a prompt look gives, against a truth: beside a
# busy neighbour on two cores they would measure the neighbour. Some are such a neighbour.
_ALONE = (
    # Where a sample falls depends on who else wants the processor.
    "advisor/test_hot_spots.py::test_a_program_that_parses_is_told_to_look_there",
    "frugalwatch/commands/test_calibrate.py::test_a_busy_machine_",
    "frugalwatch/commands/test_calibrate.py::test_a_counter_that_does_not_follow_",
    "frugalwatch/commands/test_calibrate.py::test_loops_",
    "frugalwatch/e2e/test_energy.py",
    # These two count the processes of a user whom other tests are too.
    "frugalwatch/e2e/test_exit_status.py::test_a_job_that_cannot_be_forked_",
    "frugalwatch/e2e/test_exit_status.py::test_the_last_free_process_",
    "frugalwatch/e2e/test_inside_job.py::test_joules_per_step_",
    "frugalwatch/e2e/test_processes.py::test_a_job_beside_a_noisy_neighbour_",
    "frugalwatch/e2e/test_processes.py::test_an_idle_job_on_a_busy_machine_",
    "frugalwatch/e2e/test_profile.py::test_shares_",
)
# They wait for the clock most of the time, and hold what they saw by then against a truth. Beside
# each other they all are on time; beside what keeps both cores busy some would be late.
_WAITS = (
    "collectors/test_hwmon.py",
    "collectors/test_isolated.py",
    "collectors/test_nvidia.py",
    "collectors/test_nvidia_power.py",
    "collectors/test_nvml_stub.py",
    "collectors/test_rapl.py",
    "frugalwatch/commands/test_calibrate.py",
    "frugalwatch/crosscheck/test_compare.py",
    "frugalwatch/e2e/",
    "frugalwatch/screen/test_beside_a_run.py",
)
# Whole searches and lessons on real torch programs: minutes of CPU for what shorter tests look at
# in parts. `make test-long` runs them.
_LONG = (
    "advisor/compression/test_building.py::test_ctrl_c_keeps_",
    "advisor/gates/test_verdict_of_gate.py::test_noise_in_a_real_program_",
    "advisor/in_job/test_students.py::test_the_same_seed_makes_the_same_student_",
    "advisor/test_commands.py::test_a_metric_beyond_the_limit_",
    "advisor/test_inside_program.py::test_what_a_program_does_is_seen_",
    "advisor/test_inside_program.py::test_workers_take_the_waiting_",
    "advisor/test_odd_programs.py::test_a_model_file_is_advised_on_",
    "advisor/test_odd_programs.py::test_a_program_that_is_not_deterministic_",
    "advisor/test_odd_programs.py::test_what_a_program_writes_is_gone_",
    "advisor/test_student_techniques.py::test_a_student_and_a_cascade_answer_",
    "advisor/trace/test_found.py::test_batches_are_also_run_by_what_won_",
    "advisor/trace/test_found.py::test_single_requests_are_batched_",
    "advisor/trace/test_found.py::test_sorting_mixed_batches_",
)
# Among those that wait, but busy, and right however late they are.
_BUSY = ("frugalwatch/e2e/test_processes.py::test_ten_thousand_",)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files without a test that was asked for: importing all takes ten seconds."""
    asked = {"alone": _ALONE, "waits": _WAITS, "long": _LONG}.get(
        config.option.markexpr.partition(" ")[0]
    )
    if asked is None or collection_path.suffix != ".py":
        return None
    name = collection_path.relative_to(_HERE).as_posix()
    return None if any(each.startswith(name) or name.startswith(each) for each in asked) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests above as `alone`, `waits` or `long`."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            for mark in ("alone", "waits", "long"):
                if item.get_closest_marker(mark):
                    raise pytest.UsageError(f"{item.nodeid}: what is {mark} is named in {__file__}")
            name = f"{item.path.relative_to(_HERE).as_posix()}::{item.name}"
            if name.startswith(_ALONE):
                item.add_marker(pytest.mark.alone)
            elif name.startswith(_LONG):
                item.add_marker(pytest.mark.long)
            elif name.startswith(_WAITS) and not name.startswith(_BUSY):
                item.add_marker(pytest.mark.waits)
