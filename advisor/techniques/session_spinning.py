"""Threads of an ONNX Runtime session that wait for work by sleeping, not by spinning.

A session has a pool of its own, as large as there are cores, that no OMP variable reaches, and its
threads spin between requests. On two shared cores two threads took 1.35 to 1.8 times the CPU time
of one for the same answers; without spinning they took as much as one.
"""

from __future__ import annotations

from advisor.inside import Session
from advisor.techniques.base import Applicability, Change, Facts, Variant

NO_SESSION = "the program makes no ONNX Runtime session"


class SessionSpinning:
    """Several threads that sleep while they wait."""

    name = "session spinning"

    def applies(self, facts: Facts) -> Applicability:
        sessions = sessions_of(facts)
        if not sessions:
            return Applicability(False, NO_SESSION)
        if facts.cpus < 2:
            return Applicability(False, "only one CPU can be used")
        if all(s.on_gpu for s in sessions):
            return Applicability(False, "its sessions compute on a GPU")
        if all(s.threads == 1 for s in sessions):
            return Applicability(False, "its sessions use one thread, which has nobody to wait for")
        if not any(s.spinning for s in sessions):
            return Applicability(False, "the threads of its sessions do not spin")
        count = max(s.threads for s in sessions) or facts.cores
        return Applicability(True, f"{count} threads of its sessions spin while they wait")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        return (
            Variant(
                name="session no spinning",
                technique=self.name,
                change=Change(switches={"session_spinning": "off"}),
                for_good="make the session with threads that sleep while they wait:",
                code="options = onnxruntime.SessionOptions()\n"
                'options.add_session_config_entry("session.intra_op.allow_spinning", "0")\n'
                "session = onnxruntime.InferenceSession(FILE, options)",
                risk="waking a thread takes some micro-seconds longer",
            ),
        )


def sessions_of(facts: Facts) -> tuple[Session, ...]:
    """Those that the program was seen to use."""
    return () if facts.inside is None else facts.inside.sessions
