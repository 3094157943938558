"""Tells from the words that were typed what is to be replayed: nothing is opened or run for that.

model.onnx      a file with that suffix (also .pt2, .pt, .pth), alone
C3              a capture
A7              an advice: the same workload again
40, last        a recorded run
workload.py     a Python file that defines load_model() and inputs(), or train(), alone
anything else   a command
"""

from __future__ import annotations

import ast
import os
import re
import shutil
from typing import Literal, TypeAlias

from frugalwatch.errors import UsageError

Word: TypeAlias = Literal[
    "command", "run", "advice", "capture", "onnx", "program", "torchscript", "workload"
]

_SUFFIXES: dict[str, Word] = {
    ".onnx": "onnx",
    ".pt2": "program",
    ".pt": "torchscript",
    ".pth": "torchscript",
}
_RUN = re.compile(r"\d+|\d{8}-\d*-?[0-9a-f]*")
_CAPTURE = re.compile(r"C[1-9]\d*")
_ADVICE = re.compile(r"A[1-9]\d*")
_PROTOCOL = frozenset({"load_model", "inputs", "evaluate", "train"})
_LONGEST_FILE = 1 << 22


def recognise(words: tuple[str, ...]) -> Word:
    """What the words name. Raises UsageError where a lone Python file is neither of two things."""
    first = words[0]
    kind = _by_name(first)
    if kind in ("onnx", "program", "torchscript", "capture", "run", "advice"):
        return kind
    if len(words) == 1 and first.endswith(".py") and os.path.isfile(first):
        return _of_python_file(first)
    return "command"


def takes_late_options(words: tuple[str, ...]) -> bool:
    """Whether options may follow the first word, since it cannot be a command of its own."""
    if not words:
        return False
    kind = _by_name(words[0])
    if kind != "command" or not words[0].endswith(".py") or not os.path.isfile(words[0]):
        return kind in ("onnx", "program", "torchscript", "capture", "advice")
    return _is_workload(defined_in(words[0]))


def _by_name(word: str) -> Word:
    if word == "last":  # /usr/bin/last exists too, and nobody wants advice on it
        return "run"
    suffix = os.path.splitext(word)[1].lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    named: tuple[tuple[re.Pattern[str], Word], ...] = (
        (_RUN, "run"),
        (_CAPTURE, "capture"),
        (_ADVICE, "advice"),
    )
    for pattern, kind in named:
        if pattern.fullmatch(word) and shutil.which(word) is None:
            return kind
    return "command"


def _of_python_file(path: str) -> Word:
    found = defined_in(path)
    if _is_workload(found):
        return "workload"
    if os.access(path, os.X_OK):
        return "command"
    partly = ", ".join(f"{name}()" for name in sorted(found & _PROTOCOL))
    raise UsageError(
        f"{path} is neither a command nor a workload file",
        why="it cannot be executed, and "
        + (f"of a workload file's functions it defines only {partly}" if partly else "")
        + ("" if partly else "it defines no load_model() and inputs()"),
        hint=f"its replay as a program: frugalwatch advise -- python {path}",
    )


def _is_workload(names: frozenset[str]) -> bool:
    return {"load_model", "inputs"} <= names or "train" in names


def defined_in(path: str) -> frozenset[str]:
    """The names that a Python file defines or imports at its top; it is read and not run."""
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read(_LONGEST_FILE))
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {each.id for each in node.targets if isinstance(each, ast.Name)}
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {each.asname or each.name for each in node.names}
    return frozenset(names)
