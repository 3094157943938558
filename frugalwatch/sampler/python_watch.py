"""Whether Python ran in a job from which no hook reported, and why: `show` says so.

A program's own interpreter is told by its name. One that is inside another program (frozen, or
embedded) is told by the library it has mapped, which costs a look at its memory map, once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from frugalwatch.ledger.journal import Journal

_LOOK_EVERY_NS = 1_000_000_000
_MOST_AT_ONCE = 32
_MOST_MAPS = 8  # of a program with a thousand libraries: 1 ms each
_PYTHONS = ("python", "pypy")
_WITH_VALUE = ("-W", "-X")

_REASONS = {
    "off": "the hook is switched off (--no-hook, or hook = false in the configuration)",
    "-I": "`python -I` ignores PYTHONPATH, by which the hook comes in",
    "-E": "`python -E` ignores PYTHONPATH, by which the hook comes in",
    "-S": "`python -S` starts without sitecustomize, by which the hook comes in",
    "frozen": "{name} has its Python inside (frozen or embedded), which starts without a hook",
    "silent": "{name} gave no sign: a Python below 3.9, or one that was started without our"
    " PYTHONPATH",
}


class PythonWatch:
    """Looks at the job's processes until one is Python, and remembers what it was."""

    def __init__(self, *, hook: bool, procfs: str = "/proc") -> None:
        self._hook = hook
        self._procfs = procfs
        self._next_ns = 0
        self._seen: set[int] = set()
        self._mapped: set[int] = set()
        self._found: tuple[str, str] | None = None  # cause, program

    def look(self, pids: Iterable[int], now_ns: int) -> None:
        """At most once a second, and no more when a Python was found."""
        if self._found is not None or now_ns < self._next_ns:
            return
        self._next_ns = now_ns + _LOOK_EVERY_NS
        for pid in sorted(pids)[:_MOST_AT_ONCE]:
            if self._examine(pid):
                return

    def tell(
        self,
        journal: Journal,
        argv: Sequence[str],
        environment: Mapping[str, str],
        ended_mono_ns: int,
    ) -> None:
        """No hook reported: say why, if there was Python. `argv` is of the job, as it was typed.

        A job that ended before any look is judged by what it was to run.
        """
        found = self._found or _by_command(argv, environment)
        if found is None:
            return
        cause, name = found if self._hook else ("off", "")
        detail = _REASONS[cause].format(name=name)
        journal.event("no_hook", cause, t_mono_ns=ended_mono_ns, detail=detail)

    def _examine(self, pid: int) -> bool:
        try:
            name = os.path.basename(os.readlink(f"{self._procfs}/{pid}/exe"))
        except OSError:  # gone, or another user's
            return False
        if name.startswith(_PYTHONS):
            words = self._read(pid, "cmdline").split(b"\0")
            self._found = (_flag([os.fsdecode(word) for word in words[1:]]) or "silent", name)
        elif pid in self._seen and pid not in self._mapped and len(self._mapped) < _MOST_MAPS:
            self._mapped.add(pid)
            if b"/libpython3" in self._read(pid, "maps"):
                self._found = ("frozen", name)
        self._seen.add(pid)
        return self._found is not None

    def _read(self, pid: int, file: str) -> bytes:
        try:
            with open(f"{self._procfs}/{pid}/{file}", "rb") as found:
                return found.read()
        except OSError:
            return b""


def _by_command(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[str, str] | None:
    name = os.path.basename(argv[0])
    if name.startswith(_PYTHONS):
        return _flag(argv[1:]) or "silent", name
    shebang = _first_line(argv[0], environment)
    words = shebang[2:].split() if shebang.startswith("#!") else []
    for place, word in enumerate(words):
        if os.path.basename(word).startswith(_PYTHONS):
            return _flag(words[place + 1 :]) or "silent", os.path.basename(word)
    return None


def _first_line(program: str, environment: Mapping[str, str]) -> str:
    folders = [""]
    if "/" not in program:
        folders = environment.get("PATH", os.defpath).split(os.pathsep)
    for folder in folders:
        try:
            with open(os.path.join(folder, program), "rb") as file:
                return file.readline(256).decode(errors="replace")
        except OSError:
            continue
    return ""


def _flag(arguments: Sequence[str]) -> str | None:
    """The option of the interpreter that keeps the hook out, if there is one."""
    letters = ""
    skip = False
    for word in arguments:
        if skip:
            skip = False
        elif word in _WITH_VALUE:
            skip = True
        elif word.startswith("--") or word[:2] in _WITH_VALUE:
            continue
        elif len(word) < 2 or not word.startswith("-") or word[1] in "cm":
            break
        else:
            letters += word[1:]
    return next((f"-{letter}" for letter in "IES" if letter in letters), None)
