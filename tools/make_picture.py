"""Writes docs/pictures/live.svg, the README's picture, from the demo; a test tells stale ones.

.venv/bin/python tools/make_picture.py              --print: to stdout instead

The screen is drawn without a terminal, at a fixed moment of the demo and on a fixed clock, so that
it is the same everywhere with the versions in constraints.txt.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PICTURE = ROOT / "docs" / "pictures" / "live.svg"
SIZE = (120, 40)
NOW_UTC_S = 1_772_461_800  # 2026-03-02 14:30 UTC
_SECOND_NS = 1_000_000_000
# A picture in a README may fetch nothing: the font is whichever the reader has.
_FONT_FACES = re.compile(r"\s*@font-face \{.*?\}\n", re.DOTALL)
_FONT = re.compile(r"font-family: Fira Code, monospace|font-family: arial")
_OWN_FONT = "font-family: ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace"


def picture() -> str:
    """The live view of the demo, as SVG."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TEXTUAL_THEME"):
        os.environ.pop(name, None)
    zone = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        with tempfile.TemporaryDirectory(prefix="frugalwatch-picture-") as folder:
            return _plain_fonts(asyncio.run(_draw(os.path.join(folder, "demo.db"))))
    finally:
        if zone is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = zone
        time.tzset()


async def _draw(ledger: str) -> str:
    from frugalwatch.commands.demo import LABEL
    from frugalwatch.demo.player import SETTINGS, RunWriter, Stage, play_history
    from frugalwatch.demo.process import BEGINS_AT_S
    from frugalwatch.demo.recording import read_recording
    from frugalwatch.screen.app import Screen
    from frugalwatch.screen.reading import LedgerWatch

    now_utc_ns = NOW_UTC_S * _SECOND_NS
    stage = Stage(ledger, read_recording(), now_utc_ns)
    play_history(stage)
    begun_utc_ns = now_utc_ns - BEGINS_AT_S * _SECOND_NS
    writer = RunWriter(stage, stage.recording.playing, begun_utc_ns, "100")
    writer.play(BEGINS_AT_S)
    # A clock that stands still would make the player's own figures wait for ever.
    watch = LedgerWatch(ledger, SETTINGS, clock_ns=lambda: 0, utc_ns=lambda: now_utc_ns)
    app = Screen(watch, label=LABEL)
    async with app.run_test(size=SIZE) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        return app.export_screenshot()


def _plain_fonts(svg: str) -> str:
    return _FONT.sub(_OWN_FONT, _FONT_FACES.sub("\n", svg))


if __name__ == "__main__":
    if "--print" in sys.argv:
        sys.stdout.write(picture())
    else:
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(picture(), encoding="utf-8")
