"""Defines carriers: what stores or moves records of others, such as container runtimes, log stores and queues.

A carrier is a row of data. Any format can be in any carrier, so a carrier knows no format.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from etl.columnar import json_codec

#: Lone surrogates that stand for no byte.
_NO_BYTES: Final = re.compile("[\ud800-\udc7f\udd00-\udfff]")


class Content(NamedTuple):
    """A text that a carrier holds.

    Attributes:
        text: The text; None if the carrier holds null.
        time: The carrier's time, as the carrier writes it.
        encoded: The value that holds the text, if it is written in base64 or as an array of bytes.
    """

    text: bytes | None
    time: str | None = None
    encoded: Any = None


class CarriedPiece(NamedTuple):
    """A part of a record that a carrier cut into several.

    Attributes:
        stream: Pieces of one record are in the same stream.
        text: The carried part.
        is_last: Whether the record ends with this piece.
    """

    stream: Any
    text: bytes
    is_last: bool


class Pieces(NamedTuple):
    """How a carrier cuts long records.

    Attributes:
        is_whole: Whether a record is plainly not cut; quick, may return False for a whole record.
        piece_of: Returns the piece in a record; None if the carrier does not recognise the record.
        join: Returns the record that the carrier would have written of the first piece's record and the whole text.
    """

    is_whole: Callable[[bytes], bool]
    piece_of: Callable[[bytes], CarriedPiece | None]
    join: Callable[[bytes, bytes], bytes]


class Carrier(NamedTuple):
    """A carrier: how to recognise it, and where the carried text and its time are.

    Attributes:
        name: Its name in the summary.
        what: A description of one record.
        link: The address of its documentation.
        samples: Records of this carrier, each with the texts that it carries.
        prefix: For carriers of lines: a regular expression for what stands before the text. Its group `time` is the
            carrier's time.
        marks: For carriers in JSON: conditions on the keys of a record, all of which must hold (see `json_matching`).
        carried: For carriers in JSON: key paths of the carried text or object. The first that is present counts.
        times: For carriers in JSON: key paths of the time. The first that is present counts.
        decode: For carriers in JSON: turns the carried value into bytes; None if it holds no text.
        unpack: For carriers of several records in one JSON value: returns all of them; None if the value is no record
            of this carrier. Stands in the place of `marks`, `carried` and `times`.
        open: For carriers in other notations: returns what a text carries; None if it is no record of this carrier.
        container: The keys that lead to the array of records, if the carrier writes one array.
        is_clear: Whether the form alone shows the carrier. If not, what it carries must be in a known format.
        pieces: How the carrier cuts long records; None if it does not.
    """

    name: str
    what: str
    link: str
    samples: tuple[tuple[bytes, tuple[bytes, ...]], ...]
    prefix: bytes | None = None
    marks: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    decode: Callable[[Any], bytes | None] = lambda value: text_of(value)  # noqa: PLW0108  defined below
    unpack: Callable[[Any], list[Content] | None] | None = None
    open: Callable[[bytes], Content | None] | None = None
    container: tuple[str, ...] = ()
    is_clear: bool = True
    pieces: Pieces | None = None

    @property
    def keeps_lines(self) -> bool:
        """Whether each record carries exactly one whole record."""
        return self.unpack is None and self.pieces is None


def text_of(value: Any) -> bytes | None:
    r"""Returns the bytes of a text, without one line end behind it, or the JSON text of an object; else None.

    Examples:
        >>> text_of("a=1\n"), text_of({"a": 1}), text_of(None)
        (b'a=1', b'{"a":1}', None)
    """
    if isinstance(value, str):
        return as_bytes(value).removesuffix(b"\n").removesuffix(b"\r")
    return as_bytes(json_codec.dump(value)) if isinstance(value, dict) else None


def as_bytes(text: str) -> bytes:
    r"""Returns the bytes of a text in which lone surrogates stand for bytes; U+FFFD for other lone surrogates.

    Examples:
        >>> as_bytes("a\udcff"), as_bytes("a\ud800")
        (b'a\xff', b'a\xef\xbf\xbd')
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return _NO_BYTES.sub("\ufffd", text).encode("utf-8", "surrogateescape")
