"""Attention heads: where they are in a model, what each is worth, and how some are taken out.

Query, key and value are linear layers of their own or one fused layer; those of a head are rows
that stand together, and columns of the layer behind. Other arrangements are left alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple  # torch and modules are of the job's own version

_SEPARATE = (
    ("query", "key", "value"),
    ("q_proj", "k_proj", "v_proj"),
    ("q_lin", "k_lin", "v_lin"),
    ("to_q", "to_k", "to_v"),
    ("q", "k", "v"),
)
_FUSED = ("c_attn", "qkv", "in_proj", "qkv_proj")  # query, key, value one after the other
_BEHIND = ("out_proj", "o_proj", "out_lin", "c_proj", "proj", "to_out", "out", "o", "dense")
_COUNTS = ("num_attention_heads", "num_heads", "n_heads", "n_head", "heads")
_WIDTHS = ("all_head_size", "split_size", "inner_dim", "dim")


class Attention(NamedTuple):
    """One attention layer by the names of its parts; `into` are one fused layer or three."""

    name: str
    into: tuple[str, ...]
    behind: str
    heads: int
    width: int  # of one head


def find(model: Any) -> list[Attention]:
    """The attention layers whose heads can be told apart, in the order of the model."""
    names = dict(model.named_modules())
    found = []
    for name, module in names.items():
        one = _of(names, name, module)
        if one is not None:
            found.append(one)
    return found


def worth(model: Any, attention: Attention, power: int, *, gradient: bool = False) -> Any:
    """A number for each head: its weights to a power, or times their gradients, added up."""
    import torch

    total = torch.zeros(attention.heads)
    for name in attention.into:
        weight = _scored(model.get_submodule(name).weight, power, gradient)
        parts = weight.reshape(-1, attention.heads, attention.width, weight.shape[1])
        total += parts.sum((0, 2, 3))
    behind = _scored(model.get_submodule(attention.behind).weight, power, gradient)
    total += behind.reshape(behind.shape[0], attention.heads, attention.width).sum((0, 2))
    return total


def take_out(model: Any, name: str, heads: list[int]) -> None:
    """Remove these heads of the attention layer called `name`. Raises LookupError."""
    attention = next((each for each in find(model) if each.name == name), None)
    if attention is None:
        raise LookupError(f"{name} has no heads that can be told apart")
    kept = [at for at in range(attention.heads) if at not in set(heads)]
    rows = [row for at in kept for row in range(at * attention.width, (at + 1) * attention.width)]
    whole = attention.heads * attention.width
    for each in attention.into:
        layer = model.get_submodule(each)
        blocks = layer.out_features // whole
        places = [block * whole + row for block in range(blocks) for row in rows]
        _keep_rows(layer, places)
    _keep_columns(model.get_submodule(attention.behind), rows)
    module = model.get_submodule(name)
    for attribute in _COUNTS:
        if getattr(module, attribute, None) == attention.heads:
            setattr(module, attribute, len(kept))
    for attribute in _WIDTHS:
        if getattr(module, attribute, None) == whole:
            setattr(module, attribute, len(rows))


def as_linear(model: Any) -> None:
    """Replace linear layers that keep their weights the other way round (GPT-2's) by plain ones."""
    import torch

    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child).__name__ != "Conv1D" or not hasattr(child, "nf"):
                continue
            rows, columns = child.weight.shape
            plain = torch.nn.Linear(rows, columns)
            with torch.no_grad():
                plain.weight.copy_(child.weight.T)
                plain.bias.copy_(child.bias)
            setattr(module, name, plain.to(child.weight.dtype).eval())


def _of(names: dict[str, Any], name: str, module: Any) -> Attention | None:
    import torch

    heads = next(
        (v for n in _COUNTS if isinstance(v := getattr(module, n, None), int) and v > 1), 0
    )
    if not heads:
        return None
    linear = torch.nn.Linear
    children = dict(module.named_children())
    into: tuple[str, ...] = ()
    blocks = 1
    for triple in _SEPARATE:
        if all(isinstance(children.get(each), linear) for each in triple):
            into = triple
    if not into:
        fused = next((n for n in _FUSED if isinstance(children.get(n), linear)), "")
        if not fused:
            return None
        into, blocks = (fused,), 3
    sizes = {children[each].out_features for each in into}
    if len(sizes) != 1 or sizes.copy().pop() % (blocks * heads):
        return None  # keys are shared by several queries
    whole = sizes.pop() // blocks
    behind = _behind(names, name, children, whole)
    if not behind:
        return None
    prefix = f"{name}." if name else ""
    return Attention(name, tuple([prefix + e for e in into]), behind, heads, whole // heads)


def _behind(names: dict[str, Any], name: str, children: dict[str, Any], whole: int) -> str:
    """The layer that takes what all heads give: in the module, or beside it."""
    import torch

    def suits(layer: Any) -> bool:
        return isinstance(layer, torch.nn.Linear) and layer.in_features == whole

    prefix = f"{name}." if name else ""
    for each in _BEHIND:
        if suits(children.get(each)):
            return prefix + each
        if suits(names.get(f"{prefix}{each}.0")):
            return f"{prefix}{each}.0"
    parent = name.rpartition(".")[0]
    for each in ("output.dense", "output"):
        path = f"{parent}.{each}" if parent else each
        if suits(names.get(path)):
            return path
    return ""


def _scored(weight: Any, power: int, gradient: bool) -> Any:
    if gradient:
        return (
            (weight * weight.grad).abs().detach() if weight.grad is not None else weight.abs() * 0
        )
    return weight.detach().abs() ** power


def _keep_rows(layer: Any, places: list[int]) -> None:
    import torch

    layer.weight = torch.nn.Parameter(layer.weight.detach()[places].clone())
    if layer.bias is not None:
        layer.bias = torch.nn.Parameter(layer.bias.detach()[places].clone())
    layer.out_features = len(places)


def _keep_columns(layer: Any, places: list[int]) -> None:
    import torch

    layer.weight = torch.nn.Parameter(layer.weight.detach()[:, places].clone())
    layer.in_features = len(places)
