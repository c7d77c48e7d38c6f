"""Reads UTF-16 texts as UTF-8, as PowerShell, SQL Server and Excel write them.

Decoding belongs to decompression: digests, offsets and line numbers are those of the UTF-8 text. So a file and its
conversion by another tool are the same input.
"""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO, Final

LITTLE: Final = "utf-16-le"
BIG: Final = "utf-16-be"

#: How a text begins without a byte order mark: letters, digits and signs of ASCII, each beside a NUL.
_LITTLE_START: Final = re.compile(rb"(?:[\t\n\r -~]\0){8}")
_BIG_START: Final = re.compile(rb"(?:\0[\t\n\r -~]){8}")


def utf16_of(head: bytes) -> str | None:
    r"""Returns the kind of UTF-16 that an input begins with; None if it does not.

    Examples:
        >>> utf16_of(codecs.BOM_UTF16_LE + b"a\0"), utf16_of("a text without a mark".encode("utf-16-be"))
        ('utf-16-le', 'utf-16-be')
        >>> utf16_of(b"a plain text, longer than a mark"), utf16_of(bytes(64))
        (None, None)
    """
    for kind, mark, start in ((LITTLE, codecs.BOM_UTF16_LE, _LITTLE_START), (BIG, codecs.BOM_UTF16_BE, _BIG_START)):
        if head.startswith(mark) or start.match(head):
            return kind
    return None


class Utf8Stream:
    """A stream of UTF-16 as a stream of UTF-8, without the byte order mark. It can be read and sought forward.

    What is no UTF-16, such as half of a pair, becomes U+FFFD.
    """

    def __init__(self, stored: BinaryIO, kind: str) -> None:
        self.stored = stored
        self.decoder = codecs.getincrementaldecoder(kind)("replace")
        self.waiting = b""
        self.place = 0
        self.is_begun = self.is_ended = False

    def read(self, size: int = -1) -> bytes:
        """Reads bytes of UTF-8: all that are left for -1."""
        while not self.is_ended and (size < 0 or len(self.waiting) < size):
            self._decode(self.stored.read(-1 if size < 0 else max(2 * (size - len(self.waiting)), 2)))
        size = len(self.waiting) if size < 0 else size
        found, self.waiting = self.waiting[:size], self.waiting[size:]
        self.place += len(found)
        return found

    def _decode(self, block: bytes) -> None:
        """Adds the text of a block to what waits; an empty block ends the stream."""
        self.is_ended = not block
        text = self.decoder.decode(block, self.is_ended)
        if text and not self.is_begun:
            text, self.is_begun = text.removeprefix("\ufeff"), True
        self.waiting += text.encode("utf-8", "replace")

    def seek(self, place: int) -> int:
        """Reads on to a place that lies ahead."""
        while self.place < place and self.read(min(place - self.place, 1 << 20)):
            pass
        return self.place

    def tell(self) -> int:
        """Returns how many bytes of UTF-8 were read."""
        return self.place
