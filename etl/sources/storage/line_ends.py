r"""Says where lines end and what stands at their edges, besides the plain `\n` (rules 1.3c).

Where a carriage return alone ends the lines of an input, the input is read as if each were a `\n`: offsets stay true.
In any other input, a carriage return alone ends a line if the head of a record follows it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import BinaryIO, Final

import numpy as np

_CR, _LF = ord("\r"), ord("\n")

#: How far behind a carriage return we look for the head of a record.
LOOKAHEAD: Final = 256

BOM: Final = b"\xef\xbb\xbf"

#: The head of a record, whatever its format: an address or words before a time, a time, an object, a request.
_HEAD: Final = re.compile(
    rb"(?:[^\s\[]+ ){0,6}\[\d\d/[A-Z][a-z]{2}/\d{4}[: ]\d\d:"
    rb"|(?:[a-z0-9]{2,5} )?\[?\d{4}-\d\d-\d\d[T \t]\d\d:\d\d:\d\d"
    rb"|[0-9A-Fa-f]*[.:][0-9A-Fa-f.:]+ [^\r\n]{0,100}?\d\d:\d\d:\d\d"
    rb"|<\d{1,3}>|\{[ \t\r]*\""
    rb"|(?:GET|POST|PUT|HEAD) (?:https?://|/)\S|https?://[^\s/]+/\S"
)


def has_return_ends(head: bytes) -> bool:
    r"""Whether carriage returns alone end the lines of an input, judged by its beginning.

    Examples:
        >>> [has_return_ends(head) for head in (b"a\rb\r", b"a\rb\n", b"a\rb\nc", b"a\r\nb", b"a\r")]
        [True, True, False, False, False]
    """
    within = head.rstrip(b"\r\n")
    return b"\r" in within and b"\n" not in within


def returns_before_heads(data: bytes, begin: int, end: int) -> list[int]:
    r"""Returns the places in [begin, end) of carriage returns that stand alone and before the head of a record.

    Examples:
        >>> returns_before_heads(b'{"a": "x\ry"}\r{"a": 1}\r\n{"a": 2}', 0, 30)
        [12]
    """
    if data.find(b"\r", begin, end) < 0:
        return []
    buffer = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(buffer[begin:end] == _CR) + begin
    after = buffer[np.minimum(places + 1, len(buffer) - 1)]
    lone = places[(after != _LF) & (after != _CR)]
    return [place for place in lone.tolist() if _HEAD.match(data, place + 1, place + 1 + LOOKAHEAD)]


class ReturnCounter:
    """Counts carriage returns that end lines over consecutive blocks; the last bytes of a block wait for the next."""

    def __init__(self) -> None:
        self.places: list[int] = []
        self.waiting = b""
        self.size = 0

    def feed(self, block: bytes) -> None:
        """Notes the carriage returns that end lines, as far as the bytes behind them are known."""
        if b"\r" in block or b"\r" in self.waiting:
            known = self.waiting + block
            self._note(known, max(len(known) - LOOKAHEAD - 1, 0))
        else:
            self.waiting = block[-LOOKAHEAD - 1 :]
        self.size += len(block)

    def finish(self) -> None:
        """Notes what the end of the input decides."""
        self._note(self.waiting, len(self.waiting))

    def _note(self, known: bytes, decided: int) -> None:
        """Notes the carriage returns among the first `decided` of the known bytes; the rest waits."""
        base = self.size - len(self.waiting)
        self.places += [base + place for place in returns_before_heads(known, 0, decided)]
        self.waiting = known[decided:]

    def before(self, start: int) -> int:
        """Returns how many lines such carriage returns add before the line that begins at or after an offset."""
        count = bisect_left(self.places, start)
        return count - (count > 0 and self.places[count - 1] == start - 1)


class ReturnsAsNewlines:
    r"""A stream whose carriage returns are read as `\n`."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream

    def read(self, size: int = -1) -> bytes:
        """Reads bytes, with each carriage return as a newline."""
        return self.stream.read(size).replace(b"\r", b"\n")


def without_edges(line: bytes) -> tuple[int, int]:
    r"""Returns where the record of a line begins and ends: without NUL bytes, `\r` and byte order marks at its edges.

    Examples:
        >>> without_edges(b"\0\xef\xbb\xbfabc\r\0"), without_edges(b"\0\0"), without_edges(b"a\0b")
        ((4, 7), (2, 2), (0, 3))
    """
    begin = 0
    while line.startswith((b"\0", BOM), begin):
        begin += len(BOM) if line[begin] else len(line) - begin - len(line[begin:].lstrip(b"\0"))
    return begin, begin + len(line[begin:].rstrip(b"\0\r"))


def plain_sample(sample: bytes) -> bytes:
    r"""Returns a sample with `\n` at each end of a line and without what stands at the edges of lines."""
    if has_return_ends(sample):
        sample = sample.replace(b"\r", b"\n")
    pieces, begin = [], 0
    for place in returns_before_heads(sample, 0, len(sample)):
        pieces.append(sample[begin:place])
        begin = place + 1
    lines = b"\n".join((*pieces, sample[begin:])).split(b"\n")
    return b"\n".join(line[slice(*without_edges(line))] for line in lines)
