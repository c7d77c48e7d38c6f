"""The same payloads in every shape of table give the same rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import etl
from etl.errors import EtlError
from tests.records import copied

#: Quotes, line ends, tabs, backslashes, delimiters and what is not ASCII, in values.
PAYLOADS: list[dict[str, str]] = [
    {"click_id": "a1", "value": "12.50", "currency": "EUR", "transaction_id": "t1"},
    {"click_id": 'a"2', "brand_name": 'say "hi", twice', "value": "3"},
    {"click_id": "a3", "brand_name": "line\nbreak\r\nand\ttab"},
    {"click_id": "a;4", "brand_name": "back\\slash \\n \\N"},
    {"click_id": "a5", "brand_name": "Grüße 日本 \U0001f600 \u2028 \x85"},
    {"click_id": "a6", "conversion_type": "sale", "items": '[{"id": "1", "price": "2.5"}]'},
    {"ref_id": "a7", "xat_plan": "x=y&z"},
    {"value": "1", "event": "Lead"},
    {"click_id": "a9", "value": "0.1", "email": "someone@example.com"},
]
TIMES = [datetime(2024, 5, 1, 12, 0, i, tzinfo=UTC) for i in range(len(PAYLOADS))]


def jsons(indent: int | None = None) -> list[str]:
    return [json.dumps(payload, ensure_ascii=False, indent=indent) for payload in PAYLOADS]


def written(delimiter: str, contents: list[str], *, end: str = "\n", header: bool = True, name: str = "payload") -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    if header:
        writer.writerow(["id", "created_at", name])
    for i, content in enumerate(contents):
        writer.writerow([i, f"{TIMES[i]:%Y-%m-%d %H:%M:%S}", content])
    return out.getvalue()


def copy_rows() -> str:
    rows = (f"{i}\t{TIMES[i]:%Y-%m-%d %H:%M:%S}+00\t\\N\t{copied(text)}\n" for i, text in enumerate(jsons()))
    return "".join(rows)


def parquet(contents: list[Any], kind: pa.DataType | None = None) -> bytes:
    table = pa.table({"id": range(len(contents)), "created_at": TIMES, "payload": pa.array(contents, kind)})
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def struct() -> pa.DataType:
    return pa.struct([(name, pa.string()) for name in dict.fromkeys(name for one in PAYLOADS for name in one)])


SHAPES: dict[str, Callable[[], str | bytes]] = {
    "CSV": lambda: written(",", jsons()),
    "CSV of Excel: byte order mark, CRLF, semicolons": lambda: "\ufeff" + written(";", jsons(), end="\r\n"),
    "CSV of pretty-printed payloads": lambda: written(",", jsons(2)),
    "CSV without a header": lambda: written(",", jsons(), header=False),
    "CSV of forms": lambda: written(",", [urlencode(payload) for payload in PAYLOADS], name="request_body"),
    "CSV of queries": lambda: written(",", [urlencode(payload) for payload in PAYLOADS], name="query_string"),
    "CSV whose payloads are in a column of another name": lambda: written(",", jsons(), name="was_sent"),
    "TSV": lambda: written("\t", jsons()),
    "TSV without quotes": lambda: (
        "id\tcreated_at\tevent\n"
        + "".join(f"{i}\t{TIMES[i]:%Y-%m-%dT%H:%M:%SZ}\t{text}\n" for i, text in enumerate(jsons()))
    ),
    "COPY within a dump": lambda: (
        "--\n-- PostgreSQL database dump\n--\nSET x = 1;\n\n"
        f"COPY public.webhooks (id, created_at, note, payload) FROM stdin;\n{copy_rows()}\\.\n\nSELECT 1;\n"
    ),
    "COPY alone": copy_rows,
    "JSON in JSON, as BigQuery exports it": lambda: "".join(
        json.dumps({"id": str(i), "received_at": f"{TIMES[i]:%Y-%m-%d %H:%M:%S} UTC", "payload": text}) + "\n"
        for i, text in enumerate(jsons())
    ),
    "Parquet of strings": lambda: parquet(jsons()),
    "Parquet of bytes": lambda: parquet([text.encode() for text in jsons()], pa.binary()),
    "Parquet of structs": lambda: parquet(PAYLOADS, struct()),
    "a date and JSON on a line": lambda: "".join(
        f"{TIMES[i]:%Y-%m-%d %H:%M:%S} - {text}\n" for i, text in enumerate(jsons())
    ),
    "a date and JSON on many lines": lambda: "".join(
        f"[{TIMES[i].astimezone():%Y-%m-%dT%H:%M:%S%z}] INFO: {text}\n\n" for i, text in enumerate(jsons(2))
    ),
    "a time and a query a line": lambda: "".join(
        f"{TIMES[i]:%Y-%m-%dT%H:%M:%SZ} ?{urlencode(payload)}\n" for i, payload in enumerate(PAYLOADS)
    ),
}

LINEAGE = ("conversion_id", "rejection_id", "source", "source_digest", "record_no", "byte_offset", "raw")


def tables_of(data: str | bytes, folder: Path, **options: Any) -> tuple[dict[str, Any], dict[str, pl.DataFrame]]:
    (folder / "input").write_bytes(data if isinstance(data, bytes) else data.encode())
    summary = etl.run([folder / "input"], folder / "out", account="acme", integration="shop", **options)
    tables = {
        name: pl.read_parquet(folder / "out" / name).drop(LINEAGE, strict=False)
        for name in ("conversions", "items", "passthroughs", "rejections")
    }
    return summary, tables


def envelopes(folder: Path) -> dict[str, pl.DataFrame]:
    lines = (
        json.dumps({"received_at": time.isoformat(), "body": payload}) + "\n"
        for time, payload in zip(TIMES, PAYLOADS, strict=True)
    )
    return tables_of("".join(lines), folder)[1]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_rows_of_the_payloads(shape: str, tmp_path: Path) -> None:
    (tmp_path / "expected").mkdir()
    expected = envelopes(tmp_path / "expected")
    summary, tables = tables_of(SHAPES[shape](), tmp_path)
    assert summary["records"] - summary["skipped"]["total"] == len(PAYLOADS), summary
    for name, table in tables.items():
        assert table.to_dicts() == expected[name].to_dicts(), name


FLAT = "click_id,value,currency,Received At,custom\na,1.5,EUR,2024-05-01 12:00:00,x\nb,,,,\n,2,EUR,,\n"


def test_columns_named_like_parameters_are_the_parameters(tmp_path: Path) -> None:
    summary, tables = tables_of(FLAT, tmp_path)
    assert tables["conversions"].select("click_id", "value").rows() == [("a", Decimal("1.5")), ("b", None)]
    assert tables["conversions"]["received_at"].to_list() == [datetime(2024, 5, 1, 12, tzinfo=UTC), None]
    assert summary["rejections"]["by_reason"] == {"missing_identity": 1}
    assert summary["unrecognised_parameters"] == {"custom": 1}
    assert summary["skipped"]["by_reason"] == {"header": 1}


def test_flat_columns_of_parquet_keep_their_digits(tmp_path: Path) -> None:
    out = io.BytesIO()
    pq.write_table(
        pa.table({"click_id": ["a"], "value": [Decimal("12345678901234.123456789")], "received_at": TIMES[:1]}), out
    )
    _, tables = tables_of(out.getvalue(), tmp_path)
    assert tables["conversions"]["value"].to_list() == [Decimal("12345678901234.123456789")]
    assert tables["conversions"]["received_at"].to_list() == TIMES[:1]


def test_the_columns_that_were_guessed_are_shown(tmp_path: Path) -> None:
    summary, _ = tables_of(SHAPES["CSV"](), tmp_path)
    (shown,) = summary["inputs"]
    assert shown["columns"] == {"payload": "payload", "received_at": "created_at"}
    assert (shown["format"], shown["time"]) == ("csv", "UTC where no zone is written")


def test_columns_that_the_user_names_come_first_and_times_are_in_the_zone_given(tmp_path: Path) -> None:
    text = 'made,created_at,payload,sent\n2024-05-01 12:00:00,x,junk,"{""click_id"": ""a""}"\n'
    columns = {"received_at": "made", "payload": "sent"}
    _, tables = tables_of(text, tmp_path, columns=columns, timezone="Asia/Tokyo")
    assert tables["conversions"].select("click_id", "received_at").rows() == [
        ("a", TIMES[0] - timedelta(hours=9)),
    ]


def test_rows_of_another_width_and_open_quotes_are_malformed_and_lose_no_other(tmp_path: Path) -> None:
    good = '1,2024-05-01 12:00:00,"{""click_id"": ""a%d""}"\n'
    rows = [good % i for i in range(60)]
    text = "id,created_at,payload\n" + "".join(rows[:30]) + "1,2\n" + "".join(rows[30:]) + '1,x,"{""click_id\n2,y\n'
    summary, tables = tables_of(text, tmp_path)
    assert summary["conversions"] == 60
    assert tables["rejections"]["message"].to_list() == [
        "2 cells, but the table has 3 columns",
        "A quoted cell is not closed",
        "2 cells, but the table has 3 columns",
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PAR1rest", "is not valid Parquet"),
        ("name,age\nx,1\n", "in no known format"),
        ("a;b\n1;2\n", "in no known format"),
    ],
    ids=["broken Parquet", "a table of something else", "a table with names that say nothing"],
)
def test_tables_without_requests_are_refused(data: str | bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(EtlError, match=words):
        tables_of(data, tmp_path)
