"""Writes what is on the screen into a new file: rows as CSV or JSON, the picture as SVG."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from typing import Literal, TypeAlias

from frugalwatch.screen.view import Export

Format: TypeAlias = Literal["csv", "json", "svg"]
FORMATS: tuple[Format, ...] = ("csv", "json", "svg")
_MOST_NAMES = 1000


def text_of(found: Export, form: Format) -> str:
    """The rows as CSV (single facts first, as comments) or as one JSON object."""
    if form == "json":
        document = {"schema": found.schema, **(found.about or {}), "rows": list(found.rows)}
        return json.dumps(document, indent=2) + "\n"
    out = io.StringIO()
    names = list(found.rows[0]) if found.rows else []
    writer = csv.DictWriter(out, names, lineterminator="\n", restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(found.rows)
    return out.getvalue()


def write_new(folder: str, name: str, form: Format, text: str) -> str:
    """Write `frugalwatch-NAME.FORM` into the folder; the path. Never overwrites: -2, -3 follow.

    Only this user may read it: commands and folders are in it. Raises OSError.
    """
    for path in _names(folder, name, form):
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with open(number, "w", encoding="utf-8") as file:
            file.write(text)
        return path
    raise FileExistsError(f"{_MOST_NAMES} files of that name are in {folder}")


def _names(folder: str, name: str, form: Format) -> Iterator[str]:
    yield os.path.join(folder, f"frugalwatch-{name}.{form}")
    for count in range(2, _MOST_NAMES):
        yield os.path.join(folder, f"frugalwatch-{name}-{count}.{form}")
