"""One run in full, over the whole screen."""

from __future__ import annotations

from frugalwatch.errors import FrugalWatchError
from frugalwatch.screen.reading import LedgerWatch
from frugalwatch.screen.text_page import TextPage


class RunPage(TextPage):
    """What `frugalwatch show` prints about a run."""

    LABEL = "Run"

    def __init__(self, number: int) -> None:
        super().__init__("  reading the run ...")
        self._number = number

    def on_mount(self) -> None:
        """Read it in the reader's thread."""
        self.run_worker(self._fill())

    async def _fill(self) -> None:
        number = self._number
        text = await self.host.read(lambda watch: _run_in_full(watch, number))
        if self.is_mounted:
            self.show_text(text)


def _run_in_full(watch: LedgerWatch, number: int) -> str:
    """The text of `frugalwatch show`, or why there is none."""
    from frugalwatch.report.full import full_text
    from frugalwatch.report.style import Style

    try:
        return full_text(watch.document(number), Style(on=False))
    except FrugalWatchError as error:
        return str(error)
    except KeyError as error:
        return f"  what is stored about run {number} is not complete: it has no {error}"
