"""Lists all formats that this tool reads, and the families with their readers.

A format's samples are its test: the family's reader can parse them, and no other format claims them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
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
    LayoutReader,
    Reader,
    Settings,
)
from etl.sources.formats import json_logs, lambda_events, text, text_frameworks, webhook_captures
from etl.sources.readers import (
    access_log,
    address_in_line,
    csv_tables,
    json_records,
    parquet_tables,
    plain_text,
    text_lines,
    w3c,
)
from etl.sources.readers.second_records import head_of, is_second_record
from etl.sources.readers.text_lines import without_colours
from etl.sources.record import Record

BARE_LINES: Final = Format(
    "jsonl",
    "json",
    "JSON lines: one bare payload or envelope per line",
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
    json_logs.NESTED,
    *text.FORMATS,
    *text_frameworks.FRAMEWORKS,
    *w3c.FORMATS,
    *csv_tables.FORMATS,
    *plain_text.FORMATS,
    *parquet_tables.FORMATS,
    BARE_LINES,
    BARE_DOCUMENTS,
    address_in_line.FORMAT,
)
BY_NAME: Final = {row.name: row for row in FORMATS}

#: Names of former formats that are carriers now, and the format of what they carried.
RETIRED: Final = {"docker": BARE_LINES, "log_wrapper": access_log.FORMATS[0]}


def is_free_text(line: bytes, settings: Settings) -> bool:
    """Whether a line can be read by its address alone, and no format claims it."""
    others = (row for row in FORMATS if FAMILIES[row.family].framing == LINES and row != address_in_line.FORMAT)
    return not any(FAMILIES[row.family].claims(row, line) for row in others) and address_in_line.claims(line, settings)


FAMILIES: Final[dict[str, Family]] = {
    "access_log": Family(LINES, access_log.start, access_log.claims),
    "json": Family(LINES, json_records.start, json_records.claims),
    "text": Family(LINES, text_lines.start, text_lines.claims),
    "custom": Family(LINES, text_lines.start, text_lines.claims),
    "plain_text": Family(LINES, plain_text.start, text_lines.claims),
    "dated_json": Family(BLOCKS, plain_text.start_dated, plain_text.claims_dated),
    "w3c": Family(HEADED, w3c.start, w3c.claims, start_layout_reader=w3c.start_layout_reader),
    "table": Family(
        TABLE_ROWS,
        csv_tables.start,
        csv_tables.claims,
        start_layout_reader=csv_tables.start_layout_reader,
    ),
    "copy": Family(
        HEADED,
        csv_tables.start_copy,
        csv_tables.claims_copy,
        start_layout_reader=csv_tables.start_copy_layout_reader,
    ),
    "address_in_line": Family(LINES, address_in_line.start, lambda _row, line: is_free_text(line, Settings())),
    "parquet": Family(PARQUET, csv_tables.start_objects, lambda _row, _record: False),
}


#: A query or form that stands alone.
_FORM: Final = re.compile(rb"\??[A-Za-z_][\w.\[\]%+-]*=[^\s\"]*\s*")

#: A line as the only cell of a row.
_CELL: Final = re.compile(rb'"[^"]*""(?:[^"]|"")*"')

#: Faults of lines that colours or quotes may hide.
_HIDDEN: Final = ("malformed_record", "unread_postback", "not_a_request")

#: Families whose lines may be mixed in one file.
_MIXED: Final = ("text", "access_log", "json")
#: Families of lines that may stand among lines in no format.
_TEXTS: Final = (*_MIXED, "plain_text", "custom", "address_in_line")


def rows_of(family: str, settings: Settings) -> tuple[Format, ...]:
    """Returns the formats of a family: the user's own formats, then the built-in formats."""
    return tuple(row for row in (*settings.formats, *FORMATS) if row.family == family)


def claimant_of(rows: tuple[Format, ...]) -> Callable[[bytes], Format | None]:
    """Returns a function for the first of some formats of one family that claims a record; None if none does."""
    if any(BY_NAME.get(row.name) != row for row in rows):
        return _claimant(rows)
    return _known_claimant(tuple(row.name for row in rows))


