"""Decides how to read an input: its format, and the splits that workers read separately."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from etl.errors import FormatError, choices
from etl.options import DEFAULT_MAX_RECORD_BYTES
from etl.sources.carriers.known_carriers import keeps_lines
from etl.sources.detection import Detected, assume_format, detect, detect_rows
from etl.sources.format import HEADED, LINES, PARQUET, Format, Settings
from etl.sources.formats.log_format import compile_log_format
from etl.sources.formats.registry import BY_NAME, RETIRED
from etl.sources.readers import parquet_tables
from etl.sources.splits import Split, whole_record_starts
from etl.sources.storage.checksums import CHECKED_BYTES
from etl.sources.storage.decompress import open_decompressed
from etl.sources.storage.inputs import Input
from etl.sources.storage.surveys import Survey
from etl.sources.time_limits import limited

#: Larger splits gain no time and need more memory; see "What was tried" in `bench/README.md`.
SPLIT_BYTES: Final = 16 * 2**20

#: At most this many splits for a compressed file, because each split decompresses the file again up to its start;
#: measured in "What was tried" in `bench/README.md`.
COMPRESSED_SPLITS: Final = 4


def compressed_parts(inputs: int) -> int:
    """Returns in how many parts each of so many compressed inputs is read: in one, where there are enough of them."""
    return -(-COMPRESSED_SPLITS // max(inputs, 1))


class ReadOptions(NamedTuple):
    """The user's options for reading inputs.

    Attributes:
        format: The name of a format, or `auto`.
        log_format: An nginx `log_format` or Apache `LogFormat`; takes precedence over `format`.
        settings: Further settings: the zone of times, columns, the user's own formats.
        max_record_bytes: Records longer than this are rejected as malformed.
    """

    format: str = "auto"
    log_format: str | None = None
    settings: Settings = Settings()
    max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES

    def with_word(self, word: bytes) -> ReadOptions:
        """Returns these options for postbacks whose log lines all contain a word; empty to parse all lines."""
        return self._replace(settings=self.settings._replace(word=word))


def find_format(item: Input, codec: str, samples: tuple[bytes, ...], reading: ReadOptions) -> Detected:
    """Returns the format of an input: the format the user named, else the format detected from samples.

    Args:
        item: The input.
        codec: Its compression.
        samples: Its first decompressed bytes, then blocks from later places.
        reading: The user's options.

    Raises:
        FormatError: The named format does not exist, or the samples match no supported format.
        InputError: The input is a damaged Parquet file.
    """
    has_own = bool(reading.log_format or reading.settings.formats)
    with limited(item.source, sum(map(len, samples)), has_own=has_own):
        return _find_format(item, codec, samples, reading)


def _find_format(item: Input, codec: str, samples: tuple[bytes, ...], reading: ReadOptions) -> Detected:
    """Returns the format of an input, however long that takes."""
    if reading.log_format:
        return assume_format(compile_log_format(reading.log_format), samples, reading.settings)
    known = {row.name: row for row in reading.settings.formats} | BY_NAME
    if reading.format not in ("auto", *known, *RETIRED):
        hint = choices(reading.format, ("auto", *known), "Known formats")
        raise FormatError(f"--format {reading.format!r} is unknown.", hint)
    if samples[0].startswith(parquet_tables.MAGIC):
        with open_decompressed(item.path, codec, item.source) as (stream, _):
            carried = detect_rows(*parquet_tables.sample_rows(stream, item.source), reading.settings)
            if carried:
                return carried
            columns = parquet_tables.sample_columns(stream, item.source, reading.settings)
        return Detected(BY_NAME["parquet"], PARQUET, columns)
    if reading.format == "auto" or reading.format not in known:
        return detect(samples, item.source, reading.settings)
    return assume_format(known[reading.format], samples, reading.settings)


def count_surveyed(item: Input, surveyed: Survey, found: Detected, settings: Settings) -> int | None:
    """Returns how many records an input must have by its survey: its lines, or the rows that a Parquet file declares.

    Returns:
        The number; None if a record may have several lines, or a line several records.

    Raises:
        InputError: The input is a damaged Parquet file.
    """
    if settings.has_array_bodies or not keeps_lines(found.carriers):
        return None
    if found.framing == PARQUET:
        with open_decompressed(item.path, surveyed.codec, item.source) as (stream, _):
            return parquet_tables.count_rows(stream, item.source)
    return surveyed.lines if found.framing in (LINES, HEADED) else None


def plan_splits(
    item: Input,
    surveyed: Survey,
    found: Detected,
    reading: ReadOptions,
    compressed_splits: int = COMPRESSED_SPLITS,
) -> Iterator[Split]:
    """Yields the splits of an input. Only formats of single lines are split; compressed inputs get few splits.

    Where a carrier cuts records into pieces, splits begin where no record waits for its further pieces. Where the
    bodies of records may be arrays of records, only reading them tells their numbers, so that the input is not split.

    Args:
        item: The input.
        surveyed: Its survey: codec, digest, sizes and possible split points.
        found: Its format.
        reading: The user's options.
        compressed_splits: Most splits of a compressed input. Each reads it from its beginning.
    """
    place, codec = (surveyed.copy, "plain") if surveyed.copy else (item.path, surveyed.codec)
    every = 1 if surveyed.is_copied or codec == "plain" else -(-len(surveyed.starts) // compressed_splits)
    columns = found.columns or reading.settings.columns
    whole = Split(
        item.source,
        surveyed.digest,
        place,
        codec,
        0,
        surveyed.plain_bytes,
        1,
        found.row,
        found.framing,
        reading.settings._replace(columns=columns),
        reading.max_record_bytes,
        surveyed.has_return_ends,
        found.carriers,
        surveyed.checked,
    )
    starts, first_records = surveyed.starts[::every], surveyed.first_lines[::every]
    if reading.settings.has_array_bodies:
        starts, first_records = (0,), (1,)
    elif found.framing != LINES:
        starts, first_records = whole_record_starts(whole, starts)
    for start, end, first in zip(starts, (*starts[1:], surveyed.plain_bytes), first_records, strict=True):
        beyond = end + reading.max_record_bytes + CHECKED_BYTES
        checked = surveyed.checked and surveyed.checked.part(start, beyond)
        yield whole._replace(start=start, end=end, first_record=first, checked=checked)


def describe_times(detected: Detected, timezone: str) -> str:
    """Describes the times of an input: `none`, `zoned`, or the zone that applies to times without a zone."""
    row = detected.row
    if "record" in dict(detected.columns):
        has_time = row.moment == "none" and "received_at" in dict(detected.columns)
        return f"{timezone} where no zone is written" if has_time else _times_of(row, timezone)
    if detected.carriers and (row.moment == "none" or row.is_zoned):
        return "zoned"
    is_table = bool(detected.columns) or row.family in ("table", "copy", "parquet")
    if row.moment == "none" or (is_table and "received_at" not in dict(detected.columns)):
        return "none"
    return _times_of(row, timezone)


def _times_of(row: Format, timezone: str) -> str:
    """Describes the times of a format that has some, or of none."""
    if row.moment == "none":
        return "none"
    return "zoned" if row.is_zoned else f"{timezone} where no zone is written"
