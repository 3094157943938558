"""A run that may not read the counters uses the daemon's, and says so."""

from __future__ import annotations

import pytest

from tests.frugalwatch.daemon.kit import DaemonKit
from tests.frugalwatch.e2e.kit import Frugalwatch, until
from tests.support.fake_sysfs import Constant, PowercapTree, Zone


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory):
    """A daemon with a package of 40 W, and a program that sees no counters of its own."""
    tmp_path = tmp_path_factory.mktemp("served")
    with PowercapTree(tmp_path, [Zone("package-0", Constant(40.0))]) as tree:
        tree.start()
        kit = DaemonKit(tmp_path, tree)
        kit.start()
        with until(30, "a socket") as again:
            while again():
                if kit.socket.exists() and kit.count("SELECT max(energy_uj) > 60e6 FROM sample"):
                    break
        program = Frugalwatch(tmp_path / "user")
        program.environment["FRUGALWATCH_DAEMON_SOCKET"] = str(kit.socket)
        yield kit, program, tree
        kit.close()


def test_a_run_without_rights_has_measured_energy_with_wider_bounds(served) -> None:
    _, program, tree = served
    run, _ = program.measure("--", "sleep", "3")
    (device,) = [d for d in run["devices"] if d["device"] == "rapl:package-0"]
    assert (device["origin"], device["source"], device["counted"]) == (
        "measured",
        "intel-rapl",
        True,
    )
    assert not [d for d in run["devices"] if d["device"] == "model:cpu"]
    truth_j = tree.true_energy_j("package-0", *program.window())
    assert device["low_j"] <= truth_j <= device["high_j"]
    assert device["energy_j"] == pytest.approx(truth_j, rel=0.15)
    shown = program("show", "last").stdout.decode()
    assert "read by the daemon" in " ".join(shown.split())


def test_the_daemon_can_be_switched_off_as_any_other_source(served) -> None:
    _, program, _ = served
    run, _ = program.measure("--source-off", "daemon", "--", "true")
    assert [d["device"] for d in run["devices"] if d["domain"] == "cpu"] == ["model:cpu"]


def test_a_run_that_reads_the_counter_itself_does_not_ask(served) -> None:
    _, program, tree = served
    environment = {**program.environment, "FRUGALWATCH_SYSFS": tree.sysfs}
    own = Frugalwatch(program.folder, environment)
    run, _ = own.measure("--", "true")
    (device,) = [d for d in run["devices"] if d["device"] == "rapl:package-0"]
    assert "daemon" not in (device["note"] or "")
