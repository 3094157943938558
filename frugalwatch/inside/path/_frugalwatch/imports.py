"""Calls somebody when the job has imported a module, and costs nothing for any other module.

A finder in front of the others gives the module's own spec, asked from the finders behind it, with
one change: the spec notices when the import machinery marks it as ready. Nothing of ours is on the
stack while the module is executed, so the traceback of a failing import is the job's own.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    Callback = Callable[[ModuleType], None]

_READY = "_initializing"  # set to False by importlib when a module was executed, since Python 3.3


class _Imports:
    """Callbacks by module name. `failed(where, error)` hears of a callback that raised."""

    def __init__(self, failed: "Callable[[str, BaseException], None]") -> None:
        self._failed = failed
        self._waiting: "dict[str, list[Callback]]" = {}
        self._asking: "set[str]" = set()

    def when_imported(self, name: str, callback: "Callback") -> None:
        """Call `callback(module)` once: now if it is there, else as soon as it was imported."""
        module = sys.modules.get(name)
        spec = getattr(module, "__spec__", None)
        if module is not None and not getattr(spec, _READY, False):
            self._call(name, callback, module)
            return
        self._waiting.setdefault(name, []).append(callback)
        if module is not None:
            self._watch(spec)  # it is being imported right now
        elif self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """The spec that the finders behind us give, if somebody waits for the module."""
        if name not in self._waiting or name in self._asking:
            return None
        self._asking.add(name)
        try:
            for finder in list(sys.meta_path):
                if finder is self or not hasattr(finder, "find_spec"):
                    continue
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    self._watch(spec)
                    return spec
        finally:
            self._asking.discard(name)
        return None

    def _watch(self, spec: "ModuleSpec | None") -> None:
        try:
            spec.__class__ = _watching(self)
        except Exception as error:  # noqa: BLE001 - then nobody is called, and the import goes on
            self._failed("watching an import", error)

    def ready(self, name: str) -> None:
        """The module was executed: call those who waited, if it is still there."""
        module = sys.modules.get(name)
        if module is None:  # it failed; the next attempt may not
            return
        for callback in self._waiting.pop(name, ()):
            self._call(name, callback, module)

    def _call(self, name: str, callback: "Callback", module: "ModuleType") -> None:
        try:
            callback(module)
        except Exception as error:  # noqa: BLE001 - the job's import has succeeded
            self._failed("after import of " + name, error)


_imports: "list[_Imports]" = []


def begin(failed: "Callable[[str, BaseException], None]") -> None:
    """Say who hears of callbacks that fail; to be called once, before `when_imported`."""
    _imports[:] = [_Imports(failed)]


def when_imported(name: str, callback: "Callback") -> None:
    """Call `callback(module)` once: now if the job has imported it, else as soon as it has."""
    _imports[0].when_imported(name, callback)


def _watching(imports: _Imports) -> type:
    """A spec's class while its module is awaited; the plain one again when it is there."""
    from _frozen_importlib import ModuleSpec as Plain

    def get(spec: "ModuleSpec") -> object:
        return spec.__dict__.get(_READY, False)

    def put(spec: "ModuleSpec", value: object) -> None:
        spec.__dict__[_READY] = value
        if value is False:
            try:
                spec.__class__ = Plain
                imports.ready(spec.name)
            except Exception:  # noqa: BLE001 - the import machinery must not notice
                return

    return type("ModuleSpec", (Plain,), {_READY: property(get, put)})
