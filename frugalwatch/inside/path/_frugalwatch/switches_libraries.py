"""Switches that put a drop-in library in the place of another one, as its makers meant it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any  # the job's own modules

    from .switches import Notes


def _sklearnex(_: Any, value: Any, name: str, notes: Notes) -> None:
    """Intel's estimators under scikit-learn's names; called when `sklearn` itself was imported.

    Its estimators are imported after that, so that they are patched before the program has them.
    """
    del value
    import importlib

    try:
        library = importlib.import_module("sklearnex")
    except ImportError as error:
        notes.refused(name, error)
        return
    library.patch_sklearn(verbose=False)
    notes.applied(name, f"sklearnex {getattr(library, '__version__', '')}".strip())


SWITCHES: dict[str, tuple[str, Callable[[Any, Any, str, Notes], None]]] = {
    "sklearnex": ("sklearn", _sklearnex),
}
