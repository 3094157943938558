"""When what acts on ONNX Runtime sessions is offered, and when not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from advisor.inside import Inside, Root, Session
from advisor.techniques.base import Applicability, Facts
from advisor.techniques.session_int8 import SessionInt8
from advisor.techniques.session_optimization import SessionOptimization
from advisor.techniques.session_spinning import SessionSpinning
from advisor.techniques.threads import ONE_THREAD, one_thread
from advisor.workloads.source import Source, from_json

TEXTS = ("input_ids", "tensor(int64)", ("batch", "sequence"))
IMAGES = ("x", "tensor(float)", ("batch", 3, 224, 224))
SESSION = Session("/models/m.onnx", 10, bytes=9_000_000, inputs=(TEXTS,))
SOURCE = Source("ONNX file", "/models/m.onnx", "/bin/python", "3.12.1", "synthesised", None, 8, 200)


def facts(session: Session | None = SESSION, **more: Any) -> Facts:
    inside = Inside(sessions=() if session is None else (session,))
    flags = frozenset({"avx512_vnni"})
    return replace(Facts({}, cpus=2, cores=2, inside=inside, cpu_flags=flags), **more)


def test_threads_that_spin_are_offered_to_sleep() -> None:
    assert SessionSpinning().applies(facts()).yes
    for session, reason in (
        (replace(SESSION, threads=1), "use one thread"),
        (replace(SESSION, spinning=False), "do not spin"),
        (replace(SESSION, providers=("CUDAExecutionProvider",)), "on a GPU"),
        (None, "makes no ONNX Runtime session"),
    ):
        answer = SessionSpinning().applies(facts(session))
        assert not answer.yes
        assert reason in answer.reason
    assert not SessionSpinning().applies(facts(cpus=1)).yes


def test_one_thread_reaches_sessions_too_where_there_are_some() -> None:
    assert one_thread(facts()).switches == {"session_threads": 1}
    assert one_thread(facts(inside=Inside(roots=(Root("Net", {}),)))) == ONE_THREAD


def test_optimisations_are_offered_where_some_are_off() -> None:
    assert not SessionOptimization().applies(facts()).yes
    less = replace(SESSION, optimization="ORT_DISABLE_ALL")
    assert SessionOptimization().applies(facts(less)).yes


@pytest.mark.parametrize(
    ("session", "reason"),
    [
        (replace(SESSION, model=None), "from bytes"),
        (replace(SESSION, bytes=40_000), "costs more than it saves"),
        (replace(SESSION, providers=("CUDAExecutionProvider",)), "on a GPU"),
        (None, "makes no ONNX Runtime session"),
    ],
)
def test_int8_is_not_offered_where_it_cannot_pay(session: Session | None, reason: str) -> None:
    answer = SessionInt8().applies(facts(session))
    assert not answer.yes
    assert reason in answer.reason
    assert not SessionInt8().applies(facts(cpu_flags=frozenset())).yes


def test_images_are_scaled_by_real_inputs_only_and_texts_need_none() -> None:
    (texts,) = SessionInt8().variants(facts())
    (images,) = SessionInt8().variants(facts(replace(SESSION, inputs=(IMAGES,))))
    assert (texts.name, images.name) == ("session dynamic int8", "session static int8")
    assert texts.lossy
    bench: Any = SimpleNamespace(replayer=SimpleNamespace(workload=SimpleNamespace(source=SOURCE)))
    refused = SessionInt8().prepare(images, bench)
    assert isinstance(refused, Applicability)
    assert "synthesised" in refused.reason


def test_where_inputs_are_from_is_said_and_kept() -> None:
    assert "SYNTHESISED from its signature" in SOURCE.in_words()
    assert "--inputs" in SOURCE.warnings()[0]
    assert from_json(SOURCE.as_json()) == SOURCE
    assert from_json(None) is None
    given = replace(SOURCE, inputs="given", inputs_path="/d/data.npz", samples_per_call=4.0)
    assert given.in_words() == "ONNX file m.onnx: 200 calls of 4 samples, 8 inputs from data.npz"
    assert given.warnings() == []
