"""Records read again from the text that was kept of each, without the input they stood in.

What a reader has to know of an input for that is little, and is kept as JSON: its format, its columns, the zone of its
times, a table's header. Of a log in the W3C format and of a dump of Postgres it is not enough: what their columns are
called may change from line to line.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from etl.columnar.delimited_rows import DELIMITERS
from etl.sources.detection import Detected
from etl.sources.format import Format, Settings
from etl.sources.formats.log_format import compile_log_format
from etl.sources.formats.registry import BY_NAME, start_layouts, start_reader
from etl.sources.framing import Frame, read_batches
from etl.sources.planning import Reading
from etl.sources.readers.csv_tables import is_numbered
from etl.sources.records.lines import Batch
from etl.sources.splits import batch_reader

_LISTS: Final = ("marks", "container")


class Origin(NamedTuple):
    """What of an input its records need to be read again.

    Attributes:
        row: Its format.
        framing: How it was cut into records.
        settings: What was said of it, and the columns that were found.
        header: Of a table: the record that names its columns.
    """

    row: Format
    framing: str
    settings: Settings
    header: str | None = None

    @property
    def is_enough(self) -> bool:
        """Whether a record can be read without those before it."""
        if self.row.family == "table":
            return self.header is not None or is_numbered(self.settings)
        return self.row.family != "w3c" and (self.row.family != "copy" or is_numbered(self.settings))

    @property
    def layout(self) -> str | None:
        """The text of the layout of its records, where they are rows of one table."""
        return start_layouts(self.row, self.settings)((self.header or "").encode("utf-8", "surrogateescape"))


def describe_origin(found: Detected, reading: Reading, head: bytes) -> dict[str, Any]:
    """An input's origin as plain data.

    Args:
        found: What the input is.
        reading: What was said of it.
        head: Its first bytes, decompressed.
    """
    settings = reading.settings._replace(columns=found.columns or reading.settings.columns)
    return {
        "format": found.row.name,
        "log_format": reading.log_format,
        "framing": found.framing,
        "timezone": settings.timezone,
        "columns": settings.columns,
        "formats": [_plain(row) for row in settings.formats],
        "header": _header(found, settings, head),
    }


def origin_of(described: dict[str, Any]) -> Origin:
    """An origin that was described as plain data."""
    own = tuple(_row(row) for row in described["formats"])
    columns = tuple((role, name) for role, name in described["columns"])
    settings = Settings(described["timezone"], columns, own)
    known = {row.name: row for row in own}
    name, log_format = described["format"], described["log_format"]
    row = compile_log_format(log_format) if log_format else known.get(name) or BY_NAME[name]
    return Origin(row, described["framing"], settings, described["header"])


def as_text(described: dict[str, Any]) -> str:
    """Plain data as JSON in ASCII, bytes of names that are no UTF-8 included."""
    return json.dumps(described, sort_keys=True)


def read_again(origin: Origin, raws: Iterable[str]) -> dict[str, pl.Series]:
    """The columns of `schema.REQUESTS` that a reader fills, aligned with the records. Whatever they are, never raises.

    Args:
        origin: Of their input.
        raws: The whole text of each.
    """
    before = [] if origin.header is None else [origin.header]
    texts = [text.encode("utf-8", "surrogateescape") for text in (*before, *raws)]
    read = batch_reader(origin.row, origin.framing, origin.settings)(_batch(texts))
    return {name: values[len(before) :] for name, values in read.items()}


def _batch(texts: list[bytes]) -> Batch:
    ends = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64) - 1
    starts = np.append(0, ends + 1)[:-1]
    return Batch(np.frombuffer(b"".join(text + b"\n" for text in texts), np.uint8), starts, ends, starts, {})


def _header(found: Detected, settings: Settings, head: bytes) -> str | None:
    """The record of a table that names its columns; None where there is none at its beginning."""
    if found.row.family != "table" or is_numbered(settings):
        return None
    read = start_reader(found.row, settings)
    frame = Frame(found.framing, 0, len(head), max(len(head), 1), delimiter=DELIMITERS[found.row.name])
    records = (text for batch in read_batches(io.BytesIO(head), frame) for text in batch.texts())
    return next((text.decode("utf-8", "surrogateescape") for text in records if read(text).fault == "header"), None)


def _plain(row: Format) -> dict[str, Any]:
    pattern = row.pattern and row.pattern.decode("latin-1")
    return {**row._asdict(), "samples": (), "pattern": pattern, "read": None}


def _row(plain: dict[str, Any]) -> Format:
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
