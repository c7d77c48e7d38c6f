"""Archives: members of zip and tar files, each an input of its own."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from etl.errors import InputError
from etl.sources.storage.decompress import BROKEN, is_tar, open_decompressed, sniff
from etl.sources.storage.locations import Location, Slice, ZipMember, opened

_ZIP: Final = b"PK\x03\x04"
_EXCEL: Final = "[Content_Types].xml"
_BROKEN_ARCHIVE: Final[tuple[type[Exception], ...]] = (
    *BROKEN,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,
)


def members_of(location: Location, label: str, spool: Callable[[IO[bytes]], Path]) -> list[tuple[str, Location]] | None:
    """The names and places of an archive's members, in their order; None for what is no archive.

    Args:
        location: Where it lies.
        label: What to call it in messages.
        spool: Keeps a stream in a file for as long as the run lasts: a compressed tar can be read in one go only.

    Raises:
        InputError: The archive is broken, encrypted or empty, or an Excel workbook.
    """
    codec, head = sniff(location, label)
    if not head.startswith(_ZIP) and not is_tar(head):
        return None
    try:
        if head.startswith(_ZIP):
            members = _in_zip(location, label)
        elif codec == "plain":
            members = _in_tar(location)
        else:
            with open_decompressed(location, codec, label) as (stream, _):
                members = _in_tar(spool(stream))
    except _BROKEN_ARCHIVE as error:
        raise InputError(f"{label} is an archive that cannot be read: {error}", "Pack it again.") from error
    seen = [(name, place) for name, place in members if not _is_hidden(name)]
    if not seen:
        raise InputError(f"{label} is an archive without files.", "Name another one.")
    return seen


def _in_zip(location: Location, label: str) -> list[tuple[str, Location]]:
    with opened(location) as stored, zipfile.ZipFile(stored) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
    if any(member.filename == _EXCEL for member in members):
        raise InputError(
            f"{label} is an Excel workbook, which is not read.", "Save the sheet as CSV and name that file."
        )
    if any(member.flag_bits & 1 for member in members):
        raise InputError(f"{label} is encrypted.", "Unpack it with its password and name the files in it.")
    return [(member.filename, ZipMember(location, member.filename, member.file_size)) for member in members]


def _in_tar(location: Location) -> list[tuple[str, Location]]:
    with opened(location) as stored, tarfile.open(fileobj=stored, mode="r:") as archive:
        members = [member for member in archive if member.isfile() and not member.issparse()]
    return [(member.name, Slice(location, member.offset_data, member.size)) for member in members]


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.removeprefix("./").split("/"))
