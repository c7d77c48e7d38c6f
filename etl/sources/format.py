"""What a format is: one row of a table, built in or a user's own.

A row is data. The family it belongs to has one reader, which reads every row of the family, so that formats of one
family may stand beside each other in a file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from etl.sources.record import Record

#: One record's bytes, read. Whatever the bytes, it never raises.
Reader = Callable[[bytes], Record]

#: Of one record after another the text of its `cells.Layout`; None for what is no row of a table, so far as is known.
Layouts = Callable[[bytes], str | None]


#: How bytes are cut into records. Only LINES can be read from anywhere in a file: HEADED ones are lines that mean what
#: a header says, MESSAGES lines that may carry several records each, TABLE_ROWS lines whose quotes may hold line ends,
#: BLOCKS a dated line and all that follow it without a date, DOCUMENTS JSON values, PARQUET rows of a Parquet file.
LINES: Final = "lines"
HEADED: Final = "headed"
MESSAGES: Final = "messages"
TABLE_ROWS: Final = "table_rows"
BLOCKS: Final = "blocks"
DOCUMENTS: Final = "documents"
PARQUET: Final = "parquet"


class Format(NamedTuple):
    """One format.

    Attributes:
        name: What `--format` and the summary call it.
        family: A name of `formats.FAMILIES`.
        what: One line for people.
        link: Where it is documented.
        samples: Records in this format; its reader reads them, and no other format claims them.
        pattern: For families of text: a regular expression of a whole line, whose named groups are roles.
        keys: For families of JSON and tables: role -> paths of keys (`request.headers.User-Agent`) or names of columns;
            the first that is there counts.
        marks: For families of JSON: keys that a record of this format has, all of them.
        container: Keys that lead to the array whose elements are the records; none for records that stand alone.
        escape: A name of `escapes.ESCAPES`: how this server escapes a value; undone once, before URL decoding.
        time: A name of `times.TIMES`: how the text of the time is written.
        moment: Which moment of the request the time is: `start`, `end`, or `none` where there is none.
        is_zoned: Whether the time says its zone; else `Settings.timezone` counts.
        is_body_logged: Whether a request's body would be there to see.
        read: What a family of JSON calls with a parsed record that keys cannot describe.
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
    """What a user says about the inputs.

    Attributes:
        timezone: IANA name of the zone of times that say none.
        columns: Role -> name of a column or path of keys, before any that a format knows.
        formats: A user's own rows.
        is_cloudfront_encoded: Whether CloudFront wrote each `%` of a query as `%25`.
        word: What a line of an access log has to hold to be parsed; any other cannot be a postback.
    """

    timezone: str = "UTC"
    columns: tuple[tuple[str, str], ...] = ()
    formats: tuple[Format, ...] = ()
    is_cloudfront_encoded: bool = True
    word: bytes = b""


class Family(NamedTuple):
    """Formats that may stand beside each other in a file.

    Attributes:
        framing: One of the constants above.
        start: The reader of the family's rows. One reader reads one split from its beginning, and may keep what a
            header told it.
        claims: Whether a record is in a format, of which no other would claim it.
        is_shipped: Whether a container or a shipper may have put a prefix before each line.
        layouts: What tells the layouts of the records of one split, from its beginning on; none where no table is.
    """

    framing: str
    start: Callable[[tuple[Format, ...], Settings], Reader]
    claims: Callable[[Format, bytes], bool]
    is_shipped: bool = True
    layouts: Callable[[tuple[Format, ...], Settings], Layouts] | None = None
