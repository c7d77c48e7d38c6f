"""Where the bytes of an input lie: in a file or a part of one, a zip archive, a store, or in the location itself.

A location is plain data, which any process can open.
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


SCHEMES: Final = ("s3", "gs", "az")

_ADDRESS: Final = re.compile(r"([a-z][a-z0-9]*)://([^/]+)/?(.*)", re.DOTALL)
_GLOB: Final = re.compile(r"[*?\[]")


def find_objects(address: str) -> list[StoredObject]:
    """The objects that an address names, in order of their paths: one, those under a prefix, those that match a glob.

    Raises:
        InputError: There are none, or the store cannot be read.
        UsageError: The address is of another kind, or the library for stores is not installed.
    """
    match = _ADDRESS.fullmatch(address)
    if not match or match[1] not in SCHEMES:
        raise UsageError(
            f"{address} is no address of an object store.", f"Give one of {', '.join(SCHEMES)}://BUCKET/PATH."
        )
    refuse_credentials(address, match[2])
    store, path = f"{match[1]}://{match[2]}", match[3]
    prefix = _GLOB.split(path)[0].rpartition("/")[0] if _GLOB.search(path) else path.rstrip("/")
    found = [found for found in _listed(store, prefix, address) if _is_named(found.path, path)]
    if not found:
        raise InputError(f"{address} names no object.", "Check the name; a prefix ends with /, a glob is quoted.")
    return found


def refuse_credentials(address: str, bucket: str) -> None:
    """Refuses an address that holds credentials: it would stand in tables, reports and lists of processes.

    Raises:
        UsageError: It does.
    """
    if "@" in bucket or ":" in bucket:
        raise UsageError(
            f"{address} holds credentials, which no address may.",
            "Give them in the environment (AWS_*, GOOGLE_*, AZURE_*), and the bucket alone in the address.",
        )


def open_object(store: str, path: str) -> Any:
    """A reader of an object, by ranges.

    Raises:
        OSError: It cannot be read.
    """
    try:
        return library().open_reader(opened_store(store), path, buffer_size=4 << 20)
    except library().exceptions.BaseError as error:
        raise OSError(reason_of(error)) from error


def _is_named(path: str, named: str) -> bool:
    if _GLOB.search(named):
        return fnmatch.fnmatchcase(path, named)
    return path == named or path.startswith(f"{named.rstrip('/')}/") or not named


def _listed(store: str, prefix: str, address: str) -> list[StoredObject]:
    stores = library()
    try:
        alone = [_head(store, prefix)] if prefix else []
        metas = [meta for batch in stores.list(opened_store(store), prefix or None) for meta in batch]
    except (stores.exceptions.BaseError, OSError) as error:
        raise InputError(
            f"{address} cannot be listed: {reason_of(error)}",
            "Check the bucket, the credentials and the endpoint in the environment (AWS_*, GOOGLE_*, AZURE_*).",
        ) from error
    listed = (StoredObject(store, meta["path"], meta["size"]) for meta in [*filter(None, alone), *metas])
    return sorted({one.path: one for one in listed if one.size}.values(), key=lambda one: one.path)


def _head(store: str, path: str) -> Any:
    try:
        return library().head(opened_store(store), path)
    except FileNotFoundError:
        return None


@lru_cache(maxsize=8)
def opened_store(address: str) -> Any:
    """The store at an address, as the environment configures it."""
    from obstore.store import from_url

    return from_url(address, retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=20)})


def library() -> Any:
    """`obstore`.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import obstore
        import obstore.exceptions
    except ImportError as error:
        raise UsageError(
            "Object stores need a library that is not installed.", "Run: pip install 'postback-etl[object-stores]'"
        ) from error
    return obstore


def reason_of(error: BaseException) -> str:
    """What went wrong, without where in the library."""
    text = str(error).partition("\n\nDebug source")[0]
    code = re.search(r"<Code>(\w+)</Code>", text)
    return code[1] if code else " ".join(text.split())[:200]
