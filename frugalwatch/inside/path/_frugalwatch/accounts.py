"""Whose CPU time it was: one slice of a profile, and what is learnt about lines that wait.

A thread that worked all the time since the last look was, more likely than not, where it is now:
its CPU time counts there. A thread that worked for a part of it may wait by now, and its time must
not count for the line it waits at. So such time goes into a pot, and the pot is shared out among
the lines at which the thread was seen, by how often a thread at that line is really running. That
is learnt with a second look at its CPU clock a moment later, a few times for each line.
"""

from __future__ import annotations

# So many second looks at a line, and it is known; one that is seen both ways takes more.
_LOOKS = 16
_MORE_LOOKS = 64
# A thread with this part of the time on a CPU was working throughout.
_THROUGHOUT = 0.9


class Cell:
    """One node's figures in one slice."""

    __slots__ = ("cpu_ns", "doubt_ns", "samples", "wall_ns")

    def __init__(self) -> None:
        self.wall_ns = 0
        self.cpu_ns = 0
        self.doubt_ns = 0
        self.samples = 0


class Accounts:
    """The cells of the present slice, and the pots of threads that work and wait in turn."""

    def __init__(self) -> None:
        self.cells: dict[int, Cell] = {}
        self._pots: dict[int, int] = {}  # by root node: CPU time to share out
        self._running: dict[int, dict[int, float]] = {}  # by root: time seen running, by node
        self._looks: dict[int, list[int]] = {}  # by node: second looks, and those that saw it run

    def add(self, node: int, wall_ns: int, cpu_ns: int, doubt_ns: int = 0) -> None:
        """Count this for the node."""
        cell = self.cells.get(node)
        if cell is None:
            cell = self.cells[node] = Cell()
        cell.wall_ns += wall_ns
        cell.cpu_ns += cpu_ns
        cell.doubt_ns += doubt_ns
        cell.samples += 1

    def add_thread(self, root: int, node: int, wall_ns: int, cpu_ns: int, doubt_ns: int) -> bool:
        """Count a thread's sample; True if a second look at this thread would teach something."""
        if cpu_ns >= _THROUGHOUT * wall_ns:
            self.add(node, wall_ns, cpu_ns, doubt_ns)
            return False
        self.add(node, wall_ns, 0, 0)
        if not cpu_ns:  # it waits, and did all the time
            return False
        self._pots[root] = self._pots.get(root, 0) + cpu_ns
        looks, running = self._looks.get(node, (0, 0))
        if looks < _LOOKS or (0 < running < looks < _MORE_LOOKS):
            return True
        self._saw(root, node, wall_ns * running / looks)
        return False

    def looked_again(self, root: int, node: int, wall_ns: int, *, runs: bool) -> None:
        """What the second look at a thread showed."""
        found = self._looks.setdefault(node, [0, 0])
        found[0] += 1
        if runs:
            found[1] += 1
            self._saw(root, node, wall_ns)

    def _saw(self, root: int, node: int, running_ns: float) -> None:
        if running_ns:
            by_node = self._running.setdefault(root, {})
            by_node[node] = by_node.get(node, 0.0) + running_ns

    def close(self) -> dict[int, Cell]:
        """The slice's cells, pots shared out; a pot that nobody was seen to use waits for more."""
        for root, by_node in self._running.items():
            pot, weight = self._pots.get(root, 0), sum(by_node.values())
            if not pot or not weight:
                continue
            for node, running in by_node.items():
                self.cells.setdefault(node, Cell()).cpu_ns += round(pot * running / weight)
            del self._pots[root]
        self._running = {}
        closed, self.cells = self.cells, {}
        return closed

    def left_over_ns(self) -> int:
        """After the last slice: CPU time in pieces too short for any look to see who used them."""
        return sum(self._pots.values())
