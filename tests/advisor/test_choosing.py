"""Techniques that a person insists on, or does not want tried."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.choosing import Choice, answer_of, chosen
from advisor.techniques import techniques
from advisor.techniques.base import Facts
from advisor.techniques.onnx_int8 import StaticInt8
from advisor.techniques.onnx_runtime import OnnxRuntime
from advisor.techniques.zeros import Zeros
from frugalwatch.errors import UsageError
from tests.advisor.test_swap_techniques import IMAGES, facts, module

TINY = facts(module(parameters=9_000, layers=IMAGES))


def insisting(known: Facts, *names: str) -> Facts:
    return replace(known, included=frozenset(names))


def test_what_would_not_be_offered_is_measured_for_who_insists() -> None:
    assert not answer_of(StaticInt8(), TINY).yes
    answer = answer_of(StaticInt8(), insisting(TINY, "static int8"))
    assert answer.yes
    assert answer.reason.startswith("you included it; otherwise not: Net has 9,000 weights")


def test_what_cannot_act_stays_refused_with_its_reason() -> None:
    known = insisting(facts(learns=True), "ONNX Runtime")
    answer = answer_of(OnnxRuntime(), known)
    assert not answer.yes
    assert answer.reason.endswith("could not learn, so that it cannot be measured either")


def test_zeros_are_never_offered_and_tried_when_asked_for() -> None:
    assert "nothing to save" in answer_of(Zeros(), facts()).reason
    assert not answer_of(Zeros(), facts()).yes
    assert answer_of(Zeros(), insisting(facts(), "zeros")).yes
    assert all(v.lossy for v in Zeros().variants(facts()))


def test_what_is_excluded_is_not_tried() -> None:
    known = replace(facts(), excluded=frozenset({"ONNX Runtime"}))
    assert answer_of(OnnxRuntime(), facts()).yes
    assert answer_of(OnnxRuntime(), known).reason == "you excluded it"


def test_names_are_typed_in_any_case_and_unknown_ones_are_refused() -> None:
    choice = chosen(["onnx-runtime", "TORCH.COMPILE"], ["tf32"])
    assert choice.include == {"ONNX Runtime", "torch.compile"}
    assert choice.exclude == {"TF32"}
    with pytest.raises(UsageError, match="'magic' is no technique") as raised:
        chosen(["magic"], [])
    assert "static int8" in str(raised.value.hint)
    with pytest.raises(UsageError, match="both"):
        chosen(["zeros"], ["Zeros"])


def test_no_two_techniques_have_one_name() -> None:
    names = [each.name.lower() for each in techniques()]
    assert len(set(names)) == len(names)


def test_a_search_that_goes_on_is_told_the_same_choice() -> None:
    before = Choice(frozenset({"zeros"}), frozenset({"TF32"}))
    assert Choice().or_as_before(before.as_json()) == before
    again = Choice(frozenset({"autocast"}))
    assert again.or_as_before(before.as_json()) == again
