"""Where the bytes of an input lie: in a file or a part of one, a zip archive, a store, or in the location itself.

A location is plain data, which any process can open.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast


class Slice(NamedTuple):
    """A part of another location: a member of an uncompressed tar."""

    whole: Any
    offset: int
    size: int


class ZipMember(NamedTuple):
    """A member of a zip archive; its size is that of its contents."""

    archive: Any
    name: str
    size: int


class StoredObject(NamedTuple):
    """An object in a store: the store's address, and the path of the object within."""

    store: str
    path: str
    size: int


class Held(NamedTuple):
    """Bytes that were given as they are."""

    content: bytes

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.content)


#: A member may lie in an archive that is an object in a store.
Location = Path | Slice | ZipMember | StoredObject | Held


def size_of(location: Location) -> int:
    """How many bytes a location holds."""
    return location.stat().st_size if isinstance(location, Path) else location.size


def is_seekable(location: Location) -> bool:
    """Whether reading may begin anywhere in it at no cost."""
    return not isinstance(location, ZipMember)


@contextmanager
def opened(location: Location) -> Iterator[io.BufferedReader]:
    """The location as a stream of bytes that can be sought.

    Raises:
        OSError: It cannot be opened.
        zipfile.BadZipFile: The archive around it is broken.
    """
    if isinstance(location, Path):
        with location.open("rb") as stream:
            yield stream
    elif isinstance(location, Held):
        yield io.BufferedReader(io.BytesIO(location.content))
    elif isinstance(location, Slice):
        with opened(location.whole) as whole:
            yield io.BufferedReader(_Part(whole, location.offset, location.size))
    elif isinstance(location, ZipMember):
        with (
            opened(location.archive) as stored,
            zipfile.ZipFile(stored) as archive,
            archive.open(location.name) as member,
        ):
            yield io.BufferedReader(cast("Any", member))
    else:
        from etl.sources.object_stores import open_object

        yield io.BufferedReader(_Remote(open_object(location.store, location.path)), buffer_size=1 << 20)


class _Part(io.RawIOBase):
    """A part of a stream, as a stream of its own."""

    def __init__(self, whole: IO[bytes], offset: int, size: int) -> None:
        self.whole, self.offset, self.size = whole, offset, size
        self.place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence]
        self.place = max(0, base + place)
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(0, self.size - self.place))
        self.whole.seek(self.offset + self.place)
        data = self.whole.read(wanted)
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)


class _Remote(io.RawIOBase):
    """An object's reader, which only reads and seeks, as a stream."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        return int(self.reader.seek(place, whence))

    def tell(self) -> int:
        return int(self.reader.tell())

    def readinto(self, buffer: Any) -> int:
        data = bytes(self.reader.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)
