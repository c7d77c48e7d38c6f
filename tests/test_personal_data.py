"""No personal value reaches any output unless it is asked for, wherever in a record it stands (rules 9.1)."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import etl
from etl.schema import TABLES
from tests.commands import run
from tests.effort import thorough
from tests.records import EMAIL, HIDDEN, LINE, RECORDS

KINDS = {"jsonl": "{", "plain_text": "conversion_type="}


@pytest.mark.parametrize("pii", ["hash", pytest.param("drop", marks=thorough)])
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


#: An address in every place that is not for one: identity, passthrough, item, value, names, path and user agent.
PLACES = (
    LINE.format("ref_id={0}&transaction_id={0}&value={0}&currency={0}&timestamp={0}&country={0}&xat_{0}={0}&{0}=1"),
    LINE.format("click_id=a&event={0}&brand={0}&xat_note=%7B%22a%22%3A%22%5Cn{0}%22%7D&clickid2={0}"),
    LINE.format(
        "ref=b&items[0][id]={0}&items[0][name]=for+{0}&items[0][price]={0}&items[0][{0}]=1&ref={0}&click_i={0}"
    ),
    LINE.format("conversion_type={0}&ref=%25257B{0}").replace("shop?", "{0}?").replace("test", "by {0}"),
    LINE.format("conversion_type={0}&ref_i={0}").replace("shop?", "{0}?").replace("test", "by {0}"),
)


@pytest.mark.parametrize(
    ("pii", "written"),
    [
        ("hash", EMAIL),
        ("drop", EMAIL.replace("@", "%40")),
        pytest.param("hash", EMAIL.upper().replace("@", "%2540"), marks=thorough),
        pytest.param("drop", EMAIL, marks=thorough),
        pytest.param("hash", EMAIL.replace("@", "%40"), marks=thorough),
        pytest.param("drop", EMAIL.upper().replace("@", "%2540"), marks=thorough),
    ],
)
def test_an_address_is_hidden_wherever_it_stands(pii: str, written: str, tmp_path: Path) -> None:
    lines = [line.replace("{0}", written) for line in PLACES]
    (tmp_path / "access.log").write_text("".join(lines), encoding="utf-8")
    outputs = [run("run", tmp_path / "access.log", "--out", tmp_path / "out", "--pii", pii)]
    outputs += [run("inspect", tmp_path / "access.log", *form) for form in ([], ["--json"])]
    outputs += [run("explain", line.strip(), "--pii", pii, *form) for line in lines for form in ([], ["--json"])]
    shown = "".join((output.stdout + output.stderr).decode() for output in outputs)
    tables = [pl.read_parquet(tmp_path / "out" / table.name) for table in TABLES]
    shown += str([table.to_dicts() for table in tables]) + (tmp_path / "out" / "_postback_etl.json").read_text("utf-8")
    assert [table.height for table in tables] == [3, 1, 2, 2]
    assert "wxv" not in shown.lower()
