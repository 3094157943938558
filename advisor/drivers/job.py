"""What a driver calls, whatever it was loaded from."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any  # requests are the job's own tensors and arrays


class UnusableError(Exception):
    """There is nothing to call, or it does not work; `hint` says what to do."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


class Job:
    """Requests and what answers them.

    `inputs` says where the requests are from: "given", "synthesised", "example" (stored in the
    file), "captured" or "own". `described` has a line for each input of a request.
    `samples_per_call` is None where that is not known. `at_end` is called once, after the calls,
    and returns named numbers.
    """

    def __init__(
        self,
        name: str,
        requests: Sequence[Any],
        call: Callable[[Any], object],
        *,
        inputs: str,
        samples_per_call: float | None = None,
        described: Sequence[str] = (),
        at_end: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        self.name = name
        self.requests = requests
        self.call = call
        self.inputs = inputs
        self.samples_per_call = samples_per_call
        self.described = described
        self.at_end = at_end


def mark_as_in_use(module: Any) -> None:
    """Have a module say that it is in evaluation mode.

    An exported program computes as it was exported, always; its own `eval()` raises.
    """
    for each in module.modules():
        each.training = False


def first_line(error: BaseException) -> str:
    """An exception in one line: its class and what it says first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # TorchScript's own traceback comes first, and what happened last.
    text = lines[-1] if lines and "Traceback" in str(error) else " ".join(lines)
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
