"""The page and the rulings, case by case: this request becomes these rows. The cases are in tests/cases/*.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

import etl
from etl.errors import RulesetError
from tests.case_files import FOLDER, shown

CASES: list[dict[str, Any]] = [
    {**case, "id": f"{path.stem}: {case['id']}"}
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


def compare(rows: pl.DataFrame, expected: list[dict[str, Any]]) -> None:
    columns = sorted({name for row in expected for name in row})
    got = [{name: shown(value) for name, value in row.items()} for row in rows.select(columns).to_dicts()]
    assert [{name: row[name] for name in want} for row, want in zip(got, expected, strict=False)] == expected
    assert len(got) == len(expected), got


class Ran(NamedTuple):
    """What a run has made of a case's input."""

    tables: dict[str, pl.DataFrame]
    summary: dict[str, Any]


def run(case: dict[str, Any], text: str, folder: Path) -> Ran:
    (folder / "input").write_bytes(text.encode())
    ruleset = etl.parse_ruleset(case["ruleset"], "ruleset.toml") if "ruleset" in case else None
    if "shipped" in case:
        ruleset = etl.shipped_ruleset(case["shipped"])
    options = {**input_of(case)[1], **case.get("options", {})}
    summary = etl.run([folder / "input"], folder / "out", ruleset=ruleset, **options)
    tables = {table.name: pl.read_parquet(folder / "out" / table.name / "*.parquet") for table in etl.schema.TABLES}
    return Ran(tables, summary)


# --- cases of the same rules are lines of one input --------------------------------------------------------------

#: What is known of a whole input only, and where a record lies in it.
OF_INPUTS = {"error", "skipped", "unrecognised"}
OF_PLACES = {"byte_offset", "source_digest"}


def shares_input(case: dict[str, Any]) -> bool:
    """Whether the records of a case may be lines between those of others."""
    text, options = input_of(case)
    expect = case["expect"]
    names = {name for rows in expect.values() if isinstance(rows, list) for row in rows for name in row}
    is_of_lines = text.endswith("\n") and options["format"] != "json"
    return is_of_lines and OF_INPUTS.isdisjoint(expect) and OF_PLACES.isdisjoint(names)


def rules_of(case: dict[str, Any]) -> str:
    return repr((input_of(case)[1], case.get("options"), case.get("ruleset"), case.get("shipped")))


@pytest.fixture(scope="session")
def shared_runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], dict[str, Ran]]:
    """What gives the parts of a run over all cases that have the rules of this one and may share an input."""
    runs: dict[str, dict[str, Ran]] = {}

    def runs_of(case: dict[str, Any]) -> dict[str, Ran]:
        rules = rules_of(case)
        if rules not in runs:
            cases = [one for one in CASES if shares_input(one) and rules_of(one) == rules]
            runs[rules] = run_together(cases, tmp_path_factory.mktemp("cases"))
        return runs[rules]

    return runs_of


def run_together(cases: list[dict[str, Any]], folder: Path) -> dict[str, Ran]:
    """The parts of a run; a case that has a duplicate in another is not in them, nor is any if the run fails."""
    texts = [input_of(case)[0] for case in cases]
    try:
        tables, summary = run(cases[0], "".join(texts), folder)
    except Exception:  # which of them fails is found by running each alone
        return {}
    ends = list(accumulate(text.count("\n") for text in texts))
    parts = {}
    for case, first, last in zip(cases, [0, *ends], ends, strict=False):
        is_mine = pl.col("record_no").is_between(first + 1, last)
        rows = {name: tables[name].filter(is_mine) for name in ("conversions", "rejections")}
        rows = {name: part.with_columns(pl.col("record_no") - first) for name, part in rows.items()}
        ids = rows["conversions"]["conversion_id"].implode()
        rows |= {name: tables[name].filter(pl.col("conversion_id").is_in(ids)) for name in ("items", "passthroughs")}
        if rows["rejections"]["duplicate_of"].drop_nulls().is_in(ids).all():
            parts[case["id"]] = Ran(rows, summary)
    return parts


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_case(case: dict[str, Any], tmp_path: Path, shared_runs: Callable[[dict[str, Any]], dict[str, Ran]]) -> None:
    expect = case["expect"]
    if "error" in expect:
        with pytest.raises(RulesetError) as caught:
            run(case, input_of(case)[0], tmp_path)
        assert [part for part in expect["error"] if part not in str(caught.value)] == []
        return
    ran = shared_runs(case).get(case["id"]) if shares_input(case) else None
    tables, summary = ran or run(case, input_of(case)[0], tmp_path)
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
    if "raw_lacks" in expect:
        everything = str([table.to_dicts() for table in tables.values()]) + str(summary)
        assert [text for text in expect["raw_lacks"] if text in everything] == []
    assert [text for text in expect.get("raw_has", []) if text not in tables["rejections"]["raw"][0]] == []
