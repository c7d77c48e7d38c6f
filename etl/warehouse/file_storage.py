"""Where a warehouse lies: a folder, or an address in an object store. What can be done with bytes there.

A file of it is named by its path from the warehouse's root. Nothing is ever overwritten but by `replace`, which is
atomic, and which tells if somebody else was quicker.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from etl.errors import OutputError, UsageError
from etl.runner.publish import held, sync
from etl.sources.storage.locations import SCHEMES, library, opened_store, reason_of, refuse_credentials

SNAPSHOT: Final = "snapshot.json"
_STAGING: Final = ".staging"


class Place(NamedTuple):
    """A warehouse's root: a folder, or the store and the path in it; `address` is what the user said."""

    address: str
    folder: Path | None
    store: str = ""
    path: str = ""

    def uri(self, name: str) -> str:
        """The address of a file or folder within, as Delta and polars take it."""
        return str(self.folder / name) if self.folder else f"{self.store}/{self.path}{name}"


#: What Delta and its readers do not write the same in an address, or take for a pattern.
_ESCAPED: Final = re.compile(r"""[^!-~]|["#%*<=>?\\^`{|}\[\]]""")


class Stored(NamedTuple):
    """The bytes of a small file, and the tag that tells this state of it from a later one."""

    data: bytes
    tag: str


class ConflictError(OutputError):
    """Another command has changed the warehouse meanwhile."""

    def __init__(self, address: str, who: str) -> None:
        super().__init__(
            f"{address} was changed by another command meanwhile ({who}).", "Nothing was loaded; run the command again."
        )


def place_of(address: str) -> Place:
    """The place that an address names.

    Raises:
        UsageError: It is of a kind that is not written.
    """
    if "://" not in address:
        folder = Path(os.path.abspath(address))  # noqa: PTH100 - keeps links
        if odd := _ESCAPED.search(str(folder)):
            raise UsageError(
                f"{folder} is no place for a warehouse: readers of Delta tables escape {odd[0]!r}.",
                "Name a folder whose path has only ASCII letters, digits and such marks as - _ . +.",
            )
        return Place(address, folder)
    scheme, _, rest = address.partition("://")
    bucket, _, path = rest.partition("/")
    if scheme not in SCHEMES or not bucket:
        raise UsageError(f"{address} is no place for a warehouse.", f"Name a folder, or {', '.join(SCHEMES)}://B/PATH.")
    refuse_credentials(address, bucket)
    path = path.strip("/")
    return Place(address, None, f"{scheme}://{bucket}", f"{path}/" if path else "")


@contextmanager
def staging(place: Place) -> Iterator[Path]:
    """A folder on this machine to prepare files in, held by this process alone: two writers here exclude each other.

    Raises:
        OutputError: Another command holds it.
    """
    if place.folder:
        folder = place.folder / _STAGING
    else:
        name = hashlib.sha256(place.uri("").encode()).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"postback-etl-{os.getuid()}-{name}"
    with held(folder, "warehouse"):
        for leftover in folder.iterdir():
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
        yield folder


def read(place: Place, name: str) -> Stored | None:
    """A small file; None where there is none.

    Raises:
        OutputError: It cannot be read.
    """
    try:
        if place.folder:
            data = (place.folder / name).read_bytes()
            return Stored(data, _tag(data))
        found = library().get(opened_store(place.store), place.path + name)
        return Stored(bytes(found.bytes()), str(found.meta["e_tag"]))
    except FileNotFoundError:
        return None
    except _store_errors() as error:
        raise _failed(place, "read", error) from error


def replace(place: Place, name: str, data: bytes, tag: str | None) -> str | None:
    """Puts a small file in the place of the state that a tag tells, or of none, in one step that lasts.

    Returns:
        The tag of the new state; None, and nothing is done, if the present one is not the one that was told.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        if place.folder:
            present = read(place, name)
            if (present and present.tag) != tag:
                return None
            staged = place.folder / _STAGING / name
            staged.write_bytes(data)
            sync(staged)
            staged.replace(place.folder / name)
            sync(place.folder)
            return _tag(data)
        mode: Any = {"e_tag": tag} if tag else "create"
        errors = library().exceptions
        try:
            return str(library().put(opened_store(place.store), place.path + name, data, mode=mode)["e_tag"])
        except (errors.AlreadyExistsError, errors.PreconditionError):
            return None
    except _store_errors() as error:
        raise _failed(place, "written", error) from error


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def settle(place: Place, name: str) -> None:
    """Makes a file durable that a library has written; a store does that by itself.

    Raises:
        OutputError: The disk fails.
    """
    try:
        if place.folder:
            sync(place.folder / name)
            sync((place.folder / name).parent)
    except OSError as error:
        raise _failed(place, "written", error) from error


def publish(place: Place, staged: Path, name: str) -> None:
    """Moves a prepared file into the warehouse, under a name that nothing has.

    Raises:
        OutputError: The disk is full, or the place cannot be written.
    """
    try:
        if place.folder:
            target = place.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            sync(staged)
            staged.rename(target)
            sync(target.parent)
        else:
            library().put(opened_store(place.store), place.path + name, staged)
            staged.unlink()
    except _store_errors() as error:
        raise _failed(place, "written", error) from error


def size_of(place: Place, name: str) -> int | None:
    """The bytes of a file; None where there is none."""
    try:
        if place.folder:
            return (place.folder / name).stat().st_size
        return int(library().head(opened_store(place.store), place.path + name)["size"])
    except FileNotFoundError:
        return None


def is_within(place: Place, location: Any) -> bool:
    """Whether an input lies in the warehouse, itself or the archive that holds it."""
    while not isinstance(location, Path) and not hasattr(location, "store"):
        location = location[0]
    if isinstance(location, Path):
        return place.folder is not None and place.folder.resolve() in location.resolve().parents
    return not place.folder and location.store == place.store and location.path.startswith(place.path)


def _store_errors() -> tuple[type[BaseException], ...]:
    """What may go wrong in a folder, and in a store if one is in use."""
    try:
        return OSError, library().exceptions.BaseError
    except UsageError:
        return (OSError,)


def _failed(place: Place, what: str, error: BaseException) -> OutputError:
    reason = getattr(error, "strerror", None) or reason_of(error)
    return OutputError(f"{place.address} cannot be {what}: {reason}", "Check the place, and run the command again.")
