"""The page and the rulings, case by case: this request becomes these rows. The cases are in tests/cases/*.toml."""

from __future__ import annotations

import tomllib
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
from etl.errors import RulesetError

FOLDER = Path(__file__).parent / "cases"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['id']}")
    for path in sorted(FOLDER.glob("*.toml"))
    for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
]


def input_of(case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The text of the input, and the options that its kind implies."""
    if "query" in case:
        line = '192.0.2.1 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?{} HTTP/1.1" 200 2 "-" "test"\n'
        return line.format(case["query"]), {"format": "combined"}
    if "json" in case:
        return case["json"] + "\n", {"format": "jsonl", "account": "acme", "integration": "shop"}
    if "log" in case:
        return case["log"], {"format": "combined"}
    return case["dump"], {"format": "json" if case["dump"].lstrip().startswith("[") else "jsonl"}


def shown(value: Any) -> Any:
    """A value as the case files write it."""
    if value is None:
        return "<null>"
    if isinstance(value, Decimal):
        return f"{value:f}".rstrip("0").rstrip(".")
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ").replace(".000000Z", "Z")
    if isinstance(value, list):
        return [shown(item) for item in value]
    return value


def compare(rows: pl.DataFrame, expected: list[dict[str, Any]]) -> None:
    columns = sorted({name for row in expected for name in row})
    got = [{name: shown(value) for name, value in row.items()} for row in rows.select(columns).to_dicts()]
    assert [{name: row[name] for name in want} for row, want in zip(got, expected, strict=False)] == expected
    assert len(got) == len(expected), got


@pytest.mark.parametrize("case", CASES)
def test_case(case: dict[str, Any], tmp_path: Path) -> None:
    text, options = input_of(case)
    expect = case["expect"]
    source = tmp_path / "input"
    source.write_bytes(text.encode())
    out = tmp_path / "out"

    def run() -> dict[str, Any]:
        ruleset = etl.parse_ruleset(case["ruleset"], "ruleset.toml") if "ruleset" in case else None
        if "shipped" in case:
            ruleset = etl.shipped_ruleset(case["shipped"])
        return etl.run([source], out, ruleset=ruleset, **{**options, **case.get("options", {})})

    if "error" in expect:
        with pytest.raises(RulesetError) as caught:
            run()
        assert [part for part in expect["error"] if part not in str(caught.value)] == []
        return
    summary = run()
    tables = {table.name: pl.read_parquet(out / table.name / "*.parquet") for table in etl.schema.TABLES}
    numbers = dict(tables["conversions"].select("conversion_id", "record_no").iter_rows())
    rejections = tables["rejections"].with_columns(
        duplicate_of=pl.col("duplicate_of").replace_strict(numbers, default=None, return_dtype=pl.Int64)
    )
    compare(tables["conversions"], expect.get("conversions", []))
    compare(rejections, expect.get("rejections", []))
    for name in ("items", "passthroughs"):
        if name in expect:
            compare(tables[name], expect[name])
    if "issues" in expect:
        assert sorted({issue["code"] for issue in tables["conversions"]["issues"][0]}) == expect["issues"]
    if "skipped" in expect:
        assert summary["skipped"]["by_reason"] == expect["skipped"]
    if "unrecognised" in expect:
        assert summary["unrecognised_parameters"] == expect["unrecognised"]
    everything = str([table.to_dicts() for table in tables.values()]) + str(summary)
    assert [text for text in expect.get("raw_lacks", []) if text in everything] == []
    assert [text for text in expect.get("raw_has", []) if text not in tables["rejections"]["raw"][0]] == []
