"""Whose code a frame is, and what part of a job a stack belongs to.

A stack belongs to the innermost part that it is inside of: a model's forward or backward pass, the
optimizer, data loading, an import. What is inside none of them belongs to the package that the
program's own code called: numpy's work inside a pandas call is pandas'.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from frugalwatch.profile.recorded import Frame, Process

OWN = "your own code"
STDLIB = "standard library"
FORWARD = "model, forward"
BACKWARD = "model, backward"
OPTIMIZER = "optimizer"
DATA = "data loading"
IMPORTS = "imports"
MODEL_PARTS = (FORWARD, BACKWARD, OPTIMIZER)

_INSTALLED = re.compile(r"/(?:site|dist)-packages/([^/]+)")
# By part: what a frame's file ends in or holds, and its function.
_PARTS = (
    (FORWARD, re.compile(r"/torch/nn/modules/module\.py$"), re.compile(r"_call_impl$")),
    (BACKWARD, re.compile(r"/torch/(_tensor|autograd/(__init__|graph|function))\.py$"),
     re.compile(r"(^|\.)(backward|grad|_engine_run_backward|apply)$")),
    (OPTIMIZER, re.compile(r"/torch/optim/"), re.compile(r"(^|\.)(step|zero_grad|wrapper)$")),
    (DATA, re.compile(r"/torch/utils/data/"), re.compile("")),
    (IMPORTS, re.compile(r"^<frozen importlib\._bootstrap>$"), re.compile(r"^_find_and_load$")),
)  # fmt: skip


class Packages:
    """Tells packages apart in one run; `process` gives the folders of its interpreter."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self._stdlib = tuple({p.stdlib + "/" for p in processes if p.stdlib})
        self.of_file = lru_cache(maxsize=None)(self._of_file)
        self._marked = lru_cache(maxsize=None)(_part_of_frame)

    def _of_file(self, filename: str) -> str:
        """`numpy`, STDLIB or OWN."""
        installed = _INSTALLED.search(filename)
        if installed:
            return installed.group(1).removesuffix(".py").partition(".")[0]
        if filename.startswith(("<frozen ", *self._stdlib)):
            return STDLIB
        return OWN

    def part(self, stack: Sequence[Frame]) -> str:
        """What part of the job this stack, outermost frame first, belongs to."""
        frames = [frame for frame in stack if frame.filename]
        if not frames:
            return stack[-1].function.strip("()") if stack else OWN
        for frame in reversed(frames):
            part = self._marked(frame.filename, frame.function)
            if part is not None:
                return part
        owners = [self.of_file(frame.filename) for frame in frames]
        last_own = max((i for i, owner in enumerate(owners) if owner == OWN), default=-1)
        called = owners[last_own + 1 :]
        if not called:
            return OWN
        return next((owner for owner in called if owner != STDLIB), STDLIB)


def _part_of_frame(filename: str, function: str) -> str | None:
    for part, files, functions in _PARTS:
        if files.search(filename) and functions.search(function):
            return part
    return None


def short_place(filename: str) -> str:
    """A file as people name it: from its package on, or its last two folders."""
    if filename.startswith("<frozen "):
        return filename[len("<frozen ") : -1]
    installed = _INSTALLED.search(filename)
    if installed:
        return filename[installed.start(1) :]
    standard = re.search(r"/lib(?:64)?/python3[^/]*/(.+)", filename)
    if standard:
        return standard.group(1)
    return "/".join(filename.rsplit("/", 2)[-2:]) if filename.count("/") > 1 else filename
