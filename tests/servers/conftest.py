"""Servers as fixtures: each test that asks for one gets its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.kit import Prometheus, Server, VictoriaMetrics


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus that takes remote writes and refuses what is out of order."""
    with Prometheus(tmp_path / "prometheus").started() as server:
        yield server


@pytest.fixture
def victoria_metrics(tmp_path: Path) -> Iterator[VictoriaMetrics]:
    """A VictoriaMetrics."""
    with VictoriaMetrics(tmp_path / "victoria-metrics").started() as server:
        yield server


@pytest.fixture(params=["prometheus", "victoria-metrics"])
def either_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """The test runs once with each."""
    kinds = {"prometheus": Prometheus, "victoria-metrics": VictoriaMetrics}
    with kinds[request.param](tmp_path / request.param).started() as server:
        yield server
