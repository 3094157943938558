"""The stacks of all processes of a run as one tree, with what each used.

Weights are kept as they were measured (CPU and wall seconds) beside the joules made of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from frugalwatch.profile.power import Power
from frugalwatch.profile.recorded import Frame, Process, Slice
from frugalwatch.report.window import Span

# Frames of our own package that stand between a program's call and its module.
_OURS = "/_frugalwatch/"


@dataclass(slots=True)
class Amount:
    """What a stack, a line or a function used. `doubt_s` of the CPU time may be a neighbour's.

    `energy_j` is measured, `estimated_j` modelled; both are 0 where nothing was recorded of the
    kind, which `Profile` knows.
    """

    energy_j: float = 0.0
    estimated_j: float = 0.0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    doubt_s: float = 0.0
    samples: int = 0

    def add(self, other: Amount) -> None:
        self.energy_j += other.energy_j
        self.estimated_j += other.estimated_j
        self.cpu_s += other.cpu_s
        self.wall_s += other.wall_s
        self.doubt_s += other.doubt_s
        self.samples += other.samples


@dataclass(slots=True)
class Node:
    """One frame of the tree; `own` is what was used right there, without what it calls."""

    frame: Frame
    own: Amount = field(default_factory=Amount)
    children: dict[Frame, Node] = field(default_factory=dict)

    def total(self) -> Amount:
        """With all that it calls."""
        result = Amount()
        for stack in self.walk():
            result.add(stack[-1].own)
        return result

    def walk(self) -> Iterator[list[Node]]:
        """Every node below with its ancestors, itself last; one list, which changes."""
        stack = [self]
        open_ones: list[Iterator[Node]] = [iter(self.children.values())]
        yield stack
        while open_ones:
            child = next(open_ones[-1], None)
            if child is None:
                open_ones.pop()
                stack.pop()
            else:
                stack.append(child)
                open_ones.append(iter(child.children.values()))
                yield stack


def build_tree(processes: Sequence[Process], power: Power) -> Node:
    """All processes' stacks below one root, joules by what a CPU second cost at the time."""
    root = Node(Frame("", "all", 0, 0))
    for process in processes:
        nodes = _place(process, root)
        for piece in process.slices:
            _add_slice(nodes, piece, power)
    return root


def _place(process: Process, root: Node) -> list[Node]:
    """For each of the process's nodes, its node in the tree."""
    nodes = [root]
    for number in range(1, len(process.parents)):
        parent, frame = nodes[process.parents[number]], process.frames[number]
        if _OURS in frame.filename:
            nodes.append(parent)  # what our hook does inside a call counts for its caller
            continue
        child = parent.children.get(frame)
        if child is None:
            child = parent.children[frame] = Node(frame)
        nodes.append(child)
    return nodes


def _add_slice(nodes: Sequence[Node], piece: Slice, power: Power) -> None:
    rate = power.rate(Span(piece.begin_mono_ns, piece.end_mono_ns))
    for cell in piece.cells:
        cpu_s = cell.cpu_ns / 1e9
        nodes[cell.node].own.add(
            Amount(
                (rate.measured or 0.0) * cpu_s,
                (rate.estimated or 0.0) * cpu_s,
                cpu_s,
                cell.wall_ns / 1e9,
                cell.doubt_ns / 1e9,
                cell.samples,
            )
        )
