"""Parses text tables: CSV, TSV and semicolon files, and the output of Postgres COPY."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from etl.columnar import json_codec
from etl.columnar.delimited_rows import DELIMITERS, Layout, copy_cells, row_patterns
from etl.sources.format import Format, LayoutReader, Reader, Settings
from etl.sources.readers.column_guessing import GUESSES, are_parameters, folded, guess_columns, read_row, squeezed
from etl.sources.readers.second_records import second_record
from etl.sources.record import Record

#: Column names that mark a header, besides the names of parameters.
_KNOWN: Final = frozenset(squeezed(name) for guesses in GUESSES.values() for name in guesses)
_NAME: Final = re.compile(r"[\w .()\[\]/#:@-]{1,64}")
_SAMPLED: Final = 100

_COPY: Final = re.compile(rb"COPY \S+ \((.+)\) FROM stdin;", re.IGNORECASE)

csv.field_size_limit(2**31 - 1)


def cells_of(record: bytes, delimiter: str) -> list[str] | None:
    """Splits a row into cells; None if a quote is not closed. Bytes that are not UTF-8 become lone surrogates."""
    if not row_patterns(delimiter).whole.fullmatch(record):
        return None
    text = record.decode("utf-8", "surrogateescape")
    try:
        return next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:
        return None


#: The cells of a sampled row: detection asks several times for each.
_cells: Final = lru_cache(maxsize=512)(cells_of)


def is_header(cells: list[str]) -> bool:
    """Whether cells are distinct column names, at least one of which is known."""
    names = [folded(cell) for cell in cells]
    are_names = len(set(names)) == len(names) > 1 and all(_NAME.fullmatch(name) for name in names)
    return are_names and (are_parameters(names) or not _KNOWN.isdisjoint(map(squeezed, names)))


def sample_columns(row: Format, records: list[bytes], settings: Settings) -> tuple[tuple[str, str], ...] | None:
    """Guesses which column of a table holds which part of a request, from its first records.

    Args:
        row: One of `FORMATS`.
        records: The first records of the table.
        settings: The user's settings; columns that the user named take precedence.

    Returns:
        (role, column) pairs; None if the records are not a table in this format.
    """
    if row.name == "postgres_copy":
        return _sample_copy(records, settings)
    parsed = [_cells(record, DELIMITERS[row.name]) for record in records if record.strip()]
    tables = [cells for cells in parsed if cells and len(cells) > 1]
    if not tables or len(tables) * 2 <= len(parsed):
        return None
    if is_header(tables[0]) or _has_user_column(tables[0], settings):
        header, rows = tables[0], tables[1 : _SAMPLED + 1]
        return _guess_columns(header, rows, settings) if are_parameters(header) or rows else None
    return _guess_headerless_columns(tables, settings)


def sample_rows(row: Format, records: list[bytes], settings: Settings) -> tuple[list[str], list[dict[str, str]]] | None:
    """Returns the column names of a table and its first rows, by column; None if the records are no such table.

    Columns without a header are named by number, from 1.
    """
    if row.name == "postgres_copy":
        begin = next((i for i, record in enumerate(records) if _COPY.fullmatch(record.strip())), None)
        if begin is None:
            return None
        header = _copied_names(_COPY.fullmatch(records[begin].strip()))  # type: ignore[arg-type]
        tables = [copy_cells(record) for record in records[begin + 1 :][:_SAMPLED] if b"\t" in record]
        return header, [_filled(header, cells) for cells in tables]
    filled = [record for record in records[: _SAMPLED + 1] if record.strip()]
    tables = [
        cells for record in filled if (cells := _cells(record, DELIMITERS[row.name])) and _is_quoted(record, cells)
    ]
    if not tables or sum(len(cells) == len(tables[0]) for cells in tables) * 2 <= len(filled):
        return None
    names = _names(tables[0])
    if len(set(names)) == len(names) and (all(map(_NAME.fullmatch, names)) or _has_user_column(names, settings)):
        return names, [_filled(names, cells) for cells in tables[1:]]
    numbers = _numbers(tables[0])
    is_plain = len(numbers) == 1 or not records[0].startswith(b'"')
    return numbers[is_plain:], [_filled(numbers, cells) for cells in tables]


def _is_quoted(record: bytes, cells: list[str]) -> bool:
    """Whether quotes within the cells of a row are doubled, as in CSV; between tabs, they need not be."""
    return b"\t" in record or b'""' in record or not any('"' in cell for cell in cells)


def _has_user_column(header: list[str], settings: Settings) -> bool:
    """Whether a header contains a column that the user named."""
    return any(name in header for _, name in settings.columns)


def _guess_columns(header: list[str], rows: list[list[str]], settings: Settings) -> tuple[tuple[str, str], ...] | None:
    """Guesses columns of a table with a header; None if no column holds requests and none is a parameter."""
    columns = guess_columns(header, [_filled(header, cells) for cells in rows], settings)
    request_roles = {role for role, _ in columns} - {"received_at"}
    return columns if request_roles or are_parameters(header) else None


def _guess_headerless_columns(rows: list[list[str]], settings: Settings) -> tuple[tuple[str, str], ...] | None:
    """Guesses columns of a table without a header by contents: the first column of objects, the first of times.

    Columns are named by number, from 1. None if there is no column of objects.
    """
    width = len(rows[0])
    regular = [cells for cells in rows[:_SAMPLED] if len(cells) == width]
    header = _numbers(rows[0])
    columns = dict(guess_columns(header, [_filled(header, cells) for cells in regular], settings))
    if "payload" not in columns or len(regular) * 2 <= len(rows[:_SAMPLED]):
        return None
    times = (name for i, name in enumerate(header) if all(_TIME.match(cells[i]) for cells in regular))
    time = columns.get("received_at") or next(times, None)
    return (
        (*columns.items(), ("received_at", time)) if time and "received_at" not in columns else tuple(columns.items())
    )


_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d")


#: A glued cell ends with a time of at most this many characters.
_GLUED_CHARS: Final = 64
#: Roles of columns, and how their cells begin.
_BEGINNINGS: Final = {
    "received_at": _TIME,
    **dict.fromkeys(("payload", "body"), re.compile(r"\s*\{")),
    **dict.fromkeys(("url", "target", "path"), re.compile(r"https?://|/")),
}


def _filled(header: list[str], cells: list[str]) -> dict[str, str]:
    """Returns column -> cell, without empty cells."""
    return {name: cell for name, cell in zip(header, cells, strict=False) if cell}


#: Takes the rows of a table in order, and returns the cells of a row by column, or what else the row is.
CellReader = Callable[[bytes], "dict[str, str] | Record"]


def start(rows: tuple[Format, ...], settings: Settings) -> Reader:
    """Creates a reader for one table, from its first row."""
    return _row_reader(start_cells(rows[0].name, settings), settings)


def _row_reader(cells_of_row: CellReader, settings: Settings) -> Reader:
    """Creates a reader for the rows of one table."""

    def read(record: bytes) -> Record:
        cells = cells_of_row(record)
        return cells if isinstance(cells, Record) else read_row(cells, settings)

    return read


def start_cells(kind: str, settings: Settings) -> CellReader:
    """Creates a reader for the cells of one table in a grammar of `DELIMITERS`, from its first row."""
    delimiter = DELIMITERS[kind]
    header: list[str] = []
    is_headerless = has_numbered_columns(settings)

    def read(record: bytes) -> dict[str, str] | Record:
        if not record.strip():
            return Record("blank")
        cells = cells_of(record, delimiter)
        if cells is None:
            return Record("malformed_record", "A quoted cell is not closed")
        if not header:
            header.extend(_numbers(cells) if is_headerless else _names(cells))
            if not is_headerless:
                return Record("header")
        if not is_headerless and _names(cells) == header:
            return Record("header")
        return _read_cells(header, cells, settings)

    return read


def _names(cells: list[str]) -> list[str]:
    """Returns the column names in a header."""
    return [cell.strip() for cell in cells]


def _numbers(cells: list[str]) -> list[str]:
    """Returns the names of columns without a header: their numbers from 1."""
    return [str(i + 1) for i in range(len(cells))]


def start_layout_reader(rows: tuple[Format, ...], settings: Settings) -> LayoutReader:
    """Creates a layout reader for one table; the first well-formed row names the columns."""
    kind = rows[0].name
    known = [Layout(kind).text] if has_numbered_columns(settings) else []

    def read(record: bytes) -> str | None:
        if not known and record.strip():
            cells = cells_of(record, DELIMITERS[kind])
            known.extend([] if cells is None else [Layout(kind, tuple(_names(cells))).text])
        return known[0] if known else None

    return read


def has_numbered_columns(settings: Settings) -> bool:
    """Whether the settings name columns by number, as for a table without a header."""
    return bool(settings.columns) and all(name.isdigit() for _, name in settings.columns)


def _read_cells(header: list[str], cells: list[str], settings: Settings) -> dict[str, str] | Record:
    """Returns the cells of a row by column; malformed if cells are missing or surplus cells are not empty."""
    surplus = cells[len(header) :]
    if surplus and _fits(header, cells[-len(header) :], settings):
        before = ",".join(cells[: len(surplus)]).encode("utf-8", "surrogateescape")
        return second_record(len(before) + 1)
    if len(cells) < len(header) or any(surplus):
        return Record("malformed_record", f"{len(cells)} cells, but the table has {len(header)} columns")
    return _filled(header, cells)


def _fits(header: list[str], cells: list[str], settings: Settings) -> bool:
    """Whether the last cells of a row that is too long are a row: a time and a request stand where they should."""
    places = [(header.index(name), role) for role, name in settings.columns if role in _BEGINNINGS and name in header]
    texts = ((cells[place][-_GLUED_CHARS * (place == 0) :], _BEGINNINGS[role]) for place, role in places)
    return bool(places) and all(pattern.search(text) for text, pattern in texts)


def claims(row: Format, record: bytes) -> bool:
    """Whether a record is the header of a table in the given format."""
    cells = cells_of(record, DELIMITERS[row.name])
    return bool(cells and is_header(cells))


def start_copy(_rows: tuple[Format, ...], settings: Settings) -> Reader:
    r"""Creates a reader for COPY text: rows between `COPY ... FROM stdin;` and `\.` in a dump, or rows alone."""
    return _row_reader(start_copied_cells("postgres_copy", settings), settings)


def start_copied_cells(_kind: str, settings: Settings) -> CellReader:
    """Creates a reader for the cells of COPY text."""
    header: list[str] = []
    is_alone = has_numbered_columns(settings)

    def read(line: bytes) -> dict[str, str] | Record:
        begin = _COPY.fullmatch(line.strip())
        if begin:
            header[:] = _copied_names(begin)
            return Record("header")
        if line.rstrip() == b"\\.":
            header.clear()
            return Record("header")
        if not header and not is_alone:
            return Record("header" if line.strip() else "blank")
        cells = copy_cells(line)
        return _read_cells(header or _numbers(cells), cells, settings)

    return read


def _copied_names(begin: re.Match[bytes]) -> list[str]:
    """Returns the column names in a `COPY ... FROM stdin;` line."""
    return [name.strip(' "') for name in begin[1].decode("utf-8", "replace").split(",")]


def start_copy_layout_reader(_rows: tuple[Format, ...], settings: Settings) -> LayoutReader:
    """Creates a layout reader for COPY text; the `COPY ... FROM stdin;` line names the columns."""
    alone = Layout("postgres_copy").text if has_numbered_columns(settings) else None
    known = alone

    def read(line: bytes) -> str | None:
        nonlocal known
        begin = _COPY.fullmatch(line.strip())
        if begin:
            known = Layout("postgres_copy", tuple(_copied_names(begin))).text
        elif line.rstrip() == b"\\.":
            known = alone
        return known

    return read


def claims_copy(_row: Format, line: bytes) -> bool:
    """Whether a line is the `COPY ... FROM stdin;` line before a table's rows in a Postgres dump."""
    return bool(_COPY.fullmatch(line.strip()))


