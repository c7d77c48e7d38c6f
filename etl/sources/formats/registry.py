"""The formats this tool reads: every row, and the families whose readers read them.

A row's samples are its test: its family's reader reads them, and no other row claims them.
"""

from __future__ import annotations

from typing import Final

from etl.sources.format import (
    BLOCKS,
    DOCUMENTS,
    HEADED,
    LINES,
    PARQUET,
    TABLE_ROWS,
    Family,
    Format,
    Layouts,
    Reader,
    Settings,
)
from etl.sources.formats import json_logs, lambda_events, text, webhook_captures
from etl.sources.readers import access_log, csv_tables, json_records, parquet_tables, plain_text, text_lines, w3c
from etl.sources.record import Record

BARE_LINES: Final = Format(
    "jsonl",
    "json",
    "JSON lines: one bare payload or envelope a line",
    "https://jsonlines.org",
    (b'{"click_id": "a", "value": 12.5}', b'{"method": "GET", "path": "/a/collect/b", "query": "click_id=a"}'),
    moment="none",
    is_body_logged=True,
)
BARE_DOCUMENTS: Final = Format(
    "json",
    "json",
    "JSON: an array of payloads or envelopes, or objects one after another over several lines",
    "https://www.rfc-editor.org/rfc/rfc8259",
    moment="none",
    is_body_logged=True,
)

FORMATS: Final[tuple[Format, ...]] = (
    *access_log.FORMATS,
    *json_logs.FORMATS,
    *webhook_captures.FORMATS,
    *lambda_events.FORMATS,
    *text.FORMATS,
    *w3c.FORMATS,
    *csv_tables.FORMATS,
    *plain_text.FORMATS,
    *parquet_tables.FORMATS,
    BARE_LINES,
    BARE_DOCUMENTS,
)
BY_NAME: Final = {row.name: row for row in FORMATS}

FAMILIES: Final[dict[str, Family]] = {
    "access_log": Family(LINES, access_log.start, access_log.claims),
    "json": Family(LINES, json_records.start, json_records.claims),
    "text": Family(LINES, text_lines.start, text_lines.claims),
    "custom": Family(LINES, text_lines.start, text_lines.claims),
    "plain_text": Family(LINES, plain_text.start, text_lines.claims, is_shipped=False),
    "dated_json": Family(BLOCKS, plain_text.start_dated, plain_text.claims_dated, is_shipped=False),
    "w3c": Family(HEADED, w3c.start, w3c.claims, is_shipped=False, layouts=w3c.start_layouts),
    "table": Family(
        TABLE_ROWS, csv_tables.start, csv_tables.claims, is_shipped=False, layouts=csv_tables.start_layouts
    ),
    "copy": Family(
        HEADED, csv_tables.start_copy, csv_tables.claims_copy, is_shipped=False, layouts=csv_tables.start_copy_layouts
    ),
    "parquet": Family(PARQUET, csv_tables.start_objects, lambda _row, _record: False, is_shipped=False),
}


#: Families whose lines may stand beside each other in a file.
_MIXED: Final = ("text", "access_log", "json")


def rows_of(family: str, settings: Settings) -> tuple[Format, ...]:
    """A family's rows, a user's own before those built in."""
    return tuple(row for row in (*settings.formats, *FORMATS) if row.family == family)


def start_reader(row: Format, settings: Settings) -> Reader:
    """A reader of a row's whole family, which reads this row first.

    Lines of logs that the family cannot read are read as what they are: servers write several kinds into one file.
    """
    read = _start(row.family, settings, row)
    others = [_start(name, settings) for name in _MIXED if name != row.family] if row.family in _MIXED else []

    def read_any(record: bytes) -> Record:
        seen = read(record)
        if seen.fault != "malformed_record":
            return seen
        return next((other for start in others if _is_logged(other := start(record))), seen)

    return read_any if others else read


def _is_logged(record: Record) -> bool:
    """Whether a record is a line of an access log, and neither a bare payload nor nothing known."""
    return record.fault == "not_a_request" or (record.fault is None and record.path is not None)


def _start(family: str, settings: Settings, first: Format | None = None) -> Reader:
    rows = rows_of(family, settings)
    ordered = (first, *(row for row in rows if row != first)) if first else rows
    return FAMILIES[family].start(ordered, settings)


def start_layouts(row: Format, settings: Settings) -> Layouts:
    """What tells the layouts of the records of one split."""
    layouts = FAMILIES[row.family].layouts
    return layouts((row,), settings) if layouts else lambda _record: None


def framing_of(row: Format) -> str:
    """How records of a format are cut out of bytes, where the bytes do not tell."""
    return DOCUMENTS if row.container or row == BARE_DOCUMENTS else FAMILIES[row.family].framing
