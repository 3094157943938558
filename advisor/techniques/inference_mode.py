"""`torch.inference_mode()` forgotten, and `model.eval()` with it.

With gradients on, each layer of an inference program keeps what a backward pass would need that
never comes. A model that was left in training mode also draws random numbers for dropout, and
normalises by the batch: switching that off changes the answers, to what was meant in most cases, so
it is a variant of its own and never called lossless.
"""

from __future__ import annotations

from advisor.inside import Inside
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.torch_facts import torch_inside

_CODE = """with torch.inference_mode():
    ...  # the loop that calls the model"""


class InferenceMode:
    """No gradients where none are used, and evaluation mode where it was forgotten."""

    name = "inference mode"

    def applies(self, facts: Facts) -> Applicability:
        inside = torch_inside(facts)
        if isinstance(inside, Applicability):
            return inside
        if inside.learns:
            return Applicability(False, "it trains: gradients are needed")
        with_gradients = sum(r.called("training", "grad") for r in inside.roots)
        with_gradients += sum(r.called("evaluation", "grad") for r in inside.roots)
        if with_gradients:
            every = sum(sum(r.calls.values()) for r in inside.roots)
            reason = f"{with_gradients} of {every} calls of its model compute gradients for nothing"
            return Applicability(True, f"{reason}{_mode_forgotten(inside)}")
        if _mode_matters(inside):
            return Applicability(True, "gradients are off" + _mode_forgotten(inside))
        return Applicability(False, "gradients are off already, and so is training mode")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        inside = facts.inside
        assert inside is not None
        in_training = any(r.called("training") for r in inside.roots)
        found = [
            Variant(
                name="inference mode",
                technique=self.name,
                change=Change(switches={"inference_mode": "always" if in_training else True}),
                for_good="put the loop that calls the model under torch.inference_mode():",
                code=_CODE,
                risk="what comes out cannot take part in a later backward pass",
            )
        ]
        if _mode_matters(inside):
            found.append(
                Variant(
                    name="eval, inference mode",
                    technique=self.name,
                    change=Change(switches={"eval": "always", "inference_mode": True}),
                    for_good="call model.eval() before the loop, and put it under"
                    " torch.inference_mode():",
                    code=f"model.eval()\n{_CODE}",
                    risk="answers change where training mode had an effect: no dropout, fixed"
                    " statistics of batches",
                )
            )
        return tuple(found)


def _mode_matters(inside: Inside) -> bool:
    """Whether a module in training mode holds something that then computes something else."""
    return any(r.called("training") and r.mode_dependent for r in inside.roots)


def _mode_forgotten(inside: Inside) -> str:
    found = [r for r in inside.roots if r.called("training")]
    if not found:
        return ""
    kinds = sorted({kind for r in found for kind in r.mode_dependent})
    what = f", which holds {', '.join(kinds)}" if kinds else ""
    return f"; eval() was not called on {', '.join(r.name for r in found)}{what}"
