"""Writes a made-up web log for `log_scores.py`: a session a line, as JSON lists of JSON lines.

python log_write.py --sessions 4000 --out sessions.jsonl
"""

import argparse
import json
import random
from pathlib import Path

PAGES = ("/", "/search", "/cart/{}", "/user/{}/orders", "/item/{}/photo/{}", "/login", "/api/v2")
BROWSERS = ("Firefox/128.0", "Chrome/127.0.6533", "Safari/604.1", "curl/8.5.0", "Edge/126.0")


def request(draw: random.Random, moment: int) -> dict[str, object]:
    """One line of the log."""

    def page() -> str:
        return draw.choice(PAGES).format(draw.randint(1, 99999), draw.randint(1, 99))

    return {
        "time": moment,
        "client": ".".join(str(draw.randint(1, 254)) for _ in range(4)),
        "request": f"{draw.choice(('GET', 'GET', 'POST'))} {page()} HTTP/1.1",
        "status": draw.choice((200, 200, 200, 301, 404, 500)),
        "bytes": draw.randint(200, 90000),
        "agent": f"Mozilla/5.0 (X11; Linux x86_64) {draw.choice(BROWSERS)}",
        "referrer": f"https://example.org{page()}",
        "trace": f"{draw.getrandbits(32):08x}-{draw.getrandbits(16):04x}-4abc",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=4000)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    draw = random.Random(7)
    with options.out.open("w", encoding="utf-8") as file:
        for number in range(options.sessions):
            begin = 1_700_000_000 + 60 * number
            steps = range(draw.randint(10, 30))
            lines = [json.dumps(request(draw, begin + step)) for step in steps]
            file.write(json.dumps(lines) + "\n")


if __name__ == "__main__":
    main()
