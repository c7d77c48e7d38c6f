"""A warehouse that version 0.1.0 made is read, loaded into, judged again, verified and exported by this version.

`data/warehouse-0.1.0.zip` holds the inputs, the warehouse after three loads, and the rows that 0.1.0 read from it:
`loaded.json`, and `replayed.json` after a replay by `house.toml`. Wording (message, suggestion, detail) is left out.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
from etl.rules.ruleset import RULES_VERSION
from etl.rules.vendors import find_ruleset
from etl.warehouse.export import export
from etl.warehouse.load_history import list_loads
from etl.warehouse.replay import replay
from etl.warehouse.verify import verify
from tests.commands import run

WORDING = ("message", "suggestion")
TABLES = ("conversions", "items", "passthroughs", "rejections")


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with zipfile.ZipFile(Path(__file__).parent / "data" / "warehouse-0.1.0.zip") as archive:
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows_of(read: Callable[[str], pl.DataFrame], columns: dict[str, list[str]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table as JSON holds them, in a fixed order, without wording."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for name in TABLES:
        rows = read(name).select(columns[name])
        keys = [rows.columns[0], *(["position"] if "position" in rows.columns else [])]
        tables[name] = json.loads(rows.sort(keys).with_columns(pl.col(pl.Decimal).cast(pl.String)).write_json())
    for conversion in tables["conversions"]:
        for issue in conversion["issues"]:
            issue.pop("detail", None)
    return tables


def expected_rows(old: Path, name: str) -> dict[str, list[dict[str, Any]]]:
    return dict(json.loads((old / name).read_text(encoding="utf-8")))


def warehouse_rows(old: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of the old warehouse, in the columns that 0.1.0 knew."""
    known = expected_rows(old, "loaded.json")
    columns = {
        name: [
            column
            for column in etl.scan("warehouse", name).collect_schema().names()
            if column not in WORDING and (not known[name] or column in known[name][0])
        ]
        for name in TABLES
    }
    return rows_of(lambda name: etl.scan("warehouse", name).collect(), columns)


def test_its_rows_are_read_as_they_were_written(old: Path) -> None:
    assert warehouse_rows(old) == expected_rows(old, "loaded.json")
    assert [row["records"] for row in list_loads("warehouse")] == [5, 6, 3]
    assert verify("warehouse") == []


@pytest.mark.usefixtures("old")
def test_its_inputs_count_as_loaded_by_the_same_ruleset_under_earlier_rulings() -> None:
    """The digest of rules and options but for the rulings is that of 0.1.0, with formats of one's own too."""
    days = etl.load(["day1.log", "day2.jsonl"], "warehouse", default_currency="USD")
    tracker = etl.load(
        ["day3.txt"],
        "warehouse",
        default_currency="USD",
        ruleset=find_ruleset("house.toml"),
        format="tracker",
        formats="formats.toml",
    )
    assert [(one["action"], one["why"]) for one in days["inputs"] + tracker["inputs"]] == [
        ("skip", f"it was loaded under rules 1; --reload judges it by rules {RULES_VERSION}")
    ] * 3


def test_a_reload_makes_its_rows_those_of_the_present_rulings(old: Path) -> None:
    listed = run("loads", "list", "--into", "warehouse", cwd=old).stdout.decode().splitlines()
    assert [line.endswith("  (rules 1)") for line in listed] == [True] * 3
    (item,) = etl.load(["day1.log"], "warehouse", default_currency="USD", reload=True)["inputs"]
    assert (item["action"], item["why"]) == ("reload", "the rules have changed")
    assert {row["source"]: row["rules_version"] for row in list_loads("warehouse")} == {
        "day1.log": RULES_VERSION,
        "day2.jsonl": 1,
        "day3.txt": 1,
    }
    (item,) = etl.load(["day1.log"], "warehouse", default_currency="USD")["inputs"]
    assert item["why"] == "it is already loaded as day1.log"
    assert verify("warehouse") == []


def test_a_new_day_finds_duplicates_among_its_rows(old: Path) -> None:
    line = (old / "day3.txt").read_text(encoding="utf-8").splitlines()[0].replace("03.05.2024", "04.05.2024")
    (old / "day4.txt").write_text(line + "\n", encoding="utf-8")
    report = etl.load(["day4.txt"], "warehouse", ruleset=find_ruleset("house.toml"), formats="formats.toml")
    assert (report["conversions"], report["rejections"]) == (0, 1)
    assert verify("warehouse") == []


def test_its_rejections_are_judged_again(old: Path) -> None:
    replay("warehouse", find_ruleset("house.toml"))
    assert warehouse_rows(old) == expected_rows(old, "replayed.json")
    assert verify("warehouse") == []


def test_it_is_exported(old: Path) -> None:
    counts = {table.table: table.rows for table in export("warehouse", old / "exported")}
    assert counts == {name: len(rows) for name, rows in expected_rows(old, "loaded.json").items()}
