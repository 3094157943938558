"""Reads JSON that another process wrote, and may have been killed at."""

from __future__ import annotations

import json
from typing import Any  # what JSON gives back


def read_json(path: str) -> dict[str, Any]:
    """The object in a file; empty where there is none, or not a whole one."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_json_lines(path: str) -> list[dict[str, Any]]:
    """The objects in a file of one JSON document a line; what is cut off or no object is left out.

    Empty where the file cannot be read.
    """
    found = []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except ValueError:
                    continue
                if isinstance(line, dict):
                    found.append(line)
    except OSError:
        return []
    return found
