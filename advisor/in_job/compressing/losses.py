"""How far a smaller model's answers are from the teacher's: to learn by, and to be judged by.

What kind of answer an output is decides. Scores of classes or tokens: divergence of their shares.
States of tokens and embeddings: direction, and who is whose neighbour. Numbers: size of the error.
"""

from __future__ import annotations

from typing import Any, NamedTuple  # tensors are of the job's own torch

_SCORES = ("logits", "scores", "probs", "probabilities", "log_probs")
_TEMPERATURE = 3.0
_NEIGHBOURS = 10


class Output(NamedTuple):
    """One output that counts: `kind` is "scores", "states", "embedding" or "numbers"."""

    name: str
    kind: str


class Drift(NamedTuple):
    """How many answers are others on held-out inputs.

    `value` is a share: of classes or tokens that changed, of neighbours, or a relative error.
    `loss` is the mean loss there, which tells more where few inputs are judged.
    """

    value: float
    rows: int
    measure: str
    loss: float

    def as_json(self) -> dict[str, Any]:
        return dict(self._asdict())


def named_outputs(value: Any, name: str = "") -> dict[str, Any]:
    """The floating-point tensors of an answer by their names, in order."""
    import torch

    if isinstance(value, torch.Tensor):
        return {name or "output": value} if value.is_floating_point() else {}
    if hasattr(type(value), "keys"):
        pairs = [(str(key), value[key]) for key in value.keys()]  # noqa: SIM118
    elif isinstance(value, (list, tuple)):
        pairs = [(str(at), each) for at, each in enumerate(value)]
    elif hasattr(type(value), "__dataclass_fields__"):
        pairs = [(each, getattr(value, each)) for each in type(value).__dataclass_fields__]
    else:
        return {}
    found: dict[str, Any] = {}
    for key, each in pairs:
        found.update(named_outputs(each, f"{name}.{key}" if name else key))
    return found


def outputs_that_count(answer: dict[str, Any]) -> list[Output]:
    """What to learn by: scores if there are any by name, else every output by its form."""
    scores = [n for n, t in answer.items() if n.rpartition(".")[2] in _SCORES and t.dim() >= 2]
    if scores:
        kind = "scores" if answer[scores[0]].shape[-1] > 1 else "numbers"
        return [Output(scores[0], kind)]
    return [Output(name, _kind(name, t, len(answer))) for name, t in answer.items() if t.dim()]


def _kind(name: str, value: Any, count: int) -> str:
    leaf = name.rpartition(".")[2]
    width = value.shape[-1]
    if "hidden_state" in leaf or leaf == "token_embeddings":
        return "states"
    if value.dim() == 2 and width > 1:
        lengths = value.norm(dim=-1)
        unit = bool(((lengths - 1).abs() < 1e-3).all())
        if unit or "embed" in leaf or "pool" in leaf:
            return "embedding"
        return "scores" if count == 1 else "embedding"
    if value.dim() == 3 and width > 1:
        return "states"
    return "numbers"


def loss(
    outputs: list[Output], answer: dict[str, Any], wanted: dict[str, Any], kept: Any = None
) -> Any:
    """The loss of an answer by the teacher's, about 1 where nothing was learnt; differentiable.

    `kept` [rows, positions] says which positions of states and tokens count.
    """
    total: Any = 0.0
    for output in outputs:
        own, theirs = answer[output.name], wanted[output.name].to(answer[output.name].dtype)
        own, theirs = _flat(own, kept), _flat(theirs, kept)
        if output.kind == "scores":
            total = (
                total + _divergence(own, theirs) + 0.3 * _relative(_centred(own), _centred(theirs))
            )
        elif output.kind in ("states", "embedding"):
            total = total + _relative(own, theirs) + (1 - _cosine(own, theirs).mean())
            if output.kind == "embedding":
                total = total + _similarities(own, theirs)
        else:
            total = total + _relative(own, theirs)
    return total / max(1, len(outputs))


