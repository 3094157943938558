"""The module compiled ahead of time by AOTInductor, and run in its place.

What torch.compile makes at each start is made once here: a package that loads in a fraction of a
second. It needs a C++ compiler when it is made, and fits this torch and this CPU only.
"""

from __future__ import annotations

import os
from dataclasses import replace

from advisor.replacements import aoti_swap
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.compiled import compiler
from advisor.techniques.swapping import (
    found,
    in_training_mode,
    refuse_swap,
    refused,
    swap_switch,
    target,
)
from advisor.workshop import SWAP, CannotBuildError, InJob, Workshop

_FIRST = (2, 6)  # of torch, whose packages `aoti_compile_and_package` makes
_FILE = os.path.abspath(aoti_swap.__file__)
_MAKER = InJob(
    os.path.join(os.path.dirname(os.path.dirname(SWAP)), "in_job", "compile_aoti.py"),
    _FILE,
    {"load.py": _FILE, "swapped.py": SWAP},
    "compiled ahead of time",
    "torch._inductor.aoti_compile_and_package in a replay of the program",
)
_CODE = """from load import load  # in {folder}
torch.set_num_threads(1)  # as it was compiled
model = load()  # answers as the module did; needs torch {torch} and this CPU"""


class AotInductor:
    """torch.export and inductor, one thread; no compiling when the program starts."""

    name = "AOTInductor"

    def __init__(self) -> None:
        self._facts: Facts | None = None

    def applies(self, facts: Facts) -> Applicability:
        no = refuse_swap(facts, "")
        if no is not None:
            return no
        assert facts.sample is not None
        version = tuple(int(n) for n in facts.sample.torch.split(".")[:2] if n.isdigit())
        if version < _FIRST:
            have = facts.sample.torch or "unknown"
            return Applicability(False, f"needs torch 2.6 or later, and the program's is {have}")
        if not compiler(facts):
            return Applicability(False, "needs a C++ compiler: apt install g++")
        return found(facts)

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        self._facts = facts
        return (
            Variant(
                name="AOTInductor",
                technique=self.name,
                change=Change(),
                needs="the torch and the kind of CPU that it was compiled with",
                for_good="load the compiled package instead of the torch module:",
                risk="calls of another form than those seen run as written; new weights, another"
                " torch or another CPU need a new package",
                pays_later=True,
            ),
        )

    def prepare(self, variant: Variant, workshop: Workshop) -> Variant | Applicability:
        facts = self._facts
        assert facts is not None
        assert facts.sample is not None
        module = target(facts)
        try:
            artefact = workshop.in_job(
                f"aoti-{module.number}", module, _MAKER, training=in_training_mode(facts)
            )
        except CannotBuildError as reason:
            return refused(reason)
        one_thread = Change(switches={"threads": 1})
        return replace(
            variant,
            change=swap_switch(facts, artefact.folder).with_(one_thread),
            artefact=artefact.folder,
            one_off=artefact.cost.in_words("compiling"),
            code=_CODE.format(folder=artefact.folder, torch=facts.sample.torch),
        )
