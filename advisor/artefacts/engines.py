"""A built model opened by the run time that its signature names, with the `run` of a session."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any  # sessions, compiled models and NumPy's arrays

from advisor.artefacts.samples import read_signature
from advisor.artefacts.timing import session
from advisor.workshop import CannotBuildError

ONNX_MODEL, OPENVINO_MODEL = "model.onnx", "model.xml"


def opened(folder: str) -> Any:
    """The model of a folder, on one thread. Raises CannotBuildError without its run time here."""
    engine = read_signature(folder).get("engine")
    if engine is None:
        return session(os.path.join(folder, ONNX_MODEL))
    if engine != "openvino":
        raise CannotBuildError(f"it is run by {engine}, which nothing here opens")
    try:
        import openvino
    except ImportError as error:
        raise CannotBuildError("needs openvino beside frugalwatch") from error
    own_form = os.path.join(folder, OPENVINO_MODEL)
    path = own_form if os.path.exists(own_form) else os.path.join(folder, ONNX_MODEL)
    return OpenVinoModel(openvino.Core().read_model(path))


def has_model(folder: str) -> bool:
    """Whether a model of either run time lies in the folder."""
    return any(os.path.exists(os.path.join(folder, each)) for each in (ONNX_MODEL, OPENVINO_MODEL))


class OpenVinoModel:
    """A model of OpenVINO's, compiled as the replacement does it: one thread, 32-bit floats."""

    def __init__(self, model: Any) -> None:
        import openvino

        asked = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._compiled = openvino.Core().compile_model(model, "CPU", asked)
        self._inputs = [each.any_name for each in self._compiled.inputs]
        self._outputs = [each.any_name for each in self._compiled.outputs]

    def get_outputs(self) -> list[SimpleNamespace]:
        """What comes out, each with its `name`."""
        return [SimpleNamespace(name=name) for name in self._outputs]

    def run(self, names: Sequence[str] | None, feed: Mapping[str, Any]) -> list[Any]:
        """The outputs of these names, or all in order; copies, since the next call writes there."""
        found = self._compiled({name: feed[name] for name in self._inputs})
        places = range(len(self._outputs)) if names is None else map(self._outputs.index, names)
        return [found[at].copy() for at in places]