def drift(
    outputs: list[Output],
    answers: list[dict[str, Any]],
    wanted: list[dict[str, Any]],
    kept: list[Any],
) -> Drift:
    """How far answers to held-out batches are from the teacher's: the worst output counts."""
    found = []
    mean = sum(float(loss(outputs, a, w, k)) for a, w, k in zip(answers, wanted, kept))
    mean /= max(1, len(answers))
    for output in outputs:
        own = [a[output.name] for a in answers]
        theirs = [w[output.name] for w in wanted]
        if output.kind == "scores":
            value, rows = _other_classes(own, theirs, kept)
            found.append(Drift(value, rows, "other classes", mean))
        elif output.kind in ("states", "embedding"):
            value, rows = _other_neighbours(own, theirs, kept)
            found.append(Drift(value, rows, "other neighbours", mean))
        else:
            value, rows = _errors(own, theirs)
            found.append(Drift(value, rows, "relative error", mean))
    return max(found, key=lambda each: each.value)


def _flat(value: Any, kept: Any) -> Any:
    """As rows of a matrix, without positions that are padding."""
    if kept is not None and value.dim() >= 3 and value.shape[:2] == kept.shape:
        return value[kept]
    return value.reshape(-1, value.shape[-1]) if value.dim() != 2 else value


def _divergence(own: Any, theirs: Any) -> Any:
    import torch

    functional = torch.nn.functional
    return (
        functional.kl_div(
            functional.log_softmax(own / _TEMPERATURE, -1),
            functional.log_softmax(theirs / _TEMPERATURE, -1),
            log_target=True,
            reduction="batchmean",
        )
        * _TEMPERATURE**2
    )


def _centred(value: Any) -> Any:
    return value - value.mean(-1, keepdim=True)


def _relative(own: Any, theirs: Any) -> Any:
    return ((own - theirs) ** 2).mean() / (theirs.var() + 1e-8)


def _cosine(own: Any, theirs: Any) -> Any:
    import torch

    return torch.nn.functional.cosine_similarity(own, theirs, dim=-1)


def _similarities(own: Any, theirs: Any) -> Any:
    """How differently the rows of a batch are alike one another."""
    import torch

    a = torch.nn.functional.normalize(own, dim=-1)
    b = torch.nn.functional.normalize(theirs, dim=-1)
    return 5 * ((a @ a.T - b @ b.T) ** 2).mean()


def _other_classes(own: list[Any], theirs: list[Any], kept: list[Any]) -> tuple[float, int]:
    other = rows = 0
    for a, b, k in zip(own, theirs, kept):
        differs = _flat(a, k).argmax(-1) != _flat(b, k).argmax(-1)
        other += int(differs.sum())
        rows += int(differs.numel())
    return other / max(1, rows), rows


def _other_neighbours(own: list[Any], theirs: list[Any], kept: list[Any]) -> tuple[float, int]:
    """The share of the nearest neighbours, by cosine, that are others. States are averaged."""
    import torch

    a = torch.cat([_pooled(each, k) for each, k in zip(own, kept)])
    b = torch.cat([_pooled(each, k) for each, k in zip(theirs, kept)])
    rows = a.shape[0]
    nearest = min(_NEIGHBOURS, max(1, (rows - 1) // 3))
    if rows < 3:
        return float((1 - _cosine(a, b)).mean()), rows
    lists = []
    for value in (a, b):
        unit = torch.nn.functional.normalize(value, dim=-1)
        near = unit @ unit.T
        near.fill_diagonal_(-2)
        lists.append(near.topk(nearest).indices.tolist())
    same = sum(len(set(x) & set(y)) for x, y in zip(*lists))
    return 1 - same / (rows * nearest), rows


def _pooled(value: Any, kept: Any) -> Any:
    if value.dim() == 2:
        return value
    value = value.reshape(value.shape[0], -1, value.shape[-1])
    if kept is None or kept.shape != value.shape[:2]:
        return value.mean(1)
    weight = kept.to(value.dtype).unsqueeze(-1)
    return (value * weight).sum(1) / weight.sum(1).clamp_min(1)


def _errors(own: list[Any], theirs: list[Any]) -> tuple[float, int]:
    """The error that 95 % of the numbers keep to, of their spread."""
    import torch

    a = torch.cat([each.reshape(-1) for each in own]).double()
    b = torch.cat([each.reshape(-1) for each in theirs]).double()
    spread = float(b.std()) or float(b.abs().mean()) or 1.0
    error = (a - b).abs() / spread
    return float(error.quantile(0.95)) if error.numel() < 1_000_000 else float(error.mean()), len(a)
