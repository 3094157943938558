"""The module in 8 bits by NNCF, run by OpenVINO, where the program's environment has that.

Scaled after training by captured inputs, or the weights alone. NNCF and OpenVINO are an extra of
ours too, since they take the model apart: `pip install 'frugalwatch[openvino]'`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.onnx_int8 import calibration_calls
from advisor.techniques.onnx_runtime import RISK
from advisor.techniques.swapping import (
    TINY_PARAMETERS,
    built,
    export,
    found,
    has_int8_units,
    order,
    parameters,
    refuse_swap,
    refused,
    target,
)
from advisor.workshop import CannotBuildError, Workshop

MODE_SCALED, _MODE_WEIGHTS = "ptq", "weights"
_MODES = {"OpenVINO int8": MODE_SCALED, "OpenVINO weight-only int8": _MODE_WEIGHTS}
_NEEDED = ("nncf", "openvino")


def _is_here(package: str) -> bool:
    return find_spec(package) is not None


class OpenVinoInt8:
    """Layers scaled by captured inputs; and the weights alone, which moves answers least."""

    name = "OpenVINO int8"

    def __init__(self, is_here: Callable[[str], bool] = _is_here) -> None:
        self._facts: Facts | None = None
        self._is_here = is_here

    def applies(self, facts: Facts) -> Applicability:
        no = refuse_swap(facts, "openvino")
        if no is not None:
            return no
        missing = [name for name in _NEEDED if not self._is_here(name)]
        if missing:
            reason = f"needs {' and '.join(missing)} beside frugalwatch:"
            return Applicability(False, f"{reason} pip install 'frugalwatch[openvino]'")
        if parameters(facts) < TINY_PARAMETERS:
            reason = f"{target(facts).kind} has {parameters(facts):,} weights: scaling costs more"
            return Applicability(False, f"{reason} than it saves", possible=True)
        if not has_int8_units(facts):
            reason = "this CPU has no instructions for products of 8-bit numbers (VNNI, AMX)"
            return Applicability(False, reason, possible=True)
        return found(facts, f", and the CPU has {has_int8_units(facts)}")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        self._facts = facts
        return tuple(
            Variant(
                name=name,
                technique=self.name,
                change=Change(),
                needs="openvino",
                for_good="load the quantized model instead of the torch module:",
                risk=f"inputs unlike those of calibration may be answered worse; {RISK}"
                if mode == MODE_SCALED
                else f"scores move a little; {RISK}",
                pays_later=True,
                lossy=True,
            )
            for name, mode in _MODES.items()
        )

    def prepare(self, variant: Variant, workshop: Workshop) -> Variant | Applicability:
        facts = self._facts
        assert facts is not None
        mode = _MODES[variant.name]
        chosen = calibration_calls(target(facts)) if mode == MODE_SCALED else []
        digests = [call.inputs_digest for call in chosen]
        try:
            asked = {
                **order(facts, export(facts, workshop), self.name),
                "mode": mode,
                "calibration": [str(call.inputs_path) for call in chosen],
                "digests": digests,
            }
            artefact = workshop.build(f"openvino-{mode}", "openvino_int8", asked)
        except CannotBuildError as reason:
            return refused(reason)
        return built(facts, replace(variant, calibrated=tuple(digests)), artefact)
