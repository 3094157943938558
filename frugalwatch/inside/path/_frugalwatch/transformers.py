"""Counts and times `generate` of transformers' models, and the tokens that it makes.

Tokens are rows of the batch times decoding steps: what was computed, padding after an early end
included. Ways of decoding that keep no `input_ids` by rows (beam search, assisted) count as
`generate` only, as do models that prepare their next step without the method of the base class.
"""

import _thread
import sys
import time

from .frameless import watch
from .outermost import Outermost
from .tallies import tallies_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, ModuleType

    from .line import Line

_STEP = "_update_model_kwargs_for_generation"  # called once for each decoding step, since 4.20
_LOOPS = ("_sample", "sample", "_greedy_search", "greedy_search")  # those of one token for each row
_FRAMES_UP = 2  # begin is called by the property, and that, through C, by the loop


class _Tokens:
    """The tokens made in this process."""

    def __init__(self, line: "Line") -> None:
        self._line = line
        self._tallies = tallies_of(line)
        self._loops: "dict[int, tuple[int, int]]" = {}  # by thread: its loop's frame, and its rows

    def begin(self, owner: object) -> object:
        """A decoding step was made by the function that calls this method."""
        try:
            thread, frame = _thread.get_ident(), sys._getframe(_FRAMES_UP)
            loop = self._loops.get(thread)
            if loop is None or loop[0] != id(frame):
                loop = self._loops[thread] = id(frame), _rows(frame)
            if loop[1]:
                self._tallies.tally("token").add(time.monotonic_ns(), loop[1])
        except Exception as error:  # noqa: BLE001 - the job's generation goes on
            self._line.problem("transformers", error)
        return None

    def over(self, owner: object, begun: object) -> None:
        """The method has returned, which tells nothing more."""

    def forget(self) -> None:
        """A generation ends: the next loop may get the same frame's memory."""
        self._loops.pop(_thread.get_ident(), None)


def start(module: "ModuleType", line: "Line") -> None:
    """Watch generation; `module` is transformers.generation.utils."""
    mixin, tokens = module.GenerationMixin, _Tokens(line)
    Outermost(line, "transformers").watch(mixin, "generate", "generate", tokens.forget)
    if _STEP in mixin.__dict__:
        watch(mixin, _STEP, tokens.begin, tokens.over)


def _rows(loop: "FrameType") -> int:
    """Rows of the batch that this loop decodes; 0 where that is not certain."""
    if loop.f_code.co_name not in _LOOPS:
        return 0
    seen = loop.f_locals
    rows = int(seen["input_ids"].shape[0])
    if isinstance(seen, dict):  # before 3.13 a copy, which would keep large tensors alive
        seen.clear()
    return rows
