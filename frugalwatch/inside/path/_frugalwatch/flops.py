"""Floating-point operations of common layers, by formula.

Two for each multiplication and addition of a matrix product or convolution; everything else counts
as none. That is the convention of torch.utils.flop_counter, whose results these agree with; its way
of counting, a dispatch mode around the call, is not used on a program's own calls.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # modules and tensors are of the job's own torch

# What torch says nothing of: attention blocks of model libraries, by the linear layer in them that
# makes the queries. Their products of queries, keys and values are functions, not modules.
_QUERY_NAMES = ("query", "q_proj", "q_lin", "q", "to_q", "wq", "query_proj")
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


class Flops:
    """Formulas for the layers of one torch."""

    def __init__(self, torch: Any) -> None:
        nn = torch.nn
        self._tensor = torch.Tensor
        self._formulas = (
            (nn.Linear, _linear),
            (nn.modules.conv._ConvTransposeNd, _transposed_convolution),
            (nn.modules.conv._ConvNd, _convolution),
            (nn.MultiheadAttention, _multihead),
            (nn.TransformerEncoderLayer, _encoder_layer),
            (nn.RNNBase, _recurrent),
        )

    def of(self, module: Any, args: tuple[Any, ...], output: Any, *, is_leaf: bool) -> int | None:
        """Of the module's own work, without its children's; None if that is not known.

        `is_leaf`: no child was called, so a fused layer did their work itself.
        """
        result = self._first_tensor(output)
        if result is None:
            return None
        for kind, formula in self._formulas:
            if isinstance(module, kind):
                if formula is _encoder_layer and not is_leaf:
                    return 0
                found: int = formula(module, args, result)
                return found
        if "Attention" in type(module).__name__:
            return _attention(module, result)
        return 0

    def _first_tensor(self, value: Any) -> Any:
        if isinstance(value, self._tensor):
            return value
        if isinstance(value, (list, tuple)):
            for each in value:
                if isinstance(each, self._tensor):
                    return each
        if hasattr(value, "values") and hasattr(value, "keys"):
            return self._first_tensor(list(value.values()))
        return None


def _linear(module: Any, _args: tuple[Any, ...], output: Any) -> int:
    return 2 * int(output.numel()) * int(module.in_features)


def _convolution(module: Any, _args: tuple[Any, ...], output: Any) -> int:
    kernel = _product(module.kernel_size)
    return 2 * int(output.numel()) * kernel * int(module.in_channels) // int(module.groups)


def _transposed_convolution(module: Any, args: tuple[Any, ...], output: Any) -> int:
    kernel = _product(module.kernel_size)
    taken = int(args[0].numel()) if args else int(output.numel())
    return 2 * taken * kernel * int(module.out_channels) // int(module.groups)


def _multihead(module: Any, args: tuple[Any, ...], _output: Any) -> int:
    """Projections in and out, queries times keys, weights times values."""
    width = int(module.embed_dim)
    lengths = [_rows_and_batch(tensor, module.batch_first) for tensor in args[:3]]
    (target, batch), (source, _) = lengths[0], lengths[1] if len(lengths) > 1 else lengths[0]
    keys, values = int(module.kdim or width), int(module.vdim or width)
    projections = 2 * batch * width * (2 * target * width + source * (keys + values))
    return projections + 4 * batch * target * source * width


def _encoder_layer(module: Any, _args: tuple[Any, ...], output: Any) -> int:
    """A layer that torch ran as one fused operation."""
    rows = int(output.numel()) // int(output.shape[-1])
    feed_forward = sum(
        [
            2 * rows * int(layer.in_features) * int(layer.out_features)
            for layer in (module.linear1, module.linear2)
        ]
    )
    return _multihead(module.self_attn, (output, output, output), output) + feed_forward


def _recurrent(module: Any, _args: tuple[Any, ...], output: Any) -> int:
    gates = _GATES.get(str(module.mode).partition("_")[0], 1)
    hidden, both = int(module.hidden_size), 2 if module.bidirectional else 1
    out = int(module.proj_size) or hidden
    steps = int(output.numel()) // int(output.shape[-1])
    total, taken = 0, int(module.input_size)
    for _ in range(int(module.num_layers)):
        total += both * 2 * steps * (gates * hidden * (taken + out) + (hidden * module.proj_size))
        taken = both * out
    return total


def _attention(module: Any, output: Any) -> int | None:
    """Queries times keys and weights times values, where the whole sequence is there at once."""
    query = None
    for name in _QUERY_NAMES:
        query = query or module._modules.get(name)
    width = getattr(query, "out_features", None)
    if width is None:
        return 0
    if output.dim() != 3:
        return None
    batch, length = int(output.shape[0]), int(output.shape[1])
    # One new token attends to a cache, whose length is not seen here.
    return 4 * batch * length * length * int(width) if length > 1 else None


def _rows_and_batch(tensor: Any, batch_first: bool) -> tuple[int, int]:
    if tensor.dim() == 2:
        return int(tensor.shape[0]), 1
    first, second = int(tensor.shape[0]), int(tensor.shape[1])
    return (second, first) if batch_first else (first, second)


def _product(values: Any) -> int:
    result = 1
    for value in values:
        result *= int(value)
    return result
