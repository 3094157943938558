"""Markdown and the page: complete, escaped, one file, and no request to anywhere."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from advisor.report import Scale, html_page, markdown, report, scaled
from frugalwatch.report.style import Style
from tests.advisor.report.kit import a_day, document, recommendation, trace

GOLDEN = Path(__file__).parent / "golden" / "advice.md.txt"
VOID = frozenset({"meta"})


class Page(HTMLParser):
    """Checks that elements nest, and keeps what a person reads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_markdown_reads_as_accepted() -> None:
    text = markdown(document(), a_day(10_000))
    if os.environ.get("FRUGALWATCH_ACCEPT"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_the_page_says_everything_that_markdown_does() -> None:
    """What differs is markup: each cell of each table of the one is in the other."""
    page = Page(html_page(document(), a_day(10_000))).text
    cells = [
        cell
        for line in markdown(document(), a_day(10_000)).splitlines()
        if line.startswith("| ") and "---" not in line
        for cell in re.split(r"(?<!\\) \| ", line.strip("| "))
    ]
    assert len(cells) > 60
    for cell in cells:
        plain = re.sub(r"\\([`*_<>\[\]\\|])", r"\1", cell.strip())
        assert plain in page or plain in ("as it is", "known by", "|"), plain


def test_the_page_asks_for_nothing_from_anywhere() -> None:
    text = html_page(document(), a_day(10_000))
    page = Page(text)
    assert "script" not in text.lower().replace("'none'", "")
    names = {name for name, _ in page.attributes}
    assert not names & {"src", "href", "srcset", "action", "onload", "xlink:href"}
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_names_of_the_user_are_text_and_never_markup() -> None:
    text = html_page(document(), Scale())
    assert "<b> python" not in text
    assert "&lt;b&gt;" in text
    assert "int8 &lt;fast&gt; &amp; small" in text
    assert "<fast>" not in markdown(document(), Scale()).replace("\\<", "").replace("<b>", "")


def test_a_program_with_nothing_to_save_has_a_page_too() -> None:
    found = document(recommendations=[], not_recommended=[], pareto=[], timeline=[])
    page = Page(html_page(found, a_day(100))).text
    assert "Nothing worth doing" in page
    assert "What to do" not in page
    assert "Nothing worth doing" in markdown(found, Scale())


def test_what_needs_code_is_told_apart_from_what_run_applies() -> None:
    text = markdown(document(), Scale())
    begin = text.index("## Replayed on its requests")
    assert "run --with does not apply them" in text
    card = text[begin : text.index("## What is not the model")]
    assert "sorted\\_batches" not in card  # code stands in a fence, as it is
    assert "for batch in sorted_batches(texts)" in card
    assert "run --with A7" not in card
    assert "p50 20 ms, p95 50 ms, p99 60 ms per request" in card
    assert "25 % of requests" in card
    assert "an LRU cache of 64" in card


def test_why_no_trace_was_replayed_is_said() -> None:
    reason = "its calls learn"
    none = trace(recommendations=[], not_recommended=[], baselines=[], reason=reason)
    text = markdown(document(trace=none), Scale())
    assert "Not replayed on a trace: its calls learn." in text
    assert "Replayed on its requests" not in markdown(document(trace=None), Scale())


def test_an_older_document_is_shown_as_far_as_it_goes() -> None:
    new = (
        "trace",
        "hot_spots",
        "pareto",
        "timeline",
        "power_model",
        "limits",
        "seed",
        "budget",
        "cpus",
        "machine",
    )
    old = {k: v for k, v in document().items() if k not in (*new, "versions", "time_shares")}
    rows = [
        {
            k: v
            for k, v in recommendation().items()
            if k not in ("latency", "file_bytes", "artefact")
        }
    ]
    page = Page(html_page({**old, "recommendations": rows}, a_day(100))).text
    assert "int8" in page
    assert "Trials over time" not in page
    assert "int8" in report({**old, "recommendations": rows}, Style(on=False), a_day(100))


@pytest.mark.parametrize("saves_energy", [True, False])
def test_modelled_figures_are_marked_and_cpu_time_is_not_called_energy(saves_energy: bool) -> None:
    found = document(recommendations=[recommendation(saves_energy=saves_energy)])
    text = markdown(found, a_day(10_000))
    carbon = [line for line in text.splitlines() if "kg CO2e" in line and line.startswith("|")]
    assert bool(carbon) is saves_energy
    if saves_energy:
        assert "~" in carbon[0]
        assert "modelled" in carbon[0]
        assert "Germany 2024" in carbon[0]
        assert "average-lifecycle" in carbon[0]
    else:
        assert "not claimed" in text


def test_json_with_a_rate_holds_a_year_with_its_grid() -> None:
    found = json.loads(json.dumps(scaled(document(), a_day(10_000))))
    year = found["recommendations"][0]["per_request"]["per_year"]
    assert year["requests_per_day"] == 10_000
    assert year["co2e_kg"]["low"] < year["co2e_kg"]["value"] < year["co2e_kg"]["high"]
    assert year["money"]["currency"] == "EUR"
    assert found["carbon"]["zone"] == "DE"
    assert "per_request" not in scaled(document(), Scale())["recommendations"][0]  # type: ignore[index]


def test_the_terminal_keeps_to_80_columns_with_a_year_and_needs() -> None:
    text = report(document(), Style(on=False), a_day(10_000))
    assert max(map(len, text.splitlines())) <= 80
    flowing = " ".join(text.split())
    for part in ("p50 4.0 ms, p95 6.0 ms per call; memory 200 MiB", "in a year", "kg CO2e", "EUR"):
        assert part in flowing, part
