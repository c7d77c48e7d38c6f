"""Reads and writes the files of a warehouse, in a folder or in an object store.

A file is named by its path from the warehouse's root. Only `replace` overwrites a file. It is atomic, and it reports
when another writer has changed the file first.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

from etl.errors import OutputError, UsageError
from etl.runner.publish import lock_folder, sync
from etl.sources.storage.object_stores import SCHEMES, error_reason, import_obstore, open_store, refuse_credentials
from etl.sources.storage.store_paths import Folder, StorePath

SNAPSHOT: Final = "snapshot.json"
_STAGING: Final = ".staging"


class Place(NamedTuple):
    """A warehouse's root: a folder, or a store and a path in the store; `address` is the text that the user gave."""

    address: str
    folder: Path | None
    store: str = ""
    path: str = ""

    def uri(self, name: str) -> str:
        """Returns the address of a file or folder in the warehouse, as Delta and polars take it."""
        return str(self.folder / name) if self.folder else f"{self.store}/{self.path}{name}"


#: Characters in a path that Delta and its readers escape differently, or take for a pattern.
_ESCAPED: Final = re.compile(r"""[^!-~]|["#%*<=>?\\^`{|}\[\]]""")


class StoredFile(NamedTuple):
    """The bytes of a small file, and a tag that changes whenever the file changes."""

    data: bytes
    tag: str


class ConflictError(OutputError):
    """Another command has changed the warehouse meanwhile."""

    def __init__(self, address: str, who: str) -> None:
        super().__init__(
            f"{address} was changed by another command meanwhile ({who}).",
            "Nothing was written; run the command again.",
        )


def place_of(address: str) -> Place:
    """Returns the place that an address names.

    Raises:
        UsageError: A warehouse cannot be written there.
    """
    if "://" not in address:
        folder = Path(os.path.abspath(address))  # noqa: PTH100 - keeps links
        if odd := _ESCAPED.search(str(folder)):
            raise UsageError(
                f"{folder} cannot hold a warehouse: readers of Delta tables escape {odd[0]!r}.",
                "Name a folder whose path has only ASCII letters, digits, and characters such as - _ . +.",
            )
        return Place(address, folder)
    scheme, _, rest = address.partition("://")
    bucket, _, path = rest.partition("/")
    if scheme not in SCHEMES or not bucket:
        raise UsageError(f"{address} cannot hold a warehouse.", f"Name a folder, or {', '.join(SCHEMES)}://B/PATH.")
    refuse_credentials(address, bucket)
    path = path.strip("/")
    return Place(address, None, f"{scheme}://{bucket}", f"{path}/" if path else "")


