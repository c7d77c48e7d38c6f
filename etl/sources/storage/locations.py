"""Defines where the bytes of an input are stored, and opens them for reading.

A location is a file, a part of a file, a member of a zip archive, an object in a store, or bytes in memory. It is plain
data, so any process can open it.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from etl.sources.storage.object_stores import StoredObject, open_object, version_of


class Slice(NamedTuple):
    """A byte range of another location: a member of an uncompressed tar archive."""

    whole: Any
    offset: int
    size: int


class TarMember(NamedTuple):
    """A sparse member of an uncompressed tar archive: the place of its header, and its size with the holes."""

    archive: Any
    offset: int
    size: int


class ZipMember(NamedTuple):
    """A member of a zip archive: its name, its uncompressed size, and its place in the list of members."""

    archive: Any
    name: str
    size: int
    number: int


class InMemory(NamedTuple):
    """Bytes in memory."""

    content: bytes

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.content)


#: Locations nest: an archive may itself be an object in a store.
Location = Path | Slice | TarMember | ZipMember | StoredObject | InMemory


#: Tells whether a file or an object was replaced or changed; see `identity_of`.
Identity = tuple[int | str, ...]


def identity_of(location: Location) -> Identity:
    """Returns the identity of what holds a location.

    Of a file: inode, size and modification time in nanoseconds; each machine numbers the devices its own way. Of an
    object: its ETag, generation and time.

    Raises:
        OSError: The file or object does not exist, or cannot be reached.
    """
    if isinstance(location, Path):
        stat = location.stat()
        return stat.st_ino, stat.st_size, stat.st_mtime_ns
    if isinstance(location, StoredObject):
        return version_of(location)
    if isinstance(location, Slice):
        return identity_of(location.whole)
    return identity_of(location.archive) if isinstance(location, (TarMember, ZipMember)) else ()


def size_of(location: Location) -> int:
    """Returns the number of bytes at a location."""
    return location.stat().st_size if isinstance(location, Path) else location.size


def is_seekable(location: Location) -> bool:
    """Whether reading can start anywhere in the location without reading what comes before."""
    return not isinstance(location, (TarMember, ZipMember))


@contextmanager
def open_location(location: Location) -> Iterator[io.BufferedReader]:
    """Opens a location as a seekable stream of bytes.

    Raises:
        OSError: The location cannot be opened.
        zipfile.BadZipFile: The archive that contains the location is damaged.
    """
    if isinstance(location, Path):
        with open(location, "rb", opener=_open_file) as stream:
            yield stream
    elif isinstance(location, InMemory):
        yield io.BufferedReader(io.BytesIO(location.content))
    elif isinstance(location, Slice):
        with open_location(location.whole) as whole:
            yield io.BufferedReader(_RangeStream(whole, location.offset, location.size))
    elif isinstance(location, ZipMember):
        with (
            open_location(location.archive) as stored,
            zipfile.ZipFile(stored) as archive,
            archive.open(_entry(archive, location)) as member,
        ):
            yield io.BufferedReader(cast("Any", member))
    elif isinstance(location, TarMember):
        with open_location(location.archive) as stored:
            stored.seek(location.offset)
            with tarfile.open(fileobj=stored, mode="r:") as members:
                yield cast("Any", members.extractfile(cast("Any", members.next())))
    else:
        yield io.BufferedReader(_ObjectStream(open_object(location.store, location.path)), buffer_size=1 << 20)


def _open_file(path: str, flags: int) -> int:
    """Opens a regular file. Never waits, as opening a pipe would until somebody writes.

    Raises:
        OSError: The path leads to something else, or cannot be opened.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no file")
    return descriptor


def _entry(archive: zipfile.ZipFile, member: ZipMember) -> zipfile.ZipInfo:
    """Returns the entry of a member of an archive; several may have its name."""
    entries = archive.infolist()
    if member.number >= len(entries) or entries[member.number].filename != member.name:
        raise zipfile.BadZipFile("its members have changed")
    return entries[member.number]


class _RangeStream(io.RawIOBase):
    """A stream over a byte range of another stream."""

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
        if len(data) < wanted:
            raise EOFError("the archive ends within it")
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)


class _ObjectStream(io.RawIOBase):
    """A stream over an object store's reader, which can only read and seek."""

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
