"""Parses raw records again, without the input they came from.

This needs a short description of the input: its format, columns, time zone and table header. The description is stored
as JSON. It does not suffice for W3C logs and Postgres dumps with named columns, whose column names may change within
the file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from etl.columnar.delimited_rows import DELIMITERS
from etl.sources.body_arrays import read_element
from etl.sources.carried import carried_settings, complete, opener_of, outermost_row
from etl.sources.carriers.known_carriers import BEFORE_DESCRIBED
from etl.sources.carriers.opening import Opened
from etl.sources.detection import Detected
from etl.sources.format import Format, Settings
from etl.sources.formats.log_format import compile_log_format
from etl.sources.formats.registry import BY_NAME, RETIRED, start_layout_reader, start_reader
from etl.sources.framing import StreamPart, read_batches
from etl.sources.planning import ReadOptions
from etl.sources.readers.csv_tables import has_numbered_columns
from etl.sources.record import as_columns
from etl.sources.records.lines import Batch
from etl.sources.splits import batch_reader

_LISTS: Final = ("marks", "container")
_SEVERAL: Final = "Its raw record holds several records; only its input says which of them it is"


class Origin(NamedTuple):
    """How an input was read; enough to parse its raw records again.

    Attributes:
        row: The format of the input.
        framing: How the input was cut into records.
        settings: The user's settings, with the columns that were found.
        header: For tables: the record that names the columns.
        carriers: The names of the carriers of the records.
    """

    row: Format
    framing: str
    settings: Settings
    header: str | None = None
    carriers: tuple[str, ...] = ()

    @property
    def outermost(self) -> Format:
        """The table whose cells carry the records, if there is one; else the format of the records."""
        return outermost_row(self.row, self.carriers)

    @property
    def is_self_contained(self) -> bool:
        """Whether a record can be parsed without the records before it."""
        family = self.outermost.family
        if family == "table":
            return self.header is not None or has_numbered_columns(self.settings)
        return family != "w3c" and (family != "copy" or has_numbered_columns(self.settings))

    @property
    def layout(self) -> str | None:
        """The layout text of the input's records, if they are rows of one table; else None."""
        header = (self.header or "").encode("utf-8", "surrogateescape")
        return start_layout_reader(self.outermost, self.settings)(header)


def is_table(found: Detected) -> bool:
    """Whether the first record of an input says what the others hold."""
    return outermost_row(found.row, found.carriers).family == "table"


def describe_origin(found: Detected, reading: ReadOptions, head: bytes) -> dict[str, Any]:
    """Describes how an input was read, as plain data for JSON.

    Args:
        found: The format of the input.
        reading: The user's options.
        head: The first decompressed bytes of the input.
    """
    settings = reading.settings._replace(columns=found.columns or reading.settings.columns)
    return {
        "format": found.row.name,
        "log_format": reading.log_format,
        "framing": found.framing,
        "timezone": settings.timezone,
        "columns": settings.columns,
        "time": settings.time,
        "carriers": found.carriers,
        "has_array_bodies": settings.has_array_bodies,
        "formats": [_format_as_data(row) for row in settings.formats],
        "header": _header(found, settings, head),
    }


def origin_of(described: dict[str, Any]) -> Origin:
    """Restores an origin from its description by `describe_origin`."""
    own = tuple(_format_from_data(row) for row in described["formats"])
    columns = tuple((role, name) for role, name in described["columns"])
    settings = Settings(
        described["timezone"],
        columns,
        described.get("time", Settings().time),
        own,
        has_array_bodies=described.get("has_array_bodies", False),
    )
    known = {row.name: row for row in own}
    name, log_format = described["format"], described["log_format"]
    row = compile_log_format(log_format) if log_format else known.get(name) or RETIRED.get(name) or BY_NAME[name]
    carriers = tuple(described.get("carriers", BEFORE_DESCRIBED))
    return Origin(row, described["framing"], settings, described["header"], carriers)


