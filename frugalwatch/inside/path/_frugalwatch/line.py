"""The way from one process of a job to its sampler: JSON lines on a named pipe.

A message is one short write that never waits: a sampler that is gone or slow costs the job nothing.
"""

import _thread
import os
import time

from .exits import watch_exits

TYPE_CHECKING = False  # `typing` costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable

PIPE_VARIABLE = "FRUGALWATCH_PIPE"
# What is counted is told at most this often, so that counting costs an addition. The first seconds
# of counting are told in more detail, for programs that are short: each telling costs some 0.1 ms.
_EARLY_NS = 3_000_000_000
_EARLY_PERIOD_NS = 100_000_000
_PERIOD_NS = 250_000_000
# Messages that wait for a full pipe, or for a thread that is writing: about a megabyte.
_QUEUE_LIMIT = 10_000
_ATOMIC = 4096  # PIPE_BUF: a write of up to this many bytes is never mixed with another one
_DESCRIPTORS = range(240, 256)  # below the smallest limit that is in use
_LAST_STANDARD = 2
_PROBLEMS_EACH = 3  # of one place, in one process
_LONGEST_TEXT = 500
# Before these, what was counted is told: every phase has its own steps, also in a child that ends
# by os._exit, without atexit.
_BOUNDARIES = ("begin", "end", "metric", "goal")

# Threads that are forking a copy of the process for a purpose of ours: it is none of the job's.
copying: "set[int]" = set()


class Line:
    """The way to the sampler from one process; a forked child begins its own.

    Threads and signal handlers may call it at any time, so nothing here waits for a lock: who
    finds it taken leaves the message in the queue, and the holder sends it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        self._identity = (-1, -1)
        self._sources: "list[Callable[[bool], None]]" = []
        self._closes_at_exit = False
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._counts_since_ns = 0
        self._gathers = False  # messages wait for each other, to be written at once
        self._lock = _thread.allocate_lock()
        self._queue: "list[bytes]" = []
        self._steps: "dict[int, int]" = {}  # by thread: adding to a common figure is not atomic
        self._problems: "dict[str, int]" = {}
        self._told_ns = 0
        self._told_steps = 0
        self._last_step_ns = 0  # the last steps may be told long after they were done
        self._mute = _thread.get_ident() in copying
        self._told_goals: "dict[str, int]" = {}

    def add_source(self, source: "Callable[[bool], None]") -> None:
        """Have `source(final)` tell what it counted, before phases begin and end and at exit."""
        self._sources.append(source)
        self.close_at_exit()
        watch_exits(self)

    def close_at_exit(self) -> None:
        """Tell what is left when the interpreter ends."""
        if not self._closes_at_exit:
            self._closes_at_exit = True
            import atexit

            atexit.register(self.close)

    def tell(self, kind: str, *fields: object) -> None:
        """Send one message, after those that found the pipe full before."""
        self.check_process()
        if kind in _BOUNDARIES:
            self.tell_counts()
        self._send(kind, *fields)

    def check_process(self) -> None:
        """Begin anew in a forked child."""
        if os.getpid() != self._pid:
            self._begin()

    def problem(self, where: str, error: object) -> None:
        """Say that something of ours failed, a few times for each place. Raises nothing."""
        try:
            self.check_process()
            said = self._problems.get(where, 0)
            if said < _PROBLEMS_EACH:
                self._problems[where] = said + 1
                text = error if isinstance(error, str) else _described(error)
                self._send("problem", where[:_LONGEST_TEXT], text[:_LONGEST_TEXT])
        except Exception:  # noqa: BLE001 - there is nobody left to tell
            return

    def count_steps(self, count: int) -> None:
        """Add to the number of the user's own steps; say it if that was not done for a while."""
        self.check_process()
        thread = _thread.get_ident()
        self._steps[thread] = self._steps.get(thread, 0) + count
        now = self._last_step_ns = time.monotonic_ns()
        if now - self._told_ns >= self.period_ns(now):
            self._told_ns = now
            self._tell_steps()

    def tell_goal(self, name: str, total: int) -> None:
        """Say how many steps (`name` ""), or phases of a name, there will be, once."""
        self.check_process()
        if total > 0 and self._told_goals.get(name) != total:
            self._told_goals[name] = total
            self.tell("goal", name, total)

    def period_ns(self, now_ns: int) -> int:
        """How long to wait from one telling of counts to the next."""
        if not self._counts_since_ns:
            self._counts_since_ns = now_ns
        return _EARLY_PERIOD_NS if now_ns - self._counts_since_ns < _EARLY_NS else _PERIOD_NS

    def tell_counts(self, final: bool = False) -> None:
        """Say what was counted and not told yet."""
        self._gathers = True
        try:
            self._tell_steps()
            for source in self._sources:
                try:
                    source(final)
                except Exception as error:  # noqa: BLE001 - the job must not notice
                    self.problem("telling counts", error)
        finally:
            self._gathers = False
            self._flush()

    def close(self) -> None:
        """At the end of the process: say what is left to say."""
        if os.getpid() == self._pid:
            self.tell_counts(final=True)

    def _tell_steps(self) -> None:
        steps = sum(list(self._steps.values()))
        if steps != self._told_steps:
            self._told_steps = steps
            self._send("step", steps, self._last_step_ns)

    def _send(self, kind: str, *fields: object) -> None:
        if self._mute:
            return
        text = encode([kind, self._pid, time.monotonic_ns(), *fields])
        message = text.encode("ascii") + b"\n"
        if len(message) <= _ATOMIC and len(self._queue) < _QUEUE_LIMIT:
            self._queue.append(message)
        if not self._gathers:
            self._flush()

    def _flush(self) -> None:
        while self._queue and self._lock.acquire(False):
            try:
                while self._queue:
                    if not self._write_some():
                        return
            finally:
                self._lock.release()

    def _write_some(self) -> bool:
        """Write as many messages as one write may hold; False if the pipe is full."""
        queue, data, count = self._queue, self._queue[0], 1
        while count < len(queue) and len(data) + len(queue[count]) <= _ATOMIC:
            data += queue[count]
            count += 1
        if not self._write(data):
            return False
        del queue[:count]
        return True

    def _write(self, data: bytes) -> bool:
        """False if the pipe is full. Once the run is over, messages go nowhere."""
        try:
            if not self._is_open():
                self._descriptor = _open_out_of_the_way(self._path)
                found = os.fstat(self._descriptor)
                self._identity = (found.st_dev, found.st_ino)
            os.write(self._descriptor, data)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _is_open(self) -> bool:
        """Whether our descriptor is still our pipe: a daemon closes what it did not open."""
        if self._descriptor < 0:
            return False
        try:
            found = os.fstat(self._descriptor)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity


