"""What the sections of a run's page say, as lines of text and without a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalwatch.ledger.reading import open_reader
from frugalwatch.report.format import duration
from frugalwatch.screen.one_run.detail import RunDetail, RunQuestion, RunReader
from frugalwatch.screen.one_run.drawing import columns_for
from frugalwatch.screen.one_run.sections import NAMES, Look, sections
from frugalwatch.screen.reading import Source
from tests.frugalwatch.screen.kit import SETTINGS, World, watch
from tests.frugalwatch.screen.stories import every_kind


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    path = tmp_path_factory.mktemp("kinds") / "frugalwatch.db"
    return path, every_kind(path)


def detail_of(kinds: tuple[Path, World], number: int, columns: int = 120) -> RunDetail:
    path, world = kinds
    connection = open_reader(str(path))
    try:
        source = Source(connection, SETTINGS, world.utc_ns)
        found = RunReader().look(source, RunQuestion(number, None, columns))
    finally:
        connection.close()
    assert isinstance(found, RunDetail)
    return found


def section(kinds: tuple[Path, World], number: int, name: str, width: int = 79) -> str:
    """The text of one section of a run's page."""
    detail = detail_of(kinds, number, columns_for(width, "braille"))
    reader = watch(*kinds)
    run = reader.look(number).run
    reader.close()
    assert run is not None
    found = sections(detail, run, Look(width, 8, "braille", "Wh"))[NAMES.index(name)]
    return "\n".join(line.plain for line in found)


def line_with(text: str, *words: str) -> str:
    found = [line for line in text.splitlines() if all(word in line for word in words)]
    assert found, f"no line with {words} in:\n{text}"
    return found[0]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (2, "failed, exit 1"),
        (3, "killed by SIGKILL (exit 137)"),
        (4, "the machine went down while it ran"),
        (5, "its watchers were killed"),
        (10, "done, exit status unknown"),
        (11, "well, exit 0"),
        (12, "it goes on"),
    ],
)
def test_how_a_run_ended_is_said(kinds: tuple[Path, World], number: int, said: str) -> None:
    assert said in line_with(section(kinds, number, "About"), " ended ")


def test_the_surroundings_of_a_run_are_all_there(kinds: tuple[Path, World]) -> None:
    text = section(kinds, 11, "About")
    for label, value in (
        ("command", "python train.py --epochs 3"), ("folder", "/home/user/project"),
        ("git commit", "1f0c9e2d7ab"), ("host", "node7"), ("processor", "AMD EPYC 7543"),
        ("memory", "64.0 GiB"), ("kernel", "6.8.0"), ("environment", "OMP_NUM_THREADS=8"),
    ):  # fmt: skip
        line_with(text, label, value)
    line_with(text, "and 1 variable whose value is not stored")
    assert "PATH=" not in text


def test_a_lost_gpu_is_told_with_its_cause_and_what_it_costs(kinds: tuple[Path, World]) -> None:
    text = " ".join(section(kinds, 9, "Events").split())
    assert "1 min 00 s to 2 min 00 s no figure, the driver lost the device" in text
    assert "Xid 79" in text
    assert "its energy is in no figure" in text
    energy = section(kinds, 9, "Energy")
    line_with(energy, "H100 5: 50.0 % of the time was read")
    line_with(energy, "H100 5", "8.3 Wh", "8.3 to 20 Wh")


def test_energy_of_phases_is_that_of_their_time(kinds: tuple[Path, World]) -> None:
    text = section(kinds, 11, "Phases")
    line_with(text, "load", "1 min 00 s", "2.17 Wh", "130 W")  # 60 s at 40 W + 90 W
    line_with(text, "evaluate", "1 min 30 s", "4.75 Wh", "190 W")
    line_with(text, "  epoch 1", "2 min 30 s")
    assert "did not end" in line_with(section(kinds, 3, "Phases"), "sweep")
    assert "goes on" in line_with(section(kinds, 12, "Phases"), "train")


def test_the_three_figures_of_attribution_have_a_line_of_meaning_each(
    kinds: tuple[Path, World],
) -> None:
    text = section(kinds, 11, "Whose")
    line_with(text, "  device ", "46.9 Wh", "all that they used while the job ran")
    line_with(text, "above idle", "unknown", "idle power is not known")
    line_with(text, "> job's share", "40 Wh", "0 to 47 Wh")
    line_with(text, "> the figure to quote: others ran beside it")
    modelled = section(kinds, 7, "Whose")
    line_with(modelled, "device", "~0.55 Wh")


