"""How an input is read: which format it is in, and the parts of it that are read apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from etl.errors import FormatError
from etl.options import DEFAULT_MAX_RECORD_BYTES
from etl.sources.detection import Detected, as_said, detect
from etl.sources.format import LINES, PARQUET, Settings
from etl.sources.formats.log_format import compile_log_format
from etl.sources.formats.registry import BY_NAME
from etl.sources.readers import parquet_tables
from etl.sources.splits import Split
from etl.sources.storage.decompress import Survey, open_decompressed
from etl.sources.storage.inputs import Input

SPLIT_BYTES: Final = 16 * 2**20

#: A compressed file is decompressed again up to the start of each of its splits: the more, the more often.
COMPRESSED_SPLITS: Final = 4


class Reading(NamedTuple):
    """What a user says of how inputs are read.

    Attributes:
        format: A row of `formats.FORMATS`, or `auto`.
        log_format: A server's own log format.
        settings: What else is known of the inputs: the zone of their times, columns, formats of one's own.
        max_record_bytes: Longer records are malformed.
    """

    format: str = "auto"
    log_format: str | None = None
    settings: Settings = Settings()
    max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES


def find_format(item: Input, codec: str, samples: tuple[bytes, ...], reading: Reading) -> Detected:
    """What an input is: as the user says, else as its bytes show.

    Args:
        item: The input.
        codec: How it is compressed.
        samples: Its first bytes, decompressed, and some of places further on.
        reading: What the user says.

    Raises:
        FormatError: There is no format of that name, or the bytes are in none.
    """
    if reading.log_format:
        return Detected(compile_log_format(reading.log_format), LINES)
    known = {row.name: row for row in reading.settings.formats} | BY_NAME
    if reading.format not in ("auto", *known):
        raise FormatError(f"--format {reading.format!r} is unknown.", f"Known formats: auto, {', '.join(known)}.")
    if samples[0].startswith(parquet_tables.MAGIC):
        with open_decompressed(item.path, codec, item.source) as (stream, _):
            columns = parquet_tables.sample_columns(stream, item.source, reading.settings)
        return Detected(BY_NAME["parquet"], PARQUET, columns)
    if reading.format == "auto":
        return detect(samples, item.source, reading.settings)
    return as_said(known[reading.format], samples, reading.settings)


def plan_splits(item: Input, surveyed: Survey, found: Detected, reading: Reading, word: bytes = b"") -> Iterator[Split]:
    """The parts of an input that are read apart: all but lines are one; of compressed lines they are few.

    Args:
        item: The input.
        surveyed: What one pass over it told.
        found: What it is.
        reading: What the user says.
        word: What a line of an access log has to hold to be parsed; none: all are.
    """
    every = 1 if surveyed.codec == "plain" else -(-len(surveyed.starts) // COMPRESSED_SPLITS)
    starts = surveyed.starts[::every] if found.framing == LINES else surveyed.starts[:1]
    columns = found.columns or reading.settings.columns
    for start, end, first_record in zip(
        starts, (*starts[1:], surveyed.plain_bytes), surveyed.first_lines[::every], strict=False
    ):
        yield Split(
            item.source,
            surveyed.digest,
            item.path,
            surveyed.codec,
            start,
            end,
            first_record,
            found.row,
            found.framing,
            reading.settings._replace(columns=columns, word=word),
            reading.max_record_bytes,
        )


def time_of(detected: Detected, timezone: str) -> str:
    """How the times of an input are read: with their zone, as a zone's that they do not say, or not at all."""
    row = detected.row
    is_table = bool(detected.columns) or row.family in ("table", "copy", "parquet")
    if row.moment == "none" or (is_table and "received_at" not in dict(detected.columns)):
        return "none"
    return "zoned" if row.is_zoned else f"{timezone} where no zone is written"