@lru_cache(maxsize=64)
def _known_claimant(names: tuple[str, ...]) -> Callable[[bytes], Format | None]:
    """Returns the claimant of built-in formats, made once for all inputs."""
    return _claimant(tuple(BY_NAME[name] for name in names))


def _claimant(rows: tuple[Format, ...]) -> Callable[[bytes], Format | None]:
    """Returns the claimant of formats of one family."""
    if rows and rows[0].family == "json":
        return json_records.claimant(rows)
    claims = FAMILIES[rows[0].family].claims if rows else None
    return lambda record: next((row for row in rows if claims and claims(row, record)), None)


def start_reader(row: Format, settings: Settings, *, is_carried: bool = False) -> Reader:
    """Creates a reader for the whole family of a format, which tries this format first.

    Servers write several kinds of lines into one file. So lines that the reader of a log family cannot parse are tried
    with the readers of the other log families.

    Args:
        row: The format.
        settings: The user's settings.
        is_carried: Whether carriers held the records. Then a record may be a form, too.
    """
    read = _start(row.family, settings, row)
    is_mixed = row.family in (*_MIXED, "address_in_line") or (is_carried and row.family == "plain_text")
    others = [_start(name, settings) for name in _MIXED if name != row.family] if is_mixed else []
    read_form = _start("plain_text", settings) if is_carried else None
    is_wanted = _is_read if row.family == "plain_text" else _is_logged
    is_free = row.family == "address_in_line"

    def read_any(record: bytes) -> Record:
        parsed = read(record)
        if parsed.fault != "malformed_record" or is_second_record(parsed):
            return parsed
        if read_form and _FORM.fullmatch(record):
            return read_form(record)
        found = [start(record) for start in others]
        return next((other for other in found if is_wanted(other) or is_second_record(other)), parsed)

    if row.family not in _TEXTS:
        return read
    last = address_in_line.read_last(read_any if others else read, _heads(settings, row), settings, is_free=is_free)

    def read_plain(record: bytes) -> Record:
        """Reads a record without the colours of a console, or the quotes of a cell, that hide what it is."""
        if b"\x1b[" in record:
            plain = last(without_colours(record))
            if plain.fault not in _HIDDEN or plain.path is not None:
                return plain
        parsed = last(record)
        if parsed.fault not in _HIDDEN:
            return parsed
        return last(record[1:-1].replace(b'""', b'"')) if _CELL.fullmatch(record) else parsed

    return read_plain


def _heads(settings: Settings, row: Format) -> list[re.Pattern[bytes]]:
    """Returns what records of formats of text begin with, up to the request; also those of the format `row`."""
    rows = (*rows_of("text", settings), *(() if row.family != "custom" else (row,)))
    heads = (head_of(one.pattern or b"", reaches_request=True) for one in rows)
    return [access_log.HEAD, *filter(None, heads)]


def _is_logged(record: Record) -> bool:
    """Whether a record is a line of an access log, and not a bare payload or a malformed line."""
    return record.fault == "not_a_request" or (record.fault is None and record.path is not None)


def _is_read(record: Record) -> bool:
    """Whether a record could be read."""
    return record.fault != "malformed_record"


def _start(family: str, settings: Settings, first: Format | None = None) -> Reader:
    """Creates a reader for a family, which tries the format `first` before the others."""
    rows = rows_of(family, settings)
    ordered = (first, *(row for row in rows if row != first)) if first else rows
    return FAMILIES[family].start(ordered, settings)


def start_layout_reader(row: Format, settings: Settings) -> LayoutReader:
    """Creates a layout reader for one split; it returns None for every record of a family without tables."""
    start = FAMILIES[row.family].start_layout_reader
    return start((row,), settings) if start else lambda _record: None


def framing_of(row: Format) -> str:
    """Returns the default framing of a format, if samples do not show another."""
    return DOCUMENTS if row.container or row == BARE_DOCUMENTS else FAMILIES[row.family].framing
