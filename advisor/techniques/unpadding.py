"""Un-padding: batches are run in parts of like length inside the unmodified program.

The replacement is advisor/replacements/unpadded.py. It checks at the first call that nothing is
lost by it, and is judged by measurement as everything else.
"""

from __future__ import annotations

import os

from advisor.inside import Padding, Root
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.torch_facts import torch_inside

# Under this share of padding there is less to save than a second call costs.
_WORTH_IT = 0.05
_CODE = """import unpadded  # the file {file}, which needs torch alone
unpadded.apply(model)
# or, where you choose the batches: sort by length first, so that like goes with like
order = sorted(range(len(texts)), key=lambda at: len(texts[at]))"""


def unpadded_file() -> str:
    """The file that the hook loads, and that a person may copy."""
    from advisor.replacements import unpadded

    return os.path.abspath(unpadded.__file__)


class Unpadding:
    """Nothing computed for padding, as far as parts of a batch can avoid it."""

    name = "un-padding"

    def applies(self, facts: Facts) -> Applicability:
        inside = torch_inside(facts)
        if isinstance(inside, Applicability):
            return inside
        if inside.learns:
            return Applicability(False, "it trains: gradients would be summed in another order")
        masked = [root.padding for root in inside.roots if root.padding is not None]
        if not masked:
            return Applicability(False, "no mask of padding goes into its model")
        padding = max(masked, key=lambda each: each.padded)
        if not padding.padded:
            return Applicability(False, f"none of the {padding.tokens:,} tokens is padding")
        if not padding.right:
            return Applicability(False, "padding does not stand at the end of its rows alone")
        share = _in_words(padding)
        if padding.share < _WORTH_IT:
            return Applicability(False, f"only {share}: too little to save on", possible=True)
        return Applicability(True, f"{share} ({padding.rows / padding.calls:.3g} rows in a call)")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        file = unpadded_file()
        replaced: dict[str, object] = {"factory": f"{file}:make", "options": {}, "outer": True}
        chosen = _padded_roots(facts)
        padding = max((r.padding.share for r in chosen if r.padding), default=0.0)
        if len({root.name for root in chosen}) == 1:
            replaced["class"] = chosen[0].name
        return (
            Variant(
                name="un-padding",
                technique=self.name,
                change=Change(switches={"replace": replaced}),
                for_good="run each batch in parts of like length; or sort by length before"
                " batches are made",
                code=_CODE.format(file=file),
                cost=1 - padding,
                risk="outputs at positions of padding hold zeros: a program that averages over them"
                " without the mask answers otherwise",
            ),
        )


def _padded_roots(facts: Facts) -> list[Root]:
    assert facts.inside is not None
    return [root for root in facts.inside.roots if root.padding and root.padding.padded]


def _in_words(padding: Padding) -> str:
    percent = f"{padding.share * 100:.0f}" if padding.share >= 0.01 else "under 1"
    return f"{percent} % of the {padding.tokens:,} tokens are padding"
