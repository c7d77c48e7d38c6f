"""Lists the members of zip and tar archives; each member is an input of its own."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from etl.errors import InputError
from etl.sources.storage.decompress import READ_ERRORS, is_tar, open_decompressed, sniff
from etl.sources.storage.locations import Location, Slice, ZipMember, open_location

_ZIP: Final = b"PK\x03\x04"
_EXCEL: Final = "[Content_Types].xml"
_ARCHIVE_ERRORS: Final[tuple[type[Exception], ...]] = (
    *READ_ERRORS,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,
)


def members_of(location: Location, label: str, spool: Callable[[IO[bytes]], Path]) -> list[tuple[str, Location]] | None:
    """Returns the names and locations of an archive's members, in archive order; None if it is no readable archive.

    Args:
        location: The archive's location.
        label: The archive's name in messages.
        spool: Copies a stream to a temporary file for the whole run, because a compressed tar has no random access.

    Raises:
        InputError: The archive is broken or empty.
    """
    codec, head = sniff(location, label)
    if not head.startswith(_ZIP) and not is_tar(head):
        return None
    try:
        if head.startswith(_ZIP):
            members = _in_zip(location)
        elif codec == "plain":
            members = _in_tar(location)
        else:
            with open_decompressed(location, codec, label) as (stream, _):
                members = _in_tar(spool(stream))
    except _ARCHIVE_ERRORS as error:
        raise InputError(f"{label} is an archive that cannot be read: {error}", "Pack it again.") from error
    if members is None:
        return None
    visible = [(name, place) for name, place in members if not _is_hidden(name)]
    if not visible:
        raise InputError(f"{label} is an archive without files.", "Name another archive.")
    return visible


def _in_zip(location: Location) -> list[tuple[str, Location]] | None:
    """Lists the files of a zip archive; None for workbooks and encrypted archives, whose type detection refuses."""
    with open_location(location) as stored, zipfile.ZipFile(stored) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
    if any(member.filename == _EXCEL or member.flag_bits & 1 for member in members):
        return None
    return [(member.filename, ZipMember(location, member.filename, member.file_size)) for member in members]


def _in_tar(location: Location) -> list[tuple[str, Location]]:
    """Lists the files of an uncompressed tar archive."""
    with open_location(location) as stored, tarfile.open(fileobj=stored, mode="r:") as archive:
        members = [member for member in archive if member.isfile() and not member.issparse()]
    return [(member.name, Slice(location, member.offset_data, member.size)) for member in members]


def _is_hidden(name: str) -> bool:
    """Whether a member is hidden or is macOS metadata."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.removeprefix("./").split("/"))
