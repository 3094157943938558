"""What a job's environment holds, and under which name a run is grouped."""

from __future__ import annotations

import json

import pytest

from frugalwatch.inside import folder
from frugalwatch.supervisor.environment import job_environment
from frugalwatch.supervisor.run_key import group_key, new_run_key


def test_without_a_pipe_nothing_is_added() -> None:
    assert job_environment({"A": "1"}, "key", None) == {"A": "1"}


def test_a_group_that_is_set_is_kept() -> None:
    inner = job_environment({"FRUGALWATCH_RUN_ID": "mine"}, "key", "/pipe")
    assert inner["FRUGALWATCH_RUN_ID"] == "mine"
    assert inner["FRUGALWATCH_RUN_KEY"] == "key"
    assert job_environment({}, "key", "/pipe")["FRUGALWATCH_RUN_ID"] == "key"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": ""}, None),
        ({"SLURM_JOB_ID": "12"}, "slurm:12"),
        ({"SLURM_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}, "slurm:12_3"),
        ({"TORCHELASTIC_RUN_ID": "x"}, "torchelastic:x"),
        ({"RAY_JOB_ID": "01"}, "ray:01"),
        ({"FRUGALWATCH_RUN_ID": "own", "SLURM_JOB_ID": "12"}, "own"),
    ],
)
def test_the_group_is_what_the_cluster_calls_the_job(
    environment: dict[str, str], expected: str | None
) -> None:
    assert group_key(environment) == expected


def test_run_keys_sort_by_their_start_and_differ() -> None:
    keys = [new_run_key() for _ in range(50)]
    assert len(set(keys)) == 50
    assert all(len(key) == 24 and key[8] == key[15] == "-" for key in keys)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ["HOOK"]),
        ("", ["HOOK"]),  # to Python no path at all, while an empty entry is the current folder
        ("/a:/b", ["HOOK", "/a", "/b"]),
        ("/a:", ["HOOK", "/a", ""]),
        (":/a", ["HOOK", "", "/a"]),
        ("/a:HOOK", ["HOOK", "/a"]),  # a run inside a run
    ],
)
def test_the_hooks_folder_comes_first_and_the_rest_stays(
    given: str | None, expected: list[str]
) -> None:
    environment = {} if given is None else {"PYTHONPATH": given.replace("HOOK", folder())}
    path = job_environment(environment, "key", "/pipe")["PYTHONPATH"]
    assert path == ":".join(expected).replace("HOOK", folder())


def test_what_was_asked_of_the_hook_is_told_and_that_of_an_outer_run_is_not() -> None:
    outer = {"FRUGALWATCH_HOOK": '{"profile":{}}'}
    assert "FRUGALWATCH_HOOK" not in job_environment(outer, "key", "/pipe")
    inner = job_environment(outer, "key", "/pipe", {"metric": ["a=([0-9]+)"]})
    assert json.loads(inner["FRUGALWATCH_HOOK"]) == {"metric": ["a=([0-9]+)"]}
    assert job_environment(outer, "key", None) == outer
