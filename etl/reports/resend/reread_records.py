"""Reads lost records again from their sources, where personal values are whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from etl.columnar import json_codec
from etl.errors import ChangedInputError, EtlError
from etl.reports.source_records import open_records, reading_of, source_input
from etl.schema import REQUESTS
from etl.sources.planning import ReadOptions
from etl.sources.settings import make_settings
from etl.sources.storage.inputs import STANDARD_INPUT, Input
from etl.sources.storage.locations import InMemory

_KEYS: Final = ("source", "source_digest", "record_no")
_LINEAGE: Final = (*_KEYS, "byte_offset")
#: How the suggestion for a postback that was not read begins, if options of reading are enough (rules 1.3d).
_BY_COLUMNS: Final = "read it by --columns "


def reread(
    lost: pl.DataFrame, inputs: list[dict[str, Any]], reading: ReadOptions
) -> tuple[pl.DataFrame, dict[str, str], list[str]]:
    """Reads lost records again; postbacks that nothing read are read as their suggestions say.

    Args:
        lost: Rows of `find_lost`.
        inputs: What the manifest says of the inputs.
        reading: The user's options.

    Returns:
        The requests: rows of `schema.REQUESTS`, without those of sources that could not be read; the refusal of each of
        these sources; and notes that say why.
    """
    written = {entry["digest"]: entry for entry in inputs}
    found, refusals, notes = [REQUESTS.empty()], dict[str, str](), list[str]()
    for (source, digest), rows in lost.group_by("source", "source_digest", maintain_order=True):
        if source == STANDARD_INPUT:
            refusals[source] = "source_gone"
            continue
        try:
            numbers = rows["record_no"].sort()
            found += _read_numbers(source, digest, numbers, reading_of(written.get(digest, {}), reading))
        except ChangedInputError as error:
            refusals[source] = "source_changed"
            notes.append(error.problem)
        except EtlError as error:
            refusals[source] = "source_gone"
            notes.append(error.problem)
    return _read_suggested(pl.concat(found), lost, reading), refusals, notes


def _read_numbers(source: str, digest: str, numbers: pl.Series, reading: ReadOptions) -> list[pl.DataFrame]:
    """Reads the records of an input with some numbers, which ascend."""
    found, last = [], numbers[-1]
    with source_input(source) as item:
        for requests in open_records(item, numbers[0], reading, digest).batches:
            found.append(requests.filter(requests["record_no"].is_in(numbers.implode())))
            if requests.height and requests["record_no"][-1] >= last:
                break
    return found


def _read_suggested(requests: pl.DataFrame, lost: pl.DataFrame, reading: ReadOptions) -> pl.DataFrame:
    """Reads the postbacks that nothing read as their suggestions say, where these name columns."""
    is_suggested = pl.col("suggestion").str.starts_with(_BY_COLUMNS)
    unread = lost.filter(pl.col("reasons").list.contains("unread_postback") & is_suggested)
    if not unread.height:
        return requests
    known = requests.join(unread.select(*_KEYS, "suggestion"), on=_KEYS, how="inner", maintain_order="left")
    read = pl.concat([REQUESTS.empty(), *_read_by_columns(known, reading)])
    return pl.concat([requests.join(read, on=_KEYS, how="anti"), read])


def _read_by_columns(unread: pl.DataFrame, reading: ReadOptions) -> Iterator[pl.DataFrame]:
    """Yields the requests in the texts of records, which are read as JSON lines by the columns of each suggestion."""
    for (suggestion,), rows in unread.group_by("suggestion", maintain_order=True):
        named = str(suggestion).removeprefix(_BY_COLUMNS).split(",")
        columns = dict(part.split("=", 1) for part in named)
        settings = make_settings(reading.settings.timezone, columns, None)
        settings = settings._replace(collect_path=reading.settings.collect_path)
        lines = "\n".join(json_codec.compact(json_codec.parse(raw.encode())) for raw in rows["raw"])
        item = Input("suggested", InMemory(lines.encode()))
        records = open_records(item, 1, ReadOptions("jsonl", None, settings, reading.max_record_bytes))
        read = pl.concat([REQUESTS.empty(), *records.batches])
        if read.height != rows.height:
            continue
        at = read["received_at"].zip_with(read["received_at"].is_not_null(), rows["received_at"])
        yield read.with_columns(*rows.select(_LINEAGE), at).select(REQUESTS.names)
