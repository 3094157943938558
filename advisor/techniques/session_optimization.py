"""ONNX Runtime's own rewriting of the graph, where the program keeps it from it."""

from __future__ import annotations

from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.session_spinning import NO_SESSION, sessions_of

_ALL = "ORT_ENABLE_ALL"


class SessionOptimization:
    """All optimisations, where some were switched off."""

    name = "session optimisation"

    def applies(self, facts: Facts) -> Applicability:
        sessions = sessions_of(facts)
        if not sessions:
            return Applicability(False, NO_SESSION)
        less = [s.optimization for s in sessions if s.optimization != _ALL]
        if not less:
            return Applicability(False, "its sessions optimise as far as they can already")
        return Applicability(True, f"its sessions are made with {less[0]}")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        return (
            Variant(
                name="session optimised",
                technique=self.name,
                change=Change(switches={"session_optimization": "all"}),
                for_good="leave the level at its default, or set it:",
                code="options.graph_optimization_level ="
                " onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL",
                risk="sums are rounded in another order; making the session takes longer",
            ),
        )
