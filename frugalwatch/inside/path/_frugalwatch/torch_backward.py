"""Times backward passes, at the one place where torch's Python calls its autograd engine.

`Variable._execution_engine` becomes an engine of a subclass, whose `run_backward` is the engine's
own, followed. torch.compile never looks there, and nothing of ours is on the stack meanwhile.
"""

import _thread
import time

from .frameless import followed
from .tallies import tallies_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from .line import Line


def start(module: "ModuleType", line: "Line") -> None:
    """Follow the calls of the engine; `module` is torch."""
    variable = module.autograd.Variable
    engine = variable._execution_engine
    tallies = tallies_of(line)
    depths: "dict[int, int]" = {}  # by thread: checkpointing runs backward inside backward

    def begin(_: object) -> object:
        thread = _thread.get_ident()
        depths[thread] = depths.get(thread, 0) + 1
        return followed(engine.run_backward, end, thread, time.monotonic_ns())

    def end(thread: object, begun_ns: object) -> None:
        try:
            assert isinstance(thread, int)
            assert isinstance(begun_ns, int)
            depths[thread] -= 1
            if not depths[thread]:
                tallies.spend("backward", time.monotonic_ns() - begun_ns)
        except Exception as error:  # noqa: BLE001 - raised here, it would be printed
            line.problem("backward", error)

    kind = type(engine)
    watched = type(kind.__name__, (kind,), {"run_backward": property(begin)})
    variable._execution_engine = watched()
