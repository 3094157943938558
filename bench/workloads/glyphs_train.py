"""Trains the network of `glyphs_network.py` on glyphs that are drawn anew for every epoch.

python glyphs_train.py --epochs 9 --checkpoint glyphs.pt
python glyphs_train.py --width 4 --epochs 9              # how far a tiny one gets
"""

import argparse
from pathlib import Path

import torch
from glyphs_drawing import draw
from glyphs_network import GlyphNet
from torch.nn import functional


@torch.no_grad()
def accuracy(model: torch.nn.Module, images: torch.Tensor, kinds: torch.Tensor) -> float:
    """The share of glyphs that are named right."""
    model.eval()
    said = torch.cat([model(part).argmax(1) for part in images.split(128)])
    return float((said == kinds).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--images", type=int, default=6144, help="in each epoch")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()

    torch.manual_seed(0)
    model = GlyphNet(options.width).to(memory_format=torch.channels_last)
    held_x, held_y = (torch.from_numpy(each) for each in draw(2000, seed=1))
    steps = options.images // options.batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 3e-3, total_steps=options.epochs * steps
    )
    right = 0.0
    for epoch in range(options.epochs):
        images, kinds = (
            torch.from_numpy(each) for each in draw(steps * options.batch, seed=100 + epoch)
        )
        model.train()
        for some, their in zip(
            images.split(options.batch), kinds.split(options.batch), strict=True
        ):
            loss = functional.cross_entropy(model(some), their, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        right = accuracy(model, held_x, held_y)
        print(f"epoch {epoch + 1}  loss {loss.item():.3f}  accuracy {100 * right:.2f}", flush=True)
        if options.checkpoint:
            torch.save(model.state_dict(), options.checkpoint)


if __name__ == "__main__":
    main()
