"""Pytest plugin: a skipped test fails the run. For places where a skip would hide a missing server.

Use it with `python -m pytest -p tools.pytest_no_skips`.
"""

from __future__ import annotations

import pytest


class SkipCounter:
    """Counts skipped tests and modules, and turns a run with any of them into a failure."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # An expected failure is reported as skipped too, but it did run.
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(report.nodeid)

    @pytest.hookimpl
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped.append(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and session.exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for nodeid in self.skipped:
            terminalreporter.write_line(f"error: skipped, but must run here: {nodeid}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    """Register one counter for this run."""
    config.pluginmanager.register(SkipCounter(), "frugalwatch-no-skips")
