"""What techniques share that run another implementation in place of the program's module."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace

from advisor.artefacts.manifest import write_manifest
from advisor.sampling import SampledModule
from advisor.techniques.base import Applicability, Change, Facts, Variant
from advisor.techniques.torch_facts import refuse_without_torch
from advisor.workshop import Artefact, CannotBuildError, Workshop

# Layers that only transformers have, by the end of their class's name.
_ATTENTION = ("SelfAttention", "MultiheadAttention", "TransformerEncoderLayer")
# Below so many weights an operator has too little work for scaling its inputs to pay.
TINY_PARAMETERS = 100_000
_VNNI = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
CODE = """from load import load  # in {folder}
model = load()  # answers as the module did; needs {package}"""


def refuse_swap(
    facts: Facts, package: str = "onnxruntime", *, on_gpu: bool = False
) -> Applicability | None:
    """Why no module of the program can be swapped; None where one can.

    `on_gpu`: by something that computes there, where the module is.
    """
    refused = refuse_without_torch(facts)
    if refused is not None:
        return refused
    inside = facts.inside
    assert inside is not None
    if inside.learns:
        return Applicability(False, "it trains: what is exported could not learn")
    if facts.sample is None:
        return Applicability(False, "no calls of its model could be sampled")
    name = target(facts).kind
    roots = [root for root in inside.roots if root.name == name]
    if any(root.on_gpu for root in roots) != on_gpu:
        return Applicability(False, f"{name} is {'not ' if on_gpu else ''}on a GPU")
    random = sorted({k for r in roots if r.called("training") for k in r.mode_dependent})
    if random:
        kinds = ", ".join(random)
        reason = f"{name} is called in training mode, in which its {kinds} compute otherwise:"
        return Applicability(False, f"{reason} call eval() on it first")
    if package and package not in facts.sample.packages:
        return Applicability(False, f"needs {package}: pip install {package}")
    return None


def target(facts: Facts) -> SampledModule:
    """The module that takes most of the time of all that the program calls."""
    assert facts.sample is not None
    return max(facts.sample.modules, key=_duration_ns)


def found(facts: Facts, text: str = "") -> Applicability:
    """Yes, with which module of how many it is, and what it takes."""
    assert facts.sample is not None
    chosen = target(facts)
    every = sum(_duration_ns(m) for m in facts.sample.modules)
    what = chosen.kind
    if len(facts.sample.modules) > 1 and every:
        share = 100 * _duration_ns(chosen) / every
        others = len(facts.sample.modules)
        what = f"{what}, one of {others} modules that it calls and {share:.0f} % of their time,"
    return Applicability(True, f"{what} runs eagerly{text}")


def swap_switch(
    facts: Facts, folder: str, *, threads: int = 1, options: Mapping[str, object] | None = None
) -> Change:
    """The change that puts what lies in `folder` in place of the target."""
    told = {"folder": folder, "threads": threads, **(options or {})}
    value: dict[str, object] = {
        "factory": f"{os.path.join(folder, 'load.py')}:make",
        "class": target(facts).kind,
        "options": told,
    }
    if in_training_mode(facts):
        value["training"] = True
    if facts.layer:
        value["options"] = {**told, "path": facts.layer}
    return Change(switches={"replace": value})


def in_training_mode(facts: Facts) -> bool:
    """Whether the target is called so, which has no effect where it was not refused."""
    assert facts.inside is not None
    name = target(facts).kind
    return any(r.called("training") for r in facts.inside.roots if r.name == name)


def export(facts: Facts, workshop: Workshop) -> Artefact:
    """The target as an ONNX model. Raises CannotBuildError."""
    return workshop.export(target(facts), training=in_training_mode(facts), layer=facts.layer)


def built(facts: Facts, variant: Variant, artefact: Artefact, *, threads: int = 1) -> Variant:
    """The variant with the artefact that it runs."""
    folder = artefact.folder
    return replace(
        variant,
        cost=artefact.about.get("cpu_ratio"),
        change=swap_switch(facts, folder, threads=threads),
        artefact=folder,
        one_off=artefact.cost.in_words("exporting and building"),
        code=CODE.format(folder=folder, package=variant.needs),
    )


def copied(source: Artefact, folder: str, engine: str) -> Artefact:
    """The exported model once more, for another run time."""
    for name in ("model.onnx", "load.py", "signature.json"):
        shutil.copyfile(os.path.join(source.folder, name), os.path.join(folder, name))
    path = os.path.join(folder, "signature.json")
    with open(path, encoding="utf-8") as file:
        signature = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**signature, "engine": engine}, file, indent=1)
    write_manifest(
        folder, how=f"the exported model, for {engine}", cost={}, about=source.about, versions={}
    )
    return Artefact(folder, source.cost, source.about)


def refused(reason: CannotBuildError) -> Applicability:
    return Applicability(False, str(reason))


def order(facts: Facts, source: Artefact, technique: str = "") -> dict[str, object]:
    """What every builder is told: the exported model, and captured inputs to try it on.

    `insist`: the user wants it measured, also where it is slow on them.
    """
    samples = [str(call.inputs_path) for call in target(facts).kept]
    return {
        "source": source.folder,
        "samples": samples,
        "about": dict(source.about),
        "transformer": is_transformer(source.about),
        "insist": technique in facts.included,
    }


def is_transformer(about: Mapping[str, object]) -> bool:
    """Whether the exported module has attention, or a configuration that says so."""
    layers = about.get("layers")
    names = layers if isinstance(layers, dict) else {}
    return bool(about.get("heads")) or any(str(n).endswith(_ATTENTION) for n in names)


def has_convolutions(layers: Iterable[str]) -> bool:
    """Whether there are convolutions; what transformers calls Conv1D is a linear layer."""
    return any(name.startswith("Conv") and name != "Conv1D" for name in layers)


def looks_like_transformer(facts: Facts) -> bool:
    """The same before anything was exported, by the layers of the target."""
    layers = target(facts).about.get("layers") or {}
    if has_convolutions(layers):
        return False
    return "LayerNorm" in layers or any(str(n).endswith(_ATTENTION) for n in layers)


def has_int8_units(facts: Facts) -> str:
    """The CPU's instructions for products of 8-bit numbers; empty where it has none."""
    return next((flag for flag in _VNNI if flag in facts.cpu_flags), "")


def parameters(facts: Facts) -> int:
    """Weights of the target."""
    return int(target(facts).about.get("parameters") or 0)


def _duration_ns(module: SampledModule) -> int:
    return sum(call.duration_ns for call in module.calls)
