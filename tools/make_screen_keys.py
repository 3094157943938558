"""Write the tables of keys in docs/reference/screen.md from the bindings of the screen.

python tools/make_screen_keys.py            rewrite the page
python tools/make_screen_keys.py --print    print the page as it should be
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from textual.dom import DOMNode  # noqa: E402

from frugalwatch.screen.app import Screen  # noqa: E402
from frugalwatch.screen.help import bindings_of, meaning  # noqa: E402
from frugalwatch.screen.keys import name_of  # noqa: E402
from frugalwatch.screen.view import View  # noqa: E402
from frugalwatch.screen.views import VIEWS  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "screen.md"
# Pages that open over a view, as module and class.
PAGES = (
    ("A run in full", "run_page", "RunPage"),
    ("A comparison", "compare_page", "ComparePage"),
    ("A page of text", "text_page", "TextPage"),
    ("Export", "export_page", "ExportPage"),
)


def tables() -> str:
    """A heading and a table for everything that has keys."""
    parts = [_table("Everywhere", Screen)]
    for place, entry in enumerate(VIEWS, start=1):
        parts.append(_table(f"{place} {entry.LABEL}", _view(entry.ID)))
    for title, module, name in PAGES:
        parts.append(_table(title, getattr(import_module(f"frugalwatch.screen.{module}"), name)))
    return "\n\n".join(parts)


def page() -> str:
    """The whole page with the tables of now."""
    text = PAGE.read_text(encoding="utf-8")
    made = f"<!-- keys -->\n{tables()}\n<!-- /keys -->"
    return re.sub(r"<!-- keys -->.*<!-- /keys -->", lambda _: made, text, flags=re.DOTALL)


def _view(name: str) -> type[DOMNode]:
    module = import_module(f"frugalwatch.screen.{name}_view")
    return next(
        found
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, View) and name == found.ID
    )


def _table(title: str, owner: type[DOMNode]) -> str:
    keys: dict[str, list[str]] = {}
    for binding in bindings_of(owner):
        keys.setdefault(meaning(binding), []).append(f"`{name_of(binding.key)}`")
    lines = [f"### {title}", "", "| Key | What it does |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {' '.join(names)} | {what} |" for what, names in keys.items())])


if __name__ == "__main__":
    if "--print" in sys.argv[1:]:
        sys.stdout.write(page())
    else:
        PAGE.write_text(page(), encoding="utf-8")
        print(f"wrote {PAGE}")
