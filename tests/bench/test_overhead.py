"""The comparison as a user starts it, with a stand-in for the tool under test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def stand_in(folder: Path, work: str) -> Path:
    """A program called as `frugalwatch run [options] -- JOB`: some work, then the job."""
    path = folder / "tool"
    path.write_text(
        f'#!/bin/sh\nwhile [ "$1" != "--" ]; do shift; done\nshift\n{work}\nexec "$@"\n'
    )
    path.chmod(0o755)
    return path


def overhead(folder: Path, tool: Path) -> tuple[str, dict[str, Any], str]:
    """Run the bench on one stand-in; returns its text, its JSON and its Markdown."""
    as_json, as_markdown = folder / "rounds.json", folder / "table.md"
    options = ["--only", "frugalwatch", "--frugalwatch", str(tool), "--rounds", "3"]
    files = ["--long-rounds", "0", "--json", str(as_json), "--markdown", str(as_markdown)]
    result = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "overhead.py"), *options, *files],
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return result.stdout, json.loads(as_json.read_text()), as_markdown.read_text()


def test_a_light_tool_is_within_the_cpu_budget(tmp_path: Path) -> None:
    text, rounds, markdown = overhead(tmp_path, stand_in(tmp_path, ":"))
    assert "PASS         wrapping `true`, CPU" in text
    assert rounds["schema"] == "frugalwatch.bench-overhead/1"
    assert len(rounds["jobs"][0]["timed"]["frugalwatch"]) == 3
    assert "| frugalwatch | 0.0" in markdown


def test_a_heavy_tool_is_over_the_cpu_budget(tmp_path: Path) -> None:
    burn = f"{sys.executable} -c 'import time\nwhile time.process_time() < 0.4: pass'"
    text, rounds, _ = overhead(tmp_path, stand_in(tmp_path, burn))
    assert "over budget  wrapping `true`, CPU" in text
    assert all(cost["cpu_s"] > 0.4 for cost in rounds["jobs"][0]["timed"]["frugalwatch"])


def test_a_failing_tool_is_named_and_passes_no_budget(tmp_path: Path) -> None:
    text, _, markdown = overhead(tmp_path, stand_in(tmp_path, "echo no sensor here; exit 7"))
    assert "frugalwatch (failed)" in text
    assert "exit 7 in 3 of 3 rounds: no sensor here" in text
    assert "PASS" not in text
    assert "frugalwatch (failed)" in markdown


@pytest.mark.parametrize("pins", sorted((ROOT / "bench" / "peers").glob("*.txt")))
def test_every_peer_is_pinned_to_one_version(pins: Path) -> None:
    lines = pins.read_text().splitlines()
    assert any(line.startswith(f"{pins.stem}==") for line in lines)
    assert all("==" in line for line in lines)
