"""View: advice."""

from __future__ import annotations

from frugalwatch.screen.records import Look
from frugalwatch.screen.view import View
from frugalwatch.screen.words import Unit


class AdviceView(View, can_focus=True):
    """To come."""

    ID = "advice"
    LABEL = "Advice"

    def show_look(self, look: Look, unit: Unit) -> None:
        """Show this look at the ledger."""
