"""Records as senders write them: `senders.json` says what each becomes, and which texts stand in no output."""

from __future__ import annotations

import json
import re
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from etl.schema import TABLES
from tests.commands import run
from tests.places import SHARED

CASES_FILE: Final = SHARED / "field" / "senders.json"
CASES: Final[list[dict[str, Any]]] = json.loads(CASES_FILE.read_text(encoding="utf-8")) if CASES_FILE.exists() else []


def plain(value: Any) -> Any:
    """A value as the cases write it."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return value.isoformat() if isinstance(value, datetime) else value


def check_conversion(row: dict[str, Any], expected: dict[str, Any]) -> None:
    codes = {issue["code"] for issue in row["issues"]}
    codes |= {(issue["code"], issue["parameter"]) for issue in row["issues"]}
    for name, value in expected.items():
        if name == "issues":
            assert {issue if isinstance(issue, str) else tuple(issue) for issue in value} <= codes
        elif name == "no_issues":
            assert codes.isdisjoint(value)
        else:
            assert (name, plain(row[name])) == (name, value)


def check_rejection(row: dict[str, Any], expected: dict[str, Any]) -> None:
    assert row["reason"] in ([expected["reason"]] if isinstance(expected["reason"], str) else expected["reason"])
    assert re.search(expected.get("says", ""), f"{row['message']} {row['suggestion']}")
    assert expected.get("raw_has", "") in row["raw"]
    if expected.get("raw_json"):
        json.loads(row["raw"])


@pytest.mark.reads_shared
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['ruling']} {case['id']}")
def test_a_record_becomes_what_its_case_says(case: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / case["file"]).write_text(case["text"], encoding="utf-8")
    options = list(case.get("options", []))
    if "ruleset" in case:
        (tmp_path / "rules.toml").write_text(case["ruleset"], encoding="utf-8")
        options += ["--ruleset", tmp_path / "rules.toml"]
    for mode in case.get("modes") or ["hash" if "nowhere" in case else "keep"]:
        out, summary = tmp_path / f"out-{mode}", tmp_path / f"{mode}.json"
        common = ["--out", out, "-q", "--jobs", "1", "--pii", mode, "--summary", summary]
        finished = run("run", tmp_path / case["file"], *common, *options, code=None)
        assert finished.returncode in (0, 3), finished.stderr.decode()
        tables = {table.name: pl.read_parquet(out / table.name / "*.parquet") for table in TABLES}
        conversions, rejections = (tables[name].sort("record_no").to_dicts() for name in ("conversions", "rejections"))
        for row, expected in zip(conversions, case["conversions"], strict=True):
            check_conversion(row, expected)
        if not case.get("rejections_any"):
            for row, expected in zip(rejections, case["rejections"], strict=True):
                check_rejection(row, expected)
        said = finished.stdout.decode() + finished.stderr.decode() + summary.read_text(encoding="utf-8")
        said += "".join(str(table.drop("source", strict=False).to_dicts()) for table in tables.values())
        assert [text for text in case.get("nowhere", []) if text in said] == []