def _sample_copy(records: list[bytes], settings: Settings) -> tuple[tuple[str, str], ...] | None:
    """Guesses columns of COPY text, with or without its `COPY ... FROM stdin;` line; None if it is not COPY text."""
    begin = next((i for i, record in enumerate(records) if _COPY.fullmatch(record.strip())), None)
    if begin is None:
        lines = [record for record in records if b"\t" in record and record.rstrip() != b"\\."]
        rows = [copy_cells(line) for line in lines]
        is_copied = bool(rows) and not is_header(rows[0]) and any(map(_is_copied, lines))
        return _guess_headerless_columns(rows, settings) if is_copied else None
    header = _copied_names(_COPY.fullmatch(records[begin].strip()))  # type: ignore[arg-type]
    rows = [copy_cells(record) for record in records[begin + 1 :][:_SAMPLED] if b"\t" in record]
    return _guess_columns(header, rows, settings)


def _is_copied(line: bytes) -> bool:
    r"""Whether a row contains text that only COPY writes: `\N`, or a JSON object with escaped escapes."""
    return any(cell == rb"\N" or (cell[:1] == b"{" and not json_codec.is_json(cell)) for cell in line.split(b"\t"))


def start_objects(_rows: tuple[Format, ...], settings: Settings) -> Reader:
    """Creates a reader for rows written as JSON objects, column -> value (Parquet)."""

    def read(record: bytes) -> Record:
        row: Mapping[str, Any] = json_codec.parse_exactly(record)
        return read_row({name: value for name, value in row.items() if value not in (None, "")}, settings)

    return read


