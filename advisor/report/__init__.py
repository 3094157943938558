"""Reports of an advice, one file for each kind, all drawn from the stored document."""

from __future__ import annotations

from advisor.report.listing import advice_list
from advisor.report.terminal import report
from advisor.report.verified import verification_report

__all__ = ["advice_list", "report", "verification_report"]
