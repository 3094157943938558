"""Budgets and alerts on the screen: the live view's notices and the run's page."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from frugalwatch.ledger.reading import open_reader
from frugalwatch.screen.one_run.told_lines import KINDS, event_lines
from frugalwatch.screen.traces import RunTraces
from tests.frugalwatch.report.stories import budgets


def test_what_happened_is_told_while_it_runs_by_the_name_that_the_user_gave(
    tmp_path: Path,
) -> None:
    budgets(tmp_path / "ledger.db")
    traces = RunTraces(1)
    with closing(open_reader(str(tmp_path / "ledger.db"))) as connection:
        traces.follow_events(connection)
    assert "alert p95>200ms: p95 is 0.23 s, over 412 requests in 20 s" in traces.notices
    assert "budget exceeded 1Wh: 1.00 Wh after 51 s" in traces.notices
    assert any(notice.startswith("job signalled SIGTERM") for notice in traces.notices)


def test_the_runs_page_tells_of_each_in_words(tmp_path: Path) -> None:
    run = budgets(tmp_path / "ledger.db")
    text = " ".join(str(line).strip() for line in event_lines(run, 80))
    assert "the budget was exceeded" in text
    assert "a threshold was crossed" in text
    assert {event["kind"] for event in run["events"]} <= KINDS.keys()
