"""Recorded stacks joined with a recorded power trace: whose joules they become."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from frugalwatch.ledger.connection import open_ledger
from frugalwatch.profile.document import Profile, build_profile
from frugalwatch.profile.exports import collapsed, speedscope
from frugalwatch.profile.page import html_page, svg_image
from frugalwatch.profile.recorded import parse
from frugalwatch.profile.text import profile_text
from frugalwatch.report.style import Style
from tests.frugalwatch.profile.kit import NUMPY, OWN, PANDAS, STDLIB, TORCH, Recording
from tests.frugalwatch.report.kit import MODEL, PACKAGE, Story

THREAD = ("", "MainThread", 0)
MAIN = (OWN, "main", 3)


def profile_of(story: Story, recording: Recording, folder: Path) -> Profile:
    connection = open_ledger(str(story.path), create=False)
    try:
        found = build_profile(connection, 1, [recording.write(folder)])
    finally:
        connection.close()
    assert found is not None
    return found


def named(rows: list[dict[str, Any]], key: str, name: str) -> dict[str, Any]:
    (found,) = [row for row in rows if row[key] == name]
    return found


def test_joules_follow_the_power_at_the_time_not_the_mean(tmp_path: Path) -> None:
    # 10 W for the first half, 30 W for the second; one busy CPU all the time, idle power unknown.
    story = Story(tmp_path / "l.db", seconds=20.0)
    story.reads(PACKAGE, lambda t: 10 * min(t, 10) + 30 * max(0, t - 10), times=(0, 10, 20))
    story.ends(cpu_s=20.0, busy_s=20.0)
    recording = Recording()
    recording.slice(100, 110, ((THREAD, MAIN, (OWN, "early", 5)), 10.0, 10.0))
    recording.slice(110, 120, ((THREAD, MAIN, (OWN, "late", 6)), 10.0, 10.0))
    document = profile_of(story, recording, tmp_path).document
    early = named(document["functions"], "function", "early")["self"]
    late = named(document["functions"], "function", "late")["self"]
    assert early["energy_j"] == pytest.approx(100, rel=0.01)
    assert late["energy_j"] == pytest.approx(300, rel=0.01)
    assert early["share"] == pytest.approx(0.5)
    assert document["energy_kind"] == "measured"
    assert document["energy_j"] == pytest.approx(400, rel=0.01)


def test_a_waiting_thread_gets_no_energy_but_has_its_time(tmp_path: Path) -> None:
    story = Story(tmp_path / "l.db", seconds=10.0).reads(PACKAGE, 20.0).ends(cpu_s=5, busy_s=5)
    recording = Recording().slice(
        100,
        110,
        ((THREAD, MAIN, (OWN, "work", 5)), 5.0, 5.0),
        ((("", "Thread-N", 0), (STDLIB + "/threading.py", "wait", 300)), 0.0, 10.0),
    )
    document = profile_of(story, recording, tmp_path).document
    wait = named(document["functions"], "function", "wait")["self"]
    assert (wait["energy_j"], wait["cpu_s"], wait["wall_s"]) == (0.0, 0.0, 10.0)
    assert named(document["functions"], "function", "work")["self"]["energy_j"] == pytest.approx(
        200
    )
    wall = profile_text(document, Style(on=False), wall=True)
    assert re.search(r"10\.0 s +0 s +10\.0 s .* wait", wall)


def test_other_programs_share_is_not_the_jobs(tmp_path: Path) -> None:
    # 4 busy CPU seconds each second, one of them the job's.
    story = Story(tmp_path / "l.db", seconds=10.0).reads(PACKAGE, 40.0).ends(cpu_s=10, busy_s=40)
    recording = Recording().slice(100, 110, ((THREAD, MAIN), 10.0, 10.0))
    document = profile_of(story, recording, tmp_path).document
    assert document["energy_j"] == pytest.approx(100, rel=0.01)
    assert document["job"]["device_measured_j"] == pytest.approx(400, rel=0.01)


def test_modelled_energy_is_never_called_measured(tmp_path: Path) -> None:
    story = Story(tmp_path / "l.db", seconds=10.0)
    story.reads(MODEL, 5.7, spread=(0.5, 2.0)).ends(cpu_s=10.0, busy_s=10.0)
    recording = Recording().slice(100, 110, ((THREAD, MAIN), 10.0, 10.0))
    document = profile_of(story, recording, tmp_path).document
    assert document["energy_j"] is None
    assert document["energy_kind"] == "estimated"
    assert document["estimated_j"] == pytest.approx(40, rel=0.01)  # above 1.7 W of idling
    assert document["estimated_low_j"] < 40 < document["estimated_high_j"]
    assert "~40 J" in profile_text(document, Style(on=False))
    assert "modelled" in profile_text(document, Style(on=False))


def test_work_inside_a_library_is_the_librarys_that_was_called(tmp_path: Path) -> None:
    story = Story(tmp_path / "l.db", seconds=10.0).reads(PACKAGE, 10.0).ends(cpu_s=10, busy_s=10)
    module = f"{TORCH}/nn/modules/module.py"
    call = ((module, "Module._wrapped_call_impl", 9), (module, "Module._call_impl", 9))
    recording = Recording().slice(
        100,
        110,
        ((THREAD, MAIN, (PANDAS, "merge", 9), (NUMPY, "take", 2)), 3.7, 3.7),
        ((THREAD, MAIN, *call, (OWN, "Net.forward", 20), (NUMPY, "dot", 4)), 3.0, 3.0),
        ((THREAD, MAIN, (f"{TORCH}/_tensor.py", "Tensor.backward", 5)), 2.0, 2.0),
        ((THREAD, MAIN, (STDLIB + "/json/decoder.py", "decode", 5)), 0.8, 0.8),
        ((THREAD, MAIN), 0.5, 0.5),
    )
    document = profile_of(story, recording, tmp_path).document
    parts = {part["part"]: round(part["share"], 3) for part in document["parts"]}
    assert parts == {
        "pandas": 0.37,
        "model, forward": 0.3,
        "model, backward": 0.2,
        "standard library": 0.08,
        "your own code": 0.05,
    }
    assert document["model_share"] == pytest.approx(0.5)
    own = {package["package"]: round(package["share"], 3) for package in document["packages"]}
    assert own["numpy"] == pytest.approx(0.67)
    assert re.search(r"37 % .* pandas", profile_text(document, Style(on=False)))


def test_recursion_counts_once_in_the_total(tmp_path: Path) -> None:
    story = Story(tmp_path / "l.db", seconds=10.0).reads(PACKAGE, 10.0).ends(cpu_s=10, busy_s=10)
    fib = (OWN, "fib", 8)
    recording = Recording().slice(100, 110, ((THREAD, MAIN, fib, fib, fib), 10.0, 10.0))
    document = profile_of(story, recording, tmp_path).document
    assert named(document["functions"], "function", "fib")["total"]["share"] == pytest.approx(1.0)
    assert named(document["functions"], "function", "main")["self"]["share"] == 0.0


def test_shares_have_the_bounds_of_their_number_of_samples(tmp_path: Path) -> None:
    def bounds(seconds: float) -> tuple[float, float]:
        story = Story(tmp_path / f"{seconds}.db", seconds=seconds)
        story.reads(PACKAGE, 10.0).ends(cpu_s=seconds, busy_s=seconds)
        recording = Recording()
        recording.slice(
            100,
            100 + seconds,
            ((THREAD, (OWN, "a", 1)), 0.7 * seconds, 0.7 * seconds),
            ((THREAD, (OWN, "b", 1)), 0.3 * seconds, 0.3 * seconds),
        )
        found = named(
            profile_of(story, recording, tmp_path).document["functions"], "function", "a"
        )["self"]
        return found["share_low"], found["share_high"]

    few, many = bounds(1.0), bounds(100.0)  # 100 and 10000 samples
    assert few[0] == pytest.approx(0.604, abs=0.01)
    assert few[1] == pytest.approx(0.781, abs=0.01)
    assert many[1] - many[0] < (few[1] - few[0]) / 8


def test_a_file_cut_off_by_a_kill_keeps_all_before_it() -> None:
    recording = Recording().slice(100, 101, ((THREAD, MAIN), 1.0, 1.0))
    recording.slice(101, 102, ((THREAD, MAIN), 1.0, 1.0))
    text = recording.text()
    whole = parse(text.splitlines(keepends=True))
    cut = parse(text[: len(text) - 20].splitlines(keepends=True))
    assert whole is not None
    assert cut is not None
    assert (len(whole.slices), len(cut.slices)) == (2, 1)
    assert parse(["nonsense\n"]) is None


def test_exports_hold_all_joules_and_the_page_needs_no_network(tmp_path: Path) -> None:
    story = Story(tmp_path / "l.db", seconds=10.0).reads(PACKAGE, 10.0).ends(cpu_s=10, busy_s=10)
    recording = Recording().slice(
        100,
        110,
        ((THREAD, MAIN, (OWN, "<script>alert(1)</script>", 5)), 6.0, 6.0),
        ((THREAD, MAIN, (OWN, "b", 6)), 4.0, 4.0),
    )
    profile = profile_of(story, recording, tmp_path)
    lines = collapsed(profile).splitlines()
    assert sum(int(line.rpartition(" ")[2]) for line in lines) == pytest.approx(100e6, rel=0.01)
    scope = json.loads(speedscope(profile))
    assert sum(scope["profiles"][0]["weights"]) == pytest.approx(100e3, rel=0.01)
    frames = scope["shared"]["frames"]
    assert all(0 <= i < len(frames) for s in scope["profiles"][0]["samples"] for i in s)
    page = html_page(profile)
    assert "<script>alert(1)" not in page
    assert page.count("<script>") == 1
    addresses = set(re.findall(r"https?://[^\"' <]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of a format, never fetched
    assert svg_image(profile).startswith("<svg")


def test_layers_split_the_forward_pass_by_time(tmp_path: Path) -> None:
    story = Story(tmp_path / "l.db", seconds=10.0).reads(PACKAGE, 10.0).ends(cpu_s=10, busy_s=10)
    module = f"{TORCH}/nn/modules/module.py"
    recording = Recording()
    recording.slice(
        100,
        110,
        ((THREAD, MAIN, (module, "Module._call_impl", 9)), 6.0, 6.0),
        ((THREAD, MAIN, (f"{TORCH}/_tensor.py", "Tensor.backward", 5)), 3.0, 3.0),
        ((THREAD, MAIN), 1.0, 1.0),
    )
    recording.say("root", 0, [["", "Net", 0], ["a", "Linear", 640], ["b", "ReLU", 0]])
    warm_up = [[0, 1, 900, 900, 0, 0, None]]  # the first call says nothing about the others
    recording.say("call", 0, 0, True, None, warm_up)
    rows = [
        [0, 1, 100, 10, 0, 0, None],
        [1, 1, 60, 60, 1280, 80, None],
        [2, 1, 30, 30, 0, 20, None],
    ]
    recording.say("call", 0, 5, True, 100, rows)
    recording.say("counts", [[0, 50, 50, 5000]])
    document = profile_of(story, recording, tmp_path).document
    (model,) = document["models"]
    layers = {layer["name"]: layer for layer in model["layers"]}
    assert layers["a"]["energy_j"] == pytest.approx(60 * 0.6 + 30 * 0.8, rel=0.01)
    assert layers["b"]["energy_j"] == pytest.approx(60 * 0.3 + 30 * 0.2, rel=0.01)
    assert layers["Net"]["energy_j"] == pytest.approx(60 * 0.1, rel=0.01)
    assert (layers["a"]["flops"], layers["a"]["parameters"], model["calls"]) == (1280, 640, 50)
    assert list(layers) == ["a", "b", "Net"]
