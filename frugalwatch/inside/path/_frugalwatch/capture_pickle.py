"""A module as a pickle that needs none of the program's files: its classes travel by value.

Classes of `__main__` and of modules that lie beside the program are pickled with their code, by
cloudpickle where the job's environment has it, else by our own limited way (by_value.py). Weights
are not in it: the pickle names them, and whoever loads it takes them from the file of weights.
"""

from __future__ import annotations

import io
import os
import sys
import sysconfig

from .capture_weights import named_tensors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WEIGHT = "frugalwatch weight"
_OURS = "frugalwatch"


def dumps(torch: Any, module: Any, *, load: bool = True) -> tuple[bytes, str]:
    """The pickle, and by what it was made. Raises what pickling raises.

    Without `load` nothing is imported and nothing registered: for the job's own process.
    """
    names = {id(value): name for name, value in reversed(named_tensors(module))}

    def persistent_id(value: Any) -> Any:
        """The reference that stands for a weight; None for everything else."""
        name = names.get(id(value)) if isinstance(value, torch.Tensor) else None
        if name is None:
            return None
        return (_WEIGHT, name, isinstance(value, torch.nn.Parameter), bool(value.requires_grad))

    local = local_modules()
    cloudpickle, how = _cloudpickle() if load else (None, _OURS)
    if cloudpickle is None:
        from .by_value import ByValuePickler

        base: Any = ByValuePickler
    else:
        base = cloudpickle.Pickler
        for name in local - {"__main__"}:
            cloudpickle.register_pickle_by_value(sys.modules[name])
    kind = type("Pickler", (base,), {"persistent_id": lambda _, value: persistent_id(value)})
    out = io.BytesIO()
    pickler = kind(out, local) if cloudpickle is None else kind(out)
    pickler.dump(module)
    return out.getvalue(), how


def weight_reference(reference: Any) -> tuple[str, bool, bool]:
    """Name of a weight, whether it is a parameter, and whether it is trained. Raises ValueError."""
    kind, name, is_parameter, requires_grad = reference
    if kind != _WEIGHT:
        raise ValueError("an unknown reference in a captured module")
    return name, is_parameter, requires_grad


def _cloudpickle() -> tuple[Any, str]:
    """The job's own cloudpickle, also joblib's, and its name; (None, ours) without."""
    for name in ("cloudpickle", "joblib.externals.cloudpickle"):
        try:
            __import__(name)
        except Exception:  # noqa: BLE001 - a broken package is as good as none
            continue
        found = sys.modules[name]
        if hasattr(found, "register_pickle_by_value"):  # 2.0
            return found, f"{name} {getattr(found, '__version__', '')}"
    return None, _OURS


def local_modules() -> set[str]:
    """Names of modules that belong to the program: neither Python's own nor installed."""
    paths = sysconfig.get_paths()
    installed = [os.path.realpath(paths[key]) + os.sep for key in ("stdlib", "platstdlib")]
    found = {"__main__"}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or name.partition(".")[0] == __name__.partition(".")[0]:
            continue
        path = os.path.realpath(file)
        if not path.endswith(".py") or f"{os.sep}site-packages{os.sep}" in path:
            continue
        if f"{os.sep}dist-packages{os.sep}" in path:
            continue
        if not any(path.startswith(each) for each in installed):
            found.add(name)
    return found
