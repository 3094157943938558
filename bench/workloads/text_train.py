"""Trains the language model of `text_model.py` a little: minutes.

python text_train.py --checkpoint text.pt
"""

import argparse
from pathlib import Path

import torch
from text_model import model, numbers, texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--checkpoint", type=Path, required=True)
    options = parser.parse_args()

    learner = model()
    pieces = torch.cat([numbers(piece) for piece in texts(held=False)])
    held = torch.cat([numbers(piece) for piece in texts(held=True)[:64]])
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=options.steps)
    for step in range(options.steps):
        some = pieces[torch.randint(len(pieces), (options.batch,))]
        loss = learner(some, labels=some).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 49:
            print(f"step {step + 1}  loss {loss.item():.3f}", flush=True)
    learner.eval()
    with torch.no_grad():
        print(f"held out: {learner(held, labels=held).loss.item():.3f} nats a byte")
    torch.save(learner.state_dict(), options.checkpoint)


if __name__ == "__main__":
    main()
