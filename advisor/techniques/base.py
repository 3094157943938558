"""What a technique is: something that can be tried on a workload, and says itself when not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args, runtime_checkable

from advisor.techniques.replacing import replaced_by_both

if TYPE_CHECKING:
    from advisor.inside import Inside
    from advisor.sampling import Sample
    from advisor.workshop import Workshop

# What a saving by this technique may be called where no counter measures energy. Fewer threads
# shift work between cores that are on anyway: that is a saving of CPU time and not of energy.
# "time": it saves waiting, so that the machine is on for a shorter time for the same CPU time.
Claim: TypeAlias = Literal["cpu", "energy", "time"]
# What answers: the program's own weights, what was left of them, or another model that learnt from
# them. Each is further from what the user trained.
Answers: TypeAlias = Literal["own", "pruned", "learnt"]
ANSWERS: tuple[Answers, ...] = get_args(Answers)
COMPRESSION_STACK = "compression stack"  # a technique's name that others ask for


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a workload before anything is tried.

    `cpus` are the hardware threads that it may use, `cores` the physical cores among them.
    `threads_peak` is the largest number of threads that one of its processes was seen with, and
    `libraries` the base names of shared objects that were mapped; None: nobody could look.
    `inside` is what the hook saw in its Python processes; None where torch was not used, or the
    hook is off. `cpu_flags` are the CPU's as Linux names them. `sample` holds calls of its modules
    with what went in and came out; None where none were taken. `argv` is
    the command. `layer` is a folder
    with run times that its environment lacks; empty where there is none. `included` and `excluded`
    name the techniques that the user insists on, and those that may not be tried.
    """

    environment: Mapping[str, str]
    cpus: int
    cores: int
    threads_peak: int | None = None
    libraries: frozenset[str] | None = None
    inside: Inside | None = None
    cpu_flags: frozenset[str] = frozenset()
    sample: Sample | None = None
    argv: tuple[str, ...] = ()
    layer: str = ""
    included: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()

    def has_library(self, *beginnings: str) -> bool:
        """Whether a shared object whose name begins so was mapped by one of the processes."""
        return any(name.startswith(beginnings) for name in self.libraries or ())


@dataclass(frozen=True, slots=True)
class Applicability:
    """Yes, or no; `reason` is printed in both cases.

    `possible`: where it is no, it could be measured all the same by somebody who insists.
    """

    yes: bool
    reason: str
    possible: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What differs from the program as written: variables of its environment, and `switches`.

    Switches are applied inside its Python processes by the hook (docs/reference/hook-contract.md).
    """

    set: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    switches: Mapping[str, object] = field(default_factory=dict)

    def with_(self, other: Change) -> Change:
        """Both changes at once; `other` wins where they disagree."""
        return Change(
            {**self.set, **other.set},
            tuple(dict.fromkeys((*self.unset, *other.unset))),
            {**self.switches, **other.switches, **_merged(self.switches, other.switches)},
        )

    def as_json(self) -> dict[str, object]:
        """Its parts; `switches` only where there are any."""
        found: dict[str, object] = {"set": dict(self.set), "unset": list(self.unset)}
        return {**found, "switches": dict(self.switches)} if self.switches else found

    def as_text(self) -> str:
        """A canonical text: equal changes, equal texts."""
        return json.dumps(self.as_json(), sort_keys=True)


def _merged(first: Mapping[str, object], second: Mapping[str, object]) -> dict[str, object]:
    """Switches that hold several settings and are in both: all of their settings."""
    found: dict[str, object] = {}
    for name, ours in first.items():
        theirs = second.get(name)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            found[name] = (
                replaced_by_both(ours, theirs) if name == "replace" else {**ours, **theirs}
            )
    return found


AS_WRITTEN = Change()


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run the workload.

    `technique` names the family; of one family at most one variant goes into a combination.
    `needs` is what must be there first, `one_off` what adopting it costs once, in words. `code` are
    lines of Python that do the same for good. With `pays_later` it costs something at the start of
    each run, so that it is judged by what each unit of work costs afterwards. `lossy`: it computes
    in another precision, so that answers are judged by a limit and not by rounding. `artefact` is
    the folder of what was built for it, `calibrated` the digests of the inputs it was tuned by.
    `cost` is its CPU time on captured inputs, of that of ONNX Runtime in 32-bit floats, as seen
    when it was built, or the share of the work that is left: a first guess, which decides in what
    order things are tried. `answers` says what answers then.
    """

    name: str
    technique: str
    change: Change
    claim: Claim = "energy"
    needs: str = ""
    one_off: str = "nothing"
    for_good: str = ""
    risk: str = ""
    code: str = ""
    pays_later: bool = False
    lossy: bool = False
    artefact: str | None = None
    calibrated: tuple[str, ...] = ()
    cost: float | None = None
    answers: Answers = "own"


class Technique(Protocol):
    """One file in this folder."""

    name: str

    def applies(self, facts: Facts) -> Applicability:
        """Whether it is worth a trial, with the reason."""
        ...

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        """What to try; only asked where it applies."""
        ...


@runtime_checkable
class Builds(Protocol):
    """A technique whose variants need something that is built first."""

    def prepare(
        self, variant: Variant, workshop: Workshop
    ) -> Variant | tuple[Variant, ...] | Applicability:
        """The variant, or several of it, with what was built; or a refusal with its reason.

        Raises nothing that a model or a package can cause.
        """
        ...


def export_lines(change: Change) -> str:
    """The change as a shell would make it, for good."""
    import shlex

    lines = [f"export {name}={shlex.quote(value)}" for name, value in change.set.items()]
    return "\n".join([*lines, *(f"unset {name}" for name in change.unset)])