def _open_out_of_the_way(path: str) -> int:
    """A descriptor of the pipe, under a number that the job does not expect for a file of its own.

    The lowest free one is what the job's next file gets without us; it may even be standard input.
    """
    # Reading too: a pipe without any reader would send us SIGPIPE.
    low = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    for high in _DESCRIPTORS:
        try:
            os.fstat(high)
        except OSError:  # it is free
            try:
                os.dup2(low, high, inheritable=False)
            except OSError:  # beyond the limit of this process
                break
            os.close(low)
            return high
    if low <= _LAST_STANDARD:
        os.close(low)
        raise OSError("no descriptor to spare")
    return low


_lines: "dict[str, Line]" = {}


def process_line() -> "Line | None":
    """This process's one way to its sampler; None outside of a run.

    One for all: what the hook counts and what the job says itself must arrive in order.
    """
    path = os.environ.get(PIPE_VARIABLE)
    if not path:
        return None
    line = _lines.get(path)
    if line is None:
        line = _lines.setdefault(path, Line(path))
    return line


def encode(value: object) -> str:
    """The value as JSON in ASCII. Raises TypeError.

    By hand, because `json` and what it imports take 5 ms and would be seen in `sys.modules`.
    """
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([encode(each) for each in value]) + "]"
    if isinstance(value, dict):
        pairs = [_quoted(str(name)) + ":" + encode(each) for name, each in value.items()]
        return "{" + ",".join(pairs) + "}"
    raise TypeError("cannot tell a " + type(value).__name__)


def _float(value: float) -> str:
    text = float.__repr__(value)
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text, text)


def _quoted(text: str) -> str:
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return '"' + text + '"'
    units = text.encode("utf-16-be", "surrogatepass")
    pairs = [units[at] << 8 | units[at + 1] for at in range(0, len(units), 2)]
    return '"' + "".join([_unit(unit) for unit in pairs]) + '"'


def _unit(unit: int) -> str:
    if 32 <= unit < 127 and unit not in (34, 92):
        return chr(unit)
    return "\\u%04x" % unit


def _described(error: object) -> str:
    """An exception in one line, with the place in our code where it happened."""
    text = repr(error)
    trace = getattr(error, "__traceback__", None)
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is not None:
        code = trace.tb_frame.f_code
        text += " at " + os.path.basename(code.co_filename) + ":" + str(trace.tb_lineno)
    return text
