"""Replays the trace of captured requests by other serving practices, in a replay of the program.

The hook calls `make` in place of a replacement's factory, at the module's first call, so that the
program's own module, interpreter and settings are used, and nothing has to be pickled. Every
practice serves the same requests in each round, in random order, and the trace as it came twice.
The replay ends with result.json in the folder that was named. Standard library and torch only.

A request is one row of what the program gave to its module: one text, one image.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import random
import sys
import time
import traceback
from collections import OrderedDict
from typing import Any, Callable  # torch, modules and tensors are of the job's own version

_WARM_UP = 3  # requests that are served before anything is measured
_LEAST_ROUNDS, _WANTED_ROUNDS = 3, 6
_LEAST_REQUESTS, _LEAST_CALLS = 32, 4
_TRIAL_S = 0.5
_JUDGED_SHARE = 0.3  # of the time, for answers that nothing is measured by
_LONGEST_REASON = 400


class CannotReplayError(Exception):
    """The text says why, in words for a person."""


def make(module: Any, _args: Any, _kwargs: Any, options: dict[str, Any]) -> Any:
    """Replay the trace, say in result.json what each practice used, and end the process.

    `options["order"]` is a JSON file: `folder`, `unpadded` (the file of that replacement),
    `process` (the folder of a capture's process), `calls` (kept calls, each with `number` and
    `t_utc_ns`), `practices`, `rounds`, `seconds` (for all of it), `seed`, and `most_requests`.
    """
    began_s = time.monotonic()
    with open(str(options["order"]), encoding="utf-8") as file:
        options = json.load(file)
    try:
        found = _Replay(module, options, began_s).run()
    except Exception as error:  # noqa: BLE001 - whatever the module raises
        traceback.print_exc()
        known = isinstance(error, CannotReplayError) or type(error).__name__ == "RefusedError"
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        found = {"why_not": " ".join(reason.split())[:_LONGEST_REASON]}
    with open(os.path.join(str(options["folder"]), "result.json"), "w", encoding="utf-8") as file:
        json.dump(found, file)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # the rest of the program would be measured by nobody


class _Request:
    """One row of a call: what goes in, how long it is, when it came, and with which others."""

    __slots__ = ("args", "arrival_s", "call", "key", "kwargs", "length")

    def __init__(self, args: Any, kwargs: Any, length: int, call: int, arrival_s: float) -> None:
        self.args, self.kwargs = args, kwargs
        self.length = length
        self.call = call
        self.arrival_s = arrival_s
        self.key = ""


class _Replay:
    def __init__(self, module: Any, options: dict[str, Any], began_s: float) -> None:
        self._module = module
        self._options = options
        self._until_s = began_s + float(options["seconds"])
        self._unpadded = _load(str(options["unpadded"]))
        self._names = self._unpadded._parameter_names(module.forward)
        self._sequences: Any = None  # inputs with a value for each position; None: no mask
        self._kinds: list[str] = []
        self._output_names: list[str] = []
        self._requests: list[_Request] = []
        self._calls: list[tuple[list[int], Any, Any]] = []  # as the program made them
        self._random = random.Random(int(options["seed"]))

    def run(self) -> dict[str, Any]:
        import torch

        self._read()
        if len(self._requests) < 2:
            raise CannotReplayError("its calls hold fewer than two requests")
        threads = torch.get_num_threads()
        practices = self._options["practices"]
        runners = {p["name"]: self._implementation(p) for p in practices}
        self._warm_up(runners)
        each_s = self._seconds_each(practices, runners, threads)
        self._answer_for_gates(practices, runners, each_s)
        left_s = self._until_s - time.monotonic()
        self._shorten(left_s / (_WANTED_ROUNDS + 1) / sum(each_s.values()))
        passes: list[dict[str, Any]] = []
        outputs: dict[str, list[Any]] = {}
        for number in range(int(self._options["rounds"])):
            began_s = time.monotonic()
            order = list(practices)
            self._random.shuffle(order)
            for practice in order:
                name = practice["name"]
                torch.set_num_threads(int(practice.get("threads") or threads))
                found, answers = self._serve(practice, runners[name])
                passes.append({"round": number, "practice": name, **found})
                if number == 0:
                    outputs[name] = answers
            took_s = time.monotonic() - began_s
            if number + 1 >= _LEAST_ROUNDS and time.monotonic() + took_s > self._until_s:
                break
        first = outputs[practices[0]["name"]]
        return {
            "threads": threads,
            "requests": len(self._requests),
            "calls": len(self._calls),
            "distinct": len({each.key for each in self._requests}),
            "passes": passes,
            "distances": {name: _distance(first, each) for name, each in outputs.items()},
        }

    # -- requests ----------------------------------------------------------------------------

    def _read(self) -> None:
        from _frugalwatch.capture_load import load_call  # type: ignore[import-not-found]

        process = str(self._options["process"])
        for call in self._options["calls"]:
            args, kwargs = load_call(process, int(call["number"]))
            arrival_s = int(call["t_utc_ns"]) / 1e9
            rows = self._rows(args, kwargs)
            places = []
            keys = self._digests(args, kwargs, len(rows))
            for key, (row_args, row_kwargs, length) in zip(keys, rows):
                places.append(len(self._requests))
                request = _Request(row_args, row_kwargs, length, len(self._calls), arrival_s)
                request.key = key
                self._requests.append(request)
            self._calls.append((places, args, kwargs))
            if len(self._requests) >= int(self._options["most_requests"]):
                break

    def _rows(self, args: Any, kwargs: Any) -> list[tuple[Any, Any, int]]:
        """The requests of one call, each cut to its own length."""
        unpadded = self._unpadded
        if (
            not self._calls
        ):  # the first: does a mask say where padding is, and is it without effect?
            try:
                checked = unpadded.Unpadded(self._module, self._module, self._module)
                checked.check(args, kwargs)
                self._sequences, self._kinds = checked._sequences, checked._kinds
            except unpadded.RefusedError as why:
                if _batch_size(args, kwargs) != 1 and "no attention mask" not in str(why):
                    raise
        if self._sequences is not None:
            batch = unpadded._Batch(self._names, args, kwargs, self._sequences)
            return [(*batch.part([at], n), n) for at, n in enumerate(batch.lengths)]
        size = _batch_size(args, kwargs)
        if size is None:
            raise CannotReplayError("the inputs of a call are not rows of a batch")
        if size == 1:
            return [(args, kwargs, 0)]
        return [(*_row(args, kwargs, at), 0) for at in range(size)]

    def _digests(self, args: Any, kwargs: Any, count: int) -> list[str]:
        """One of each request of a call, as a look has them: what calibrated is known by them."""
        from types import SimpleNamespace

        from _frugalwatch.look import _taken_apart  # type: ignore[import-not-found]
        from _frugalwatch.look_rows import Inputs  # type: ignore[import-not-found]

        flat, structure = _taken_apart(SimpleNamespace(args=args, kwargs=kwargs))
        found = Inputs(self._module, flat, structure).items
        return found if len(found) == count else [str(at) for at in range(count)]

    def _write_answers(self, folder: str, answers: list[Any]) -> None:
        """All answers as the rows that a look keeps, so that gates can judge them."""
        import torch
        from _frugalwatch.capture_values import write_safetensors  # type: ignore[import-not-found]

        rows = {}
        for at, name in enumerate(self._output_names):
            is_mean = at < len(self._kinds) and self._kinds[at] == "position"
            values = [each[at] for each in answers]
            if len({v.shape for v in values}) == 1 and values[0].is_floating_point():
                rows[f"rows:{'mean' if is_mean else 'row'}:{name}"] = torch.stack(values).float()
        about = {
            "inputs": "trace",
            "learning": "no",
            "module": type(self._module).__name__,
            "items": json.dumps([each.key for each in self._requests]),
            "masked": "no" if self._sequences is None else "yes",
        }
        place = os.path.join(folder, "outputs-0")
        os.makedirs(place, exist_ok=True)
        with open(os.path.join(place, "000000000.safetensors"), "wb") as file:
            write_safetensors(file, rows, about)

    def _together(self, requests: list[_Request]) -> tuple[Any, Any]:
        """The inputs of several requests as one batch, padded to the longest."""
        import torch

        longest = max(r.length for r in requests)
        sequences = self._sequences or ()

        def of(name: str, values: list[Any]) -> Any:
            first = values[0]
            if not isinstance(first, torch.Tensor) or first.dim() == 0:
                return first
            if name in sequences and any(v.shape[1] != longest for v in values):
                values = [_padded(name, v, longest) for v in values]
            return torch.cat(values)

        count = len(requests[0].args)
        names = [*self._names, *[f"argument {at}" for at in range(len(self._names), count)]]

        def column(name: str, values: list[Any]) -> Any:
            if self._unpadded._is_mapping(values[0]):
                return {key: of(str(key), [v[key] for v in values]) for key in values[0]}
            return of(name, values)

        args = tuple(column(names[at], [r.args[at] for r in requests]) for at in range(count))
        keys = requests[0].kwargs
        return args, {key: column(key, [r.kwargs[key] for r in requests]) for key in keys}

    # -- serving -----------------------------------------------------------------------------

    def _implementation(self, practice: dict[str, Any]) -> Callable[..., Any]:
        """What computes: the program's module, or a replacement of it."""
        asked = practice.get("inner")
        if not asked:
            own: Callable[..., Any] = self._module
            return own
        path, _, function = str(asked["factory"]).rpartition(":")
        _, args, kwargs = self._calls[0]
        options = dict(asked.get("options") or {})
        made: Callable[..., Any] = getattr(_load(path), function)(
            self._module, args, kwargs, options
        )
        if made is None:
            raise CannotReplayError("the replacement has nothing for this module")
        return made

    def _warm_up(self, runners: dict[str, Callable[..., Any]]) -> None:
        for run in {id(each): each for each in runners.values()}.values():
            for _, args, kwargs in self._calls[:_WARM_UP]:
                run(*args, **kwargs)

    def _seconds_each(
        self,
        practices: list[dict[str, Any]],
        runners: dict[str, Callable[..., Any]],
        threads: int,
    ) -> dict[str, float]:
        """What a request takes by each practice at most, roughly: in the calls as they came."""
        import torch

        known: dict[tuple[str, int], float] = {}
        found = {}
        for practice in practices:
            name, count = str(practice["name"]), int(practice.get("threads") or threads)
            key = json.dumps(practice.get("inner"), sort_keys=True), count
            if key not in known:
                torch.set_num_threads(count)
                known[key] = self._seconds_of(runners[name])
            found[name] = known[key]
        torch.set_num_threads(threads)
        return found

    def _seconds_of(self, run: Callable[..., Any]) -> float:
        """The same of one implementation, from as many calls as fit into half a second."""
        began_s = time.monotonic()
        tried = 0
        for places, args, kwargs in self._calls:
            run(*args, **kwargs)
            tried += len(places)
            if time.monotonic() - began_s > _TRIAL_S:
                break
        return (time.monotonic() - began_s) / tried

    def _answer_for_gates(
        self,
        practices: list[dict[str, Any]],
        runners: dict[str, Callable[..., Any]],
        each_s: dict[str, float],
    ) -> None:
        """Write the answers that gates judge: of more requests than there is time to measure."""
        asked = [each for each in practices if each.get("answers")]
        if not asked:
            return
        whole = self._calls, self._requests
        left_s = self._until_s - time.monotonic()
        self._shorten(_JUDGED_SHARE * left_s / sum([each_s[str(p["name"])] for p in asked]))
        for practice in asked:
            _, answers = self._serve(practice, runners[str(practice["name"])])
            self._write_answers(str(practice["answers"]), answers)
        self._calls, self._requests = whole

    def _shorten(self, most: float) -> None:
        """Leave out requests from the end, so that about so many are left."""
        # Of large batches several, or there would be nothing to sort.
        least = max(_LEAST_REQUESTS, _LEAST_CALLS * len(self._calls[0][0]))
        kept = 1
        while kept < len(self._calls) and self._calls[kept][0][-1] < max(most, least):
            kept += 1
        self._calls = self._calls[:kept]
        self._requests = self._requests[: self._calls[-1][0][-1] + 1]

    def _serve(
        self, practice: dict[str, Any], run: Callable[..., Any]
    ) -> tuple[dict[str, Any], list[Any]]:
        """Serve all requests once; what that used, and the answer to each."""
        requests = self._requests
        answers: list[Any] = [None] * len(requests)
        services: list[tuple[list[int], float]] = []  # who was served together, and for how long
        cache: OrderedDict[str, Any] = OrderedDict()
        size = int(practice.get("cache") or 0)
        hits = 0
        began_s, began_cpu_s = time.perf_counter(), _cpu_s()
        for places, made in self._groups(practice):
            start_s = time.perf_counter()
            wanted = places
            if size:
                wanted = []
                for at in places:
                    key = _key(requests[at].args, requests[at].kwargs)
                    if key in cache:
                        cache.move_to_end(key)
                        answers[at] = cache[key]
                        hits += 1
                    else:
                        wanted.append(at)
            if wanted:
                if made is not None and len(wanted) == len(places):
                    args, kwargs = made
                else:
                    args, kwargs = self._together([requests[at] for at in wanted])
                output = run(*args, **kwargs)
                for row, at in enumerate(wanted):
                    answers[at] = (output, row)
                    if size:
                        cache[_key(requests[at].args, requests[at].kwargs)] = (output, row)
                        if len(cache) > size:
                            cache.popitem(last=False)
            services.append((places, time.perf_counter() - start_s))
        used = {
            "cpu_s": _cpu_s() - began_cpu_s,
            "wall_s": time.perf_counter() - began_s,
            "batches": len(services),
            "hits": hits,
            "latencies_s": self._latencies(practice, services),
        }
        return used, [self._answer(each, at) for at, each in enumerate(answers)]

    def _groups(self, practice: dict[str, Any]) -> Any:
        """Places of the requests that are served together, in the order of serving."""
        size, window = int(practice.get("batch") or 0), int(practice.get("window") or 0)
        if not size:
            for places, args, kwargs in self._calls:
                yield places, (args, kwargs)
            return
        wait_s = practice.get("wait_s")
        if wait_s is not None:
            yield from ((group, None) for group in self._arrived_together(size, float(wait_s)))
            return
        count = len(self._requests)
        for begin in range(0, count, window):
            order = sorted(range(begin, min(begin + window, count)), key=self._sort_key)
            at = 0
            while at < len(order):
                group = [order[at]]
                while len(group) < size and at + len(group) < len(order):
                    following = order[at + len(group)]
                    if not self._fit(group[0], following):
                        break
                    group.append(following)
                at += len(group)
                yield group, None

    def _arrived_together(self, size: int, wait_s: float) -> Any:
        """Requests that came within `wait_s` of the first of them, `size` at most."""
        group: list[int] = []
        for at, request in enumerate(self._requests):
            if group:
                first = self._requests[group[0]]
                late = request.arrival_s - first.arrival_s > wait_s
                if late or len(group) >= size or not self._fit(group[0], at):
                    yield group
                    group = []
            group.append(at)
        if group:
            yield group

    def _sort_key(self, at: int) -> Any:
        request = self._requests[at]
        return request.length, "" if self._sequences is not None else _shapes(request)

    def _fit(self, first: int, second: int) -> bool:
        """Whether two requests can be one batch: only a mask allows for other lengths."""
        a, b = self._requests[first], self._requests[second]
        return self._sequences is not None or _shapes(a) == _shapes(b)

    def _latencies(
        self, practice: dict[str, Any], services: list[tuple[list[int], float]]
    ) -> list[float] | None:
        """Seconds from arrival to answer, with one server that works one batch after another.

        None where requests are taken out of the order in which they came, which has no latency.
        """
        wait_s = practice.get("wait_s")
        if practice.get("batch") and wait_s is None:
            return None
        found = []
        free_s = 0.0
        for places, took_s in services:
            last_s = self._requests[places[-1]].arrival_s
            ready_s = last_s
            if wait_s is not None and len(places) < int(practice["batch"]):
                ready_s = max(last_s, self._requests[places[0]].arrival_s + float(wait_s))
            if practice.get("batch"):
                free_s = max(free_s, ready_s) + took_s
                found += [free_s - self._requests[at].arrival_s for at in places]
            else:  # as it came: each was sent when the one before was answered
                found += [took_s] * len(places)
        return found

    def _answer(self, place: Any, at: int) -> list[Any]:
        """The answer to one request as small rows of numbers: states of tokens by their mean."""
        output, row = place
        found = []
        if not self._output_names:
            import torch
            from _frugalwatch.capture_values import Flat

            flat = Flat(torch)
            flat.add(output, "out")
            self._output_names = [name.partition(".")[2] for name in flat.tensors]
        for number, tensor in enumerate(self._unpadded._tensors(output)):
            if tensor.dim() == 0:
                raise CannotReplayError("what comes out is not one row for each request")
            value = tensor[row]
            kind = self._kinds[number] if number < len(self._kinds) else "row"
            if kind == "position" and self._sequences is not None:
                value = value[: self._requests[at].length].double().mean(0)
            found.append(value.detach().double().reshape(-1).cpu())
        return found


