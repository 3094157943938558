"""What kind of answers a module gives, from what comes out of it: names first, then form.

A form does not always say what a program does with it: a row of 384 numbers may be an embedding or
the scores of 384 classes. Where it was guessed, that is said with the result; `--gate` decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from advisor.gates.options import GateOptions
from advisor.gates.result import Kind

if TYPE_CHECKING:
    from advisor.gates.rows import Group

_SCORES = {"logits", "scores", "probs", "probabilities", "log_probs"}
_STATES = {"last_hidden_state", "token_embeddings", "encoder_last_hidden_state"}
_ENCODER = re.compile("embed|encod|feature|sentence", re.IGNORECASE)
_MEASURED: dict[str, Kind] = {
    "agreement": "classification",
    "overlap": "embedding",
    "error": "regression",
    "tokens": "generation",
}


class Choice(NamedTuple):
    """The output to judge a module by, its kind, and what was guessed, for the reader."""

    group: Group
    kind: Kind
    guessed: str = ""


def choose(groups: Sequence[Group], options: GateOptions) -> Choice | None:
    """What to judge one module by; None where its outputs have no form that there is a gate for."""
    if options.measure is not None:
        return _as_told(groups, _MEASURED[options.measure], options)
    return _by_name(groups, options) or _by_form(groups, options)


def _as_told(groups: Sequence[Group], kind: Kind, options: GateOptions) -> Choice | None:
    """The kind that the user named, of the output that suits it best."""
    suits = {
        "classification": ("row", "top"),
        "embedding": ("row", options.pool),
        "regression": ("row",),
        "generation": ("tokens",),
    }[kind]
    able = [g for g in groups if g.how in suits]
    if kind == "embedding":
        able = [g for g in able if g.width > 1]
        able.sort(key=lambda g: (not _is_embedding(g), not _is_states(g), g.how == "row"))
    elif kind in ("classification", "generation"):
        able.sort(key=lambda g: g.leaf not in _SCORES)
    return Choice(able[0], kind) if able else None


def _by_name(groups: Sequence[Group], options: GateOptions) -> Choice | None:
    for group in groups:
        if group.leaf in _SCORES:
            if group.how == "top" or (group.how == "row" and group.width > 1):
                return Choice(group, "classification")
            if group.how == "row":
                return Choice(group, "regression")
            if group.how == "tokens":
                return Choice(group, "generation")
    for group in groups:
        if _is_embedding(group):
            return Choice(group, "embedding")
    for group in groups:
        if _is_states(group) and group.how == options.pool:
            return Choice(group, "embedding", _pooling(group, options))
    return None


def _by_form(groups: Sequence[Group], options: GateOptions) -> Choice | None:
    """Where there is one output only, or a first one that holds masked states of tokens."""
    names = list(dict.fromkeys(g.name for g in groups))
    hows = {g.how: g for g in groups if names and g.name == names[0]}
    encodes = any(_ENCODER.search(g.module) for g in groups)
    states = hows.get(options.pool)
    if states is not None and (states.masked or (encodes and len(names) == 1)):
        return Choice(states, "embedding", _pooling(states, options))
    if len(names) != 1:
        return None
    if "row" in hows:
        row = hows["row"]
        if row.width == 1:
            return Choice(row, "regression")
        if not row.of_shares() and (encodes or row.of_unit_length()):
            return Choice(row, "embedding")
        guessed = "" if row.of_shares() else "its outputs are taken for scores of classes"
        return Choice(row, "classification", guessed)
    if "top" in hows:
        return Choice(hows["top"], "classification")
    if set(hows) == {"tokens"}:
        return Choice(hows["tokens"], "generation")
    return None


def _is_embedding(group: Group) -> bool:
    embeds = "embed" in group.leaf and group.leaf not in _STATES
    return group.how == "row" and group.width > 1 and embeds


def _is_states(group: Group) -> bool:
    return group.leaf in _STATES


def _pooling(group: Group, options: GateOptions) -> str:
    """How states of tokens were made into one embedding of an input."""
    if options.pool == "first":
        return "embeddings are the states of the first token"
    kept = "the tokens that the mask keeps" if group.masked else "all tokens"
    return f"embeddings are means of the states of {kept}"
