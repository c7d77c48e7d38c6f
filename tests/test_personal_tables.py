"""No personal value of a table's row reaches any output unless it is asked for, whatever its column holds.

The rows that are kept as raw text are of every kind: judged and refused, repetitions, and what is no row at all.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import etl
from etl.columnar.delimited_rows import Layout
from etl.options import Pii
from etl.sources.readers.csv_tables import cells_of
from etl.warehouse.replay import replay
from tests.effort import draws, thorough
from tests.records import copied

PERSON = {
    "email": "zq.wxv@example.com",
    "phone": "+1 650 555 0187",
    "first_name": "Zqwxvina",
    "last_name": 'Qxw "zson", Jr.',
    "birthdate": "5/26/1991",
    "city": "Zxqwville",
    "state": "Texas",
    "zipcode": "94035-1234",
    "country": "US",
    "ip": "2001:db8:77::9",
}
HIDDEN = ("zq.wxv", "650 555", "650+555", "6505550187", "Zqwx", "Qxw", "zson", "/1991", "F1991", "Zxqw", "Texas")
HIDDEN += ("94035-1234", "db8:", "db8%", "203.0.113.77")
HASHED = ("email", "phone", "first_name", "last_name", "birthdate", "city", "state", "zipcode")

#: A conversion, one that repeats it, an unknown type; of `PERSON` without an address, nobody.
KINDS: tuple[dict[str, str], ...] = (
    {"click_id": "c1", "conversion_type": "sale", "transaction_id": "t1", **PERSON},
    {"click_id": "c1", "conversion_type": "sale", "transaction_id": "t1", **PERSON},
    {"click_id": "c2", "conversion_type": "nope", "transaction_id": "t2", **PERSON},
    {"click_id": "", "conversion_type": "sale", "transaction_id": "t3", **PERSON, "email": ""},
)
RULES = etl.parse_ruleset('name = "house"\n[events]\nnope = "Purchase"\n', "house.toml")


def rows(delimiter: str, table: list[list[str]], *, end: str = "\n") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=end).writerows(table)
    return out.getvalue()


def flat(delimiter: str, names: dict[str, str] | None = None) -> str:
    header = [(names or {}).get(name, name) for name in KINDS[0]]
    return rows(delimiter, [header, *(list(kind.values()) for kind in KINDS)])


def held(delimiter: str, write: Callable[[dict[str, str]], str], name: str) -> str:
    contents = [write({key: value for key, value in kind.items() if value}) for kind in KINDS]
    return rows(delimiter, [["id", "created_at", name], *([str(i), "", text] for i, text in enumerate(contents))])


def target(kind: dict[str, str]) -> str:
    return f"/acme/collect/shop?{urlencode(kind)}"


def copied_rows() -> str:
    text = "".join("\t".join(copied(value) or "\\N" for value in kind.values()) + "\n" for kind in KINDS)
    return f"COPY public.hooks ({', '.join(KINDS[0])}) FROM stdin;\n{text}\\.\n"


def copied_payloads() -> str:
    text = "".join(f"{i}\t{copied(json.dumps(kind))}\n" for i, kind in enumerate(KINDS))
    return f"COPY public.hooks (id, payload) FROM stdin;\n{text}\\.\n"


def iis(write: Callable[[str], str] = str) -> str:
    fields = "#Fields: date time cs-method cs-uri-stem cs-uri-query c-ip cs(Cookie) sc-status\n"
    line = "2024-05-01 12:00:00 GET /acme/collect/shop {} 203.0.113.77 city=Zxqwville;+email=zq.wxv%40example.com 200\n"
    return fields + "".join(line.format(write(urlencode(kind))) for kind in KINDS)


def cloudfront(*, is_headed: bool = True) -> str:
    names = "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer)"
    line = "2024-05-01\t12:00:00\tFRA56-P1\t7\t203.0.113.77\tGET\td1\t/acme/collect/shop\t200\t{0}\tAcme\t{1}\n"
    text = f"#Version: 1.0\n#Fields: {names} cs(User-Agent) cs-uri-query\n" if is_headed else ""
    for kind in KINDS:
        sent = urlencode(kind).replace("_", "%5F").replace("%", "%25")
        text += line.format(f"https://example.com/?{sent}", sent)
    return text


def parquet(table: dict[str, list[Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(table), out)
    return out.getvalue()


TITLES = {"first_name": "First Name", "last_name": "lastname", "phone": "Phone Number", "zipcode": "Zip-Code"}

TABLES: dict[str, Callable[[], str | bytes]] = {
    "CSV": lambda: flat(","),
    "CSV of Excel": lambda: "\ufeff" + flat(";").replace("\n", "\r\n"),
    "TSV": lambda: flat("\t"),
    "COPY": copied_rows,
    "Parquet": lambda: parquet({name: [kind[name] for kind in KINDS] for name in KINDS[0]}),
    "CSV of payloads": lambda: held(",", json.dumps, "payload"),
    "CSV of payloads over many lines": lambda: held(",", lambda kind: json.dumps(kind, indent=2), "payload"),
    "CSV of payloads that are texts": lambda: held(",", lambda kind: json.dumps(json.dumps(kind)), "payload"),
    "CSV of queries": lambda: held(",", urlencode, "query_string"),
    "CSV of forms": lambda: held(";", urlencode, "request_body"),
    "CSV of URLs": lambda: held(",", lambda kind: f"https://example.com{target(kind)}", "url"),
    "CSV of requests": lambda: held(",", lambda kind: f"GET {target(kind)} HTTP/1.1", "request"),
    "TSV of payloads without quotes": lambda: (
        "id\tpayload\n" + "".join(f"{i}\t{json.dumps(kind)}\n" for i, kind in enumerate(KINDS))
    ),
    "CSV of payloads without a header": lambda: held(",", json.dumps, "payload").partition("\n")[2],
    "COPY of payloads": copied_payloads,
    "Parquet of payloads": lambda: parquet({"id": [1, 2, 3, 4], "payload": [json.dumps(kind) for kind in KINDS]}),
    "IIS": iis,
    "IIS with every value in quotes": lambda: iis(lambda sent: f'"{sent.replace("Zqwxvina", "Zqwx vi na")}"'),
    "CloudFront": cloudfront,
    "CloudFront without a header": lambda: cloudfront(is_headed=False),
}


def written(folder: Path) -> str:
    """All that was published: every column of every Parquet file, and the text of every other."""
    texts = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            texts.append(str(pl.read_parquet(path, hive_partitioning=False, glob=False).to_dicts()))
        elif path.is_file():
            texts.append(path.read_text(encoding="utf-8"))
    return "\n".join(texts)


def clear(text: str) -> list[str]:
    return [value for value in HIDDEN if value in text]


def input_file(label: str, folder: Path, name: str = "input") -> Path:
    data = TABLES[label]()
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder / name


@pytest.mark.parametrize("pii", ["hash", pytest.param("drop", marks=thorough)])
@pytest.mark.parametrize("label", TABLES)
def test_nothing_personal_is_written_and_hashes_join(label: str, pii: Pii, tmp_path: Path) -> None:
    summary = etl.run([input_file(label, tmp_path)], tmp_path / "out", account="acme", integration="shop", pii=pii)
    assert summary["rejections"]["total"] == 3, summary
    assert clear(json.dumps(summary) + written(tmp_path / "out")) == []
    if pii == "hash":
        assert_raw_rows_join_with_the_hash_columns(tmp_path / "out")


@pytest.mark.parametrize("labels", [list(TABLES)[::2], *(pytest.param([label], marks=thorough) for label in TABLES)])
def test_nothing_personal_is_in_a_warehouse_before_or_after_a_replay(labels: list[str], tmp_path: Path) -> None:
    inputs = [input_file(label, tmp_path, str(number)) for number, label in enumerate(labels)]
    report = etl.load(inputs, tmp_path / "warehouse", account="acme", integration="shop")
    assert clear(json.dumps(report, default=str) + written(tmp_path / "warehouse")) == []
    before = written(tmp_path / "warehouse")
    replay(str(tmp_path / "warehouse"), RULES)
    assert clear(written(tmp_path / "warehouse")) == []
    assert before.count("redacted") == 0


def assert_raw_rows_join_with_the_hash_columns(folder: Path) -> None:
    (conversion,) = pl.read_parquet(folder / "conversions").to_dicts()
    for raw in pl.read_parquet(folder / "rejections").filter(pl.col("reason") != "missing_identity")["raw"]:
        for trait in HASHED:
            assert conversion[f"{trait}_sha256"] in raw, trait


ROWS = st.lists(st.sampled_from(['"', '""', ",", "a", "b ", " ", "é", "\n", "'"])).map("".join)


@settings(max_examples=draws(150, 500), deadline=None)
@given(ROWS.filter(lambda row: row != "" and not row.endswith("\n")))
def test_the_reader_of_rows_and_their_redactor_see_the_same_cells(row: str) -> None:
    """`csv_tables.cells_of` reads by the standard library, the grammar of `delimited_rows` finds cells to replace."""
    record, grammar = row.encode(), Layout("csv").grammar
    cells = cells_of(record, ",")
    assert cells in (None, [grammar.read(record[start:end]) for start, end in grammar.split(record, ()) or []])
