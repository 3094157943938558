"""The model of an ONNX Runtime session in 8-bit whole numbers, whose answers are judged by a limit.

Two ways, by what goes in. Images: scaled once (static), by inputs that the program was seen to use.
Anything else, texts above all: scaled at each call (dynamic). Another file is built, and the
session is made from that one; the program's own file stays as it is.
"""

from __future__ import annotations

import glob
import os
from dataclasses import replace

from advisor.gates.splits import part_of
from advisor.inside import Session
from advisor.outputs import header_of
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.session_spinning import NO_SESSION, sessions_of
from advisor.techniques.swapping import has_int8_units
from advisor.workshop import Artefact, CannotBuildError, Workshop

# Some 100,000 weights of four bytes: below, an operator has too little work for scaling to pay.
_TINY_BYTES = 400_000
_MOST_CALIBRATION = 256
_CODE = """session = onnxruntime.InferenceSession("{path}")"""


class SessionInt8:
    """Another file for the busiest session."""

    name = "session int8"

    def applies(self, facts: Facts) -> Applicability:
        sessions = sessions_of(facts)
        if not sessions:
            return Applicability(False, NO_SESSION)
        session = sessions[0]
        if session.model is None or session.bytes is None:
            return Applicability(False, "the program makes its session from bytes, not from a file")
        name = os.path.basename(session.model)
        if session.on_gpu:
            return Applicability(False, f"{name} is computed on a GPU")
        if session.bytes < _TINY_BYTES:
            return Applicability(
                False, f"{name} has {session.bytes:,} bytes: scaling costs more than it saves"
            )
        units = has_int8_units(facts)
        if not units:
            reason = "this CPU has no instructions for products of 8-bit numbers (VNNI, AMX)"
            return Applicability(False, reason)
        return Applicability(True, f"{name} is a file of its own, and the CPU has {units}")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        session = sessions_of(facts)[0]
        is_static = takes_images(session)
        return (
            Variant(
                name=f"session {'static' if is_static else 'dynamic'} int8",
                technique=self.name,
                # Told apart in `prepare`, which sees no facts.
                change=Change(switches={"session_model": {str(session.model): ""}}),
                for_good="make the session from the quantized file:",
                risk="inputs unlike those of calibration may be answered worse"
                if is_static
                else "scores and neighbours move",
                lossy=True,
            ),
        )

    def prepare(self, variant: Variant, workshop: Workshop) -> Variant | Applicability:
        source = workshop.replayer.workload.source
        is_static = "static" in variant.name
        if is_static and source is not None and source.inputs == "synthesised":
            return Applicability(
                False, "its inputs are synthesised: it is scaled by real ones only (--inputs)"
            )
        files: object = variant.change.switches["session_model"]
        assert isinstance(files, dict)
        model = str(next(iter(files)))
        try:
            paths, digests = calibration(workshop) if is_static else ([], [])
            artefact = self._build(workshop, model, paths, digests)
        except CannotBuildError as reason:
            return Applicability(False, str(reason))
        path = os.path.join(artefact.folder, "model.onnx")
        return replace(
            variant,
            change=Change(switches={"session_model": {model: path}}),
            artefact=artefact.folder,
            one_off=artefact.cost.in_words("building"),
            code=_CODE.format(path=path),
            calibrated=tuple(digests),
        )

    def _build(
        self, workshop: Workshop, model: str, paths: list[str], digests: list[str]
    ) -> Artefact:
        order = {"model": model, "calibration": paths, "digests": digests}
        return workshop.build("session-int8", "session_int8", order)


def takes_images(session: Session) -> bool:
    """Whether a session takes floats of four dimensions."""
    return any("float" in kind and len(shape) == 4 for _, kind, shape in session.inputs)


def calibration(workshop: Workshop) -> tuple[list[str], list[str]]:
    """Files of inputs that take no part in screening or judging, and their digests.

    They come from one more replay. Raises CannotBuildError where there are none.
    """
    folder = workshop.replayer.new_folder("inputs")
    workshop.replayer.replay(ask={"look": {"folder": folder, "inputs": True}})
    found: dict[str, str] = {}
    for path in sorted(glob.glob(os.path.join(folder, "inputs-*", "*.safetensors"))):
        about = header_of(path)
        number = int(os.path.basename(path).partition(".")[0])
        if about and part_of(number, int(about["rows"])) == "calibration":
            found.setdefault(str(about["inputs"]), path)
    if not found:
        raise CannotBuildError("none of its inputs could be kept to scale it by")
    chosen = dict(list(found.items())[:_MOST_CALIBRATION])
    return list(chosen.values()), list(chosen)