def origin_json(described: dict[str, Any]) -> str:
    """Returns a description as ASCII JSON. Names that are not valid UTF-8 are escaped, too."""
    return json.dumps(described, sort_keys=True)


def read_again(origin: Origin, raws: Sequence[str]) -> dict[str, pl.Series]:
    """Parses raw records into the columns of `schema.REQUESTS` that a reader fills. Never raises, whatever the text.

    Args:
        origin: How the records' input was read.
        raws: The whole text of each record.

    Returns:
        Columns with one row per record, in the order of `raws`.
    """
    before = [] if origin.header is None else [origin.header]
    texts = [text.encode("utf-8", "surrogateescape") for text in (*before, *raws)]
    settings = carried_settings(origin.settings, origin.carriers)
    read = batch_reader(origin.row, origin.framing, settings, is_carried=bool(origin.carriers))
    batch = _batch(texts)
    opened = Opened(batch, batch, [], [], {})
    if origin.carriers:
        opened = opener_of(origin.row, origin.settings, origin.carriers).open(batch)
    columns = complete(read(opened.records), opened, origin.settings)
    _, firsts, counts = np.unique(opened.records.offsets, return_index=True, return_counts=True)
    several = np.flatnonzero(counts > 1).tolist()
    columns = {name: values.gather(firsts) for name, values in columns.items()}
    columns["fault"] = columns["fault"].scatter(several, "malformed_record")
    columns["fault_message"] = columns["fault_message"].scatter(several, _SEVERAL)
    columns = {name: values[len(before) :] for name, values in columns.items()}
    return _with_elements(columns, raws, origin.settings.collect_path) if origin.settings.has_array_bodies else columns


def _with_elements(columns: dict[str, pl.Series], raws: Sequence[str], path: str) -> dict[str, pl.Series]:
    """Replaces what was read of elements of arrays, whose raw records are envelopes whatever the input's format is."""
    found = {i: record for i, raw in enumerate(raws) if (record := read_element(raw, path))}
    places = np.arange(len(raws))
    places[list(found)] = np.arange(len(found)) + len(raws)
    exact = as_columns(list(found.values()))
    return {name: pl.concat([values, exact[name]], rechunk=True)[places] for name, values in columns.items()}


def _batch(texts: list[bytes]) -> Batch:
    """Makes a batch in which each text is a line."""
    ends = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64) - 1
    starts = np.append(0, ends + 1)[:-1]
    return Batch(np.frombuffer(b"".join(text + b"\n" for text in texts), np.uint8), starts, ends, starts, {})


def _header(found: Detected, settings: Settings, head: bytes) -> str | None:
    """Returns the header record of a table; None if the input is not a table or its beginning has no header."""
    row = outermost_row(found.row, found.carriers)
    if not is_table(found) or has_numbered_columns(settings):
        return None
    read = start_reader(row, settings)
    part = StreamPart(found.framing, 0, len(head), max(len(head), 1), delimiter=DELIMITERS[row.name])
    records = (text for batch in read_batches(io.BytesIO(head), part) for text in batch.texts())
    return next((text.decode("utf-8", "surrogateescape") for text in records if read(text).fault == "header"), None)


def _format_as_data(row: Format) -> dict[str, Any]:
    """Returns a format as plain data for JSON, without samples and functions."""
    pattern = row.pattern and row.pattern.decode("latin-1")
    return {**row._asdict(), "samples": (), "pattern": pattern, "read": None}


def _format_from_data(plain: dict[str, Any]) -> Format:
    """Restores a format from plain data."""
    pattern, keys = plain["pattern"], plain["keys"]
    return Format(
        **{
            **plain,
            **{name: tuple(plain[name]) for name in _LISTS},
            "samples": (),
            "pattern": pattern and pattern.encode("latin-1"),
            "keys": keys and {role: tuple(paths) for role, paths in keys.items()},
        }
    )
