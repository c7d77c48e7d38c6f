"""Finds and reads the record to explain: a text, a record of an input, or the record behind a written row."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import FormatError, InputError, UsageError
from etl.reports.source_records import open_records, reading_of, source_input
from etl.runner.published_tables import read
from etl.schema import REQUESTS
from etl.sources.detection import Detected
from etl.sources.planning import ReadOptions
from etl.sources.storage.inputs import STANDARD_INPUT, Input
from etl.sources.storage.locations import InMemory
from etl.warehouse.stores import existing_file, open_store

#: The source of a record that was given as the argument itself.
ARGUMENT: Final = "argument"

_FILE_LINE: Final = re.compile(r"(.+):([0-9]{1,12})", re.DOTALL)
_FOLDER_ID: Final = re.compile(r"(.+):([0-9a-f]{32})", re.DOTALL)
_OBJECT_STORE: Final = re.compile(r"(?:s3|gs|az)://")
#: A text that matches is a record, not the name of a missing file.
_NOT_A_PATH: Final = re.compile(r"[\s?&={\"]|://")

_WITHOUT_CONTENT: Final = ("blank", "comment", "header")
_TABLE_IDS: Final = (("conversions", "conversion_id"), ("rejections", "rejection_id"))


class Target(NamedTuple):
    """The record to explain.

    Attributes:
        requests: The record as a frame with one row of `schema.REQUESTS`.
        detected: The detected format of its input.
        codec: How its input is compressed.
        table: The table that holds the row that was named; None if no row was named.
        written: The row that was named.
        ruleset: Name and digest of the rules that the row was written with.
        notes: Other remarks.
    """

    requests: pl.DataFrame
    detected: Detected
    codec: str
    table: str | None = None
    written: dict[str, Any] | None = None
    ruleset: dict[str, str] | None = None
    notes: tuple[str, ...] = ()


def find_target(what: str, reading: ReadOptions) -> Target:
    """Finds the record that a user names.

    Args:
        what: A URL, query string, JSON payload or line of a log; `-`; `FILE:LINE`; `STORE:CONVERSION_ID`.
        reading: How inputs are read.

    Raises:
        UsageError: The text names no record, or a file without a line.
        FormatError: The text is in no known format.
        InputError: The file, the record or the row does not exist, or cannot be read.
    """
    if what == STANDARD_INPUT:
        return _find_text(Input(STANDARD_INPUT, InMemory(sys.stdin.buffer.read())), reading)
    folder = _FOLDER_ID.fullmatch(what)
    if folder and (_OBJECT_STORE.match(what) or _is_folder(folder[1])):
        return _find_row(folder[1], folder[2], reading)
    line = _FILE_LINE.fullmatch(what)
    if line and (_OBJECT_STORE.match(what) or existing_file(line[1])):
        return _find_record(line[1], int(line[2]), reading)
    if what and not _NOT_A_PATH.search(what):
        _refuse_path(what, (line or folder or [what, what])[1])
    return _find_text(Input(ARGUMENT, InMemory(os.fsencode(what))), reading)


def _refuse_path(what: str, place: str) -> None:
    """Raises an error if a text names a folder, a file without a line, or a missing file."""
    if _is_folder(place):
        raise UsageError(f"{what!r} is a folder.", "Name a row of the tables in it, STORE:CONVERSION_ID.")
    if existing_file(place):
        raise UsageError(f"{what!r} is a file.", "Name one of its records, FILE:LINE.")
    if place != what or "/" in what:
        raise InputError(f"{place} does not exist.", "Check the name.")


def _is_folder(place: str) -> bool:
    try:
        return Path(place).is_dir()
    except OSError:  # too long for a name
        return False


def _find_text(item: Input, reading: ReadOptions) -> Target:
    """Reads the first record of a text that is not blank, a comment or a header."""
    try:
        detected, codec, batches = open_records(item, 1, reading)
    except FormatError as error:
        if "no known format" not in error.problem:
            raise
        raise FormatError(
            "The text is not a URL, query string, JSON, or line of a log in any known format.",
            "Name its format with --format NAME or --log-format, or name a record: FILE:LINE.",
        ) from error
    requests = pl.concat([REQUESTS.empty(), *batches])
    with_content = requests.filter(~pl.col("fault").is_in(_WITHOUT_CONTENT).fill_null(False))
    if not with_content.height:
        raise UsageError("There is nothing to explain: no record was given.", "Give a URL, a payload or FILE:LINE.")
    more = with_content.height - 1
    notes = (f"Only the first record is explained; {more:,} more were given.",) if more else ()
    return Target(with_content.head(1), detected, codec, notes=notes)


def _find_record(place: str, number: int, reading: ReadOptions, digest: str | None = None) -> Target:
    """Reads a record of an input.

    Args:
        place: The input's name, as the tables show it.
        number: The record's number from 1: its line, or its place in an array.
        reading: How the input is read.
        digest: The digest that the input must have; None: any.
    """
    with source_input(place) as item:
        detected, codec, batches = open_records(item, number, reading, digest)
        last = 0
        for requests in batches:
            found = requests.filter(pl.col("record_no") == number)
            if found.height:
                return Target(found, detected, codec)
            last = requests["record_no"][-1] if requests.height else last
    hint = f"Its records are numbered from 1 to {last:,}." if last else "It holds no records."
    raise InputError(f"{place} has no record {number:,}.", hint)


def _find_row(store: str, row_id: str, reading: ReadOptions) -> Target:
    """Reads the record behind a row of the tables of a store."""
    opened = open_store(store)
    for table, column in _TABLE_IDS:
        rows = read(getattr(opened, table).filter(pl.col(column) == row_id)).to_dicts()
        if rows:
            break
    else:
        raise InputError(f"{store} holds no conversion and no rejection {row_id}.", "Copy the id from its tables.")
    (row,) = rows
    if row["source"] == STANDARD_INPUT:
        raise InputError(
            f"{row_id} came from standard input, which cannot be read again.",
            "Save the record to a file and name FILE:1.",
        )
    known: dict[str, Any] = next(
        (entry for entry in opened.manifest["inputs"] if entry["digest"] == row["source_digest"]), {}
    )
    target = _find_record(row["source"], row["record_no"], reading_of(known, reading), row["source_digest"])
    return target._replace(table=table, written=row, ruleset=known.get("ruleset") or opened.manifest["ruleset"])
