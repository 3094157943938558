"""Zeros in the weights without retraining: measured for who wants to see it, never offered.

A CPU multiplies zeros like any other number: at 90 % zeros, and with two of four, the time was the
same to 3 %. The semi-structured kernels of torch are for GPUs, for float16, and for models that
were trained for it.
"""

from __future__ import annotations

import os

from advisor.replacements import zeroed
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.swapping import refuse_swap, target

_SHARES = {"half of its weights zero": "half", "two of four weights zero": "2:4"}


class Zeros:
    """The smallest weights of linear and convolutional layers as zeros."""

    name = "zeros"

    def applies(self, facts: Facts) -> Applicability:
        no = refuse_swap(facts, "")
        if no is not None:
            return no
        reason = "a CPU multiplies zeros as it does other numbers: there is nothing to save"
        return Applicability(False, reason, possible=True)

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        factory = f"{os.path.abspath(zeroed.__file__)}:make"
        return tuple(
            Variant(
                name=name,
                technique=self.name,
                change=Change(
                    switches={
                        "replace": {
                            "factory": factory,
                            "class": target(facts).kind,
                            "options": {"pattern": pattern},
                        }
                    }
                ),
                for_good="torch.nn.utils.prune",
                risk="answers move, and far without retraining",
                lossy=True,
            )
            for name, pattern in _SHARES.items()
        )
