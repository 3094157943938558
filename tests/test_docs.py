"""The documentation against the product: made pages are fresh, links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from frugalwatch.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *(p for p in ROOT.glob("*.md")),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / "bench").rglob("*.md"),
    ]
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
# An absolute path of at least two parts; not the path of a URL.
_ABSOLUTE = re.compile(r"(?:^|[\s`\"'(=])/([A-Za-z][\w.-]*)/[\w.$~-]", re.MULTILINE)
_NAMED_PATH = re.compile(r"`([a-z][\w.-]*/[\w./<>{}*:-]*\w)`")
# `*.py` and `collectors/NAME.py` stand for many.
_PATTERN = re.compile(r"[*<{]|NAME")
_ROOTS = frozenset(
    "bin boot dev etc home lib media mnt nfs opt path proc run scratch srv sys tmp usr var".split()
)


def identity(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_reference_of_commands_is_what_the_commands_say() -> None:
    # In a process of its own: click keeps the help option of whoever asked first.
    made = subprocess.run(
        [sys.executable, ROOT / "tools/make_reference.py", "--print"],
        capture_output=True,
        text=True,
        check=True,
    )
    page = ROOT / "docs" / "reference" / "commands.md"
    assert page.read_text() == made.stdout, "run tools/make_reference.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_explained_somewhere_beside_the_reference(name: str) -> None:
    reference = ROOT / "docs" / "reference" / "commands.md"
    assert f"\n## frugalwatch {name}\n" in reference.read_text()
    pages = [page for page in PAGES if page != reference and page.name != "CHANGELOG.md"]
    assert any(f"frugalwatch {name}" in page.read_text() for page in pages)


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in _LINK.findall(_CODE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in anchors(found), f"{target}: no such heading"


def anchors(page: Path) -> set[str]:
    """Headings of a page as a web site makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """No path begins at a folder that this machine has and an ordinary Unix has not."""
    own = {folder.name for folder in Path("/").iterdir() if folder.is_dir()} - _ROOTS
    for name in tracked():
        for found in _ABSOLUTE.finditer((ROOT / name).read_text(errors="replace")):
            assert found[1] not in own, f"{name}: {found.group().strip()}"


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    """A path in backticks whose first folder is one of ours is a file or folder of ours."""
    ours = {name.partition("/")[0] for name in tracked() if "/" in name}
    for path in _NAMED_PATH.findall(page.read_text()):
        if path.partition("/")[0] in ours and not _PATTERN.search(path):
            place = path.partition(":")[0]
            assert any((base / place).exists() for base in (ROOT, page.parent)), path


def tracked() -> list[str]:
    """Text files of the project, without those that lie there by chance."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = [name for name in listed.stdout.split("\0") if name] or [
        identity(path)
        for folder in ("frugalwatch", "collectors", "docs")
        for path in (ROOT / folder).rglob("*")
        if "__pycache__" not in path.parts
    ]
    return [name for name in names if (ROOT / name).is_file()]
