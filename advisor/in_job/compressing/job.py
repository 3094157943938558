"""What a recipe gets: the teacher, captured inputs with its answers, and where results go.

Every accepted step is a folder that a replacement can run as it is (`model.onnx`,
`signature.json`), with `step.json` beside it. `steps.json` names them in their order; it is
replaced whole, so that a process that is killed leaves the steps before the one that it was at.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any  # torch, modules and tensors are of the job's own version

from .. import export_onnx  # noqa: TID252 - inside a job our packages have another name
from . import recovery, samples
from .losses import Drift, Output, named_outputs, outputs_that_count
from .recovery import Recovered, Settings
from .samples import Pair
from .work import affordable_copies, multiplications

STEPS = "steps.json"
_LEAST_ROWS = 16
_ROUNDS = 7
_CALLS = 8
_SAMPLES = 32
# How far the first answer of a model that learnt may be from the module's, of its size: it is
# another model, and how good its answers are is judged elsewhere.
_DISTANCE = 2.0


class CannotCompressError(Exception):
    """The model is left as it is; the text says why, in words for a person."""


class Job:
    """One recipe's work on one module. Made by `opened`.

    `options`: `folder` is where results go, `swap` the file of the replacement that runs them,
    `base` a folder with the module as it was exported, `learn` and `held` are files of captured
    inputs, `copies` how many changed copies of each are learnt from at most, `seed`, `time_s` that
    is left of `planned_s`, `threads`, `limit` the share of answers that may be others, `limits` the
    same by what a drift measures, `lent` a folder to import from last; what else there is is for
    the recipe.

    `module` is the teacher, which nobody changes. `learn` are batches with its answers, `held`
    others that only judge; `samples` are some of both as they were captured, `calls` those that
    steps are measured by. `steps` are those accepted so far, also by a process that was killed.
    """

    def __init__(self, module: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> None:
        import torch

        self.torch = torch
        self.options = options
        self.folder = str(options["folder"])
        self.seed = int(options.get("seed", 0))
        self.limit = float(options.get("limit", 0.01))
        self.swap = export_onnx.load_file(str(options["swap"]))
        self.module = module.eval()
        self.digest = str(self.swap.weights_digest(module))
        own = torch.utils._pytree.tree_map(export_onnx.own_tensor, (tuple(args), dict(kwargs)))
        self.args, self.kwargs = own
        self.flat = export_onnx.Flat(torch, self.swap, module, self.args, self.kwargs)
        self._began_s = time.monotonic()
        self._ends_s = self._began_s + float(options.get("time_s", 600.0))
        self.planned_s = float(options.get("planned_s") or options.get("time_s", 600.0))
        first = self.answer(self.module, self.flat.tensors())
        self.outputs: list[Output] = outputs_that_count(first)
        if not self.outputs:
            raise CannotCompressError("it returns no numbers to learn from")
        again = self.answer(self.module, self.flat.tensors())
        if any(not bool(torch.equal(first[o.name], again[o.name])) for o in self.outputs):
            raise CannotCompressError("it answers differently each time it is asked the same")
        self.calls, self.samples, self.learn, self.held = self._read()
        self.steps: list[dict[str, Any]] = read_steps(self.folder)

    # -- the models ---------------------------------------------------------------------------

    def answer(self, model: Any, inputs: tuple[Any, ...]) -> dict[str, Any]:
        """What a model returns for the tensors of a call, by the names of its outputs."""
        args, kwargs = self.flat.with_tensors(inputs)
        return named_outputs(model(*args, **kwargs))

    def copy(self) -> Any:
        """The teacher once more, to be changed; all its weights can learn."""
        try:
            found = copy.deepcopy(self.module)
        except Exception as error:  # a module may hold anything
            raise CannotCompressError(
                f"it cannot be copied: {type(error).__name__}: {error}"
            ) from error
        for each in found.parameters():
            each.requires_grad_(each.is_floating_point())
        found.eval()
        return found

    def drift(self, model: Any) -> Drift:
        """How far a model's answers to held-out inputs are from the teacher's."""
        return recovery.judged(model, self.answer, self.held, self.outputs)

    def recover(self, model: Any, settings: Settings, **more: Any) -> Recovered:
        """Let a model learn from the teacher's answers; see `recovery.recover`."""
        found = recovery.recover(
            model, self.answer, self.learn, self.outputs, settings, self.out_of_time, **more
        )
        recovery.refresh_norms(model, self.answer, self.learn)
        return found

    def limit_of(self, measure: str) -> float:
        """What may change at most, of what a drift measures."""
        return float((self.options.get("limits") or {}).get(measure, self.limit))

    def out_of_time(self) -> bool:
        return time.monotonic() >= self._ends_s

    def left_s(self) -> float:
        return self._ends_s - time.monotonic()

    def say(self, text: str) -> None:
        """Progress in words, for the one who waits."""
        used = {"cpu_s": time.process_time(), "wall_s": time.monotonic() - self._began_s}
        replace_json(os.path.join(self.folder, "progress.json"), {"doing": text, **used})
        print(text, flush=True)

    # -- the results --------------------------------------------------------------------------

    def accept(self, name: str, model: Any, about: dict[str, Any]) -> dict[str, Any]:
        """Export a model as the next step, measure it, and keep it; what was found out of it.

        `cpu_ratio` is its CPU time over the base's, `before_ratio` over that of the step before.
        Raises CannotExportError.
        """
        step = self.exported(name, model, about)
        self.keep(step, model)
        return step

    def exported(self, name: str, model: Any, about: dict[str, Any]) -> dict[str, Any]:
        """The same without keeping it: `keep` or `drop` follows."""
        new = os.path.join(self.folder, f"{name}.new")
        shutil.rmtree(new, ignore_errors=True)
        os.makedirs(new, mode=0o700)
        options = {
            "folder": new,
            "swap": str(self.options["swap"]),
            "calls": self.calls,
            "weights_digest": self.digest,
        }
        model.eval()
        with self.torch.no_grad():
            found = export_onnx.exported(model, self.args, self.kwargs, options)
        _allow_distance(new)
        others = [str(self.options["base"]), *[self.folder_of(s) for s in self.steps[-1:]]]
        ratios = self.measured(new, others)
        return {
            "name": name,
            **about,
            "parameters": sum([p.numel() for p in model.parameters()]),
            "bytes": os.stat(os.path.join(new, "model.onnx")).st_size,
            "cpu_ratio": ratios[0],
            "before_ratio": ratios[-1],
            "export": found,
        }

    def keep(self, step: dict[str, Any], model: Any | None = None) -> None:
        """Make an exported step one of the accepted ones, with its weights to go on from."""
        place = os.path.join(self.folder, f"{step['name']}.new")
        replace_json(os.path.join(place, "step.json"), step)
        if model is not None:
            self.torch.save(model.state_dict(), os.path.join(place, "state.pt"))
        shutil.rmtree(self.folder_of(step), ignore_errors=True)
        os.rename(place, self.folder_of(step))
        before = self.steps[-1:]
        self.steps.append(step)
        replace_json(os.path.join(self.folder, STEPS), self.steps)
        for each in before:  # only the last one is gone on from
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self.folder_of(each), "state.pt"))

    def drop(self, step: dict[str, Any]) -> None:
        shutil.rmtree(os.path.join(self.folder, f"{step['name']}.new"), ignore_errors=True)

    def folder_of(self, step: dict[str, Any]) -> str:
        return os.path.join(self.folder, str(step["name"]))

    def state(self, step: dict[str, Any]) -> dict[str, Any]:
        """The weights that a step was accepted with."""
        path = os.path.join(self.folder_of(step), "state.pt")
        found: dict[str, Any] = self.torch.load(path, weights_only=True)
        return found

    def measured(self, folder: str, others: list[str]) -> list[float]:
        """CPU time of a step's calls, as captured, over that of each other folder's.

        The median of rounds in turn; 1.0 where the job has nothing to run them by.
        """
        try:
            models = [self.swap.load(each) for each in (folder, *others)]
        except ImportError:
            return [1.0 for _ in others]
        calls = [self.flat.with_tensors(call) for call in self.calls[:_CALLS]]
        return _ratios(models, calls)

    # -- how ----------------------------------------------------------------------------------

    def _read(
        self,
    ) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], list[Pair], list[Pair]]:
        load_call = self.options.get("load_call")  # tests have calls of their own making
        if load_call is None:
            load_call = importlib.import_module("_frugalwatch.capture_load").load_call

        def read(part: str) -> list[tuple[Any, ...]]:
            paths = list(self.options[part])
            return samples.read_calls(self.flat, self.swap, load_call, paths)

        learn, held = read("learn"), read("held")
        names = [str(path[-1]) for path in self.flat.paths]
        answer: Callable[[tuple[Any, ...]], dict[str, Any]] = self._taught
        size = samples.rows_for_memory(
            self.module, lambda: self._taught(self.flat.tensors()), max(1, _rows_of(self.flat))
        )
        batches = samples.batches(learn, names, answer, size)
        judges = samples.batches(held, names, answer, size)
        rows = sum(b.rows for b in batches)
        if rows < _LEAST_ROWS or not judges:
            raise CannotCompressError(
                f"only {rows} captured inputs to learn from; it needs {_LEAST_ROWS} and others to"
                " judge by"
            )
        self.say(f"asking the model {rows} captured inputs")
        work = rows * multiplications(self, self.module) / max(1, _rows_of(self.flat))
        copies = min(
            int(self.options.get("copies", 7)),
            affordable_copies(work, self.planned_s, int(self.options.get("threads") or 1)),
        )
        return (
            held[:_CALLS],
            [*learn[:_SAMPLES], *held[:_SAMPLES]],
            samples.pairs(batches, answer, copies=copies, seed=self.seed),
            samples.pairs(judges, answer, copies=0, seed=self.seed),
        )

    def _taught(self, inputs: tuple[Any, ...]) -> dict[str, Any]:
        """The teacher's answer, of which only what counts is kept."""
        with self.torch.no_grad():
            found = self.answer(self.module, inputs)
        return {o.name: found[o.name] for o in self.outputs}


