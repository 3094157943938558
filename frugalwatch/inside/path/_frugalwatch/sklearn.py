"""Counts and times `fit` and `predict` of scikit-learn's estimators, and of those built on them."""

from .outermost import Outermost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from .line import Line

_UNITS = {
    "fit": "fit",
    "partial_fit": "fit",
    "fit_predict": "fit",
    "predict": "predict",
    "predict_proba": "predict",
    "predict_log_proba": "predict",
    "decision_function": "predict",
    "score_samples": "predict",
}


class _Subclasses:
    """Stands for `BaseEstimator.__init_subclass__`: sees a new class, then gives the real one."""

    def __init__(self, base: type, calls: Outermost, line: "Line") -> None:
        self._base = base
        self._calls = calls
        self._line = line
        self._seen: "set[type]" = {object}

    def __get__(self, owner: object, kind: type) -> object:
        try:
            self.see(kind)
        except Exception as error:  # noqa: BLE001 - the job's class must come into being
            self._line.problem("sklearn", error)
        return super(self._base, kind).__init_subclass__  # type: ignore[arg-type]

    def see(self, kind: type) -> None:
        """Watch what this class and its bases (many are mixins) define as plain functions."""
        for each in kind.__mro__:
            if each not in self._seen:
                self._seen.add(each)
                for name, unit in _UNITS.items():
                    if type(each.__dict__.get(name)) is type(start):
                        self._calls.watch(each, name, unit)


def start(module: "ModuleType", line: "Line") -> None:
    """Watch every estimator that will be defined; `module` is sklearn.base."""
    base = module.BaseEstimator
    subclasses = _Subclasses(base, Outermost(line, "sklearn"), line)
    if "__init_subclass__" in base.__dict__:
        raise TypeError("BaseEstimator has an __init_subclass__ of its own")
    base.__init_subclass__ = subclasses
    waiting = base.__subclasses__()
    while waiting:  # what sklearn.base defines itself
        kind = waiting.pop()
        subclasses.see(kind)
        waiting += kind.__subclasses__()
