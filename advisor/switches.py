"""What became of run-time switches in a replay, by what the hook noted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from advisor.techniques.base import Change

# Where torch.compile keeps what it has built. Replays share one of their own, as runs of a user's
# share one in /tmp: only the first pays for compiling.
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
_NOTE = re.compile(r"switch ([a-z_0-9]+).*?: (applied|not applied)(?:: )?(.*)")


def not_applied(switches: Mapping[str, object], notes: Sequence[str]) -> str:
    """Why a switch acted nowhere in the program; empty if each of them acted somewhere."""
    said: dict[str, list[tuple[bool, str]]] = {}
    for note in notes:
        found = _NOTE.match(note)
        if found is not None:
            entry = found.group(2) == "applied", found.group(3).strip()
            said.setdefault(found.group(1), []).append(entry)
    for name in switches:
        outcomes = said.get(name, [])
        if not any(applied for applied, _ in outcomes):
            why = outcomes[0][1] if outcomes else "the hook said nothing of it"
            return f"{name.replace('_', ' ')}: {why}"
    return ""


def wants_cache(change: Change) -> bool:
    """Whether a change compiles, and so has something to keep for the next run."""
    return "compile" in change.switches
