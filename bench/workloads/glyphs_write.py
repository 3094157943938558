"""Draws glyphs into a file for `glyphs_infer.py`; another seed, other glyphs.

python glyphs_write.py --out glyphs.npz
"""

import argparse
from pathlib import Path

import numpy as np
from glyphs_drawing import draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--number", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args()

    images, kinds = draw(options.number, options.seed)
    with options.out.open("wb") as file:
        np.savez_compressed(file, images=images, kinds=kinds)
    print(f"{len(kinds)} glyphs in {options.out}")


if __name__ == "__main__":
    main()
