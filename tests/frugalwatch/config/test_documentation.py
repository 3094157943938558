"""The reference page of the configuration says what the code accepts."""

import os
import re
import tomllib

import pytest

from frugalwatch.config.fields import FIELDS, NOT_SETTINGS, Field
from frugalwatch.config.load import load
from frugalwatch.config.settings import Settings

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PAGE = os.path.join(ROOT, "docs", "reference", "configuration.md")


def accepts(field: Field) -> str:
    if field.kind == "number":
        high = f"{field.high:g}" if field.high < 1e6 else "1000000"
        return f"number, {field.low:g} to {high}"
    if field.kind == "switch":
        return "true, false"
    if field.kind == "list":
        return f"list of {', '.join(field.choices)}" if field.choices else "list of texts"
    if field.kind == "choice":
        return ", ".join(field.choices)
    return field.kind


def default(key: str) -> str:
    value = getattr(Settings(), key)
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else value


def table() -> str:
    rows = ["| Key | Accepts | Default | What it does |", "|---|---|---|---|"]
    for key, field in FIELDS.items():
        what = field.what if field.project_may_set else f"{field.what} Not from a project."
        rows.append(f"| `{key}` | {accepts(field)} | {default(key)} | {what} |")
    return "\n".join(rows)


@pytest.fixture
def page():
    with open(PAGE, encoding="utf-8") as file:
        return file.read()


def test_the_table_of_keys_is_the_codes_own(page):
    found = re.search(r"<!-- keys -->\n(.*?)\n<!-- /keys -->", page, re.DOTALL)
    assert found.group(1) == table()


def test_variables_without_a_setting_are_named(page):
    for variable in NOT_SETTINGS:
        assert f"`{variable}`" in page


def test_every_example_is_accepted(page, tmp_path):
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert examples
    for number, text in enumerate(examples):
        folder = tmp_path / str(number) / "frugalwatch"
        folder.mkdir(parents=True)
        table = tomllib.loads(text)
        body = text if "tool" not in table else text.replace("[tool.frugalwatch]\n", "")
        (folder / "config.toml").write_text(body)
        loaded = load({}, cwd="/", environ={"HOME": "/", "XDG_CONFIG_HOME": str(folder.parent)})
        assert loaded.problems == (), text
        assert loaded.settings != Settings()
