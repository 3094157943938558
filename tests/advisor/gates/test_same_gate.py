"""`verify` judges by the gate that `advise` judged by, unless it is told another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor.commands.common import Replaying
from advisor.commands.verify import _gate
from advisor.gates.options import GateOptions, parse_gate
from advisor.options import Options
from advisor.quality import Loss
from advisor.replay import Isolation
from advisor.search import Plan
from advisor.verification import _loss
from frugalwatch.errors import UsageError
from frugalwatch.ledger.advice import Recommendation, StoredAdvice

pytest.importorskip("numpy")


def stored(**quality: Any) -> StoredAdvice:
    row = {"number": 1, "name": "int8", "quality": quality}
    result = {"recommendations": [row], "max_drop_points": 2.0, "gate": "overlap>=0.9,pool=first"}
    only = Recommendation(1, "int8", {}, ())
    return StoredAdvice(1, "key", "done", ("x",), "/", None, result, (only,))


def replaying(folder: Path, **said: Any) -> Replaying:
    nothing = dict.fromkeys(Replaying._fields)
    plain = {"in_place": False, "network": False, "seed": 0, "ledger": str(folder / "l.db")}
    return Replaying(**{**nothing, **plain, **said})


def test_what_was_allowed_is_allowed_again(tmp_path: Path) -> None:
    earlier = _gate(stored().result)
    assert earlier == GateOptions(2.0, "overlap", 0.9, "first")
    assert replaying(tmp_path).options(None, None, None, earlier).gate == earlier
    now = replaying(tmp_path, max_drop=0.5).options(None, None, None, earlier).gate
    assert now == GateOptions(0.5)
    assert replaying(tmp_path).options(None, None).gate == GateOptions()
    with pytest.raises(UsageError):
        replaying(tmp_path, gate="cosine>=0.9").options(None, None)


def test_only_what_was_judged_by_a_gate_is_judged_by_one() -> None:
    options = Options(Plan(), Isolation(), gate=parse_gate("overlap>=0.9"))
    advice = stored(by_gate=True, calibrated=["digest"])
    assert _loss(advice, advice.recommendations[0], options) == Loss(options.gate, ("digest",))
    lossless = stored(by_gate=False)
    assert _loss(lossless, lossless.recommendations[0], options) is None
