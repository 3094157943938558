"""Reports of an advice, one file for each kind, all drawn from the stored document."""

from __future__ import annotations

from advisor.report.listing import advice_list
from advisor.report.markdown import markdown
from advisor.report.page import html_page
from advisor.report.scale import Scale
from advisor.report.telling import scaled
from advisor.report.terminal import report
from advisor.report.verified import verification_report

__all__ = [
    "Scale",
    "advice_list",
    "html_page",
    "markdown",
    "report",
    "scaled",
    "verification_report",
]
