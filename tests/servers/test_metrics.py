"""Metrics in real servers: the dashboard's expressions, explicit zeros, promtool's verdict."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.servers.exporter import MEASURED_W, MODELLED_W, exporting
from tests.servers.kit import Prometheus, Server, VictoriaMetrics, program, wait_until

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

DASHBOARD = json.loads(
    (files("frugalwatch") / "metrics" / "dashboards" / "frugalwatch.json").read_text()
)
VARIABLES = {"$instance": ".*", "$__rate_interval": "15s", "$__range": "1m"}


def _expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def _filled_in(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


@pytest.fixture(scope="module", params=[Prometheus, VictoriaMetrics], ids=lambda kind: kind.name)
def scraping(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Server]:
    """A server that has scraped a ledger of ten minutes for a while."""
    folder: Path = tmp_path_factory.mktemp(request.param.name)
    with exporting(folder) as exporter:
        server = request.param(folder / "server", scrape=(exporter.address,))
        with server.started():
            count = "count_over_time(frugalwatch_heartbeat_timestamp_seconds[15s])"
            wait_until(
                lambda: (found := server.query(count)) and found[0].value >= 11,
                "scrapes of 15 s",
                120,
            )
            yield server


@pytest.mark.parametrize("expression", _expressions())
def test_each_expression_of_the_dashboard_has_an_answer(scraping: Server, expression: str) -> None:
    query = _filled_in(expression)
    found = scraping.query(query)
    if expression.endswith("> 0"):
        return  # events, of which there were none: that the server took it is what can be said
    # Between scrapes that a busy machine made late there is none for a moment.
    found = found or wait_until(lambda: scraping.query(query), f"an answer to {query}")
    assert all(series.value == series.value for series in found)  # no NaN


def test_the_dashboard_tells_the_right_figures(scraping: Server) -> None:
    by_title = {
        panel["title"]: [_filled_in(target["expr"]) for target in panel["targets"]]
        for panel in DASHBOARD["panels"]
    }

    def shows(title: str, value: float, number: int = 0) -> None:
        """Within 10 % at some time: on a busy machine scrapes come in fits and starts."""
        expression, near = by_title[title][number], pytest.approx(value, rel=0.1)
        wait_until(
            lambda: [series.value for series in scraping.query(expression)] == [near],
            f"{value} for {title}",
        )

    # Not the 90 W of what encloses the package.
    shows("Power, measured", MEASURED_W)
    shows("Power, modelled (~)", MODELLED_W)
    shows("Power of all, with its bounds", MEASURED_W + MODELLED_W / 2, 2)
    shows("Power of all, with its bounds", MEASURED_W + MODELLED_W * 2, 3)
    shows("CO2e an hour", (MEASURED_W + MODELLED_W) * 3600 / 3.6e6 * 36)
    (grams,) = scraping.query(by_title["CO2e an hour"][0])
    assert grams.labels["zone"] == "FR"
    (factor,) = scraping.query(by_title["Grid factor (g CO2e/kWh)"][0])
    assert factor.value == pytest.approx(36)
    ages = scraping.query(by_title["Age of the newest figure"][0])
    assert all(-1 < series.value < 30 for series in ages)
    runs = {s.labels["origin"]: s.value for s in scraping.query(by_title["Energy of runs"][0])}
    assert runs["measured"] > 600 * MEASURED_W


def test_every_metric_of_the_dashboard_is_one_that_is_served(scraping: Server) -> None:
    from frugalwatch.metrics import names

    served = {value for value in vars(names).values() if isinstance(value, str)}
    used = set(re.findall(r"frugalwatch_\w+", " ".join(_expressions())))
    assert len(used) > 8
    assert used <= served


def test_a_new_series_begins_at_zero_and_increase_misses_nothing(tmp_path: Path) -> None:
    """Without the zero, all that was used before the first scrape would be missing."""
    with exporting(tmp_path, age_s=0.0, hold_s=15.0) as exporter:
        server = Prometheus(tmp_path / "server", scrape=(exporter.address,))
        with server.started():
            energy = 'frugalwatch_energy_joules_total{device="rapl:package-0"}'
            wait_until(lambda: (f := server.query(energy)) and f[0].value > 700, "energy", 120)
            [series] = server.raw(energy, "10m")
            first_s, first = series.points[0]
            assert first == 0
            assert first_s == pytest.approx(exporter.began_s, abs=0.002)
            used = series.points[-1][1]
            # increase() extrapolates to the window's ends: a window that begins before the series.
            window_s = time.time() - exporter.began_s + 30
            [increase] = server.query(f"increase({energy}[{window_s:.0f}s])")
            assert increase.value == pytest.approx(used, rel=0.15)


def test_promtool_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    with exporting(tmp_path) as exporter:
        with urllib.request.urlopen(f"http://{exporter.address}/metrics", timeout=30) as answer:
            text = answer.read()
        result = subprocess.run(
            [program("promtool"), "check", "metrics"],
            input=text,
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert (result.returncode, result.stderr.decode()) == (0, "")
    assert b"frugalwatch_run_energy_joules_total" in text