def test_the_share_of_a_gpu_goes_by_its_own_busy_time(kinds: tuple[Path, World]) -> None:
    text = section(kinds, 11, "Whose")
    line_with(text, "RTX 4090", "7 min 10 s", "1 min 10 s", "86.0 %", "31 Wh")
    line_with(text, "CPU", "13 min 20 s", "3 min 20 s", "80.0 %")


def test_processes_that_are_unknown_are_said_to_be(kinds: tuple[Path, World]) -> None:
    line_with(section(kinds, 9, "Whose"), "H100 0: the driver did not say which processes used it")
    line_with(section(kinds, 3, "Whose"), "how busy others kept it is not known")


def test_metrics_have_their_last_and_best_value_and_a_curve(kinds: tuple[Path, World]) -> None:
    lines = section(kinds, 11, "Metrics").splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith(" loss"))
    assert "last 0.2941" in lines[place]
    assert "best 0.2941 at 8 min 30 s" in lines[place]
    assert "450 values" in lines[place]
    curve = lines[place + 1 : place + 4]
    # It falls: its left end is in the upper line, its right end in the lowest.
    assert curve[0].strip()
    assert len(curve[0].rstrip()) < len(curve[1].rstrip()) < len(curve[2].rstrip())


def test_a_run_without_sensors_says_so_in_each_place(kinds: tuple[Path, World]) -> None:
    assert "no device gave a figure" in section(kinds, 6, "Power")
    assert "nothing here could be read or modelled" in section(kinds, 6, "Energy")
    assert "no sensor here, and no model" in section(kinds, 6, "Energy")
    assert "no device gave a figure" in section(kinds, 6, "Whose")


def test_an_imported_run_is_drawn_flat_and_never_called_measured(
    kinds: tuple[Path, World],
) -> None:
    detail = detail_of(kinds, 10, 60)
    gpu = detail.power_w["codecarbon:gpu"]
    assert all(watts == pytest.approx(150.0) for watts in gpu)
    text = section(kinds, 10, "Energy")
    line_with(text, "~35 Wh", "modelled")
    line_with(section(kinds, 10, "Events"), "brought in from another tracker")


@pytest.mark.parametrize("width", [63, 79, 119])
@pytest.mark.parametrize("number", range(1, 13))
def test_every_line_fits(kinds: tuple[Path, World], number: int, width: int) -> None:
    for name in NAMES:
        for line in section(kinds, number, name, width).splitlines():
            assert len(line) <= width, (name, line)


def test_ten_hours_in_a_hundred_columns_are_the_energy_of_the_run(
    kinds: tuple[Path, World],
) -> None:
    detail = detail_of(kinds, 8, 100)
    seconds = detail.whole.length / 1e9
    assert duration(seconds) == "10 h 00 min"
    total = sum(
        watts * seconds / 100
        for power in detail.power_w.values()
        for watts in power
        if watts is not None
    )
    assert total == pytest.approx(detail.document["energy_j"], rel=0.01)


def test_a_stretch_without_a_device_has_no_power_there(kinds: tuple[Path, World]) -> None:
    power = detail_of(kinds, 9, 60).power_w["nvidia:GPU-5"]
    assert power[:29] == pytest.approx([500.0] * 29)
    assert power[31:] == (None,) * 29


def test_a_job_of_several_processes_is_told_by_process(kinds: tuple[Path, World]) -> None:
    text = section(kinds, 11, "Whose")
    line_with(text, "train.py", "4242", "10 min 20 s", "7 min 10 s", "38 Wh", "0 to 45 Wh")
    line_with(text, "came and went", "19.0 s", "0.20 Wh")
    line_with(text, "1 more process used 10 ms of CPU time.")
    narrow = section(kinds, 11, "Whose", 63)
    line_with(narrow, "train.py", "10 min 20 s", "38 Wh")


def test_processes_have_no_energy_where_a_gpus_users_are_not_known(
    kinds: tuple[Path, World],
) -> None:
    text = section(kinds, 12, "Whose")
    line_with(text, "python", "4242", "55.0 s", "███████")
    line_with(text, "came and went", "2.0 s")
    heading = line_with(text, "process", "pid")
    assert "energy" not in heading
    assert "SM time" not in heading
    line_with(text, "the driver did not say which processes used it")
    line_with(text, "CPU", "1 min 15 s", "93.8 %")


def test_a_job_of_one_process_has_no_table_of_processes(kinds: tuple[Path, World]) -> None:
    assert "pid" not in section(kinds, 7, "Whose")
