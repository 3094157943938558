"""The first replay of a command: whether there is anything to compare with."""

from __future__ import annotations

from advisor.replay import Replay
from frugalwatch.errors import FrugalWatchError


class CommandFailsError(FrugalWatchError):
    """The program as written does not end with 0, so that nothing can be compared with it."""


def check_first(replay: Replay, how: str) -> None:
    """Raise CommandFailsError if a first replay did not end well."""
    if replay.ok:
        return
    tail = [f"  | {line[:200]}" for line in replay.tail().splitlines()[-3:]]
    if replay.state == "unmeasured":
        raise CommandFailsError(
            "the command ran, but could not be measured",
            why="\n".join(tail),
            hint="does this work? frugalwatch run -- COMMAND",
        )
    raise CommandFailsError(
        f"the command fails when it is {how}",
        why="\n".join([f"it ended with status {replay.exit_code}", *tail]),
        hint="replays read nothing (--stdin FILE), reach no network (--allow-network) and write to"
        " throw-away layers (--replay-in-place)",
    )
