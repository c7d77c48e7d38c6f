"""Lists the members of zip and tar archives; each member is an input of its own."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

from etl.errors import InputError
from etl.sources.storage.decompress import READ_ERRORS, is_tar, open_decompressed, sniff
from etl.sources.storage.folders import PassedOver
from etl.sources.storage.locations import (
    Identity,
    Location,
    Slice,
    TarMember,
    ZipMember,
    identity_of,
    open_location,
)

_ZIP: Final = b"PK\x03\x04"
_EXCEL: Final = "[Content_Types].xml"
_BLOCK_BYTES: Final = 1 << 20
_ARCHIVE_ERRORS: Final[tuple[type[Exception], ...]] = READ_ERRORS


class Archive(NamedTuple):
    """An archive.

    Attributes:
        members: The names and locations of its files, in archive order; no name occurs twice.
        passed_over: Its members that are not read.
        identity: Its identity from before it was listed.
    """

    members: list[tuple[str, Location]]
    passed_over: list[PassedOver]
    identity: Identity


class _Member(NamedTuple):
    """A member of an archive: its name, and its location; or why it is not read."""

    name: str
    location: Location | None
    why: str = ""


def members_of(location: Location, label: str, spool: Callable[[IO[bytes]], Path]) -> Archive | None:
    """Returns an archive's members; None if it is no readable archive.

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
        identity = identity_of(location)
        if head.startswith(_ZIP):
            members = _in_zip(location)
        elif codec == "plain":
            members = _in_tar(location)
        else:
            with open_decompressed(location, codec, label) as (stream, _):
                spooled = spool(stream)
            identity, members = identity_of(spooled), _in_tar(spooled)
    except _ARCHIVE_ERRORS as error:
        raise InputError(f"{label} is an archive that cannot be read: {error}", "Pack it again.") from error
    if members is None:
        return None
    visible = [member for member in members if not _is_hidden(member.name)]
    passed_over = [PassedOver(f"{label}/{member.name}", member.why) for member in visible if not member.location]
    read = list(_with_own_names(visible))
    if not read:
        raise InputError(f"{label} is an archive without files.", "Name another archive.")
    return Archive(read, passed_over, identity)


def _with_own_names(members: list[_Member]) -> Iterator[tuple[str, Location]]:
    """Yields the names and locations of what is read; of several members of a name, the later are numbered."""
    taken = {member.name for member in members}
    named = set[str]()
    for name, location, _ in members:
        own, number = name, 1
        while own in named or (number > 1 and own in taken):
            number += 1
            own = f"{name} ({number})"
        if location:
            named.add(own)
            yield own, location


def _in_zip(location: Location) -> list[_Member] | None:
    """Lists the files of a zip archive; None for workbooks and encrypted archives, whose type detection refuses.

    Raises:
        zipfile.BadZipFile: The list of members is broken, or another archive stands before this one.
    """
    with open_location(location) as stored, zipfile.ZipFile(stored) as archive:
        listed = archive.infolist()
    if min((entry.header_offset for entry in listed), default=0):
        raise zipfile.BadZipFile("it begins with members that its list does not name")
    entries = [pair for pair in enumerate(listed) if not pair[1].filename.endswith("/")]
    if any(entry.filename == _EXCEL or entry.flag_bits & 1 for _, entry in entries):
        return None
    return [
        _Member(entry.filename, None, "a link within the archive")
        if stat.S_ISLNK(entry.external_attr >> 16)
        else _Member(entry.filename, ZipMember(location, entry.filename, entry.file_size, number))
        for number, entry in entries
    ]


def _in_tar(location: Location) -> list[_Member]:
    """Lists the files of an uncompressed tar archive, up to its end.

    Raises:
        tarfile.TarError: A header is broken, or another archive follows.
    """
    with open_location(location) as stored, tarfile.open(fileobj=stored, mode="r:") as archive:
        members = [_in_tar_as(member, location) for member in archive if member.type != tarfile.DIRTYPE]
        stored.seek(archive.offset)
        while block := stored.read(_BLOCK_BYTES):
            if block.strip(b"\0"):
                raise tarfile.ReadError("it holds a broken header, or more behind its end")
    return members


def _in_tar_as(member: tarfile.TarInfo, location: Location) -> _Member:
    """Returns a member of a tar archive."""
    if member.issym() or member.islnk():
        return _Member(member.name, None, f"a link to {member.linkname}")
    if not member.isfile():
        return _Member(member.name, None, "no file")
    if member.issparse():
        return _Member(member.name, TarMember(location, member.offset, member.size))
    return _Member(member.name, Slice(location, member.offset_data, member.size))


def _is_hidden(name: str) -> bool:
    """Whether a member is hidden or is macOS metadata."""
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in name.split("/"))
