"""The formats this tool reads: every row, and the families whose readers read them.

A row's samples are its test: its family's reader reads them, and no other row claims them.
"""

from __future__ import annotations

from typing import Final

from etl.sources import (
    access_logs,
    captures,
    json_formats,
    json_records,
    lambda_events,
    log_format,
)
from etl.sources.format_rows import DOCUMENTS, LINES, Family, Format, Reader, Settings
from etl.sources.message_envelopes import unwrapped
from etl.sources.requests import Record

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

JSON_FORMATS: Final = (*json_formats.FORMATS, *captures.FORMATS, *lambda_events.FORMATS)

FORMATS: Final[tuple[Format, ...]] = (
    *access_logs.FORMATS,
    *JSON_FORMATS,
    BARE_LINES,
    BARE_DOCUMENTS,
)
BY_NAME: Final = {row.name: row for row in FORMATS}


def _start_json(rows: tuple[Format, ...], settings: Settings) -> Reader:
    read_one = json_records.start(rows, settings)

    def read(record: bytes) -> Record:
        inner = unwrapped(record)
        if len(inner) > 1:
            return Record("malformed_record", f"A message of {len(inner)} records, where one was expected")
        return read_one(inner[0])

    return read


FAMILIES: Final[dict[str, Family]] = {
    "access_log": Family(LINES, access_logs.start, access_logs.claims),
    "json": Family(LINES, _start_json, json_records.claims),
    "custom": Family(LINES, log_format.start, lambda _row, _line: False),
}


def start_reader(row: Format, settings: Settings) -> Reader:
    """A reader of a row's whole family, and of a user's own rows in it."""
    own = tuple(other for other in settings.formats if other.family == row.family)
    rows = tuple(other for other in FORMATS if other.family == row.family)
    return FAMILIES[row.family].start((*own, *rows), settings)


def framing_of(row: Format) -> str:
    """How records of a format are cut out of bytes, where the bytes do not tell."""
    return DOCUMENTS if row.container or row is BARE_DOCUMENTS else FAMILIES[row.family].framing
