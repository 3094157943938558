"""Picks numbers out of what the program prints, for `--metric REGEX`.

`sys.stdout` and `sys.stderr` stay the objects they are, with their buffers and their `isatty`; only
their `write` is another one. It is `text @ look @ write`, put together from C functions: `look`
reads the text and passes it on, and only the stream's own `write` is on the stack while it writes.
What bypasses these two objects (C code, `os.write`, a stream that the program makes) is not seen.
"""

import re
import sys
from functools import partial, reduce
from operator import matmul

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .line import Line

_LONGEST_LINE = 4096
_NAME_LENGTH = 200


class _Pattern:
    """One expression. Its number is the group `value` or else the last one.

    The metric is called what the group `name` holds, or else the text before the number.
    """

    def __init__(self, pattern: str) -> None:
        self._expression = re.compile(pattern)
        groups = self._expression.groupindex
        self._value = groups.get("value", self._expression.groups)
        self._name = groups.get("name")
        self.pattern = pattern
        self.matched = False

    def found(self, line: str) -> "list[tuple[str, float]]":
        """The metrics in this line, by name."""
        result: "list[tuple[str, float]]" = []
        for match in self._expression.finditer(line):
            number = _number(match.group(self._value))
            if number is None:
                continue
            if self._name is not None:
                name = match.group(self._name) or ""
            else:
                name = line[match.start() : match.start(self._value)]
            name = name.strip(" \t=:>|,;-([\"'")
            result.append(((name or self.pattern)[:_NAME_LENGTH], number))
        return result


class _Look:
    """Reads what goes through it, line by line."""

    __array_ufunc__ = None  # NumPy's strings leave `@` to us

    def __init__(self, patterns: "list[_Pattern]", line: "Line") -> None:
        self._patterns = patterns
        self._line = line
        self._rest = ""
        self._lines = 0

    def __rmatmul__(self, text: object) -> object:
        if isinstance(text, str):
            try:
                self._take(text)
            except Exception as error:  # noqa: BLE001 - the job's output goes on
                self._line.problem("metric", error)
        return text

    def _take(self, text: str) -> None:
        if "\n" not in text and "\r" not in text:
            self._rest = (self._rest + text)[-_LONGEST_LINE:]
            return
        *lines, self._rest = (self._rest + text).replace("\r", "\n").split("\n")
        self._rest = self._rest[-_LONGEST_LINE:]
        for line in lines:
            self.read(line)

    def read(self, line: str) -> None:
        """Tell the metrics in a whole line."""
        self._lines += 1
        for pattern in self._patterns:
            for name, number in pattern.found(line[-_LONGEST_LINE:]):
                pattern.matched = True
                self._line.tell("metric", name, number)

    def finish(self, final: bool) -> None:
        """At the end a line may lack its newline."""
        if not final:
            return
        if self._rest:
            rest, self._rest = self._rest, ""
            self.read(rest)
        if self._lines and not any(pattern.matched for pattern in self._patterns):
            self._line.tell("note", "--metric: no printed line of this process matched")
            self._lines = 0


def start(options: "list[str]", line: "Line") -> None:
    """Read what is printed through `sys.stdout` and `sys.stderr`."""
    patterns = [_Pattern(option) for option in options]
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # closed for this process
            continue
        look = _Look(patterns, line)
        # A class of its own: what `@` finds there is the stream's bound C method as it is.
        write = type("_Write", (), {"__rmatmul__": stream.write, "__array_ufunc__": None})()
        stream.write = partial(reduce, matmul, (look, write))  # type: ignore[method-assign]
        line.add_source(look.finish)


def _number(text: "str | None") -> "float | None":
    try:
        return float((text or "").strip().rstrip(".,").replace("_", ""))
    except ValueError:
        return None
