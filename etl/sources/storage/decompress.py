"""Opens inputs as stored and decompressed, and tells their compression from their first bytes."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, NamedTuple, cast

import zstandard
from isal import igzip, isal_zlib

from etl.errors import InputError
from etl.sources.storage.locations import Location, open_location
from etl.sources.storage.utf16 import BIG, LITTLE, Utf8Stream, utf16_of

_HEAD_BYTES: Final = 512

#: zstd files that need a larger window are treated as damaged or hostile.
_WINDOW_BYTES: Final = 512 * 2**20

_MAGIC: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)
#: isal's type stub declares this class as an instance.
_INFLATE_ERROR: Final[type[Exception]] = isal_zlib.error  # type: ignore[assignment]

READ_ERRORS: Final[tuple[type[Exception], ...]] = (
    OSError,
    EOFError,
    zlib.error,
    _INFLATE_ERROR,
    lzma.LZMAError,
    zstandard.ZstdError,
    zipfile.BadZipFile,
    tarfile.TarError,
    NotImplementedError,
)


def sniff(location: Location, label: str) -> tuple[str, bytes]:
    """Returns the codec of an input and its first decompressed bytes; no bytes if decompression fails.

    Raises:
        InputError: The input cannot be opened.
    """
    with open_stored(location, label) as stored:
        head = stored.read(_HEAD_BYTES)
    codec = next((codec for magic, codec in _MAGIC if head.startswith(magic)), "plain")
    if codec != "plain":
        try:
            with open_decompressed(location, codec, label) as (stream, _):
                head = stream.read(_HEAD_BYTES)
        except InputError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno is not None:
                raise
            return codec, b""
    utf16 = utf16_of(head)
    return f"{codec} {utf16}".removeprefix("plain ") if utf16 else codec, head


def is_tar(head: bytes) -> bool:
    """Whether the first bytes of an input are those of a tar archive."""
    return head[257:262] == b"ustar"


@contextmanager
def open_stored(location: Location, label: str) -> Iterator[io.BufferedReader]:
    """Opens the stored bytes of an input. Errors in the `with` block that mean a broken input become `InputError`."""
    try:
        with open_location(location) as stream:
            yield stream
    except READ_ERRORS as error:
        raise unreadable(label, error) from error


class DecompressedStream(NamedTuple):
    """A decompressed stream, and a function that returns how many stored bytes have been read."""

    stream: BinaryIO
    position: Callable[[], int]


@contextmanager
def open_decompressed(location: Location, codec: str, label: str) -> Iterator[DecompressedStream]:
    """Opens an input as one stream of decompressed bytes; concatenated members or frames are read in sequence.

    Args:
        location: The input's location.
        codec: The input's codec; see `Survey`.
        label: The input's name in messages.

    Raises:
        InputError: The input cannot be read; also raised while the stream is read.
    """
    *packed, last = codec.split()
    if last in (LITTLE, BIG):
        with open_decompressed(location, "".join(packed) or "plain", label) as (stream, position):
            yield DecompressedStream(cast("Any", Utf8Stream(stream, last)), position)
        return
    with open_stored(location, label) as stored:
        if codec == "gzip":
            opened: Any = igzip.IGzipFile(fileobj=stored)  # type: ignore[no-untyped-call]
        elif codec == "zstd":
            decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
            opened = decompressor.stream_reader(stored, read_across_frames=True)
        elif codec == "bzip2":
            opened = bz2.BZ2File(stored)
        elif codec == "xz":
            opened = lzma.LZMAFile(stored)
        else:
            opened = stored
        yield DecompressedStream(opened, stored.tell)


def unreadable(label: str, error: BaseException) -> InputError:
    """Returns the error for an input that cannot be read, with the system's reason."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return InputError(
        f"{label} cannot be read: {reason}", "Check that the file exists, is complete and is readable, and run again."
    )
