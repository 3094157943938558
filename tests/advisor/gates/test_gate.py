"""From calls of two replays to a verdict: what kind it is, which inputs count, the worst module."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.gates.gate import Untold, gate
from advisor.gates.options import GateOptions, parse_gate
from advisor.gates.result import GateResult
from tests.advisor.gates.kit import calls

np = pytest.importorskip("numpy")

USUAL = GateOptions()


def noise(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def judged(*arguments: Any, options: GateOptions = USUAL, **more: Any) -> GateResult:
    found = gate(calls(*arguments, **more), options)
    assert isinstance(found, GateResult), found
    return found


def test_names_of_outputs_say_what_they_are() -> None:
    scores, wide = noise(600, 10), noise(600, 64)
    cases = {
        ("logits", "row"): (scores, "classification"),
        ("logits", "top"): (scores.argmax(1)[:, None], "classification"),
        ("logits", "tokens"): (scores.argsort(1), "generation"),
        ("sentence_embedding", "row"): (wide, "embedding"),
        ("last_hidden_state", "mean"): (wide, "embedding"),
    }
    for key, (values, kind) in cases.items():
        assert judged({key: values}, {key: values}).kind == kind, key


def test_without_a_name_the_form_says_it_and_guesses_are_told() -> None:
    key = ("", "row")
    scores = noise(600, 10)
    unit = scores / np.linalg.norm(scores, axis=1, keepdims=True)
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert judged({key: unit}, {key: unit}).kind == "embedding"
    assert judged({key: scores[:, :1]}, {key: scores[:, :1]}).kind == "regression"
    assert judged({key: scores}, {key: scores}, module="SentenceEncoder").kind == "embedding"
    for certain in (shares, np.log(shares)):
        found = judged({key: certain}, {key: certain})
        assert (found.kind, "taken for" in found.sentence) == ("classification", False)
    found = judged({key: scores}, {key: scores})
    assert (found.kind, "taken for scores" in found.sentence) == ("classification", True)


def test_states_of_tokens_are_pooled_by_their_mask_or_not_judged() -> None:
    states = {
        ("", "mean"): noise(600, 8),
        ("", "first"): noise(600, 8),
        ("", "tokens"): noise(600, 5).astype(int),
    }
    found = judged(states, states, masked=True)
    assert (found.kind, "the tokens that the mask keeps" in found.sentence) == ("embedding", True)
    assert isinstance(gate(calls(states, states), USUAL), Untold)


def test_the_user_says_what_to_judge_by() -> None:
    states = {("x", "mean"): noise(600, 8), ("x", "first"): noise(600, 8, seed=1)}
    broken = {**states, ("x", "first"): noise(600, 8, seed=2)}
    options = parse_gate("overlap>=0.9")
    assert judged(states, broken, options=options, masked=True).acceptable is True
    first = parse_gate("overlap>=0.9,pool=first")
    assert judged(states, broken, options=first, masked=True).acceptable is False
    scores = {("", "row"): noise(600, 10)}
    assert judged(scores, scores, options=parse_gate("error<=0.01")).kind == "regression"
    refused = gate(calls(scores, scores), parse_gate("tokens>=0.9"))
    assert isinstance(refused, Untold)
    assert "cannot be judged by tokens" in refused.reason


def test_only_judging_inputs_count_and_each_once() -> None:
    key = ("logits", "row")
    scores = noise(1000, 10)
    found = judged({key: scores}, {key: scores})
    assert found.judged == pytest.approx(700, abs=20)
    screening = gate(calls({key: scores}, {key: scores}), USUAL, "screening")
    assert isinstance(screening, GateResult)
    assert screening.judged == pytest.approx(100, abs=20)
    again = judged({key: scores}, {key: scores}, items=[str(at % 200) for at in range(1000)])
    assert again.judged < 200
    assert again.acceptable is None


def test_inputs_that_calibrated_do_not_judge() -> None:
    key = ("logits", "row")
    scores = noise(1000, 10)
    pairs = calls({key: scores}, {key: scores}, batch=20)
    every = gate(pairs, USUAL)
    fewer = gate(pairs, USUAL, calibrated={"inputs 0"})  # the digest of a whole call
    assert isinstance(every, GateResult)
    assert isinstance(fewer, GateResult)
    assert every.judged - fewer.judged == 20


def test_calls_that_learn_never_judge() -> None:
    key = ("logits", "row")
    found = gate(calls({key: noise(600, 10)}, {key: noise(600, 10)}, learning=True), USUAL)
    assert isinstance(found, Untold)
    assert "training" in found.reason


def test_of_several_modules_the_worst_counts() -> None:
    key = ("logits", "row")
    good = calls({key: noise(600, 10)}, {key: noise(600, 10)}, module="Good")
    bad = calls({key: noise(600, 10)}, {key: noise(600, 10, seed=1)}, module="Bad")
    found = gate([*good, *bad], USUAL)
    assert isinstance(found, GateResult)
    assert (found.of, found.acceptable, found.hopeless) == ("Bad.logits", False, True)


def test_forms_without_a_gate_are_said() -> None:
    two = {("0", "row"): noise(600, 4), ("1", "row"): noise(600, 4)}
    found = gate(calls(two, two), USUAL)
    assert isinstance(found, Untold)
    assert "no form" in found.reason
    assert isinstance(gate([], USUAL), Untold)


def test_what_is_stored_is_plain_json() -> None:
    key = ("logits", "row")
    stored = judged({key: noise(200, 10)}, {key: noise(200, 10)}).as_json()
    assert stored["acceptable"] is None
    assert isinstance(stored["more_inputs_needed"], int)
    assert {"kind", "value", "low", "high", "limit", "judged", "worst_class"} <= stored.keys()
