"""Writes the network of `digits_resnet.py` as an int8 ONNX file, for `digits_frugal.py`.

python digits_export.py --checkpoint digits.pt --out digits.int8.onnx
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from digits_resnet import DigitNet, digits, enlarge
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)


class Images(CalibrationDataReader):
    """Images of the training set, one at a time."""

    def __init__(self, images: np.ndarray) -> None:
        self._left = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._left, None)
        return None if image is None else {"images": enlarge(image[None]).numpy()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    model = DigitNet()
    model.load_state_dict(torch.load(options.checkpoint, weights_only=True))
    model.eval()
    images, _, _, _ = digits()
    with tempfile.TemporaryDirectory() as folder:
        plain, ready = os.path.join(folder, "plain.onnx"), os.path.join(folder, "ready.onnx")
        example = (enlarge(images[:1]),)
        torch.onnx.export(
            model, example, plain, dynamo=False, opset_version=17,
            input_names=["images"], output_names=["scores"],
        )  # fmt: skip
        quant_pre_process(plain, ready)
        quantize_static(
            ready, options.out, Images(images[:100]), quant_format=QuantFormat.QDQ,
            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
