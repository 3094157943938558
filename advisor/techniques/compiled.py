"""`torch.compile` of the module that the program calls.

It pays in long-lived processes only: building takes 20 to 60 s where nothing is cached, and some
seconds at every start after that. So it is judged by what each unit of work costs once the program
is warm, and the cost of starting stands beside it, with the number of units after which it is back.
"""

from __future__ import annotations

import shutil

from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.torch_facts import torch_inside

_COMPILERS = ("g++", "clang++", "c++")
# Each distinct shape of inputs may be compiled anew; above this many it becomes one for all.
_MANY_SHAPES = 8


class Compiled:
    """The root module, compiled by inductor."""

    name = "torch.compile"

    def applies(self, facts: Facts) -> Applicability:
        inside = torch_inside(facts)
        if isinstance(inside, Applicability):
            return inside
        if all(r.compiled for r in inside.roots):
            return Applicability(False, "the program compiles its modules itself")
        if not inside.on_gpu and not compiler(facts):
            return Applicability(False, "needs a C++ compiler: apt install g++")
        names = ", ".join(r.name for r in inside.roots if not r.compiled)
        return Applicability(True, f"{names} runs eagerly")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        assert facts.inside is not None
        shapes = max(r.shapes_count for r in facts.inside.roots)
        varied = (
            f"; inputs of {shapes} shapes may each be compiled" if shapes > _MANY_SHAPES else ""
        )
        return (
            Variant(
                name="torch.compile",
                technique=self.name,
                change=Change(switches={"compile": True}),
                needs="" if facts.inside.on_gpu else "a C++ compiler",
                one_off="compiling, at the first start",
                for_good="compile the model once, before the loop:",
                code="model = torch.compile(model)",
                risk="each start takes longer, memory use grows by some hundred MB, and the last"
                f" digits may differ{varied}",
                pays_later=True,
            ),
        )


def compiler(facts: Facts) -> str | None:
    """The C++ compiler that the program would find; None where there is none."""
    path = facts.environment.get("PATH")
    own = facts.environment.get("CXX")
    names = (own, *_COMPILERS) if own else _COMPILERS
    return next((found for name in names if (found := shutil.which(name, path=path))), None)
