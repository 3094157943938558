"""What a person reads at the end of a run. The golden files are read before they are accepted:

FRUGALWATCH_ACCEPT=1 python -m pytest tests/frugalwatch/report/test_summary.py
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from frugalwatch.report.full import full_text
from frugalwatch.report.style import Style, choose_style
from frugalwatch.report.summary import block_summary, line_summary
from tests.frugalwatch.report.kit import GPU, GPU_KEY, MODEL, Story
from tests.frugalwatch.report.stories import STORIES

GOLDEN = Path(__file__).with_name("golden")
PLAIN = Style(on=False)
SHOWN = ("measured", "lost_gpu", "steps", "cloud", "nothing")
SHOWN += ("inside", "inside_cloud", "inside_silent")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ledgers")
    return {name: story(folder / f"{name}.db") for name, story in STORIES.items()}


def accepted(name: str, text: str) -> str:
    """The golden text of that name; made anew where that was asked for."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("FRUGALWATCH_ACCEPT"):
        path.write_text(f"{text}\n")
    return path.read_text().removesuffix("\n")


@pytest.mark.parametrize("name", STORIES)
def test_the_block_and_the_line_read_as_accepted(
    name: str, runs: dict[str, dict[str, Any]]
) -> None:
    text = f"{block_summary(runs[name], PLAIN)}\n\n{line_summary(runs[name])}"
    assert text == accepted(name, text)


@pytest.mark.parametrize("name", SHOWN)
def test_show_reads_as_accepted(name: str, runs: dict[str, dict[str, Any]]) -> None:
    text = full_text(runs[name], PLAIN)
    assert text == accepted(f"show_{name}", text)


@pytest.mark.parametrize("name", STORIES)
def test_every_screen_fits_eighty_columns_in_plain_ascii(
    name: str, runs: dict[str, dict[str, Any]]
) -> None:
    for text in (block_summary(runs[name], PLAIN), full_text(runs[name], PLAIN)):
        assert max(map(len, text.splitlines())) <= 80
        assert text.isascii()
        assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", STORIES)
def test_no_golden_file_is_left_over(name: str) -> None:
    known = {
        *STORIES,
        *(f"show_{n}" for n in SHOWN),
    }
    assert {path.stem for path in GOLDEN.glob("*.txt")} == known


def test_a_gpus_share_is_not_said_to_go_by_cpu_time(tmp_path: Path) -> None:
    """The job has nearly all of the GPU and hardly any of the CPU, which is modelled beside it."""
    story = Story(tmp_path / "l.db").reads(GPU, 200).reads(MODEL, 5)
    story.gpu_use(GPU_KEY, 1, 0, 0).gpu_use(GPU_KEY, 60, 45, 60)
    text = block_summary(story.ends(cpu_s=0.3, busy_s=60).settled(), PLAIN)
    (share,) = [line for line in text.splitlines() if "Your share" in line]
    assert share.split()[2:4] == ["2.5", "Wh"], "three quarters"
    assert "by busy GPU time" in share
    assert "CPU time" not in share


def test_the_line_is_one_line_of_pairs_in_a_fixed_order(runs: dict[str, dict[str, Any]]) -> None:
    keys = set()
    for run in runs.values():
        line = line_summary(run)
        assert "\n" not in line
        words = line.removeprefix("frugalwatch: ").split(" ")
        assert all(word.count("=") == 1 for word in words)
        keys.add(tuple(word.split("=")[0] for word in words))
    assert len(keys) == 1


def test_modelled_energy_is_never_without_its_mark(runs: dict[str, dict[str, Any]]) -> None:
    text = block_summary(runs["cloud"], PLAIN)
    for label in ("Energy", "Carbon", "Above idle"):
        (line,) = [x for x in text.splitlines() if x.startswith(f"  {label} ")]
        assert line.split(label)[1].lstrip().startswith("~")
    assert "do not report it as measured" in text
    assert "~" not in block_summary(runs["killed"], PLAIN)


def test_colour_carries_no_meaning(runs: dict[str, dict[str, Any]]) -> None:
    import re

    for run in runs.values():
        coloured = block_summary(run, Style(on=True))
        assert "\x1b[1m" in coloured
        assert re.sub(r"\x1b\[\d+m", "", coloured) == block_summary(run, PLAIN)


@pytest.mark.parametrize(
    ("environ", "is_terminal", "on"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
    ],
)
def test_colour_follows_the_environment(
    environ: dict[str, str], is_terminal: bool, on: bool
) -> None:
    assert choose_style(environ, is_terminal=is_terminal).on is on


def test_a_running_run_says_so(runs: dict[str, dict[str, Any]]) -> None:
    run = {**runs["measured"], "state": "running", "exit_code": None}
    assert block_summary(run, Style(on=True)).splitlines()[1].startswith("  running    ")


def test_a_recovered_run_does_not_invent_an_exit_status(runs: dict[str, dict[str, Any]]) -> None:
    run = {**runs["measured"], "state": "recovered", "exit_code": None}
    assert "recovered, exit unknown" in block_summary(run, PLAIN)


def test_a_gap_that_lost_nothing_is_not_told(runs: dict[str, dict[str, Any]]) -> None:
    run = copy.deepcopy(runs["lost_gpu"])
    assert "warning" in block_summary(run, PLAIN)
    run["events"][0]["energy_missing"] = False
    assert "warning" not in block_summary(run, PLAIN)


def test_long_keys_values_and_names_never_break_a_table(runs: dict[str, dict[str, Any]]) -> None:
    run = copy.deepcopy(runs["steps"])
    for device in run["devices"]:
        device["device"] += "-a-long-tail"
        for key in ("energy_j", "low_j", "high_j"):
            device[key] *= 1e4
    run["phases"][0]["name"] = "a very long name of a phase " * 3
    run["metrics"][0]["name"] = "m" * 90
    run["events"] = [{**e, "detail": "word " * 40} for e in runs["many_troubles"]["events"]]
    assert [line for line in full_text(run, PLAIN).splitlines() if len(line) > 80] == []
