"""The snapshot: which version of every table counts. Writing it is the commit point of every command.

A table that is ahead of its version was left so by a command that was killed, or that failed; whoever writes next
restores it first. Whoever reads takes the versions of the snapshot and sees whole loads only.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from etl.errors import OutputError, UsageError
from etl.warehouse import delta, file_storage
from etl.warehouse.file_storage import SNAPSHOT, ConflictError, Place
from etl.warehouse.table_layout import BY_NAME, KEPT, PUBLIC, Kept

_FORMAT: Final = 1


@dataclass(frozen=True)
class Snapshot:
    """A state of a warehouse.

    Attributes:
        run: The command that wrote it.
        written_at: When, by its clock; nothing depends on it.
        writer: On which host, in which process.
        versions: Of each table.
        dedup: By what deduplication its duplicates were found: scope and window. Null before the first load.
    """

    run: str
    written_at: str
    writer: str
    versions: dict[str, int]
    dedup: dict[str, Any] | None = None


#: A warehouse without a snapshot: every table at its version 0, which has no rows.
NOTHING: Final = Snapshot("", "", "", {kept.name: 0 for kept in KEPT})


@dataclass(frozen=True)
class Warehouse:
    """A warehouse at its snapshot.

    Attributes:
        place: Where it lies.
        snapshot: The state it is in.
        tag: Tells that snapshot from a later one; None: there is none yet.
        tables: By name; in a warehouse that is written their latest versions, whose rows are those of the snapshot.
        files: By name, rows of `delta.FILES`.
        staging: A folder for files in the making; only while it is written.
    """

    place: Place
    snapshot: Snapshot
    tag: str | None
    tables: dict[str, Any]
    files: dict[str, pl.DataFrame]
    staging: Path | None = None

    def scan(self, name: str, files: pl.DataFrame | None = None, beside: str | None = None) -> pl.LazyFrame:
        """The rows of a table, without `received_date`, or of some of its files.

        Args:
            name: The table.
            files: Rows of `delta.FILES`; all of them by default.
            beside: Name of a column for the address of each row's file; none by default.
        """
        chosen = self.files[name] if files is None else files
        return delta.scan(self.place, BY_NAME[name], chosen["path"], beside)

    def folder(self, name: str) -> Path:
        """A folder in the staging folder, made if it is not there."""
        assert self.staging  # what is written has one
        (self.staging / name).mkdir(exist_ok=True)
        return self.staging / name


def is_warehouse(address: str) -> bool:
    """Whether anything was loaded there."""
    return file_storage.read(file_storage.place_of(address), SNAPSHOT) is not None


def viewed(address: str) -> Warehouse:
    """A warehouse to be read.

    Raises:
        UsageError: There is none.
        OutputError: It cannot be read.
    """
    place = file_storage.place_of(address)
    snapshot, tag = _read(place)
    if tag is None:
        raise UsageError(f"{address} is no warehouse.", "Name one that something was loaded into.")
    tables = {kept.name: _table(place, kept, snapshot.versions[kept.name]) for kept in KEPT}
    return _at(place, snapshot, tag, tables)


@contextmanager
def written(address: str) -> Iterator[Warehouse]:
    """A warehouse to be written, made if there is none, in the state of its snapshot, whatever was killed before.

    Raises:
        OutputError: Another command holds it, or it cannot be written.
        UsageError: There is something else.
    """
    place = file_storage.place_of(address)
    _refuse_foreign(place)
    with file_storage.staging(place) as folder:
        snapshot, tag = _read(place)
        if tag is None:
            for kept in KEPT:
                delta.create(place, kept)
        tables = {kept.name: _table(place, kept, None) for kept in KEPT}
        ahead = [kept for kept in KEPT if tables[kept.name].version() > snapshot.versions[kept.name]]
        if ahead:
            versions = {
                kept.name: delta.restore(place, kept, tables[kept.name], snapshot.versions[kept.name]) for kept in ahead
            }
            snapshot = replace(snapshot, versions={**snapshot.versions, **versions})
            tables |= {kept.name: _table(place, kept, versions[kept.name]) for kept in ahead}
            tag = tag and put(Warehouse(place, snapshot, tag, tables, {}), snapshot)
        yield replace(_at(place, snapshot, tag, tables), staging=folder)


def put(warehouse: Warehouse, snapshot: Snapshot) -> str:
    """Makes a snapshot the one that counts, if nobody has changed the warehouse since it was opened.

    Returns:
        The new one's tag.

    Raises:
        ConflictError: Somebody has.
    """
    place = warehouse.place
    known = {"format": _FORMAT, **{name: getattr(snapshot, name) for name in ("run", "written_at", "writer", "dedup")}}
    data = orjson.dumps({**known, "tables": snapshot.versions}, option=orjson.OPT_INDENT_2) + b"\n"
    tag = file_storage.replace(place, SNAPSHOT, data, warehouse.tag)
    if tag is None:
        other = _read(place)[0]
        raise ConflictError(place.address, f"{other.writer}, run {other.run}")
    return tag


def signed(run: str, versions: dict[str, int], dedup: dict[str, Any] | None) -> Snapshot:
    """A snapshot by this process, now."""
    return Snapshot(
        run, datetime.now(UTC).isoformat(), f"process {os.getpid()} on {socket.gethostname()}", versions, dedup
    )


def _at(place: Place, snapshot: Snapshot, tag: str | None, tables: dict[str, Any]) -> Warehouse:
    files = {kept.name: delta.files_of(tables[kept.name], kept) for kept in KEPT}
    return Warehouse(place, snapshot, tag, tables, files)


def _table(place: Place, kept: Kept, version: int | None) -> Any:
    table = delta.opened(place, kept, version)
    if table is None:
        raise OutputError(f"{place.address} lacks its table {kept.folder}.", "Bring it back, or load into a new place.")
    return table


def _read(place: Place) -> tuple[Snapshot, str | None]:
    stored = file_storage.read(place, SNAPSHOT)
    if stored is None:
        return NOTHING, None
    try:
        known = orjson.loads(stored.data)
        if known["format"] != _FORMAT:
            raise OutputError(f"{place.address} was written by a later version.", "Use that version, or a later one.")
        names = ("run", "written_at", "writer", "dedup")
        return Snapshot(versions=known["tables"], **{name: known[name] for name in names}), stored.tag
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise OutputError(f"{place.address}/{SNAPSHOT} is damaged: {error}", "Bring it back from a backup.") from error


def _refuse_foreign(place: Place) -> None:
    """Refuses a folder that holds anything but what a load, perhaps killed, left there."""
    folder = place.folder
    if folder is None or not folder.exists() or (folder / SNAPSHOT).exists():
        return
    ours = {kept.folder.partition("/")[0] for kept in KEPT} | {".staging"}
    foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in ours) if folder.is_dir() else [""]
    if foreign:
        raise UsageError(
            f"{place.address} holds {foreign[0]!r} and is no warehouse.", "Name a folder that is empty or not there."
        )


def scan(warehouse: str, table: str) -> pl.LazyFrame:
    """A table as of the last load that was done, whole, while another may be at work.

    Args:
        warehouse: A folder or an address of an object store.
        table: One of the four tables, or `loads`.

    Returns:
        The contract's columns and `received_date`, by which files are passed over; the order of rows is not promised.

    Raises:
        UsageError: There is no such warehouse or table.
    """
    names = (*PUBLIC, "loads")
    if table not in names:
        raise UsageError(f"There is no table {table!r}.", f"The tables are {', '.join(names)}.")
    return pinned(viewed(warehouse), table)


def pinned(warehouse: Warehouse, table: str) -> pl.LazyFrame:
    """A table of a warehouse at the version of its snapshot, `received_date` included."""
    kept = BY_NAME[table]
    delta.library()
    rows = pl.scan_delta(warehouse.place.uri(kept.folder), version=warehouse.snapshot.versions[table])
    return rows.select(pl.col(name).cast(dtype) for name, dtype in kept.schema.items())
