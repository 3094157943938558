"""docs/reference/schema.md lists every table, column and view of the schema, with its comments.

    FRUGALWATCH_UPDATE_DOCS=1 python -m pytest tests/frugalwatch/ledger/test_schema_doc.py

writes the list anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from frugalwatch.ledger.connection import memory_ledger
from frugalwatch.ledger.migrate import APPLICATION_ID, migrations
from tests.frugalwatch.ledger.kit import REPOSITORY
from tests.frugalwatch.ledger.runs import fill

PAGE = REPOSITORY / "docs" / "reference" / "schema.md"
BEGIN = "<!-- tables: made from the migrations by tests/frugalwatch/ledger/test_schema_doc.py -->"
END = "<!-- end of tables -->"

_CREATE = re.compile(r"(CREATE|ALTER) (?:TABLE|VIEW) (\w+)")
_COLUMN = re.compile(r"\s+([a-z]\w+)\s+(?:INTEGER|REAL|TEXT)\b.*?(?:--\s*(.*))?$")


def comments() -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    """What the migrations say of each table, and of each column."""
    tables: dict[str, str] = {}
    columns: dict[tuple[str, str], str] = {}
    above: list[str] = []
    table = ""
    for _, file in migrations():
        for line in Path(file).read_text(encoding="utf-8").splitlines():
            created = _CREATE.match(line)
            column = _COLUMN.match(line)
            if created:
                table = created[2]
                if created[1] == "CREATE":
                    tables[table] = " ".join(above)
            elif column and table:
                columns[table, column[1]] = column[2] or " ".join(above)
            comment = line.strip().removeprefix("-- ")
            above = [*above, comment] if comment != line.strip() else []
    return tables, columns


def rendered() -> str:
    said, meanings = comments()
    conn = memory_ledger()
    names = conn.execute(
        "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')"
        " AND name NOT LIKE 'sqlite_%' ORDER BY type, rowid"
    ).fetchall()
    lines = []
    for name, kind in names:
        lines += ["", f"### `{name}`" + (" (view)" if kind == "view" else ""), ""]
        if said.get(name):
            lines += [said[name], ""]
        columns = conn.execute(f"PRAGMA table_info({name})").fetchall()
        references = {
            row[3]: f"`{row[2]}.{row[4]}`"
            for row in conn.execute(f"PRAGMA foreign_key_list({name})")
        }
        if kind == "view":
            lines.append("Columns: " + ", ".join(f"`{column[1]}`" for column in columns) + ".")
            continue
        lines += ["| Column | Type | Meaning |", "|---|---|---|"]
        for _, column, type_, required, _, key in columns:
            meaning = meanings.get((name, column), "").replace("|", "\\|").replace("<", "&lt;")
            if column in references:
                meaning = f"{references[column]}{'; ' + meaning if meaning else ''}"
            optional = "" if required or key else " or NULL"
            lines.append(f"| `{column}` | {type_}{optional} | {meaning} |")
    conn.close()
    return "\n".join(lines) + "\n\n"


def test_the_page_lists_the_schema_as_it_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN + "\n")
    _, after = rest.split(END)
    expected = f"{before}{BEGIN}\n{rendered()}{END}{after}"
    if os.environ.get("FRUGALWATCH_UPDATE_DOCS"):
        PAGE.write_text(expected, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == expected, "see this test's module for the command"


def test_every_query_on_the_page_runs(tmp_path: Path) -> None:
    fill(tmp_path / "l.db")
    page = PAGE.read_text(encoding="utf-8")
    (block,) = re.findall(r"```sql\n(.*?)```", page, flags=re.DOTALL)
    conn = memory_ledger()
    conn.execute("ATTACH ? AS filled", (str(tmp_path / "l.db"),))
    statements = [statement for statement in block.split(";") if statement.strip()]
    assert len(statements) == 4
    for statement in statements:
        conn.execute(statement).fetchall()
    conn.close()
    assert str(APPLICATION_ID) in page


@pytest.mark.parametrize("view", ["run_energy", "run_device_energy", "power"])
def test_every_view_converts_what_was_measured(tmp_path: Path, view: str) -> None:
    import sqlite3

    fill(tmp_path / "l.db")
    conn = sqlite3.connect(tmp_path / "l.db")
    conn.row_factory = sqlite3.Row
    conn.execute("UPDATE run SET carbon = '{\"g_per_kwh\": 480.0}', pue = 1.5 WHERE id = 1")
    rows = [dict(row) for row in conn.execute(f"SELECT * FROM {view} WHERE run = 1")]
    conn.close()
    if view == "power":
        assert [row["power_w"] for row in rows] == [None, 150.0, 150.0]
        return
    (row,) = rows
    assert row["energy_j"] == 1500.0
    assert row["energy_wh"] == pytest.approx(1500 / 3600)
    if view == "run_energy":
        assert (row["duration_s"], row["co2e_g"], row["cpu_s"]) == (10.0, 0.2, 5.0)
    else:
        assert row["co2e_g"] == pytest.approx(1500 / 3.6e6 * 480 * 1.5)
