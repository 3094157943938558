"""Recorded runs beside each other: which sides there are, what is compared, and what is said."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from frugalwatch.cli import cli
from frugalwatch.errors import LedgerError
from frugalwatch.ledger.reading import open_reader
from frugalwatch.report.compare_runs import Comparison, SideRatio, compare_runs
from frugalwatch.report.compare_text import compare_lines, ratio_text
from tests.frugalwatch.screen.kit import CPU, GPU, MODEL, SETTINGS, LiveRun, World

HASH = {"command_hash": "train", "command": ("python", "train.py")}


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "frugalwatch.db"


class Runs:
    """Writes finished runs of ten seconds, numbered from 1."""

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0

    def add(
        self,
        watts: float = 50.0,
        *,
        cpu_s: float = 5.0,
        power_w: Mapping[str, float] | None = None,
        end: Mapping[str, object] | None = None,
        **start: object,
    ) -> int:
        self.count += 1
        devices = [d for d in (GPU, CPU, MODEL) if d.key in (power_w or {CPU.key: 0})]
        world = World(100 + 60 * self.count)
        run = LiveRun(
            self.path, world, devices, run_key=f"2025-{self.count:04d}", **{**HASH, **start}
        )
        run.go(10, power_w or {CPU.key: watts})
        run.end(job_cpu_us=round(cpu_s * 1e6), **(end or {}))
        return self.count

    def compare(self, *numbers: int, sides: Mapping[int, str] | None = None) -> Comparison:
        connection = open_reader(str(self.path))
        try:
            return compare_runs(connection, numbers or range(1, self.count + 1), SETTINGS, sides)
        finally:
            connection.close()


def ratio(found: Comparison, quantity: str, side: str = "B") -> SideRatio:
    return next(r for r in found.ratios if (r.quantity, r.side) == (quantity, side))


def test_two_runs_of_one_version_are_a_side_each_without_an_interval(ledger: Path) -> None:
    runs = Runs(ledger)
    runs.add(50.0)
    runs.add(40.0)
    found = runs.compare()
    assert [(run.number, run.side) for run in found.runs] == [(1, "A"), (2, "B")]
    energy = ratio(found, "energy_j")
    assert energy.found is not None
    assert energy.found.ratio == pytest.approx(0.8)
    assert energy.found.low is None
    assert energy.why == "one run each: no interval"
    assert found.headline == "energy_j"


def test_versions_of_a_command_are_the_sides_and_three_each_have_an_interval(ledger: Path) -> None:
    runs = Runs(ledger)
    for watts in (50.0, 51.0, 49.0):
        runs.add(watts, git_commit="old")
    for watts in (40.0, 41.0, 39.0):
        runs.add(watts, git_commit="new")
    found = runs.compare()
    assert [run.number for run in found.on("A")] == [1, 2, 3]
    energy = ratio(found, "energy_j")
    assert energy.found is not None
    assert energy.found.verdict == "less"
    assert energy.found.low is not None
    assert energy.found.low < 0.8 < (energy.found.high or 0)
    assert "commits differ: A old; B new" in found.notes


def test_sides_that_a_person_chose_are_kept(ledger: Path) -> None:
    runs = Runs(ledger)
    for watts in (50.0, 40.0, 50.0, 40.0, 50.0, 40.0):
        runs.add(watts)
    found = runs.compare(sides={1: "A", 3: "A", 5: "A", 2: "B", 4: "B", 6: "B"})
    energy = ratio(found, "energy_j")
    assert energy.found is not None
    assert energy.found.ratio == pytest.approx(0.8)
    assert energy.found.verdict == "less"


def test_a_side_that_mixes_commands_has_no_interval(ledger: Path) -> None:
    runs = Runs(ledger)
    for place in range(6):
        other = {"command_hash": "other", "command": ("python", "other.py")}
        runs.add(50.0 + place, **(other if place == 5 else {}))
    found = runs.compare(sides=dict.fromkeys((1, 2, 3), "A") | dict.fromkeys((4, 5, 6), "B"))
    energy = ratio(found, "energy_j")
    assert energy.found is not None
    assert energy.found.low is None
    assert energy.why == "side B mixes commands: no interval"
    assert any(note.startswith("commands differ") for note in found.notes)


def test_modelled_energy_is_not_compared_and_cpu_time_is(ledger: Path) -> None:
    runs = Runs(ledger)
    runs.add(power_w={MODEL.key: 33.0}, cpu_s=4.0)
    runs.add(power_w={MODEL.key: 20.0}, cpu_s=2.0)
    found = runs.compare()
    assert ratio(found, "energy_j").found is None
    assert ratio(found, "energy_j").why == "energy is modelled here, not measured"
    assert found.headline == "cpu_s"
    cpu = ratio(found, "cpu_s").found
    assert cpu is not None
    assert cpu.ratio == pytest.approx(0.5)
    assert any("compare CPU time" in note for note in found.notes)


def test_other_kinds_of_devices_are_no_match(ledger: Path) -> None:
    runs = Runs(ledger)
    runs.add(power_w={CPU.key: 50.0})
    runs.add(power_w={CPU.key: 50.0, GPU.key: 200.0})
    found = runs.compare()
    assert ratio(found, "energy_j").why == "not the same kinds of devices were measured"


def test_failed_and_running_runs_are_shown_and_left_out(ledger: Path) -> None:
    runs = Runs(ledger)
    runs.add(50.0)
    runs.add(40.0)
    runs.add(10.0, end={"exit_code": 1})
    LiveRun(ledger, World(900), run_key="9", **HASH)
    found = runs.compare(1, 2, 3, 4)
    assert [run.number for run in found.runs] == [1, 2, 3, 4]
    assert "run 3 failed, exit 1: left out of every ratio" in found.notes
    assert "run 4 goes on: left out of every ratio" in found.notes
    assert ratio(found, "energy_j", "C").found is None


def test_a_part_of_an_energy_is_no_match_for_a_whole_one(ledger: Path) -> None:
    runs = Runs(ledger)
    runs.add(50.0)
    world = World(500)
    run = LiveRun(ledger, world, run_key="8", **HASH)
    run.go(5, {CPU.key: 50.0})
    run.journal.event(
        "gap", "reset", t_mono_ns=world.mono_ns(), since_mono_ns=world.mono_ns() - 10**9,
        handle=0, energy_missing=True,
    )  # fmt: skip
    run.go(5, {CPU.key: 50.0})
    run.end()
    found = runs.compare(1, 2)
    assert ratio(found, "energy_j").why == "run 2 misses part of its energy"
    assert found.headline == "cpu_s"


def test_other_machines_zones_and_neighbours_are_pointed_out(ledger: Path) -> None:
    runs = Runs(ledger)
    runs.add(50.0)
    runs.add(
        50.0, end={"machine_busy_us": 20_000_000}, machine_key="m2", hostname="node8",
        boot_key="b2",
    )  # fmt: skip
    notes = runs.compare().notes
    assert "machines differ: A node7; B node8" in notes
    assert any(n.startswith("others ran beside run 2: it had 25.0 %") for n in notes)


def test_an_incomplete_object_is_said_to_be(ledger: Path) -> None:
    runs = Runs(ledger)
    runs.add(50.0)
    runs.add(40.0)
    connection = sqlite3.connect(ledger)
    connection.execute("UPDATE run SET result = '{}' WHERE id = 2")
    connection.commit()
    connection.close()
    with pytest.raises(LedgerError, match="run 2 is not complete"):
        runs.compare(1, 2)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_longer_than_the_terminal(ledger: Path, width: int) -> None:
    runs = Runs(ledger)
    for watts in (50.0, 40.0, 45.0, 60.0, 55.0, 41.0, 42.0):
        runs.add(watts, command=("python", "train.py", "x" * 70))
    for line in compare_lines(runs.compare(), width):
        assert len(line.text) <= width


def test_a_metric_has_one_row_with_its_last_value(ledger: Path) -> None:
    for number, last in ((1, 0.25), (2, 0.125)):
        world = World(200 * number)
        run = LiveRun(ledger, world, run_key=str(number), **HASH)
        for value in (1.0, 0.5, last):
            run.go(2, {CPU.key: 50.0})
            run.journal.metric(7, world.mono_ns(), "loss", value)
        run.go(1, {CPU.key: 50.0})
        run.end()
    lines = [line.text for line in compare_lines(Runs(ledger).compare(1, 2), 80)]
    assert [line.split() for line in lines if "loss" in line] == [["last", "loss", "0.25", "0.125"]]


def test_a_difference_that_is_none_is_called_so(ledger: Path) -> None:
    runs = Runs(ledger)
    for place in range(6):
        runs.add(50.0 + place % 3, git_commit="old" if place < 3 else "new")
    text = ratio_text(ratio(runs.compare(), "energy_j"))
    assert text.startswith("B and A: no clear difference in energy  (95 %: ")


def said(*arguments: str, ledger: Path) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["compare", *arguments, "--ledger", str(ledger)])
    return result.exit_code, result.output if result.exception is None else str(result.exception)


def test_the_command_leads_with_the_ratio(ledger: Path) -> None:
    runs = Runs(ledger)
    runs.add(50.0)
    runs.add(40.0)
    status, text = said("-2", "last", ledger=ledger)
    assert status == 0
    lines = [line for line in text.splitlines() if line]
    assert lines[0].startswith("  A  run 1   python train.py")
    assert lines[2] == "  B took 0.80 x the energy of A  (one run each: no interval)"
    assert any(line.split()[:3] == ["energy", "0.139", "Wh"] for line in lines)


def test_vs_puts_runs_on_sides(ledger: Path) -> None:
    runs = Runs(ledger)
    for watts in (50.0, 40.0, 50.0, 40.0, 50.0, 40.0):
        runs.add(watts)
    status, text = said("1", "3", "5", "vs", "2", "4", "6", ledger=ledger)
    assert status == 0
    assert "B took 0.800 x the energy of A  (95 %: 0.800 to 0.800, 3 and 3 runs)" in text


def test_json_has_the_ratio_the_counts_and_the_run_objects(ledger: Path) -> None:
    runs = Runs(ledger)
    runs.add(50.0)
    runs.add(40.0)
    status, text = said("1", "2", "--json", ledger=ledger)
    assert status == 0
    document = json.loads(text)
    assert document["schema"] == "frugalwatch.comparison/1"
    first = document["ratios"][0]
    assert first["quantity"] == "energy_j"
    assert first["ratio"] == pytest.approx(0.8)
    assert (first["low"], first["verdict"]) == (None, "no interval")
    assert document["sides"] == [
        {"side": "A", "runs": [1], "used": [1]},
        {"side": "B", "runs": [2], "used": [2]},
    ]
    assert [run["schema"] for run in document["runs"]] == ["frugalwatch.run/1"] * 2


def test_the_reference_names_every_key(ledger: Path) -> None:
    runs = Runs(ledger)
    runs.add(50.0)
    runs.add(40.0)
    document = json.loads(said("1", "2", "--json", ledger=ledger)[1])
    page = (Path(__file__).parents[3] / "docs" / "reference" / "comparison.md").read_text()
    for entry in (document, document["sides"][0], document["ratios"][0]):
        for key in entry:
            assert f"`{key}`" in page, key


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("1",), "two runs or more"),
        (("1", "1"), "two runs or more"),
        (("1", "vs"), "no run on one side"),
        (("1", "2", "vs", "2"), "run 2 is on both sides"),
        (("1", "77"), "no run called '77'"),
    ],
)
def test_words_that_are_no_comparison_are_refused(
    ledger: Path, words: tuple[str, ...], problem: str
) -> None:
    runs = Runs(ledger)
    runs.add(50.0)
    runs.add(40.0)
    status, text = said(*words, ledger=ledger)
    assert status != 0
    assert problem in text
