"""Compiles the module that the program calls ahead of time, in a replay of the program itself.

As export_onnx.py, whose ways of keeping dimensions open and of checking are used; what is written
is `model.pt2`: torch.export's program, compiled by inductor and the C++ compiler that is here. It
fits this torch and this CPU only, so that both are noted in the signature.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any  # torch, modules and tensors are of the job's own version


def make(module: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """Compile `module` into `options["folder"]`, say in result.json what came of it, and end."""
    exporter = _beside("export_onnx.py")

    def write(torch: Any, wrapped: Any, dims: Any, folder: str) -> dict[str, Any]:
        return package(torch, exporter, wrapped, dims, folder)

    exporter.end_with(options, lambda: exporter.exported(module, args, kwargs, options, write))


def package(torch: Any, exporter: Any, wrapped: Any, dims: Any, folder: str) -> dict[str, Any]:
    """Write model.pt2. Raises whatever torch, inductor or the compiler raise."""
    build: Any = getattr(getattr(torch, "_inductor", None), "aoti_compile_and_package", None)
    if build is None:
        raise exporter.CannotExportError(f"torch {torch.__version__} has no AOTInductor packages")
    model = exporter.as_module(torch, wrapped)
    tensors = [_widened(torch, t, each) for t, each in zip(wrapped.tensors(), dims)]
    wrapped.answer(*wrapped.tensors())
    open_dims = [{d: torch.export.Dim.DYNAMIC for d, s in enumerate(e) if s is None} for e in dims]
    program = torch.export.export(
        model, tuple(tensors), dynamic_shapes={"tensors": tuple(open_dims)}, strict=False
    )
    wrapped.answer(*wrapped.tensors())  # tracing left its own structure behind
    build(program, package_path=os.path.join(folder, "model.pt2"))
    return {}


def _widened(torch: Any, tensor: Any, dims: Any) -> Any:
    """The tensor with two of each open dimension that it had one of.

    A size of one is taken for fixed, however open it was meant.
    """
    for d, size in enumerate(dims):
        if size is None and tensor.shape[d] == 1:
            tensor = torch.cat([tensor, tensor], d)
    return tensor


def _beside(name: str) -> Any:
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    spec = importlib.util.spec_from_file_location(f"_frugalwatch_{name[:-3]}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
