"""Names drawn glyphs one at a time, as requests come in.

python glyphs_write.py --out glyphs.npz
python glyphs_infer.py --checkpoint glyphs.pt --images glyphs.npz
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from glyphs_network import GlyphNet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--answers", type=Path, help="keep which were right, as .npy")
    options = parser.parse_args()

    model = GlyphNet()
    model.load_state_dict(torch.load(options.checkpoint, weights_only=True))
    model.eval()
    drawn = np.load(options.images)
    images, kinds = drawn["images"], drawn["kinds"]
    said = []
    with torch.no_grad():
        for image in images:
            scores = model(torch.from_numpy(image[None]))
            said.append(int(scores.argmax()))
    right = np.array(said) == kinds
    if options.answers:
        np.save(options.answers, right)
    print(f"{len(right)} images, accuracy {100 * right.mean():.2f} %")


if __name__ == "__main__":
    main()