def staging_of(place: Place) -> Path:
    """Returns the local folder for prepared files."""
    if place.folder:
        return place.folder / _STAGING
    name = hashlib.sha256(place.uri("").encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"postback-etl-{os.getuid()}-{name}"


@contextmanager
def staging(place: Place, *, is_remote: bool = False) -> Iterator[Folder]:
    """Opens a folder for prepared files, while this process holds the lock of writers on this machine.

    Args:
        place: The warehouse.
        is_remote: Whether other machines prepare files, too: for a warehouse in a store, they do so in the store.

    Raises:
        OutputError: Another command holds the lock.
    """
    folder = staging_of(place)
    with lock_folder(folder, "warehouse"):
        for leftover in folder.iterdir():
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
        if place.folder or not is_remote:
            yield folder
            return
        shared = StorePath(place.store, f"{place.path}{_STAGING}/{uuid4().hex}")
        try:
            yield shared
        finally:
            with suppress(OSError):
                shared.delete_files()


def read_file(place: Place, name: str) -> StoredFile | None:
    """Reads a small file; returns None if there is no such file.

    Raises:
        OutputError: The file cannot be read.
    """
    try:
        if place.folder:
            data = (place.folder / name).read_bytes()
            return StoredFile(data, _tag(data))
        found = import_obstore().get(open_store(place.store), place.path + name)
        return StoredFile(bytes(found.bytes()), str(found.meta["e_tag"]))
    except FileNotFoundError:
        return None
    except _store_errors() as error:
        raise _storage_error(place, "read", error) from error


def replace(place: Place, name: str, data: bytes, tag: str | None) -> str | None:
    """Replaces a small file in one atomic, durable step, if its present tag is the expected tag.

    Args:
        place: The warehouse.
        name: The file.
        data: The new bytes.
        tag: The expected tag; None if the file must not exist yet.

    Returns:
        The tag of the new file; None if the present tag differs, and then nothing is written.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        if place.folder:
            present = read_file(place, name)
            if (present.tag if present else None) != tag:
                return None
            staged = place.folder / _STAGING / name
            staged.write_bytes(data)
            sync(staged)
            staged.replace(place.folder / name)
            sync(place.folder)
            return _tag(data)
        mode: Any = {"e_tag": tag} if tag else "create"
        errors = import_obstore().exceptions
        try:
            return str(import_obstore().put(open_store(place.store), place.path + name, data, mode=mode)["e_tag"])
        except (errors.AlreadyExistsError, errors.PreconditionError):
            return None
    except _store_errors() as error:
        raise _storage_error(place, "written", error) from error


def _tag(data: bytes) -> str:
    """Returns the tag of a file in a folder: the digest of its bytes."""
    return hashlib.sha256(data).hexdigest()


def sync_file(place: Place, name: str) -> None:
    """Syncs a file that a library has written to disk; object stores need no sync.

    Raises:
        OutputError: The disk fails.
    """
    try:
        if place.folder:
            sync(place.folder / name)
            sync((place.folder / name).parent)
    except OSError as error:
        raise _storage_error(place, "written", error) from error


def publish(place: Place, staged: Folder, name: str) -> None:
    """Moves a prepared file, of this machine or of the place, into the warehouse, under a name that no file has.

    Raises:
        OutputError: The disk is full, or the place cannot be written.
    """
    try:
        if isinstance(staged, StorePath):
            import_obstore().rename(open_store(place.store), staged.path, place.path + name)
        elif place.folder:
            target = place.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            sync(staged)
            staged.rename(target)
            sync(target.parent)
        else:
            import_obstore().put(open_store(place.store), place.path + name, staged)
            staged.unlink()
    except _store_errors() as error:
        raise _storage_error(place, "written", error) from error


def size_of(place: Place, name: str) -> int | None:
    """Returns the size of a file in bytes; None if there is no such file."""
    try:
        if place.folder:
            return (place.folder / name).stat().st_size
        return int(import_obstore().head(open_store(place.store), place.path + name)["size"])
    except FileNotFoundError:
        return None


def is_within(place: Place, location: Any) -> bool:
    """Returns whether an input, or the archive that holds it, lies in the warehouse."""
    while not isinstance(location, Path) and not hasattr(location, "store"):
        location = location[0]
    if isinstance(location, Path):
        return place.folder is not None and place.folder.resolve() in location.resolve().parents
    return not place.folder and location.store == place.store and location.path.startswith(place.path)


def _store_errors() -> tuple[type[BaseException], ...]:
    """Returns the exceptions that folders raise, and those of object stores if their library is installed."""
    try:
        return OSError, import_obstore().exceptions.BaseError
    except UsageError:
        return (OSError,)


def _storage_error(place: Place, action: str, error: BaseException) -> OutputError:
    """Returns the error for a place that cannot be read or written."""
    reason = getattr(error, "strerror", None) or error_reason(error)
    return OutputError(f"{place.address} cannot be {action}: {reason}", way_out(reason))


def way_out(reason: str) -> str:
    """Returns what to do about a place that cannot be read or written, for the reason of the system or library."""
    is_full = any(words in reason for words in ("No space left", "quota exceeded", "os error 28"))
    return OutputError.NEEDS_ROOM if is_full else "Check the folder or store, and run the command again."
