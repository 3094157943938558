"""Looks at calls of a method without being on the stack while it runs.

An ordinary wrapper would be seen: in the traceback when the method raises, as the place that a
warning with `stacklevel=2` blames, and by whoever looks at his caller. Here a property hands out
the method itself, in a C-level partial that carries an object whose end is the end of the call.
"""

from functools import partial
from types import MethodType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    # What they look at are objects of foreign libraries.
    Begin = Callable[[object], object]
    End = Callable[[object, object], None]


class _Ending:
    """Held by the callable of one call, so it dies when the call is over, however it ends."""

    __slots__ = ("_begun", "_end", "_owner")

    def __init__(self, end: "End", owner: object, begun: object) -> None:
        self._end = end
        self._owner = owner
        self._begun = begun

    def __del__(self) -> None:
        self._end(self._owner, self._begun)


def followed(function: "Callable[..., object]", end: "End", owner: object, begun: object) -> object:
    """The function, to be called once; `end(owner, begun)` comes when it has returned or raised."""
    call = partial(function)
    call.ending = _Ending(end, owner, begun)  # type: ignore[attr-defined]
    return call


class _Bound:
    # What is inside a bound method: looks like the function, and follows each call of it.
    __slots__ = ("_owner", "_watched")

    def __init__(self, watched: "Watched", owner: object) -> None:
        self._watched = watched
        self._owner = owner

    @property
    def __call__(self) -> object:
        watched = self._watched
        return followed(watched.__wrapped__, watched.end, self._owner, watched.begin(self._owner))

    # A class has these itself, so they would not get to __getattr__.
    __doc__ = property(lambda self: self._watched.__wrapped__.__doc__)
    __module__ = property(lambda self: self._watched.__wrapped__.__module__)

    def __getattr__(self, name: str) -> object:
        if name == "__wrapped__":
            return self._watched.__wrapped__
        return getattr(self._watched.__wrapped__, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bound) and other._watched is self._watched

    def __hash__(self) -> int:
        return hash(self._watched)

    def __reduce__(self) -> "tuple[object, ...]":
        return self._watched.__reduce__()


class Watched:
    """A method in a class, called as before, between `begin(owner)` and `end(owner, begun)`.

    Neither may raise. What is asked of the class (`Class.method`) is the function itself, and a
    copy or a pickle by value is the function alone.
    """

    def __init__(self, function: "Callable[..., object]", begin: "Begin", end: "End") -> None:
        self.__wrapped__ = function
        self.begin = begin
        self.end = end

    def __get__(self, owner: object, kind: "type | None" = None) -> object:
        if owner is None:
            return self.__wrapped__
        return MethodType(_Bound(self, owner), owner)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") and name != "__wrapped__":
            return getattr(self.__wrapped__, name)
        raise AttributeError(name)

    def __reduce__(self) -> "tuple[object, ...]":
        return max, ((self.__wrapped__,),)  # the one of one


def watch(kind: type, name: str, begin: "Begin", end: "End") -> None:
    """Watch a method that this very class defines. Raises KeyError, TypeError if it does not."""
    replace(kind, name, lambda function: Watched(function, begin, end))


def replace(kind: type, name: str, watched: "Callable[[Callable[..., object]], Watched]") -> None:
    """As `watch`, with what `watched(function)` makes of the method."""
    function = kind.__dict__[name]
    if isinstance(function, Watched):
        return
    if type(function) is not type(watch):
        raise TypeError(f"{kind.__name__}.{name} is no plain function")
    setattr(kind, name, watched(function))
