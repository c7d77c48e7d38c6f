"""Cells of tables, keys and columns that carry whole records: each export of a log store, any format, any table."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

import etl
from etl.sources.carriers.carrier import Carrier
from etl.sources.carriers.known_carriers import CARRIERS
from etl.sources.carriers.table_carriers import EXPORTS, LogExport
from etl.sources.format import Format
from etl.sources.readers.timestamps import read_any
from tests.carried import LINE, TEXTS, assert_alike, requests_of, wrap
from tests.effort import thorough

DELIMITERS: Final = {"csv": ",", "tsv": "\t", "semicolon": ";"}
KINDS: Final = (*DELIMITERS, "postgres_copy")
HAPROXY: Final = (
    "192.0.2.1:4000 [01/May/2024:12:00:0{0}.000] web~ app/s1 0/0/0/1/1 200 2 - - ---- 1/1/0/0/0 0/0 "
    '"GET /acme/collect/shop?click_id=a{0} HTTP/1.1"'
)


def table_of(names: list[str], rows: list[list[str]], delimiter: str = ",") -> bytes:
    """The bytes of a table."""
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows([names, *rows])
    return stream.getvalue().encode("utf-8", "surrogateescape")


#: What a dump of Postgres escapes in a cell.
COPIED: Final = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\v": "\\v"}


def copied_table(names: list[str], row: list[str]) -> bytes:
    """The bytes of a table in a dump of Postgres."""
    cells = ("".join(COPIED.get(letter, letter) for letter in cell) for cell in row)
    text = f"COPY public.logs ({', '.join(names)}) FROM stdin;\n" + "\t".join(cells) + "\n"
    return text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.name)
def test_an_export_carries_lines_with_their_times(export: LogExport, tmp_path: Path) -> None:
    found, rows = requests_of(export.sample.encode() + b"\n", tmp_path)
    assert (found.carriers, found.row.name) == (("csv",), "common")
    assert rows["fault"].to_list() == ["header", None]
    assert rows["query"].to_list() == [None, "click_id=a"]
    payloads = export.sample.rpartition('"192.0.2.7')[0] + '"{""click_id"": ""b""}"' + export.sample.rpartition('2"')[2]
    _, rows = requests_of(payloads.encode(), tmp_path)
    assert rows["fields"].to_list()[1] == [{"name": "click_id", "text": "b", "is_structure": False}]
    assert str(rows["received_at"][1]) == "2024-05-01 12:00:00+00:00"


def test_a_table_of_parts_of_requests_carries_no_records(tmp_path: Path) -> None:
    names = ["Time", "method", "url", "Line"]
    rows = [["2024-05-01", "GET", "/acme/collect/shop?click_id=a", "x"]]
    found, requests = requests_of(table_of(names, rows), tmp_path)
    assert (found.row.name, found.carriers) == ("csv", ())
    assert requests["query"].to_list() == [None, "click_id=a"]


@pytest.mark.parametrize(
    ("row", "sample", "kind"),
    [
        pytest.param(
            *text.values, kind, id=f"{text.id} {kind}", marks=[] if turn % len(KINDS) == number else [thorough]
        )
        for turn, text in enumerate(TEXTS)
        for number, kind in enumerate(KINDS)
    ],
)
def test_a_record_in_a_cell_is_what_it_is_alone(row: Format, sample: bytes, kind: str, tmp_path: Path) -> None:
    held_in_a_cell(row, sample, (), kind, tmp_path)


def test_a_carrier_in_a_cell_is_opened(tmp_path: Path) -> None:
    chance = random.Random(20)
    samples: list[Any] = [param.values for param in TEXTS]
    carriers = [row for row in CARRIERS if row.samples]
    for _ in range(100):
        row, sample = chance.choice(samples)
        held_in_a_cell(row, sample, (chance.choice(carriers),), chance.choice(KINDS), tmp_path)


def held_in_a_cell(row: Format, sample: bytes, carriers: tuple[Carrier, ...], kind: str, folder: Path) -> None:
    """Holds that a sample in a cell, perhaps within carriers, is read as the sample alone is read."""
    record = sample
    for carrier in carriers:
        record = record and wrap(carrier, record)
    if not record:
        return
    text = record.decode("utf-8", "surrogateescape")
    names, cells = ["_time", "_raw", "host"], ["2024-05-01T12:00:00Z", text, "web-1"]
    data = table_of(names, [cells], DELIMITERS[kind]) if kind in DELIMITERS else copied_table(names, cells)
    found, carried = requests_of(data, folder)
    assert found.carriers[:1] == (kind,), data
    header, request = carried.to_dicts()
    assert header["fault"] == "header"
    assert_alike(request, sample, row.name, found, data)


def test_any_column_of_lines_is_found(tmp_path: Path) -> None:
    rows = [[str(i), HAPROXY.format(i), "x, y"] for i in (1, 2, 3)]
    found, requests = requests_of(table_of(["id", "text of the line", "note"], rows), tmp_path)
    assert (found.carriers, found.row.name) == (("csv",), "haproxy")
    assert dict(found.columns) == {"record": "text of the line"}
    assert requests["query"].to_list()[1:] == ["click_id=a1", "click_id=a2", "click_id=a3"]
    objects = "".join(json.dumps({"n": n, "what": what}) + "\n" for n, what, _ in rows)
    path = tmp_path / "a.jsonl"
    path.write_text(objects, encoding="utf-8")
    for name, columns in (("guessed", {}), ("named", {"record": "what"})):
        summary = etl.run([path], tmp_path / name, columns=columns)
        assert (summary["conversions"], summary["inputs"][0]["carrier"]) == (3, "record")
    pl.DataFrame({"at": ["2024-05-01 12:00:00"] * 3, "line": [row[1] for row in rows]}).write_parquet(tmp_path / "a.pq")
    summary = etl.run([tmp_path / "a.pq"], tmp_path / "parquet")
    assert (summary["conversions"], summary["inputs"][0]["format"]) == (3, "haproxy")


def test_what_the_user_names_is_the_record_and_its_layout_the_time(tmp_path: Path) -> None:
    rows = [["1.5.2024 um 12.00", "x", '{"click_id": "a"}'], ["1.5.2024 um 12.30", "x", ""], ["", "x", "Listening"]]
    (tmp_path / "a.csv").write_bytes(table_of(["Zeit", "log", "Zeile, ganz"], rows))
    columns = {"record": "Zeile, ganz", "received_at": "Zeit:%d.%m.%Y um %H.%M"}
    summary = etl.run([tmp_path / "a.csv"], tmp_path / "out", columns=columns, timezone="Europe/Berlin")
    assert summary["rejections"]["by_reason"] == {"malformed_record": 1}
    assert summary["skipped"]["by_reason"] == {"header": 1, "not_a_request": 1}
    (conversion,) = pl.read_parquet(tmp_path / "out" / "conversions").to_dicts()
    assert (conversion["record_no"], str(conversion["received_at"])) == (2, "2024-05-01 10:00:00+00:00")


def test_the_raw_of_a_carried_record_is_the_row_without_personal_values(tmp_path: Path) -> None:
    line = LINE.format("&email=jo@example.com").replace("click_id=a", "x=")
    (tmp_path / "a.csv").write_bytes(table_of(["@timestamp", "message"], [["May 1, 2024 @ 12:00:00.123", line]]))
    etl.run([tmp_path / "a.csv"], tmp_path / "out")
    entry = {"__REALTIME_TIMESTAMP": "1714564801123456", "MESSAGE": list(line.encode())}
    (tmp_path / "b.json").write_text(json.dumps(entry), encoding="utf-8")
    etl.run([tmp_path / "b.json"], tmp_path / "journal")
    for folder in ("out", "journal"):
        frames = [pl.read_parquet(tmp_path / folder / name) for name in ("conversions", "rejections")]
        texts = [str(frame.to_dicts()) for frame in frames if frame.height]
        assert texts
        assert not any("jo@example.com" in text or "106,111,64" in text for text in texts)


@pytest.mark.parametrize(
    "text",
    [
        "May 1, 2024 @ 12:00:01.123",
        "2024-05-01T12:00:01.123+0000",
        "2024-05-01T12:00:01.123Z",
        "5/1/2024, 12:00:01.123 PM",
        "05/01/24 12:00:01.123 PM",
        "1714564801123000000",
        "1714564801.123",
        "2024-05-01 12:00:01.123",
    ],
)
def test_the_times_of_log_stores_are_read(text: str) -> None:
    assert str(read_any(text, "UTC")) == "2024-05-01 12:00:01.123000+00:00"


def test_lines_that_hold_commas_are_no_table(tmp_path: Path) -> None:
    agent = "Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko)"
    lines = "".join(f'{LINE.format(i)} "-" "{agent}"\n' for i in range(4))
    for first in ("", "Started, with two workers\n", "# a comment, or two\n"):
        found, _ = requests_of((first + lines).encode(), tmp_path)
        assert (found.carriers, found.row.name) == ((), "combined")
