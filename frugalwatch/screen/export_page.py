"""The question after `e`: in which format."""

from __future__ import annotations

import os
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

from frugalwatch.screen.export import Format, text_of, write_new
from frugalwatch.screen.keys import Keys
from frugalwatch.screen.view import Export, Host, Surface


class ExportPage(ModalScreen[None]):
    """One line above the keys; a key writes the file and says its name."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "write('csv')", "CSV"),
        Binding("j", "write('json')", "JSON"),
        Binding("s", "write('svg')", "SVG picture"),
        Binding("escape,q,e", "dismiss", "Back", key_display="Esc"),
    ]
    DEFAULT_CSS = """
    ExportPage { background: transparent; align: left bottom; layout: vertical; }
    ExportPage Static { height: 1; width: 100%; background: $panel; }
    """

    def __init__(self, surface: Surface, picture: str) -> None:
        super().__init__()
        self._export = surface.export()
        self._file = self._export.name if self._export else surface.LABEL.lower()
        self._svg = picture

    def compose(self) -> ComposeResult:
        """The question and its keys."""
        count = len(self._export.rows) if self._export else 0
        rows = f"{count} row{'s' * (count != 1)}" if count else "no rows, a picture"
        yield Static(f" Write what is on the screen ({rows}) into a new file here:", markup=False)
        yield Keys()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Rows can be written where there are some."""
        return not (action == "write" and parameters != ("svg",) and not self._has_rows)

    def action_write(self, form: Format) -> None:
        """Write the file and say where it is."""
        text = self._svg
        if form != "svg":
            text = text_of(cast(Export, self._export), form)
        try:
            path = write_new(os.getcwd(), self._file, form, text)
        except OSError as error:
            said = f"nothing was written: {error.strerror or error}"
        else:
            said = f"written: {os.path.basename(path)} in {os.path.dirname(path)}"
        self.dismiss(None)
        cast(Host, self.app).tell(said)

    @property
    def _has_rows(self) -> bool:
        return self._export is not None and bool(self._export.rows)