@contextlib.contextmanager
def opened(module: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Iterator[Job]:
    """A job, with torch as recipes need it: gradients on, no autocast, few threads."""
    import sys

    import torch

    lent = str(options.get("lent") or "")
    if lent and lent not in sys.path:
        sys.path.append(lent)  # last: what the job has itself comes first
    threads = torch.get_num_threads()
    torch.set_num_threads(int(options.get("threads") or 1))
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
            yield Job(module, args, kwargs, options)
    finally:
        torch.set_num_threads(threads)


def read_steps(folder: str) -> list[dict[str, Any]]:
    """The accepted steps that lie in a folder, in their order."""
    try:
        with open(os.path.join(folder, STEPS), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return []
    return [each for each in found if os.path.isdir(os.path.join(folder, str(each["name"])))]


def _allow_distance(folder: str) -> None:
    path = os.path.join(folder, "signature.json")
    with open(path, encoding="utf-8") as file:
        signature = json.load(file)
    replace_json(path, {**signature, "distance": _DISTANCE})


def replace_json(path: str, value: object) -> None:
    """Write a JSON file whole or not at all."""
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
    os.replace(f"{path}.new", path)


def _rows_of(flat: Any) -> int:
    tensors = flat.tensors()
    return int(tensors[0].shape[0]) if tensors and tensors[0].dim() else 1


def _ratios(models: list[Any], calls: list[Any]) -> list[float]:
    def once_s(model: Any) -> float:
        began_s = time.process_time()
        for args, kwargs in calls:
            model(*args, **kwargs)
        return time.process_time() - began_s

    for model in models:
        once_s(model)
    repeats = max(1, min(200, int(0.03 / max(1e-5, once_s(models[0])))))
    found: list[list[float]] = [[] for _ in models[1:]]
    for _ in range(_ROUNDS):
        spent_s = [sum([once_s(model) for _ in range(repeats)]) for model in models]
        for at, other_s in enumerate(spent_s[1:]):
            found[at].append(spent_s[0] / max(1e-9, other_s))
    return [statistics.median(each) for each in found]
