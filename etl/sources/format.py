"""Defines formats, their families, and the user's settings for inputs.

A format is a row of data, built in or defined by the user. Each format belongs to a family. A family has one reader for
all its formats, so a file may mix formats of one family.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from etl.rules.page import COLLECT_PATH
from etl.sources.record import Record

#: Parses the bytes of one record. Never raises, whatever the bytes.
Reader = Callable[[bytes], Record]

#: Takes the records of a split in order, and returns for each the text of its `delimited_rows.Layout`: the table
#: grammar and the column names. None if the record is not a table row or the layout is not known yet.
LayoutReader = Callable[[bytes], str | None]


#: Framings: how bytes are cut into records. LINES can be read from the middle of a file; MESSAGES can only from where
#: no record waits for its pieces; no other framing can.
#: LINES: each line is a record. HEADED: lines whose columns a header line names. MESSAGES: lines that may carry several
#: records each, or a part of a record. TABLE_ROWS: lines whose quoted cells may contain line ends. BLOCKS: a dated line
#: and all following lines without a date. DOCUMENTS: JSON values. PARQUET: rows of a Parquet file.
LINES: Final = "lines"
HEADED: Final = "headed"
MESSAGES: Final = "messages"
TABLE_ROWS: Final = "table_rows"
BLOCKS: Final = "blocks"
DOCUMENTS: Final = "documents"
PARQUET: Final = "parquet"


class Format(NamedTuple):
    """A format of records: how to recognise it, and how to read it.

    Attributes:
        name: Its name for `--format` and in the summary.
        family: A key of `registry.FAMILIES`.
        what: A description of one line.
        link: The address of its documentation.
        samples: Records in this format. Its reader can read them, and no other format claims them.
        pattern: For text families: a regular expression for a whole line. Its named groups are roles.
        keys: For JSON and table families: role -> key paths (`request.headers.User-Agent`) or column names. The first
            that is present counts.
        marks: For JSON families: conditions on the keys of a record, all of which must hold (see `json_matching`).
        container: The keys that lead to the array of records. Empty if records stand alone.
        escape: A key of `escapes.ESCAPES`: how the server escapes values. Undone once, before URL decoding.
        time: A key of `timestamps.TIMES`, or `layout` and a strftime layout: how times are written.
        moment: The moment of the request that the time records: `start`, `end`, or `none` if there is no time.
        is_zoned: Whether the time includes its zone. If not, `Settings.timezone` applies.
        is_body_logged: Whether the format records request bodies.
        read: For JSON families: parses a decoded record whose fields `keys` cannot describe.
    """

    name: str
    family: str
    what: str
    link: str
    samples: tuple[bytes, ...] = ()
    pattern: bytes | None = None
    keys: dict[str, tuple[str, ...]] | None = None
    marks: tuple[str, ...] = ()
    container: tuple[str, ...] = ()
    escape: str = "none"
    time: str = "iso8601"
    moment: str = "end"
    is_zoned: bool = True
    is_body_logged: bool = False
    read: Callable[[Any], Record] | None = None


class Settings(NamedTuple):
    """The user's settings for reading inputs.

    Attributes:
        timezone: IANA name of the zone for times without a zone.
        columns: (role, column name or key path) pairs. They take precedence over the format's own keys.
        time: How the times of the column or key `received_at` are written: a key of `timestamps.TIMES`, or `layout` and
            a strftime layout. Other known notations are tried, too.
        formats: The user's own formats.
        is_cloudfront_encoded: Whether CloudFront wrote each `%` of a query as `%25`.
        word: A word that every postback's log line contains. Other well-formed lines are counted, not parsed. Empty:
            all lines are parsed.
        collect_path: Template of a postback's path, for lines that no format reads.
        has_array_bodies: Whether each element of a body that is a JSON array is a record of its own.
    """

    timezone: str = "UTC"
    columns: tuple[tuple[str, str], ...] = ()
    time: str = "iso8601"
    formats: tuple[Format, ...] = ()
    is_cloudfront_encoded: bool = True
    word: bytes = b""
    collect_path: str = COLLECT_PATH
    has_array_bodies: bool = False


class Family(NamedTuple):
    """A group of formats with one reader; a file may mix them.

    Attributes:
        framing: One of the constants above.
        start: Creates a reader for formats of the family. A reader reads one split from its beginning, because it may
            keep state, such as the columns of a header.
        claims: Returns whether a record is in a format.
        start_layout_reader: Creates a layout reader for one split. None for families without tables.
    """

    framing: str
    start: Callable[[tuple[Format, ...], Settings], Reader]
    claims: Callable[[Format, bytes], bool]
    start_layout_reader: Callable[[tuple[Format, ...], Settings], LayoutReader] | None = None
