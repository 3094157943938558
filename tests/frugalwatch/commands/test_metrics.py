"""`frugalwatch metrics` as it is typed: printed, served, and the dashboard."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.frugalwatch.e2e.kit import Frugalwatch, until
from tests.frugalwatch.ledger.runs import fill
from tests.frugalwatch.metrics.test_otlp import receiving


@pytest.fixture
def program(tmp_path: Path) -> Frugalwatch:
    program = Frugalwatch(tmp_path)
    program.ledger.parent.mkdir(parents=True)
    fill(program.ledger)
    return program


def test_metrics_of_the_ledger_are_printed(program: Frugalwatch) -> None:
    result = program("metrics")
    assert (result.returncode, result.said) == (0, "")
    assert (
        'frugalwatch_energy_joules_total{device="rapl:package-0",domain="cpu",boundary="die",'
        'origin="measured"} 1500\n'
    ) in result.stdout.decode()
    assert b"run_id" not in result.stdout


def test_openmetrics_and_runs_are_for_who_asks(program: Frugalwatch) -> None:
    result = program("metrics", "--openmetrics", "--runs", "--within", "5e7")
    families = list(text_string_to_metric_families(result.stdout.decode()))
    runs = [s for f in families for s in f.samples if s.name == "frugalwatch_run_info"]
    assert len(runs) == 6
    assert {run.labels["program"] for run in runs} == {"train.py", "sleep"}


def test_they_are_served_until_a_signal(program: Frugalwatch) -> None:
    process = program.start("metrics", "--serve", "127.0.0.1:0")
    assert process.stderr is not None
    try:
        said = process.stderr.readline().decode()
        url = next(word for word in said.split() if word.startswith("http://")).rstrip(",")
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert b"frugalwatch_energy_joules_total" in answer.read()
        os.kill(process.pid, signal.SIGINT)
        _, rest = process.communicate(timeout=30)
        assert (process.returncode, rest) == (0, b"")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_a_ledger_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    program = Frugalwatch(tmp_path)
    process = program.start("metrics", "--serve", "127.0.0.1:0")
    assert process.stderr is not None
    try:
        url = next(w for w in process.stderr.readline().decode().split() if "http://" in w)
        with urllib.request.urlopen(url.rstrip(","), timeout=30) as answer:
            assert b"frugalwatch_ledger_readable 0\n" in answer.read()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_the_dashboard_is_what_grafana_imports(program: Frugalwatch) -> None:
    dashboard = json.loads(program("metrics", "--dashboard").stdout)
    assert dashboard["uid"] == "frugalwatch"
    names = {each["name"] for each in dashboard["templating"]["list"]}
    assert names == {"datasource", "instance"}
    identities = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(identities)) == len(identities)
    for panel in dashboard["panels"]:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all("$instance" in target["expr"] for target in panel["targets"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("--serve", "everywhere"),
        ("--serve", "127.0.0.1:0", "--openmetrics"),
        ("--within", "0"),
        ("--within", "1e9"),
    ],
)
def test_what_cannot_be_meant_is_refused(program: Frugalwatch, arguments: tuple[str, ...]) -> None:
    assert program("metrics", *arguments).returncode == 2


def test_one_sending_by_otlp_says_whether_it_was_taken(program: Frugalwatch) -> None:
    with receiving() as receiver:
        result = program("metrics", "--otlp", receiver.url, "--once")
        assert (result.returncode, result.said) == (0, "")
        assert receiver.points()["hw.energy"][0][0] == 1500
        receiver.status = 403
        result = program("metrics", "--otlp", receiver.url, "--once")
        assert result.returncode == 1
        assert "took nothing" in result.said


def test_sending_by_otlp_goes_on_until_a_signal(program: Frugalwatch) -> None:
    with receiving() as receiver:
        process = program.start("metrics", "--otlp", receiver.url, "--every", "1")
        try:
            with until(60, "two exports") as again:
                while again():
                    if len(receiver.requests) >= 2:
                        break
            os.kill(process.pid, signal.SIGTERM)
            process.communicate(timeout=30)
            assert process.returncode == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
