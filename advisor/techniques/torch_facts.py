"""What every technique that acts inside a torch program asks first."""

from __future__ import annotations

from advisor.inside import Inside
from advisor.techniques.base import Applicability, Facts

NO_TORCH = "no call of a torch module was seen inside the program"


def torch_inside(facts: Facts) -> Inside | Applicability:
    """What was seen of the torch modules that are called; the refusal where none is."""
    if facts.inside is None or not facts.inside.roots:
        return Applicability(False, NO_TORCH)
    return facts.inside


def refuse_without_torch(facts: Facts) -> Applicability | None:
    """The refusal where no torch module is called; None where one is."""
    found = torch_inside(facts)
    return found if isinstance(found, Applicability) else None


def refuse_without_gpu(facts: Facts) -> Applicability | None:
    """The refusal where no module is on a GPU; None where one is."""
    refused = refuse_without_torch(facts)
    if refused is None and facts.inside is not None and not facts.inside.on_gpu:
        return Applicability(False, "no module of it is on a GPU")
    return refused