_CSV: Final = "https://www.rfc-editor.org/rfc/rfc4180"

FORMATS: Final = (
    Format(
        "postgres_copy",
        "copy",
        "Postgres COPY in text format, alone or within a pg_dump file",
        "https://www.postgresql.org/docs/current/sql-copy.html",
        (b"COPY public.webhooks (id, created_at, payload) FROM stdin;",),
        moment="start",
        is_zoned=False,
        is_body_logged=True,
    ),
    Format(
        "csv",
        "table",
        "CSV with a column of payloads, URLs or queries, or a header that names columns like the parameters",
        _CSV,
        (b"click_id,value,currency", b'id,created_at,payload\n1,2024-05-01 12:00:00,"{""click_id"": ""a""}"'),
        moment="start",
        is_zoned=False,
        is_body_logged=True,
    ),
    Format(
        "tsv",
        "table",
        "Like csv, with tabs between cells",
        "https://www.iana.org/assignments/media-types/text/tab-separated-values",
        (b"click_id\tvalue\tcurrency",),
        moment="start",
        is_zoned=False,
        is_body_logged=True,
    ),
    Format(
        "semicolon",
        "table",
        "Like csv, with semicolons between cells, as Excel writes CSV in much of Europe",
        _CSV,
        (b"click_id;value;currency",),
        moment="start",
        is_zoned=False,
        is_body_logged=True,
    ),
)
