"""Two of any four weights as zeros, for the sparse units of a GPU. Unverified on hardware."""

from __future__ import annotations

import os

from advisor.replacements import semi_structured
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.swapping import looks_like_transformer, refuse_swap, target

_AMPERE = (8, 0)  # the first generation that has such units
_UNVERIFIED = "unverified on hardware"


class SemiStructured:
    """Linear layers by torch's semi-structured kernels, in float16."""

    name = "2:4 zeros"

    def applies(self, facts: Facts) -> Applicability:
        no = refuse_swap(facts, "", on_gpu=True)
        if no is not None:
            return no
        assert facts.inside is not None
        if facts.inside.cuda_capability < _AMPERE:
            return Applicability(False, "this GPU has no units that skip two zeros in four")
        if not looks_like_transformer(facts):
            return Applicability(False, "most of its work is in no linear layers")
        kind = target(facts).kind
        return Applicability(True, f"{kind} has linear layers on a GPU ({_UNVERIFIED})")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        replaced = {
            "factory": f"{os.path.abspath(semi_structured.__file__)}:make",
            "class": target(facts).kind,
            "options": {},
        }
        return (
            Variant(
                name=self.name,
                technique=self.name,
                change=Change(switches={"replace": replaced}),
                for_good="torch.sparse.to_sparse_semi_structured, after learning with the zeros",
                risk=f"answers move, and far without learning again; {_UNVERIFIED}",
                lossy=True,
            ),
        )
