"""The tree of stacks added up by function, by line, by package and by part of the job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from frugalwatch.profile.packages import Packages
from frugalwatch.profile.recorded import Frame
from frugalwatch.profile.tree import Amount, Node

_Key = TypeVar("_Key")


@dataclass(slots=True)
class Row:
    """A function or a line: what it used itself (`own`), and with all that it called (`total`)."""

    frame: Frame
    package: str
    own: Amount = field(default_factory=Amount)
    total: Amount = field(default_factory=Amount)


@dataclass(frozen=True, slots=True)
class Tally:
    """All sums. Functions have line 0; parts and packages are exclusive and add up to all."""

    everything: Amount
    functions: tuple[Row, ...]
    lines: tuple[Row, ...]
    packages: Mapping[str, Amount]
    parts: Mapping[str, Amount]


def tally(root: Node, packages: Packages) -> Tally:
    """Add up a tree. Recursion counts once: a function's total is the time it was on the stack."""
    everything = Amount()
    functions: dict[tuple[str, str, int], Row] = {}
    lines: dict[Frame, Row] = {}
    by_package: dict[str, Amount] = {}
    by_part: dict[str, Amount] = {}
    for stack in root.walk():
        amount = stack[-1].own
        if not amount.samples and not amount.cpu_s:
            continue
        everything.add(amount)
        frames = [node.frame for node in stack[1:]]
        leaf = frames[-1] if frames else root.frame
        real = [frame for frame in frames if frame.filename]
        owner = packages.of_file(leaf.filename) if leaf.filename else packages.part(frames)
        by_package.setdefault(owner, Amount()).add(amount)
        by_part.setdefault(packages.part(frames), Amount()).add(amount)
        seen: set[tuple[str, str, int]] = set()
        for frame in real or frames[-1:]:
            key = (frame.filename, frame.function, frame.first_line)
            if key not in seen:
                seen.add(key)
                _row(functions, key, frame._replace(line=0), packages).total.add(amount)
        for frame in set(real) or frames[-1:]:
            _row(lines, frame, frame, packages).total.add(amount)
        key = (leaf.filename, leaf.function, leaf.first_line)
        _row(functions, key, leaf._replace(line=0), packages).own.add(amount)
        _row(lines, leaf, leaf, packages).own.add(amount)
    return Tally(
        everything,
        tuple(sorted(functions.values(), key=_by_cost, reverse=True)),
        tuple(sorted(lines.values(), key=_by_cost, reverse=True)),
        _sorted(by_package),
        _sorted(by_part),
    )


def cost(amount: Amount) -> tuple[float, float, float]:
    """What amounts are sorted by: energy if there is any, then CPU time, then wall time."""
    return (amount.energy_j or amount.estimated_j, amount.cpu_s, amount.wall_s)


def _by_cost(row: Row) -> tuple[object, ...]:
    return (*cost(row.own), *cost(row.total))


def _row(rows: dict[_Key, Row], key: _Key, frame: Frame, packages: Packages) -> Row:
    row = rows.get(key)
    if row is None:
        row = rows[key] = Row(frame, packages.of_file(frame.filename) if frame.filename else "")
    return row


def _sorted(amounts: dict[str, Amount]) -> dict[str, Amount]:
    return dict(sorted(amounts.items(), key=lambda item: cost(item[1]), reverse=True))
