from __future__ import annotations

from pathlib import Path

import pytest

from frugalwatch.cli import main
from frugalwatch.screen.plain import PlainTop, plain_line
from tests.frugalwatch.screen.kit import CPU, GPU, MODEL, LiveRun, World, many_runs, watch


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "frugalwatch.db"


def test_a_line_says_it_all_in_words(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world, (GPU, CPU, MODEL))
    run.go(60, {GPU.key: 230.0, CPU.key: 70.0, MODEL.key: 30.0})
    now = watch(ledger, world).look().run
    assert now is not None
    assert plain_line(now, 1_735_689_660) == (
        "2025-01-01T00:01:00Z run 1 running, 1 min 00 s, power 300 W, energy 5.00 Wh,"
        " 1.6 g CO2e, 0.0017 EUR, grid 330 g/kWh, DE 2025 average, 100 % covered,"
        " G nvidia:GPU-0 230 W, C rapl:package-0 70.0 W"
    )


def test_it_follows_one_run_to_its_end_and_stops(ledger: Path) -> None:
    many_runs(ledger, 2)
    world = World(1000)
    run = LiveRun(ledger, world, run_key="9")
    run.go(5, {CPU.key: 60.0})
    steps = iter([lambda: run.go(1, {CPU.key: 60.0}), run.end])
    lines = PlainTop(watch(ledger, world), pytest.fail, sleep=lambda _s: next(steps)())
    said = [line.partition(" ")[2] for line in lines.lines()]
    assert [text.split(",")[0] for text in said] == ["run 3 running"] * 2 + ["run 3 done"]
    assert "power 60.0 W" in said[1]
    assert "energy 0.0833 Wh" in said[0]
    assert "energy 0.100 Wh" in said[2]
    assert "power" not in said[2]


def test_without_a_run_it_waits_and_says_so_once(ledger: Path) -> None:
    world = World()
    told: list[str] = []

    class Enough(Exception):
        pass

    waits = 0

    def sleep(_seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 2:
            many_runs(ledger, 1)
        if waits == 4:
            raise Enough

    with pytest.raises(Enough):
        next(PlainTop(watch(ledger, world), told.append, sleep=sleep).lines())
    assert len(told) == 2
    assert "does not exist; trying again" in told[0]
    assert told[1] == "no run goes on; waiting for one"


def test_once_prints_the_last_run(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many_runs(ledger, 2)
    assert main(["top", "--once", "--ledger", str(ledger)]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("\n") == 1
    assert "run 2 done, 3.0 s, energy 0.0417 Wh" in shown.out
    assert main(["top", "--once", "1", "--ledger", str(ledger)]) == 0
    assert "run 1 done" in capsys.readouterr().out


def test_once_without_a_ledger_fails_and_names_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["top", "--once", "--ledger", str(tmp_path / "none.db")]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "hint: frugalwatch run -- COMMAND" in shown.err


def test_a_run_that_is_not_there_is_an_error(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many_runs(ledger, 1)
    assert main(["top", "77", "--plain", "--ledger", str(ledger)]) == 1
    assert "no run called '77'" in capsys.readouterr().err
