"""What has to be there before a change can be tried: a sample of calls, and what is built of it."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any  # what the document holds

from advisor.document import Answer
from advisor.replay import Replayer
from advisor.run_times import FOLDER
from advisor.sampling import take_sample
from advisor.techniques.base import Applicability, Builds, Facts, Technique, Variant
from advisor.workshop import Workshop, advice_folder, keep_only, remove_if_empty


def with_sample(facts: Facts, replayer: Replayer, tell: Callable[[str], None]) -> Facts:
    """The facts with a sample of calls, where the program calls modules that do not learn.

    That takes one replay. Raises CannotIsolateError and KeyboardInterrupt.
    """
    if facts.inside is None or not facts.inside.roots or facts.inside.learns:
        return facts
    tell("a sample of its calls")
    sample, _ = take_sample(replayer)
    return replace(facts, sample=sample)


@contextmanager
def workshop(
    conn: sqlite3.Connection,
    advice: int,
    facts: Facts,
    replayer: Replayer,
    tell: Callable[[str], None],
) -> Iterator[Workshop]:
    """Where artefacts of an advice are built; its folder stays if there is one in it."""
    folder = advice_folder(conn, advice)
    try:
        yield Workshop(folder, facts.sample, replayer, tell)
    finally:
        remove_if_empty(folder)


def tidy(conn: sqlite3.Connection, advice: int, document: Mapping[str, Any]) -> None:
    """Keep the artefacts that a finished advice recommends, and no others."""
    if document["state"] == "done":
        folder = advice_folder(conn, advice)
        kept = {str(row.get("artefact")) for row in document["recommendations"]}
        layer = os.path.join(folder, FOLDER)
        if any(layer in json.dumps(row["change"]) for row in document["recommendations"]):
            kept.add(layer)
        keep_only(folder, kept)


def prepared(
    technique: Technique, facts: Facts, bench: Workshop | None
) -> tuple[list[Variant], list[Answer]]:
    """A technique's variants with what they need built, and its refusals of some of them."""
    variants = technique.variants(facts)
    if not isinstance(technique, Builds):
        return list(variants), []
    if bench is None:
        return [], [Answer(technique.name, Applicability(False, "nothing can be built here"))]
    kept: list[Variant] = []
    refusals: list[Answer] = []
    for variant in variants:
        found = technique.prepare(variant, bench)
        if isinstance(found, Applicability):
            refusals.append(Answer(technique.name, found))
        else:
            kept += [found] if isinstance(found, Variant) else found
    # One reason is enough where all of them fail alike.
    return kept, list({a.applicability.reason: a for a in refusals}.values())
