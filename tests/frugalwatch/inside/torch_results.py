"""A program that prints everything the hook might change, in bits.

Run by the tests with and without the hook: what it prints must be the same.
"""

import hashlib
import io
import os
import pickle
import sys
import tempfile
import traceback
import warnings

import torch
import torch._dynamo
from torch._dynamo.utils import counters
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
X, Y = torch.arange(412.0).reshape(103, 4) / 412, torch.arange(103.0).reshape(103, 1) / 103


def bits(*tensors: torch.Tensor) -> str:
    """A fingerprint of exact values."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().numpy().tobytes())
    return digest.hexdigest()[:16]


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.Dropout(0.1), torch.nn.ReLU(), torch.nn.Linear(8, 1)
    )


def loss(net: torch.nn.Module, x: torch.Tensor = X, y: torch.Tensor = Y) -> torch.Tensor:
    return ((net(x) - y) ** 2).mean()


def training() -> None:
    net = model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for _ in range(2):
        for x, y in DataLoader(TensorDataset(X, Y), batch_size=10, shuffle=True, num_workers=0):
            optimizer.zero_grad()
            loss(net, x, y).backward()
            optimizer.step()
        scheduler.step()
    print("training", bits(*net.parameters()), bits(torch.rand(3)))
    stored = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, stored)
    print("saved", hashlib.sha256(stored.getvalue()).hexdigest()[:16])
    whole = pickle.dumps((net, optimizer, scheduler))
    print("pickled", len(whole), b"frugalwatch" in whole)
    again, *_ = pickle.loads(whole)
    print("unpickled", bits(*again.parameters()))


def checkpointing_and_second_derivatives() -> None:
    from torch.utils.checkpoint import checkpoint

    net = model()
    given = X.clone().requires_grad_()
    checkpoint(net, given, use_reentrant=True).sum().backward()
    checkpoint(net, X, use_reentrant=False).sum().backward()
    x = X.clone().requires_grad_()
    (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    slope.pow(2).sum().backward()
    print("gradients", bits(*[p.grad for p in net.parameters()], x.grad))


def fast_path() -> None:
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, 2).eval()
    taken = []
    inner = torch._transformer_encoder_layer_fwd

    def fast(*arguments: object) -> torch.Tensor:
        taken.append(1)
        return inner(*arguments)

    torch._transformer_encoder_layer_fwd = fast
    with torch.no_grad():
        out = encoder(torch.ones(2, 3, 8))
    torch._transformer_encoder_layer_fwd = inner
    print("fast path", len(taken), bits(out))
    assert len(taken) == 2


graphs: list[str] = []


def keep(graph: torch.fx.GraphModule, _: object) -> object:
    graphs.append(graph.code)
    return graph.forward


def compiled() -> None:
    net = model()
    whole = torch.compile(net, backend=keep, fullgraph=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        loss(whole).backward()
        optimizer.step()
    print("compiled", bits(*net.parameters()))

    @torch.compile(backend=keep)
    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(net, x, y)
        value.backward()
        optimizer.step()
        return value

    for _ in range(4):
        value = step(X, Y)
    print("compiled step", bits(value, *net.parameters()))
    other = torch.optim.Adam(net.parameters(), foreach=True)

    @torch.compile(backend=keep)
    def only_step() -> None:
        other.step()

    for _ in range(3):
        only_step()
    print("compiled optimizer", bits(*net.parameters()))
    print("breaks", sorted((reason[:50], n) for reason, n in counters["graph_break"].items()))
    print("stats", sorted(counters["stats"].items()), len(graphs), hash_of("".join(graphs)))
    print("recompiles", sorted(counters["recompiles"].items()))


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Plain(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.layer(x))


def traced_and_exported() -> None:
    net = Plain()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(net, X)
        print("traced", hash_of(str(traced.graph)), bits(traced(X)))
        scripted = torch.jit.script(torch.nn.Linear(4, 2))
        print("scripted", hash_of(scripted.code))
    batch = torch.export.Dim("batch")
    exported = torch.export.export(net, (X,), dynamic_shapes=({0: batch},))
    print("exported", hash_of(str(exported.graph)), bits(exported.module()(X[:5])))


def sharded() -> None:
    from torch import distributed
    from torch.distributed.fsdp import FullyShardedDataParallel

    with tempfile.TemporaryDirectory() as place:
        distributed.init_process_group(
            "gloo", init_method=f"file://{place}/store", rank=0, world_size=1
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = FullyShardedDataParallel(Plain(), device_id=torch.device("cpu"))
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(2):
                net(X).sum().backward()
                optimizer.step()
        print("sharded", bits(*net.parameters()))
        distributed.destroy_process_group()


class Broken(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        warnings.warn("of the dataset", stacklevel=3)
        raise KeyError("on purpose")


def failures() -> None:
    """Tracebacks and places of warnings go to standard error."""
    net = model()
    try:
        next(iter(DataLoader(Broken())))
    except KeyError:
        traceback.print_exc()
    try:
        net(X).backward()
    except RuntimeError:
        traceback.print_exc()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        torch.optim.lr_scheduler.StepLR(torch.optim.SGD(net.parameters(), 0.1), 1).step()


if __name__ == "__main__":
    training()
    checkpointing_and_second_derivatives()
    fast_path()
    compiled()
    traced_and_exported()
    sharded()
    failures()
    print("modules", sorted(n for n in sys.modules if not n.startswith("_frugalwatch")))
    print("descriptors", sorted(n for n in os.listdir("/proc/self/fd") if not 240 <= int(n) < 256))
    loss(model(), X[:, :2])  # ends with a traceback
