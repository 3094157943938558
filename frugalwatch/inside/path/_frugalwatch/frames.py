"""Stacks as numbers: a tree of frames that grows with what is seen and is written as it grows.

A frame is a code object and a line. Samples of one stack end at one node, so that a sample costs a
few look-ups however deep it is, and a file holds each stack once.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType

# A program that makes code all the time (a template engine, `exec` in a loop) ends here: stacks
# beyond it are cut at the deepest frame that is known.
MOST_NODES = 100_000
# Deeper stacks keep both ends.
_DEEPEST = 256
_ADDRESS_BITS = 64


class Frames:
    """The tree. `news` holds the lines for the file that were not written yet.

    Reading a frame keeps its variables alive, so none is held when a method returns.
    """

    def __init__(self) -> None:
        self.news: list[tuple[object, ...]] = []
        # By node: child by code and instruction. One number as the key, since a tuple would count
        # towards the program's next garbage collection, which would then run in our thread.
        self._children: list[dict[int, int]] = [{}]
        self._by_line: dict[tuple[int, int, int], int] = {}
        # The code itself is kept so that its id stays its own: comparing code objects is slow.
        self._codes: dict[int, tuple[int, CodeType]] = {}
        self._named: dict[tuple[str, str], int] = {}
        self._labels: dict[str, int] = {}
        self._code_count = 0

    def label(self, name: str) -> int:
        """The node below the root for something that is no frame: a thread, the profiler."""
        node = self._labels.get(name)
        if node is None:
            node = self._labels[name] = self._add(0, self._new_code("", name, 0), 0)
        return node

    def node(self, root: int, frames: list[FrameType]) -> int:
        """The node of a stack, innermost frame first, below the node `root`. Uses up the list."""
        if len(frames) > _DEEPEST:
            del frames[_DEEPEST // 2 : -_DEEPEST // 2]
        node, children = root, self._children
        while frames:
            seen = frames.pop()
            key = id(seen.f_code) | seen.f_lasti + 1 << _ADDRESS_BITS
            found = children[node].get(key)
            if found is None:
                if len(children) >= MOST_NODES:
                    return node
                found = self._child(node, seen.f_code, seen.f_lineno or 0)
                children[node][key] = found
            node = found
        return node

    def named_node(self, root: int, stack: list[tuple[str, str, int]]) -> int:
        """The node of a stack given by file, function and line, outermost first."""
        node = root
        for filename, function, line in stack:
            code = self._named.get((filename, function))
            if code is None:
                code = self._named[filename, function] = self._new_code(filename, function, 0)
            found = self._by_line.get((node, code, line))
            if found is None:
                if len(self._children) >= MOST_NODES:
                    return node
                found = self._by_line[node, code, line] = self._add(node, code, line)
            node = found
        return node

    def _child(self, parent: int, code: CodeType, line: int) -> int:
        entry = self._codes.get(id(code))
        if entry is None:
            name = getattr(code, "co_qualname", code.co_name)  # qualified since 3.11
            number = self._new_code(code.co_filename, name, code.co_firstlineno)
            self._codes[id(code)] = (number, code)
        else:
            number = entry[0]
        key = (parent, number, line)
        node = self._by_line.get(key)
        if node is None:
            node = self._by_line[key] = self._add(parent, number, line)
        return node

    def _add(self, parent: int, code_number: int, line: int) -> int:
        node = len(self._children)
        self._children.append({})
        self.news.append(("n", node, parent, code_number, line))
        return node

    def _new_code(self, filename: str, name: str, first_line: int) -> int:
        number = self._code_count
        self._code_count += 1
        self.news.append(("c", number, filename, name, first_line))
        return number
