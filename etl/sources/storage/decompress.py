"""Bytes of an input: which compression, opened for reading, surveyed once for digest, size and lines."""

from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
import zstandard
from isal import igzip, isal_zlib

from etl.errors import InputError
from etl.sources.storage.locations import Location, is_seekable, opened, size_of

BLOCK_BYTES: Final = 4 * 2**20
_HEAD_BYTES: Final = 512
SAMPLE_BYTES: Final = 64 * 2**10
LATER_SAMPLE_BYTES: Final = 16 * 2**10

#: A glance at a plain input looks into so many places of it.
_PLACES: Final = 8

#: More memory than this for a decompressor's window is a broken or hostile file.
_WINDOW_BYTES: Final = 512 * 2**20

_MAGIC: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)
_REFUSED: Final = (
    (b"PK\x03\x04", "a zip archive within another", "Unpack the outer one and name the files in it."),
    (b"\xff\xfe", "UTF-16 text", "Convert it to UTF-8, for example with iconv."),
    (b"\xfe\xff", "UTF-16 text", "Convert it to UTF-8, for example with iconv."),
)

#: The stub of isal takes this class for an instance of it.
_INFLATE_ERROR: Final[type[Exception]] = isal_zlib.error  # type: ignore[assignment]

BROKEN: Final[tuple[type[Exception], ...]] = (
    OSError,
    EOFError,
    zlib.error,
    _INFLATE_ERROR,
    lzma.LZMAError,
    zstandard.ZstdError,
    zipfile.BadZipFile,
)

#: What is read so quickly that a split in the middle costs little more than its own records.
QUICK: Final = ("plain", "gzip", "zstd")


class Survey(NamedTuple):
    """What one pass over an input tells.

    Attributes:
        codec: `plain`, `gzip`, `zstd`, `bzip2` or `xz`.
        digest: SHA-256 of the decompressed bytes, hex.
        stored_bytes: Size as it lies there.
        plain_bytes: Size decompressed.
        starts: Where each split of the decompressed bytes begins, the first at 0.
        first_lines: Number of the first line that begins in each split, 1-based.
        samples: The first bytes, decompressed, and some of places further on.
        ladder: For each of `RUNGS` within it, eight bytes of the digest of so many first bytes, one after another.
    """

    codec: str
    digest: str
    stored_bytes: int
    plain_bytes: int
    starts: tuple[int, ...]
    first_lines: tuple[int, ...]
    samples: tuple[bytes, ...]
    ladder: bytes


def survey(location: Location, label: str, split_bytes: int) -> Survey:
    """Reads an input once, in bounded memory.

    Args:
        location: Where it lies.
        label: What to call it in messages.
        split_bytes: Size of the splits of a file that is plain or quick to decompress; any other is a single split.

    Raises:
        InputError: It cannot be read to its end.
    """
    codec = _codec(location, label)
    stored = size_of(location)
    can_split = codec in QUICK and is_seekable(location)
    digest, size, lines = hashlib.sha256(), 0, 0
    head, later = b"", list[bytes]()
    starts, first_lines = [0], [1]
    is_line_open = False
    ladder = b""
    with open_decompressed(location, codec, label) as (stream, _):
        while block := stream.read(BLOCK_BYTES):
            ladder += _climb(digest, block, size, len(ladder) // RUNG_BYTES)
            if size >= BLOCK_BYTES << len(later):
                later.append(block[:LATER_SAMPLE_BYTES])
            head += block[: SAMPLE_BYTES - len(head)]
            boundary = starts[-1] + split_bytes
            if can_split and size + len(block) > boundary:
                before = block[: boundary - size]
                starts.append(boundary)
                is_cut = not before.endswith(b"\n") if before else is_line_open
                first_lines.append(1 + lines + _newlines(before) + is_cut)
            lines += _newlines(block)
            size += len(block)
            is_line_open = not block.endswith(b"\n")
    return Survey(codec, digest.hexdigest(), stored, size, tuple(starts), tuple(first_lines), (head, *later), ladder)


def _newlines(block: bytes) -> int:
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))


