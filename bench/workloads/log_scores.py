"""Scores sessions of a web log: much plain Python around a small network.

    python log_scores.py --log sessions.jsonl

Each request is a session of some JSON lines, cleaned by regular expressions and counted into
features, as such code grows over the years; then a network of two layers says how unusual it is.
`--timing` says at the end which share of the CPU time the cleaning took.
"""

import argparse
import json
import re
import time
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import torch
from torch import nn

ADDRESS = re.compile(r"\b(\d{1,3})\.(\d{1,3})\.\d{1,3}\.\d{1,3}\b")
NUMBER = re.compile(r"/\d+(?=/|$)")
TOKEN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}")
BROWSER = re.compile(r"(Firefox|Chrome|Safari|Edge|curl|python-requests)/(\d+)[\d.]*")
WORD = re.compile(r"[a-z]{3,}")
WIDTH = 256


def clean(line: str) -> dict[str, object]:
    """One line without what is different in every request."""
    entry = json.loads(line)
    method, path, _ = entry["request"].split(" ")
    path = NUMBER.sub("/N", path)
    moment = datetime.fromtimestamp(entry["time"], timezone.utc)  # noqa: UP017 - Python 3.10 too
    browser = BROWSER.search(entry["agent"])
    return {
        "client": ADDRESS.sub(r"\1.\2.0.0", entry["client"]),
        "what": f"{method} {path}",
        "hour": moment.strftime("%H"),
        "day": moment.strftime("%A").lower(),
        "status": str(entry["status"])[0] + "xx",
        "size": len(str(entry["bytes"])),
        "browser": browser.group(1).lower() if browser else "none",
        "words": WORD.findall(f"{path} {entry['referrer']} {entry['agent']}".lower()),
        "trace": TOKEN.sub("TOKEN", entry["trace"]),
    }


def features(session: list[str]) -> torch.Tensor:
    """What a session looks like, as counts of hashed words."""
    counts: Counter[str] = Counter()
    last = ""
    for line in session:
        entry = clean(line)
        for key in ("client", "what", "hour", "day", "status", "size", "browser", "trace"):
            counts[f"{key}={entry[key]}"] += 1
        counts.update(entry["words"])
        counts[f"{last}>{entry['what']}"] += 1
        last = str(entry["what"])
    vector = [0.0] * WIDTH
    for word, count in counts.items():
        place = 0
        for letter in word:
            place = (31 * place + ord(letter)) % 1_000_003
        vector[place % WIDTH] += count
    return torch.tensor(vector)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--timing", action="store_true")
    options = parser.parse_args()

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(WIDTH, 64), nn.ReLU(), nn.Linear(64, 8)).eval()
    scored = unusual = 0
    model_s = 0.0
    began_s = time.process_time()
    with torch.inference_mode(), options.log.open(encoding="utf-8") as log:
        for text in log:
            seen = features(json.loads(text))
            before_s = time.process_time()
            scores = model(seen[None])
            model_s += time.process_time() - before_s
            unusual += int(scores.argmax()) == 3
            scored += 1
    total_s = time.process_time() - began_s
    print(f"{unusual} of {scored} sessions are unusual")
    if options.timing:
        print(f"model {model_s:.2f} s, requests {total_s:.2f} s, all {time.process_time():.2f} s")
        print(f"cleaning: {100 * (1 - model_s / total_s):.1f} % of the CPU time of requests")


if __name__ == "__main__":
    main()
