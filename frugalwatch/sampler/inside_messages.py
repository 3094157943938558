"""What the hook inside the job's Python processes tells: the kinds beside the job's own calls.

Loaded when the first of them comes, so that other programs' runs do not pay for it.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from frugalwatch.sampler.messages import when

_NAME_LENGTH = 200
_TEXT_LENGTH = 500
_WORD_LENGTH = 40  # of a unit or an activity, which are words of ours
_MOST_WORDS = 32
_HIGHEST_BUCKET = 2_500  # 1.02^2500 ns is a hundred thousand years


class HelloSaid(NamedTuple):
    """The hook works in process `pid`; all that this pid counts begins at 0 here."""

    pid: int
    t_mono_ns: int
    python: str
    rank: int | None
    local_rank: int | None
    world_size: int | None
    program: str
    features: tuple[str, ...]


class RankSaid(NamedTuple):
    """A process learned its place among the ranks after its hello."""

    pid: int
    t_mono_ns: int
    rank: int
    local_rank: int | None
    world_size: int


class ProblemSaid(NamedTuple):
    """Something in the hook failed, and the job went on without it."""

    pid: int
    t_mono_ns: int
    where: str
    text: str


class NoteSaid(NamedTuple):
    """Something that `show` should say."""

    pid: int
    t_mono_ns: int
    text: str


class CountSaid(NamedTuple):
    """`pid` has done so many of a unit since its hello, with so many samples inside."""

    pid: int
    t_mono_ns: int
    unit: str
    done: int
    samples: int | None


class SpentSaid(NamedTuple):
    """Wall nanoseconds that `pid` spent by activity since its hello."""

    pid: int
    t_mono_ns: int
    spent: tuple[tuple[str, int], ...]


class TimesSaid(NamedTuple):
    """How long each of a unit took: (bucket, count) of those buckets that changed or of all."""

    pid: int
    t_mono_ns: int
    unit: str
    buckets: tuple[tuple[int, int], ...]


InsideMessage: TypeAlias = (
    HelloSaid | RankSaid | ProblemSaid | NoteSaid | CountSaid | SpentSaid | TimesSaid
)


def parse_inside(kind: str, pid: int, t_mono_ns: int, rest: list[object]) -> InsideMessage:
    """One message of these kinds. Raises ValueError, TypeError or LookupError for a broken one.

    Fields beyond those that are known here are a newer hook's and are ignored.
    """
    if kind == "count":
        samples = rest[2] if len(rest) > 2 else None
        last_ns = when(t_mono_ns, rest, 3)
        return CountSaid(pid, last_ns, _word(rest[0]), _amount(rest[1]), _optional(samples))
    if kind == "spent":
        return SpentSaid(pid, t_mono_ns, _spent(rest[0]))
    if kind == "times":
        return TimesSaid(pid, t_mono_ns, _word(rest[0]), _buckets(rest[1]))
    if kind == "hello":
        python, rank, local_rank, world_size, program, features = rest[:6]
        return HelloSaid(
            pid,
            t_mono_ns,
            str(python)[:_WORD_LENGTH],
            _optional(rank),
            _optional(local_rank),
            _optional(world_size),
            str(program)[:_NAME_LENGTH],
            tuple(str(feature)[:_WORD_LENGTH] for feature in _listed(features)[:_MOST_WORDS]),
        )
    if kind == "rank":
        return RankSaid(pid, t_mono_ns, _amount(rest[0]), _optional(rest[1]), _amount(rest[2]))
    if kind == "problem":
        text = str(rest[1])[:_TEXT_LENGTH]
        return ProblemSaid(pid, t_mono_ns, str(rest[0])[:_NAME_LENGTH], text)
    return NoteSaid(pid, t_mono_ns, str(rest[0])[:_TEXT_LENGTH])


def _spent(value: object) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, dict) or len(value) > _MOST_WORDS:
        raise ValueError("not times by activity")
    return tuple((_word(name), _amount(spent)) for name, spent in value.items())


def _buckets(value: object) -> tuple[tuple[int, int], ...]:
    found = tuple((bucket, count) for bucket, count in _listed(value))
    if not all(
        type(bucket) is int and type(count) is int and 0 <= bucket <= _HIGHEST_BUCKET
        for bucket, count in found
    ):
        raise ValueError("no histogram of durations")
    if any(not 0 <= count < 2**63 for _, count in found):
        raise ValueError("not an amount")
    return found


def _listed(value: object) -> list:  # type: ignore[type-arg]  # JSON
    if not isinstance(value, list):
        raise ValueError("not a list")
    return value


def _word(value: object) -> str:
    if not isinstance(value, str) or len(value) > _WORD_LENGTH or not value.isidentifier():
        raise ValueError("not the name of a unit or an activity")
    return value


def _amount(value: object) -> int:
    """A whole number from 0 on that fits SQLite's 64 bits."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError("not an amount")
    return value


def _optional(value: object) -> int | None:
    return None if value is None else _amount(value)
