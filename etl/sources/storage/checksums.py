"""Compares the bytes of an input with those of its survey while they are read.

The survey keeps a CRC-32 of each block. Who reads the input later gets bytes of blocks whose checksums agree, and no
byte behind the surveyed ones: an input that grew is read as far as it was surveyed.
"""

from __future__ import annotations

import io
from typing import Any, BinaryIO, Final, NamedTuple

from isal import isal_zlib

from etl.errors import ChangedInputError
from etl.sources.storage.locations import Identity, Location, identity_of

#: Size of the blocks. Each read begins and ends at a block, so blocks are small.
CHECKED_BYTES: Final = 64 * 2**10
_SUM_BYTES: Final = 4


class SurveyedBytes(NamedTuple):
    """What the survey knows of the bytes of an input, or of a part of it.

    Attributes:
        identity: Which file or object it was; see `locations.identity_of`.
        size: Number of bytes of the input, decompressed.
        first: Number of the first block in `sums`.
        sums: The CRC-32 of consecutive blocks, concatenated. The last block of the input may be shorter.
    """

    identity: Identity
    size: int
    first: int
    sums: bytes

    def part(self, start: int, end: int) -> SurveyedBytes:
        """Returns what is known of the blocks in which the bytes from `start - 1` up to `end` stand."""
        first, last = max(start - 1, 0) // CHECKED_BYTES, -(-end // CHECKED_BYTES)
        sums = self.sums[_SUM_BYTES * (first - self.first) : _SUM_BYTES * (last - self.first)]
        return self._replace(first=first, sums=sums)

    def sum_at(self, number: int) -> bytes:
        """Returns the checksum of a block; empty if it is not known."""
        place = _SUM_BYTES * (number - self.first)
        return self.sums[place : place + _SUM_BYTES] if place >= 0 else b""


class BlockSums:
    """Takes the checksums of the blocks of consecutive bytes, however these are cut."""

    def __init__(self) -> None:
        self._sums = bytearray()
        self._sum = self._size = 0

    def feed(self, data: bytes) -> None:
        """Adds the next bytes."""
        view, place = memoryview(data), 0
        while place < len(view):
            block = view[place : place + CHECKED_BYTES - self._size]
            self._sum, self._size = isal_zlib.crc32(block, self._sum), self._size + len(block)
            place += len(block)
            if self._size == CHECKED_BYTES:
                self._end_block()

    def finish(self) -> bytes:
        """Returns the checksums of all blocks."""
        if self._size:
            self._end_block()
        return bytes(self._sums)

    def _end_block(self) -> None:
        self._sums += self._sum.to_bytes(_SUM_BYTES, "little")
        self._sum = self._size = 0


class _CheckedStream(io.BufferedIOBase):
    """A stream of the surveyed bytes of an input.

    Raises:
        ChangedInputError: The bytes that were read are not the surveyed ones.
    """

    def __init__(self, stream: BinaryIO, expected: SurveyedBytes, label: str) -> None:
        self._stream, self._expected, self._label = stream, expected, label
        self._held, self._held_at, self._place = b"", 0, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        place += {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._expected.size}[whence]
        if not self._held_at <= place <= self._held_at + len(self._held):
            self._held, self._held_at = b"", place // CHECKED_BYTES * CHECKED_BYTES
            self._stream.seek(self._held_at)
        self._place = place
        return place

    def read(self, size: int | None = -1) -> bytes:
        whole = self._expected.size
        end = whole if size is None or size < 0 else min(self._place + size, whole)
        if end <= self._place:
            return b""
        self._hold(end)
        found = self._held[self._place - self._held_at : end - self._held_at]
        self._place = end
        if end - self._held_at >= CHECKED_BYTES:
            self._held, self._held_at = self._held[end - self._held_at :], end
        return found

    def peek(self, _size: int = 0) -> bytes:
        """Returns some of the bytes ahead, which `readline` looks for the end of a line."""
        if self._place < self._expected.size:
            self._hold(self._place + 1)
        return self._held[self._place - self._held_at :]

    def _hold(self, end: int) -> None:
        """Reads and checks whole blocks, until all bytes up to `end` are held."""
        reached = self._held_at + len(self._held)
        missing = min(-(-end // CHECKED_BYTES) * CHECKED_BYTES, self._expected.size) - reached
        pieces = [self._held] if self._held else []
        sums = BlockSums()
        while end > reached and missing:
            piece = self._stream.read(missing)
            if not piece:
                raise ChangedInputError.of(self._label)
            sums.feed(piece)
            pieces.append(piece)
            missing -= len(piece)
        found = sums.finish()
        for place in range(0, len(found), _SUM_BYTES):
            known = self._expected.sum_at(reached // CHECKED_BYTES + place // _SUM_BYTES)
            if known and known != found[place : place + _SUM_BYTES]:
                raise ChangedInputError.of(self._label)
        self._held = pieces[0] if len(pieces) == 1 else b"".join(pieces)


def has_changed(location: Location, identity: Identity) -> bool:
    """Whether something else is at a location than before, or nothing."""
    try:
        return identity_of(location) != identity
    except OSError:
        return True


def checked(stream: Any, expected: SurveyedBytes | None, label: str) -> Any:
    """Returns the stream of the surveyed bytes; the stream itself where no survey read the input whole."""
    return stream if expected is None else _CheckedStream(stream, expected, label)