def _distance(first: list[Any], other: list[Any]) -> dict[str, float]:
    """How far answers are off: in the mean, and that of the request that is furthest off."""
    largest = squares = size = 0.0
    for own, new in zip(first, other):
        for a, b in zip(own, new):
            if a.shape != b.shape:
                return {"distance": -1.0, "largest": -1.0}
            square, whole = float(((a - b) ** 2).sum()), float((a**2).sum())
            squares, size = squares + square, size + whole
            if square:
                largest = max(largest, (square / whole) ** 0.5 if whole else float("inf"))
    if not largest < float("inf"):
        return {"distance": -1.0, "largest": -1.0}
    return {"distance": (squares / size) ** 0.5 if size else 0.0, "largest": largest}


def _key(args: Any, kwargs: Any) -> str:
    """Equal for equal requests: a digest of everything that goes in."""
    import torch
    from _frugalwatch.capture_values import raw_bytes

    digest = hashlib.blake2b(digest_size=16)

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            plain = value.detach().contiguous().cpu()
            digest.update(str((plain.dtype, tuple(plain.shape))).encode())
            digest.update(raw_bytes(plain))
        elif isinstance(value, dict):
            for key, each in value.items():
                digest.update(str(key).encode())
                add(each)
        elif isinstance(value, (list, tuple)):
            for each in value:
                add(each)
        else:
            digest.update(repr(value).encode())

    add(args)
    add(kwargs)
    return digest.hexdigest()


