"""The fast ways of reading batches beside the exact ways: both give the same rows, whatever the bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final

import polars as pl

from etl.columnar import json_codec
from etl.sources.format import Settings
from etl.sources.formats.registry import BARE_LINES, rows_of, start_reader
from etl.sources.readers import access_log, json_batch
from etl.sources.readers.json_matching import format_matcher
from etl.sources.record import Record, as_columns
from etl.sources.records.lines import Batch, read_lines

# --- records in JSON --------------------------------------------------------------------------------------------

READ: Final = start_reader(BARE_LINES, Settings())
IS_CLAIMED: Final = format_matcher(rows_of("json", Settings())).may_match


def batches(data: bytes) -> Iterator[Batch]:
    return read_lines(io.BytesIO(data), 0, len(data), 100_000)


def record_of(batch: Batch, i: int) -> Record:
    text = batch.buffer[batch.starts[i] : batch.ends[i]].tobytes()
    return access_log.blank_or_comment(text) or READ(text)


def told(columns: dict[str, pl.Series]) -> list[dict[str, object]]:
    """The rows, with structures parsed: their notation means nothing."""
    rows = pl.DataFrame(columns).to_dicts()
    for row in rows:
        for field in row["fields"] or ():
            if field["is_structure"]:
                field["text"] = json_codec.compact(json_codec.parse(field["text"].encode()))
    return rows


def check_json(data: bytes) -> None:
    """Records in JSON, one a line."""
    for batch in batches(data):
        slow = as_columns([record_of(batch, i) for i in range(len(batch.starts))])
        fast = json_batch.read_batch(batch, lambda i, batch=batch: record_of(batch, i), IS_CLAIMED)
        for ours, theirs in zip(told(fast), told({name: slow[name] for name in fast}), strict=True):
            assert ours == theirs
        assert {name: column.dtype for name, column in fast.items()} == {n: slow[n].dtype for n in fast}


# --- lines of access logs ---------------------------------------------------------------------------------------

_NAMES: Final = ("client_ip", "fault", "http_method", "http_status", "path", "query", "received_at", "user_agent")


def _read(data: bytes, *, slowly: bool) -> pl.DataFrame:
    frames = []
    for batch in read_lines(io.BytesIO(data), 0, len(data), 10_000):
        lines = [batch.buffer[s:e].tobytes() for s, e in zip(batch.starts, batch.ends, strict=True)]
        if slowly:
            records: list[Record] = [access_log.blank_or_comment(line) or access_log.read_line(line) for line in lines]
            columns = as_columns(records)
        else:
            columns = access_log.read_batch(batch)
        frames.append(pl.DataFrame(columns).select(_NAMES))
    return pl.concat(frames) if frames else pl.DataFrame()


def check_lines(data: bytes) -> None:
    """Lines of access logs."""
    fast, slow = _read(data, slowly=False), _read(data, slowly=True)
    assert fast.equals(slow), [pair for pair in zip(fast.rows(), slow.rows(), strict=True) if pair[0] != pair[1]][:3]
