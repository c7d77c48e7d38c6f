"""Defines where the bytes of an input are stored, and opens them for reading.

A location is a file, a part of a file, a member of a zip archive, an object in a store, or bytes in memory. It is plain
data, so any process can open it.
"""

from __future__ import annotations

import fnmatch
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

from etl.errors import InputError, UsageError


class Slice(NamedTuple):
    """A byte range of another location: a member of an uncompressed tar archive."""

    whole: Any
    offset: int
    size: int


class ZipMember(NamedTuple):
    """A member of a zip archive; its size is the uncompressed size."""

    archive: Any
    name: str
    size: int


class StoredObject(NamedTuple):
    """An object in a store: the store's address, and the object's path and size."""

    store: str
    path: str
    size: int


class InMemory(NamedTuple):
    """Bytes in memory."""

    content: bytes

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.content)


#: Locations nest: an archive may itself be an object in a store.
Location = Path | Slice | ZipMember | StoredObject | InMemory


def size_of(location: Location) -> int:
    """Returns the number of bytes at a location."""
    return location.stat().st_size if isinstance(location, Path) else location.size


def is_seekable(location: Location) -> bool:
    """Whether reading can start anywhere in the location without reading what comes before."""
    return not isinstance(location, ZipMember)


@contextmanager
def open_location(location: Location) -> Iterator[io.BufferedReader]:
    """Opens a location as a seekable stream of bytes.

    Raises:
        OSError: The location cannot be opened.
        zipfile.BadZipFile: The archive that contains the location is damaged.
    """
    if isinstance(location, Path):
        with location.open("rb") as stream:
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
            archive.open(location.name) as member,
        ):
            yield io.BufferedReader(cast("Any", member))
    else:
        yield io.BufferedReader(_ObjectStream(open_object(location.store, location.path)), buffer_size=1 << 20)


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


SCHEMES: Final = ("s3", "gs", "az")

_ADDRESS: Final = re.compile(r"([a-z][a-z0-9]*)://([^/]+)/?(.*)", re.DOTALL)
_GLOB: Final = re.compile(r"[*?\[]")


def find_objects(address: str) -> list[StoredObject]:
    """Lists the objects that an address names, in order of path. Empty objects are left out.

    Args:
        address: `SCHEME://BUCKET/PATH`, where the path is an object, a prefix or a glob.

    Raises:
        InputError: The address names no object, or the store cannot be read.
        UsageError: The address is not valid or contains credentials, or the object-store library is not installed.
    """
    match = _ADDRESS.fullmatch(address)
    if not match or match[1] not in SCHEMES:
        raise UsageError(
            f"{address} is not an object-store address.",
            f"Give SCHEME://BUCKET/PATH, where SCHEME is one of {', '.join(SCHEMES)}.",
        )
    refuse_credentials(address, match[2])
    store, path = f"{match[1]}://{match[2]}", match[3]
    prefix = _GLOB.split(path)[0].rpartition("/")[0] if _GLOB.search(path) else path.rstrip("/")
    found = [found for found in _list_objects(store, prefix, address) if _matches(found.path, path)]
    if not found:
        raise InputError(f"{address} names no object.", "Check the name; end a prefix with /, and quote a glob.")
    return found


def refuse_credentials(address: str, bucket: str) -> None:
    """Refuses an address that contains credentials, which would appear in tables, reports and process lists.

    Raises:
        UsageError: The address contains credentials.
    """
    if "@" in bucket or ":" in bucket:
        raise UsageError(
            f"{address} contains credentials, which addresses must not contain.",
            "Set the credentials in the environment (AWS_*, GOOGLE_*, AZURE_*) and only the bucket in the address.",
        )


def open_object(store: str, path: str) -> Any:
    """Opens an object with a reader that fetches byte ranges.

    Raises:
        OSError: The object cannot be opened.
    """
    try:
        return import_obstore().open_reader(open_store(store), path, buffer_size=4 << 20)
    except import_obstore().exceptions.BaseError as error:
        raise OSError(error_reason(error)) from error


def _matches(path: str, named: str) -> bool:
    """Whether an object's path matches the path of an address: equal, under the prefix, or matching the glob."""
    if _GLOB.search(named):
        return fnmatch.fnmatchcase(path, named)
    return path == named or path.startswith(f"{named.rstrip('/')}/") or not named


def _list_objects(store: str, prefix: str, address: str) -> list[StoredObject]:
    """Lists the non-empty objects at and under a prefix, in order of path."""
    stores = import_obstore()
    try:
        alone = [_head(store, prefix)] if prefix else []
        metas = [meta for batch in stores.list(open_store(store), prefix or None) for meta in batch]
    except (stores.exceptions.BaseError, OSError) as error:
        raise InputError(
            f"{address} cannot be listed: {error_reason(error)}",
            "Check the bucket, the credentials and the endpoint in the environment (AWS_*, GOOGLE_*, AZURE_*).",
        ) from error
    listed = (StoredObject(store, meta["path"], meta["size"]) for meta in [*filter(None, alone), *metas])
    return sorted({item.path: item for item in listed if item.size}.values(), key=lambda item: item.path)


def _head(store: str, path: str) -> Any:
    """Returns the metadata of an object; None if there is no such object."""
    try:
        return import_obstore().head(open_store(store), path)
    except FileNotFoundError:
        return None


@lru_cache(maxsize=8)
def open_store(address: str) -> Any:
    """Connects to the store at an address, as the environment configures it."""
    from obstore.store import from_url

    return from_url(address, retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=20)})


def import_obstore() -> Any:
    """Imports and returns `obstore`, the object-store library.

    Raises:
        UsageError: The library is not installed.
    """
    try:
        import obstore
        import obstore.exceptions
    except ImportError as error:
        raise UsageError(
            "Object stores need the library obstore, which is not installed.",
            "Run: pip install 'postback-etl[object-stores]'",
        ) from error
    return obstore


def error_reason(error: BaseException) -> str:
    """Returns a store error's code or first 200 characters, without the library's debug output."""
    text = str(error).partition("\n\nDebug source")[0]
    code = re.search(r"<Code>(\w+)</Code>", text)
    return code[1] if code else " ".join(text.split())[:200]
