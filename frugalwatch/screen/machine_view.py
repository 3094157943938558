"""View: machine."""

from __future__ import annotations

from frugalwatch.screen.records import Look
from frugalwatch.screen.view import View
from frugalwatch.screen.words import Unit


class MachineView(View, can_focus=True):
    """To come."""

    ID = "machine"
    LABEL = "Machine"

    def show_look(self, look: Look, unit: Unit) -> None:
        """Show this look at the ledger."""
