"""Draws glyphs of 64 kinds in eight styles, tilted, cluttered and noisy: a task that is not easy.

Every glyph is a handful of strokes on a grid five wide and seven high. Shapes that differ by one
stroke (O and Q, P and R, 8 and B) are there on purpose. Nothing is read from a file.
"""

import numpy as np

SIZE = 32
# "02-36-60": a line through the points (0, 2), (3, 6), (6, 0); strokes are parted by blanks.
_STROKES = {
    "A": "00-26-40 12-32", "B": "00-06-35-23-03 23-41-00", "C": "45-36-16-05-01-10-30-41",
    "D": "00-06-26-44-42-20-00", "E": "46-06-00-40 03-33", "F": "46-06-00 03-33",
    "G": "45-36-16-05-01-10-30-41-43-23", "H": "00-06 40-46 03-43", "I": "06-46 26-20 00-40",
    "J": "46-41-30-10-01", "K": "00-06 46-03-40", "L": "06-00-40", "M": "00-06-23-46-40",
    "N": "00-06-40-46", "O": "10-01-05-16-36-45-41-30-10", "P": "00-06-36-45-34-03",
    "Q": "10-01-05-16-36-45-41-30-10 22-40", "R": "00-06-36-45-34-03 23-40",
    "S": "45-36-16-05-14-32-41-30-10-01", "T": "06-46 26-20", "U": "06-01-10-30-41-46",
    "V": "06-20-46", "W": "06-10-23-30-46", "X": "00-46 06-40", "Y": "06-23-46 23-20",
    "Z": "06-46-00-40", "a": "03-14-34-43-40 42-12-01-10-30-41", "b": "06-00-30-41-43-34-04",
    "d": "46-40-10-01-03-14-44", "e": "02-42-43-34-14-03-01-10-30-41", "f": "46-36-25-20 04-44",
    "g": "41-10-01-03-14-44-40-30-10", "h": "06-00 03-24-43-40",
    "m": "00-04 03-14-23-20 23-34-43-40",
    "n": "00-04 03-14-34-43-40", "q": "44-14-03-01-10-40 44-40-40", "r": "00-04 02-24-44",
    "t": "26-21-30-40 04-44", "y": "04-21 44-10-00", "0": "10-01-05-16-36-45-41-30-10 01-45",
    "1": "04-26-20", "2": "05-16-36-45-44-00-40", "3": "05-16-36-45-34-23-32-41-30-10-01",
    "4": "30-36-02-42", "5": "46-06-03-33-42-41-30-00", "6": "46-16-03-01-10-30-41-42-33-03",
    "7": "06-46-10", "8": "13-04-05-16-36-45-44-33-13-02-01-10-30-41-42-33",
    "9": "00-30-43-45-36-16-05-04-13-43", "+": "21-25 03-43", "=": "02-42 04-44",
    "?": "05-16-36-45-23-22 20-20",
    "#": "10-16 30-36 02-42 04-44", "%": "00-46 05-16 30-41", "&": "42-20-01-02-34-35-26-15-40",
    "/": "00-46", "\\": "06-40", "<": "45-03-41", ">": "05-43-01", "*": "21-25 02-44 04-42",
    "^": "03-26-43", "~": "02-14-23-32-44", "$": "45-16-05-14-32-41-30-01 26-20",
    "!": "26-22 20-20",
}  # fmt: skip
NAMES = tuple(_STROKES)
_ACROSS, _DOWN = np.meshgrid(*[np.arange(SIZE, dtype="float32") + 0.5] * 2)


def draw(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """So many images [number, 1, 32, 32] and the kinds of their glyphs; the same for a seed."""
    chance = np.random.default_rng(seed)
    kinds = chance.integers(0, len(NAMES), number)
    images = np.stack([_image(int(kind), chance) for kind in kinds])
    return images[:, None], kinds


def _image(kind: int, chance: np.random.Generator) -> np.ndarray:
    lines = [_points(stroke) for stroke in _STROKES[NAMES[kind]].split()]
    segments = _segments(_styled(lines, int(chance.integers(0, 8))))
    ink = _ink(_placed(segments, chance), chance.uniform(0.8, 1.9))
    for _ in range(chance.integers(1, 4)):  # strokes that belong to nothing
        middle = chance.uniform(0, SIZE, 2)
        turn, half = chance.uniform(0, np.pi), chance.uniform(2, 7)
        reach = half * np.array([np.cos(turn), np.sin(turn)])
        stray = np.array([[middle - reach, middle + reach]], "float32")
        ink = np.maximum(ink, chance.uniform(0.2, 0.7) * _ink(stray, chance.uniform(0.5, 1.2)))
    paper, pen = chance.uniform(0, 0.35), chance.uniform(0.65, 1.0)
    slope = chance.normal(0, 0.006, 2)
    ground = paper + slope[0] * (_ACROSS - SIZE / 2) + slope[1] * (_DOWN - SIZE / 2)
    image = ground + (pen - ground) * ink
    if chance.random() < 0.5:
        image = 1 - image
    return (image + chance.normal(0, 0.12, image.shape)).clip(0, 1).astype("float32")


def _points(stroke: str) -> np.ndarray:
    return np.array([[int(p[0]), int(p[1])] for p in stroke.split("-")], "float32")


def _styled(lines: list[np.ndarray], style: int) -> list[np.ndarray]:
    """One of eight: round or square, with serifs or without, upright or slanted."""
    if style & 1:
        lines = [_rounded(line) for line in lines]
    if style & 2:
        feet = [end + np.array([[-0.6, 0], [0.6, 0]]) for x in lines for end in (x[0], x[-1])]
        lines = [*lines, *feet]
    if style & 4:
        lines = [np.stack([x[:, 0] + 0.25 * (x[:, 1] - 3), x[:, 1]], axis=1) for x in lines]
    return [line.astype("float32") for line in lines]


def _rounded(line: np.ndarray) -> np.ndarray:
    """Corners are cut, twice; the ends stay."""
    for _ in range(2):
        first, second = line[:-1], line[1:]
        cut = np.stack([0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second], axis=1)
        line = np.concatenate([line[:1], cut.reshape(-1, 2), line[-1:]])
    return line


def _segments(lines: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.stack([x[:-1], x[1:]], axis=1) for x in lines if len(x) > 1])


def _placed(segments: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """On the image: larger or smaller, wider or narrower, turned, and anywhere near the middle."""
    turn = chance.normal(0, 0.16)
    scale = chance.uniform(2.6, 3.9) * np.array([chance.uniform(0.8, 1.15), -1.0])
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    at = SIZE / 2 + chance.normal(0, 1.6, 2)
    return (((segments - [2, 3]) * scale) @ matrix + at).astype("float32")


def _ink(segments: np.ndarray, thickness: float) -> np.ndarray:
    """How much of each pixel is covered by strokes of this half thickness."""
    (x, y), (to_x, to_y) = segments[:, 0].T, (segments[:, 1] - segments[:, 0]).T
    length = np.maximum(to_x**2 + to_y**2, np.float32(1e-6))
    right, down = _ACROSS[..., None] - x, _DOWN[..., None] - y
    place = ((right * to_x + down * to_y) / length).clip(0, 1)
    away = ((right - place * to_x) ** 2 + (down - place * to_y) ** 2).min(2)
    return (thickness + 0.5 - np.sqrt(away)).clip(0, 1)