#: Sizes at which beginnings are digested: four a doubling, so that two inputs that agree up to the last rung below
#: the end of the shorter agree in four fifths of it.
RUNGS: Final = tuple(sorted({2**octave * quarter // 4 for octave in range(2, 44) for quarter in range(4, 8)}))
RUNG_BYTES: Final = 8


def _climb(digest: Any, block: bytes, size: int, rung: int) -> bytes:
    """Feeds a block to a digest of `size` bytes, and gives what it is at each rung on the way."""
    found, place = b"", 0
    while RUNGS[rung] <= size + len(block):
        digest.update(block[place : RUNGS[rung] - size])
        place = RUNGS[rung] - size
        found += digest.copy().digest()[:RUNG_BYTES]
        rung += 1
    digest.update(block[place:])
    return found


def digest_of_beginning(location: Location, codec: str, label: str, size: int) -> str:
    """SHA-256 of the first decompressed bytes of an input, hex; of all of them, if they are fewer.

    Raises:
        InputError: It cannot be read.
    """
    digest, left = hashlib.sha256(), size
    with open_decompressed(location, codec, label) as (stream, _):
        while left and (block := stream.read(min(BLOCK_BYTES, left))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


class Glance(NamedTuple):
    """What the beginning of an input tells, and some places further on where they can be had at no cost.

    Attributes:
        survey: As of the whole, but without digests; its size is an estimate unless `is_whole`.
        is_whole: Whether it was read to its end.
    """

    survey: Survey
    is_whole: bool


def glance(location: Location, label: str, head_bytes: int) -> Glance:
    """Reads the beginning of an input, and samples of a plain one from all over it.

    Args:
        location: Where it lies.
        label: What to call it in messages.
        head_bytes: How much of it to read, decompressed.

    Raises:
        InputError: It cannot be read as far as that.
    """
    codec = _codec(location, label)
    stored = size_of(location)
    later = list[bytes]()
    with open_decompressed(location, codec, label) as (stream, position):
        head = stream.read(head_bytes)
        is_whole = not stream.read(1)
        size = len(head)
        if not is_whole and codec == "plain":
            size = stored
            for place in range(head_bytes, stored, max(stored // _PLACES, 1)) if is_seekable(location) else ():
                stream.seek(place)
                later.append(stream.read(LATER_SAMPLE_BYTES))
        elif not is_whole:
            size = _estimated_size(stream, position, len(head) + 1, stored)
    samples = (head[:SAMPLE_BYTES], *later)
    return Glance(Survey(codec, "", stored, size, (0,), (1,), samples, b""), is_whole)


def _estimated_size(stream: BinaryIO, position: Callable[[], int], size: int, stored: int) -> int:
    """The decompressed size of a stream, by how much came of what its decompressor had read when it read on."""
    reached = position()
    while position() == reached and (block := stream.read(SAMPLE_BYTES)):
        size += len(block)
    return size if position() == reached else round(size * stored / max(reached, 1))


def _codec(location: Location, label: str) -> str:
    """How an input is compressed.

    Raises:
        InputError: It cannot be opened, or is of a kind that is not read.
    """
    codec, head = sniff(location, label)
    _refuse(head, label)
    if is_tar(head):
        raise InputError(f"{label} is an archive within another.", "Unpack the outer one and name the files in it.")
    return codec


def sniff(location: Location, label: str) -> tuple[str, bytes]:
    """How an input is compressed, and its first decompressed bytes, as far as they can be had.

    Raises:
        InputError: It cannot be opened.
    """
    with readable(location, label) as stored:
        head = stored.read(_HEAD_BYTES)
    codec = next((codec for magic, codec in _MAGIC if head.startswith(magic)), "plain")
    if codec == "plain":
        return codec, head
    try:
        with open_decompressed(location, codec, label) as (stream, _):
            return codec, stream.read(_HEAD_BYTES)
    except InputError:
        return codec, b""


def is_tar(head: bytes) -> bool:
    """Whether first bytes are those of a tar archive."""
    return head[257:262] == b"ustar"


@contextmanager
def readable(location: Location, label: str) -> Iterator[io.BufferedReader]:
    """The input opened for reading; what the system says against it becomes an `InputError`."""
    try:
        with opened(location) as stream:
            yield stream
    except BROKEN as error:
        raise _unreadable(label, error) from error


class Opened(NamedTuple):
    """A decompressed stream, and how far it has come in the input as it lies there, in bytes."""

    stream: BinaryIO
    position: Callable[[], int]


@contextmanager
def open_decompressed(location: Location, codec: str, label: str) -> Iterator[Opened]:
    """The decompressed bytes of an input, several members one after another, as one stream.

    Args:
        location: Where it lies.
        codec: How it is compressed.
        label: What to call it in messages.
    """
    with readable(location, label) as stored:
        if codec == "gzip":
            stream: Any = igzip.IGzipFile(fileobj=stored)  # type: ignore[no-untyped-call]
        elif codec == "zstd":
            decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
            stream = decompressor.stream_reader(stored, read_across_frames=True)
        elif codec == "bzip2":
            stream = bz2.BZ2File(stored)
        elif codec == "xz":
            stream = lzma.LZMAFile(stored)
        else:
            stream = stored
        yield Opened(stream, stored.tell)


def _refuse(head: bytes, label: str) -> None:
    for magic, what, hint in _REFUSED:
        if head.startswith(magic):
            raise InputError(f"{label} is {what}, which is not read.", hint)


def _unreadable(label: str, error: BaseException) -> InputError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return InputError(
        f"{label} cannot be read: {reason}", "Check that the file is there, whole and readable, and run again."
    )
