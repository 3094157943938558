"""Which techniques the user wants measured all the same (`--include`), and which not (`--exclude`).

What would not be offered is measured like everything else and shown with its figures, so that a
person can see that it does not save. What cannot act at all stays refused, with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from advisor.techniques.base import Applicability, Facts, Technique
from frugalwatch.errors import UsageError

_INCLUDE, _EXCLUDE = "include", "exclude"


@dataclass(frozen=True, slots=True)
class Choice:
    """Names of techniques, as `advisor.techniques` has them."""

    include: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()

    def as_json(self) -> dict[str, object]:
        """What is stored of it for `--resume`."""
        return {_INCLUDE: sorted(self.include), _EXCLUDE: sorted(self.exclude)}

    def or_as_before(self, stored: Mapping[str, object]) -> Choice:
        """This choice where there is one, else that of the search that was cut short."""
        if self.include or self.exclude:
            return self

        def names(key: str) -> frozenset[str]:
            found = stored.get(key)
            return frozenset(map(str, found)) if isinstance(found, list) else frozenset()

        return Choice(names(_INCLUDE), names(_EXCLUDE))


def answer_of(technique: Technique, facts: Facts) -> Applicability:
    """The technique's own answer, unless the user has another wish that can be fulfilled."""
    if technique.name in facts.excluded:
        return Applicability(False, "you excluded it")
    answer = technique.applies(facts)
    if answer.yes or technique.name not in facts.included:
        return answer
    if not answer.possible:
        return Applicability(False, f"{answer.reason}, so that it cannot be measured either")
    return Applicability(True, f"you included it; otherwise not: {answer.reason}")


def chosen(include: Iterable[str], exclude: Iterable[str]) -> Choice:
    """The choice that was typed. Raises UsageError for names that no technique has."""
    found = Choice(frozenset(map(_named, include)), frozenset(map(_named, exclude)))
    both = sorted(found.include & found.exclude)
    if both:
        raise UsageError(f"{both[0]} is both included and excluded", hint="choose one")
    return found


def _named(word: str) -> str:
    from advisor.side_by_side import NAME
    from advisor.techniques import techniques

    known = {
        _plain(name): name for name in (*(each.name for each in techniques(family="all")), NAME)
    }
    found = known.get(_plain(word))
    if found is None:
        names = ", ".join(sorted(known.values(), key=str.lower))
        raise UsageError(f"{word!r} is no technique", hint=f"one of: {names}")
    return found


def _plain(name: str) -> str:
    return name.lower().replace(" ", "-").replace("_", "-")
