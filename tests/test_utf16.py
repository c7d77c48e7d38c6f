"""UTF-16 texts give the rows of the same texts in UTF-8: records, numbers, offsets, digests and ids."""

from __future__ import annotations

import gzip
import io
import json
import random
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
from etl.reports import inspect, source_records
from etl.sources.storage.utf16 import Utf8Stream
from tests.commands import run
from tests.effort import IS_THOROUGH, draws
from tests.records import LINE

LOG = LINE.format("click_id=a&name=%C3%A9") + LINE.format("click_id=😀é&transaction_id=t") * 2 + "torn é\n"
TEXTS = {
    "a log": LOG,
    "a log of Windows": LOG.replace("\n", "\r\n"),
    "a log with bare CRs": LOG.replace("\n", "\r"),
    "a log without its last line end": LOG.rstrip(),
    "a table": "created;payload\r\n" + '2024-05-01 12:00:00;"{""click_id"": ""é""}"\r\n' * 3,
    "lines of JSON": json.dumps({"click_id": "é", "value": 1}, ensure_ascii=False) + "\n",
    "an array": json.dumps([{"click_id": f"é{i}"} for i in range(5)], ensure_ascii=False, indent=1),
}
MARKS = {
    "little, marked": ("utf-16-le", "\ufeff"),
    "big, marked": ("utf-16-be", "\ufeff"),
    "little": ("utf-16-le", ""),
    "big": ("utf-16-be", ""),
}


def tables_of(data: bytes, folder: Path) -> tuple[dict[str, Any], dict[str, pl.DataFrame]]:
    (folder / "input").write_bytes(data)
    summary = etl.run([folder / "input"], folder / "out", min_matched=0)
    names = ("conversions", "items", "passthroughs", "rejections")
    return summary, {name: pl.read_parquet(folder / "out" / name) for name in names}


@pytest.mark.parametrize("name", TEXTS)
def test_the_rows_are_those_of_utf_8(name: str, tmp_path: Path) -> None:
    """In each byte order, marked or not, plain or packed: `make test` takes a third of the ways for each."""
    _, expected = tables_of(TEXTS[name].encode(), tmp_path)
    assert expected["conversions"].height
    turn, ways = list(TEXTS).index(name) % 3, [*product(MARKS.values(), (bytes, gzip.compress))]
    for (kind, before), pack in ways if IS_THOROUGH else ways[turn::3]:
        summary, tables = tables_of(pack((before + TEXTS[name]).encode(kind)), tmp_path)
        for table, rows in expected.items():
            assert tables[table].equals(rows), (table, kind, before, pack)
        assert summary["inputs"][0]["compression"] == ("gzip " if pack is gzip.compress else "") + kind


def test_a_log_longer_than_a_split_is_one_split_and_can_be_inspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = draws(15_000, 150_000)
    for module in (inspect, source_records):
        monkeypatch.setattr(module, "SPLIT_BYTES", 1 << 20)
    text = "".join(LINE.format(f"click_id=é{i}&pad={'x' * 60}") for i in range(count))
    (tmp_path / "a.log").write_bytes(("\ufeff" + text).encode("utf-16-le"))
    (sample,) = json.loads(run("inspect", tmp_path / "a.log", "--json").stdout)
    assert (sample["format"], sample["compression"]) == ("combined", "utf-16-le")
    assert sample["records"] == pytest.approx(count, rel=0.1)
    shown = json.loads(run("explain", f"{tmp_path / 'a.log'}:{count - 9}", "--json").stdout)
    assert shown["tables"]["conversions"][0]["click_id"] == f"é{count - 10}"


def test_a_file_and_its_conversion_are_loaded_once(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(("\ufeff" + LOG).encode("utf-16-le"))
    (tmp_path / "b.log").write_text(LOG, encoding="utf-8")
    assert etl.load([tmp_path / "a.log"], tmp_path / "warehouse", min_matched=0)["records"] == 4
    assert etl.load([tmp_path / "b.log"], tmp_path / "warehouse", min_matched=0)["records"] == 0


def test_a_stream_is_read_in_pieces_of_any_size() -> None:
    chance = random.Random(7)
    text = "\ufeffab\ufeffcé😀\n" * 40
    for kind in ("utf-16-le", "utf-16-be"):
        stream = Utf8Stream(io.BytesIO(text.encode(kind)), kind)
        found = b""
        while piece := stream.read(chance.randint(1, 9)):
            found += piece
        assert found.decode() == text[1:]
        ahead = Utf8Stream(io.BytesIO(text.encode(kind)), kind)
        assert (ahead.seek(7), ahead.read()) == (7, text[1:].encode()[7:])


def test_what_is_no_utf_16_is_replaced() -> None:
    stream = Utf8Stream(io.BytesIO("a\ud83d".encode("utf-16-le", "surrogatepass") + b"b\0c"), "utf-16-le")
    assert stream.read() == "a\ufffdb\ufffd".encode()
