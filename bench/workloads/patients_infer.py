"""Names what is found in patients, one row of the table at a time, as requests come in.

Every held-out patient is measured several times, with a twentieth of the spread as an error.

python patients_infer.py --checkpoint patients.pt
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from patients_network import PatientNet, patients


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--times", type=int, default=24, help="of each patient")
    parser.add_argument("--seed", type=int, default=2, help="other errors")
    parser.add_argument("--answers", type=Path, help="keep which were right, as .npy")
    options = parser.parse_args()

    _, held, _, classes = patients()
    chance = np.random.default_rng(options.seed)
    rows = np.concatenate([held + chance.normal(0, 0.05, held.shape) for _ in range(options.times)])
    model = PatientNet(held.shape[1])
    model.load_state_dict(torch.load(options.checkpoint, weights_only=True))
    model.eval()
    with torch.no_grad():
        requests = torch.from_numpy(rows.astype("float32"))
        said = [int(model(row[None]).argmax()) for row in requests]
    right = np.array(said) == np.tile(classes, options.times)
    if options.answers:
        np.save(options.answers, right)
    print(f"{len(right)} rows, accuracy {100 * right.mean():.2f} %")


if __name__ == "__main__":
    main()
