"""Makes the model of a point: a base in the precision that the point names."""

from __future__ import annotations

import importlib
import os
import re
import shutil
from collections.abc import Mapping
from typing import Any  # what JSON gives back

from advisor.compression_stack.points import OPENVINO_INT8, ORIGINAL, Base, Point, Precision
from advisor.workshop import CannotBuildError

_BUILDERS: Mapping[Precision, str] = {
    "static int8": "static_int8",
    "dynamic int8": "dynamic_int8",
    "weight-only int8": "weight_int8",
    OPENVINO_INT8: "openvino_int8",
}


class Maker:
    """Makes models in folders below `folder`; `order` is what every builder is told."""

    def __init__(self, folder: str, order: Mapping[str, Any]) -> None:
        self._folder = folder
        self._order = order
        self._made: dict[tuple[str, Precision], str | CannotBuildError] = {}
        self.notes: dict[str, dict[str, Any]] = {}  # by folder: what its builder said

    def folder_of(self, base: Base, point: Point) -> str:
        """The folder with the point's model, made if it is not there yet.

        Ways to serve it share one. Raises CannotBuildError, the same each time.
        """
        if point.precision == "float":
            return base.folder
        key = (point.base, point.precision)
        if key not in self._made:
            try:
                self._made[key] = self._make(base, point.precision)
            except CannotBuildError as reason:
                self._made[key] = reason
        found = self._made[key]
        if isinstance(found, CannotBuildError):
            raise CannotBuildError(str(found))
        return found

    def _make(self, base: Base, precision: Precision) -> str:
        name = re.sub(r"[^a-z0-9]+", "-", f"{base.name} {precision}".lower()).strip("-")
        folder = os.path.join(self._folder, name)
        shutil.rmtree(folder, ignore_errors=True)  # a part of one, by a process that was killed
        os.makedirs(folder, mode=0o700)
        builder = importlib.import_module(f"advisor.artefacts.{_BUILDERS[precision]}")
        try:
            found = builder.build({**self._of(base), "source": base.folder, "folder": folder})
        except CannotBuildError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        except Exception as error:  # whatever a model makes a quantizer raise
            shutil.rmtree(folder, ignore_errors=True)
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise CannotBuildError(text[:300]) from error
        self.notes[folder] = dict(found)
        return folder

    def _of(self, base: Base) -> dict[str, Any]:
        """The order, without what holds of the original alone.

        Heads and widths of a smaller model are its own: fusions look for them then.
        """
        about = dict(self._order.get("about") or {})
        if base.name != ORIGINAL:
            about.update(heads=0, hidden_size=0)
        return {**self._order, "about": about}
