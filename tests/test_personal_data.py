"""No personal value reaches any output unless it is asked for, wherever in a record it stands (rules 9.1)."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import etl
from etl.schema import TABLES
from tests.records import HIDDEN, RECORDS

KINDS = {"jsonl": "{", "plain_text": "conversion_type="}


@pytest.mark.parametrize("pii", ["hash", "drop"])
@pytest.mark.parametrize("label", RECORDS)
def test_nothing_personal_is_written(label: str, pii: str, tmp_path: Path) -> None:
    (tmp_path / "input").write_text(RECORDS[label] + "\n", encoding="utf-8")
    kind = next((kind for kind, begins in KINDS.items() if RECORDS[label].startswith(begins)), "combined")
    summary = etl.run([tmp_path / "input"], tmp_path / "out", format=kind, pii=pii)
    written = json.dumps(summary)
    for table in TABLES:
        written += str(pl.read_parquet(tmp_path / "out" / table.name).to_dicts())
    assert [text for text in HIDDEN if text in written] == []


def test_a_raw_record_joins_with_the_hash_columns(tmp_path: Path) -> None:
    lines = [RECORDS["a conversion"], RECORDS["an unknown type"], RECORDS["a payload"]]
    (tmp_path / "a.log").write_text("\n".join(lines[:2]), encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(lines[2], encoding="utf-8")
    etl.run([tmp_path / "a.log", tmp_path / "b.jsonl"], tmp_path / "out")
    conversion = pl.read_parquet(tmp_path / "out" / "conversions").to_dicts()[0]
    raws = pl.read_parquet(tmp_path / "out" / "rejections")["raw"].to_list()
    for raw in raws:
        for column in ("email_sha256", "phone_sha256", "city_sha256"):
            assert f"sha256:{conversion[column]}" in raw