def _shapes(request: _Request) -> str:
    values = [*request.args, *request.kwargs.values()]
    return str([tuple(getattr(each, "shape", ())) for each in values])


def _padded(name: str, value: Any, length: int) -> Any:
    import torch

    missing = length - value.shape[1]
    if missing <= 0:
        return value
    shape = (value.shape[0], missing, *value.shape[2:])
    filled = torch.zeros(shape, dtype=value.dtype, device=value.device)
    if name.endswith("key_padding_mask"):
        filled += 1
    return torch.cat([value, filled.to(value.dtype)], 1)


def _batch_size(args: Any, kwargs: Any) -> int | None:
    """The first dimension that all tensors among the inputs have; None where they differ."""
    import torch

    values = [*args, *kwargs.values()]
    sizes = {v.shape[0] for v in values if isinstance(v, torch.Tensor) and v.dim()}
    known = (torch.Tensor, bool, int, float, str, type(None))
    if len(sizes) != 1 or not all(isinstance(v, known) for v in values):
        return None
    return int(sizes.pop())


def _row(args: Any, kwargs: Any, at: int) -> tuple[Any, Any]:
    import torch

    def of(value: Any) -> Any:
        is_batch = isinstance(value, torch.Tensor) and value.dim() > 0
        return value[at : at + 1] if is_batch else value

    return tuple(of(v) for v in args), {key: of(v) for key, v in kwargs.items()}


def _cpu_s() -> float:
    return time.process_time()  # of all threads of this process


def _load(path: str) -> Any:
    name = "_frugalwatch_" + os.path.basename(path).partition(".")[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
