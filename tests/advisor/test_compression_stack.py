"""What the technique makes of steps that others accepted, and of what its search found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from advisor.artefacts.manifest import write_manifest
from advisor.compression_stack.points import ORIGINAL
from advisor.gates.splits import part_of
from advisor.replay import Replayer
from advisor.stacking import combinations, runs_the_model, stacks_first
from advisor.techniques.base import Applicability, Change, Variant
from advisor.techniques.compression_stack import CompressionStack
from advisor.workshop import Workshop
from tests.advisor.test_swap_techniques import facts, module

FOLDER = "compression-stack"


class Folders:
    """The part of a replayer that building needs."""

    def __init__(self, root: Path) -> None:
        self._root, self._made = root, 0

    def new_folder(self, name: str) -> str:
        self._made += 1
        path = self._root / f"{name}-{self._made}"
        path.mkdir()
        return str(path)


def workshop(tmp_path: Path) -> Workshop:
    kept, passing = tmp_path / "A1", tmp_path / "passing"
    kept.mkdir()
    passing.mkdir()
    (kept / "advice.json").write_text('{"key": "abc"}', encoding="utf-8")
    found = Workshop(str(kept), facts().sample, cast(Replayer, Folders(passing)), lambda _: None)
    artefact(kept / "onnx-0", {"parameters": 1_000_000})
    return found


def artefact(folder: Path, about: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    for name in ("model.onnx", "signature.json", "load.py"):
        (folder / name).write_text("{}", encoding="utf-8")
    write_manifest(str(folder), how="by hand", cost={}, about=about, versions={})


def accepted_step(bench: Workshop, parameters: int = 400_000) -> None:
    folder = Path(bench.folder) / "pruning-0"
    artefact(folder / "3", {"parameters": parameters})
    (folder / "steps.json").write_text(json.dumps([{"name": "3"}]), encoding="utf-8")


def point(bench: Workshop, name: str, **more: object) -> dict[str, Any]:
    base, _, precision = name.partition(" + ")
    return {
        "name": name,
        "base": base,
        "precision": precision or "float",
        "practice": "as it comes",
        "cost_ratio": 0.1,
        "drift": 0.0,
        "limit": 0.01,
        "hopeless": False,
        "sentence": "",
        "refused": "",
        "folder": str(Path(bench.folder) / FOLDER / "built"),
        "on_front": True,
        "measured": True,
        **more,
    }


def searched(bench: Workshop, survivors: list[str]) -> None:
    """As a search leaves it that an advise made which was cut short afterwards."""
    points = [point(bench, ORIGINAL), *[point(bench, name) for name in survivors]]
    about = {"points": points, "survivors": survivors, "space": 9, "stopped": "", "seed": 0}
    artefact(Path(bench.folder) / FOLDER, {**about, "study": "s"})


def prepared(bench: Workshop) -> tuple[Variant, ...] | Applicability:
    technique, known = CompressionStack(), facts()
    (variant,) = technique.variants(known)
    return technique.prepare(variant, bench)


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.techniques.compression_stack.has_optuna", lambda: False)
    answer = CompressionStack().applies(facts())
    assert not answer.yes
    assert answer.reason == "needs optuna: pip install 'frugalwatch[advisor]'"


def test_nothing_is_searched_where_nothing_made_the_model_smaller(tmp_path: Path) -> None:
    answer = prepared(workshop(tmp_path))
    assert isinstance(answer, Applicability)
    assert "no smaller model" in answer.reason


def test_survivors_become_variants_that_run_their_model(tmp_path: Path) -> None:
    bench = workshop(tmp_path)
    accepted_step(bench)
    searched(bench, ["pruned 3 + static int8"])
    found = prepared(bench)
    assert isinstance(found, tuple)
    (variant,) = found
    assert variant.name == "pruned 3 + static int8"
    assert variant.lossy
    assert variant.artefact == str(Path(bench.folder) / FOLDER / "built")
    switch = cast(dict[str, Any], variant.change.switches["replace"])
    assert switch["options"]["folder"] == variant.artefact
    curve = cast(dict[str, Any], bench.curve)
    assert [p["name"] for p in curve["points"]] == [ORIGINAL, "pruned 3 + static int8"]


@pytest.mark.parametrize(
    ("name", "needed"),
    [("pruned 3 + static int8", "onnxruntime"), ("pruned 3 + OpenVINO int8", "openvino")],
)
def test_a_survivor_names_the_run_time_that_it_needs(
    tmp_path: Path, name: str, needed: str
) -> None:
    bench = workshop(tmp_path)
    accepted_step(bench)
    searched(bench, [name])
    found = prepared(bench)
    assert isinstance(found, tuple)
    assert found[0].needs == needed
    assert f"needs {needed}" in found[0].code


def test_inputs_that_models_learnt_from_never_judge_them(tmp_path: Path) -> None:
    bench = workshop(tmp_path)
    accepted_step(bench)
    searched(bench, ["pruned 3 + static int8"])
    found = prepared(bench)
    assert isinstance(found, tuple)
    learnt = [c.inputs_digest for c in module().kept if part_of(c.number) == "calibration"]
    assert learnt
    assert list(found[0].calibrated) == learnt


def test_a_search_without_survivors_is_told_and_still_drawn(tmp_path: Path) -> None:
    bench = workshop(tmp_path)
    accepted_step(bench)
    searched(bench, [])
    answer = prepared(bench)
    assert isinstance(answer, Applicability)
    assert "no combination" in answer.reason
    assert bench.curve is not None


def test_a_failing_search_is_a_refusal_with_its_reason(tmp_path: Path) -> None:
    bench = workshop(tmp_path)
    accepted_step(bench)
    answer = prepared(bench)  # the models are no models
    assert isinstance(answer, Applicability)
    assert answer.reason


def test_a_stack_with_un_padding_still_runs_the_model_and_goes_with_no_other_model() -> None:
    model = {"factory": "/a/load.py:make", "class": "Net", "options": {"folder": "/a"}}
    outer: dict[str, object] = {"factory": "/u.py:make", "options": {}, "outer": True}
    unpadded = Variant("un-padding", "un-padding", Change(switches={"replace": outer}))
    whole = Variant("int8", "static int8", Change(switches={"replace": model}))
    stack = Variant("both", "compression stack", whole.change.with_(unpadded.change))
    assert runs_the_model(stack)
    assert not runs_the_model(unpadded)
    assert combinations([stack, whole]) == []
    assert len(combinations([whole, unpadded])) == 1


def test_stacks_are_tried_before_what_they_are_made_of() -> None:
    first = Variant("pruned", "pruning", Change())
    second = Variant("pruned + int8", "compression stack", Change())
    assert stacks_first([first, second]) == [second, first]
