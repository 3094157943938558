"""Standard students: a few convolutions for images, a few layers for rows of numbers and texts.

Each is a function of the call's tensors. Inputs are scaled by what was captured, and where the
teacher's answers are shares or of length one, so are theirs.
"""

from __future__ import annotations

from typing import Any  # torch and modules are of the job's own version

from .like import NoStandardError, like

# Channels of the first convolution, and widths of hidden layers: each about doubles the work.
IMAGE_WIDTHS = (8, 12, 16, 24, 32, 48, 64)
ROW_WIDTHS = (0, 16, 32, 64, 128, 256)
TEXT_WIDTHS = (0, 64, 256)
_SMALLEST_MAP = 4  # pixels on a side that the last convolution sees
_MOST_CODES = 1000


def students(job: Any) -> list[tuple[str, Any]]:
    """Names and makers of students, the smallest first. Raises NoStandardError with the reason."""
    if len(job.outputs) != 1:
        raise NoStandardError("more than one output of it counts")
    output = job.learn[0].answer[job.outputs[0].name]
    if output.dim() != 2:
        raise NoStandardError("its answer is no row of numbers for each input")
    width = int(output.shape[1])
    finish = _finish(job)
    inputs = job.flat.tensors()
    columns = [[pair.batch.inputs[at] for pair in job.learn] for at in range(len(inputs))]
    floats = [at for at, t in enumerate(inputs) if t.is_floating_point()]
    mask = job.learn[0].batch.mask
    if len(inputs) == 1 and floats and inputs[0].dim() == 4:
        spread = _scale(columns[0], (0, 2, 3))[1]
        shape = inputs[0].shape
        return [
            (f"{w} channels, plain", _maker(job, _images, shape, spread, w, width, finish))
            for w in IMAGE_WIDTHS
        ]
    if inputs and all(t.dim() == 2 for t in inputs) and len(floats) == len(inputs):
        scales = [_scale(column, (0,)) for column in columns]
        return [
            (f"{w} hidden units" if w else "linear", _maker(job, _rows, scales, w, width, finish))
            for w in ROW_WIDTHS
        ]
    table = _table(job.module)
    if mask is not None and table is not None and not floats:
        place = next((at for at, t in enumerate(inputs) if t.dim() == 2 and at != mask), None)
        if place is not None:
            return [
                (
                    f"mean of word vectors, {w} hidden units" if w else "mean of word vectors",
                    _maker(job, _texts, table, place, mask, w, width, finish),
                )
                for w in TEXT_WIDTHS
            ]
    raise NoStandardError("its inputs are neither images, rows of numbers nor masked texts")


def _maker(job: Any, kind: Any, *words: Any) -> Any:
    return lambda: like(job, kind(*words))


def _images(shape: Any, spread: Any, width: int, outputs: int, finish: Any) -> Any:
    import torch

    nn = torch.nn
    layers: list[Any] = []
    channels, size, wide = int(shape[1]), min(int(shape[2]), int(shape[3])), width
    while True:
        # Nothing is put around the image itself: what its mean adds is then the same everywhere.
        around = int(bool(layers) or size <= _SMALLEST_MAP)
        layers += [
            nn.Conv2d(channels, wide, 3, 2, around, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        ]
        channels, size, wide = wide, (size - 3 + 2 * around) // 2 + 1, 2 * wide
        if size <= _SMALLEST_MAP:
            break
    _scale_first(layers[0], layers[1], spread)
    return _body(nn.Sequential(*layers), nn.Linear(channels, outputs), finish)


def _scale_first(first: Any, norm: Any, spread: Any) -> None:
    """Have the first layers see images of any scale alike, at no cost to who runs them.

    The batch norm takes away what all channels share of mean and scale.
    """
    shared = float(spread.log().mean().exp())
    first.weight.data /= spread / shared
    norm.eps *= shared**2


def _body(layers: Any, head: Any, finish: Any) -> Any:
    import torch

    class Images(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.head = layers, head

        def forward(self, images: Any) -> Any:
            return finish(self.head(self.layers(images).mean((2, 3))))

    return Images()


def _hidden(inputs: int, width: int, outputs: int) -> Any:
    import torch

    nn = torch.nn
    if not width:
        return nn.Linear(inputs, outputs)
    return nn.Sequential(
        *(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()),
        nn.Linear(width, outputs),
    )


def _rows(scales: Any, width: int, outputs: int, finish: Any) -> Any:
    import torch

    inputs = sum(int(mean.shape[-1]) for mean, _ in scales)

    class Rows(torch.nn.Module):
        mean: Any
        spread: Any

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.cat([mean for mean, _ in scales], -1))
            self.register_buffer("spread", torch.cat([spread for _, spread in scales], -1))
            self.layers = _hidden(inputs, width, outputs)

        def forward(self, *rows: Any) -> Any:
            whole = rows[0] if len(rows) == 1 else torch.cat(rows, 1)
            return finish(self.layers((whole - self.mean) / self.spread))

    return Rows()


def _texts(table: Any, place: int, mask: int, width: int, outputs: int, finish: Any) -> Any:
    import torch

    class Texts(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(*table.shape)
            self.table.weight = torch.nn.Parameter(table.detach().clone())
            self.weights = torch.nn.Embedding(table.shape[0], 1)
            torch.nn.init.zeros_(self.weights.weight)
            self.layers = _hidden(int(table.shape[1]), width, outputs)

        def forward(self, *inputs: Any) -> Any:
            words, kept = inputs[place], inputs[mask].unsqueeze(-1).to(table.dtype)
            weight = kept * self.weights(words).exp()
            mean = (self.table(words) * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
            return finish(self.layers(mean))

    return Texts()


def _table(module: Any) -> Any:
    """The largest table of word vectors; None where there is none."""
    import torch

    tables = [m.weight for m in module.modules() if isinstance(m, torch.nn.Embedding)]
    tables = [t for t in tables if t.shape[0] > _MOST_CODES]
    return max(tables, key=lambda t: t.shape[0], default=None)


def _scale(column: list[Any], dims: tuple[int, ...]) -> tuple[Any, Any]:
    import torch

    whole = torch.cat(column)
    mean, spread = whole.mean(dims, keepdim=True), whole.std(dims, keepdim=True)
    return mean, torch.where(spread > 1e-6, spread, torch.ones_like(spread)).nan_to_num(1.0)


def _finish(job: Any) -> Any:
    """What the teacher does last: shares, their logarithms, a length of one, or nothing."""
    import torch

    name = job.outputs[0].name
    seen = torch.cat([pair.answer[name] for pair in job.learn[:8]])
    if seen.dim() != 2 or seen.shape[1] < 2:
        return lambda found: found
    ones = torch.ones(len(seen), dtype=seen.dtype)
    if bool((seen >= 0).all()) and torch.allclose(seen.sum(1), ones, atol=1e-3):
        return lambda found: torch.softmax(found, -1)
    if bool((seen <= 0).all()) and torch.allclose(seen.exp().sum(1), ones, atol=1e-3):
        return lambda found: torch.log_softmax(found, -1)
    if torch.allclose(seen.norm(dim=1), ones, atol=1e-3):
        return lambda found: torch.nn.functional.normalize(found, dim=-1)
    return lambda found: found
