"""The snapshot of a warehouse: the versions of its tables that count. Writing the snapshot commits a command.

A command that was killed, or that failed, may have left tables with later versions. The next writer restores those
first. Readers open the versions of the snapshot, so they see whole loads only.
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

from etl.errors import OutputError, UsageError, choices
from etl.runner.publish import check_lock
from etl.sources.storage.store_paths import Folder
from etl.warehouse import delta, file_storage
from etl.warehouse.file_storage import SNAPSHOT, ConflictError, Place
from etl.warehouse.table_layout import BY_NAME, PUBLIC, STORED_TABLES, StoredTable

_FORMAT: Final = 1


@dataclass(frozen=True)
class Snapshot:
    """A state of a warehouse.

    Attributes:
        run: The run that wrote it.
        written_at: The time by the writer's clock; for people only.
        writer: Process and host of the writer.
        versions: Version by table.
        dedup: Scope and window of the deduplication; None before the first load.
    """

    run: str
    written_at: str
    writer: str
    versions: dict[str, int]
    dedup: dict[str, Any] | None = None


#: The state of a warehouse without a snapshot: every table at version 0, which has no rows.
EMPTY_SNAPSHOT: Final = Snapshot("", "", "", {stored.name: 0 for stored in STORED_TABLES})


@dataclass(frozen=True)
class Warehouse:
    """A warehouse, opened at its snapshot.

    Attributes:
        place: Its root.
        snapshot: The snapshot.
        tag: Tag of the snapshot file; None if there is no snapshot yet.
        tables: Opened Delta tables by name. If opened for writing, these are the latest versions, with the rows of the
            snapshot.
        files: By table, rows of `delta.FILES`.
        staging: Folder for prepared files; None if opened for reading.
    """

    place: Place
    snapshot: Snapshot
    tag: str | None
    tables: dict[str, Any]
    files: dict[str, pl.DataFrame]
    staging: Folder | None = None

    def scan(self, name: str, files: pl.DataFrame | None = None, path_column: str | None = None) -> pl.LazyFrame:
        """Scans a table, or some of its files, without `received_date`.

        Args:
            name: The table.
            files: Rows of `delta.FILES`; all files by default.
            path_column: Name of a column for the address of each row's file; none by default.
        """
        chosen = self.files[name] if files is None else files
        return delta.scan(self.place, BY_NAME[name], chosen["path"], path_column)

    def folder(self, name: str) -> Folder:
        """Creates a folder in the staging folder, if it does not exist, and returns its path."""
        assert self.staging  # a warehouse that is open for writing has a staging folder
        folder = self.staging / name
        if isinstance(folder, Path):
            folder.mkdir(exist_ok=True)
        return folder


def is_warehouse(address: str) -> bool:
    """Returns whether an address holds a warehouse with a snapshot."""
    return file_storage.read_file(file_storage.place_of(address), SNAPSHOT) is not None


def open_for_reading(address: str) -> Warehouse:
    """Opens a warehouse for reading.

    Raises:
        UsageError: There is no warehouse.
        OutputError: The warehouse cannot be read.
    """
    place = file_storage.place_of(address)
    snapshot, tag = _read_snapshot(place)
    if tag is None:
        raise UsageError(f"{address} is not a warehouse.", "Name a warehouse that `load` has written.")
    tables = {stored.name: _open_table(place, stored, snapshot.versions[stored.name]) for stored in STORED_TABLES}
    return _warehouse_at(place, snapshot, tag, tables)


@contextmanager
def open_for_writing(address: str, *, is_remote: bool = False) -> Iterator[Warehouse]:
    """Opens a warehouse for writing, in the state of its snapshot; creates the warehouse if there is none.

    Args:
        address: The warehouse.
        is_remote: Whether other machines prepare files, too.

    Raises:
        OutputError: Another command holds the lock, or the warehouse cannot be written.
        UsageError: The folder holds files that no load wrote.
    """
    place = file_storage.place_of(address)
    _refuse_foreign(place)
    with file_storage.staging(place, is_remote=is_remote) as folder:
        snapshot, tag = _read_snapshot(place)
        if tag is None:
            for stored in STORED_TABLES:
                delta.create(place, stored)
        tables = {stored.name: _open_table(place, stored, None) for stored in STORED_TABLES}
        ahead = [stored for stored in STORED_TABLES if tables[stored.name].version() > snapshot.versions[stored.name]]
        if ahead:
            versions = {
                stored.name: delta.restore(place, stored, tables[stored.name], snapshot.versions[stored.name])
                for stored in ahead
            }
            snapshot = replace(snapshot, versions={**snapshot.versions, **versions})
            tables |= {stored.name: _open_table(place, stored, versions[stored.name]) for stored in ahead}
            tag = tag and commit_snapshot(Warehouse(place, snapshot, tag, tables, {}), snapshot)
        yield replace(_warehouse_at(place, snapshot, tag, tables), staging=folder)


def check_for_writing(address: str) -> None:
    """Checks, without any change, that a warehouse could be opened for writing.

    Raises:
        OutputError: Another command holds the lock, or the warehouse cannot be written.
        UsageError: The folder holds files that no load wrote.
    """
    place = file_storage.place_of(address)
    _refuse_foreign(place)
    check_lock(file_storage.staging_of(place), "warehouse")


def commit_snapshot(warehouse: Warehouse, snapshot: Snapshot) -> str:
    """Writes a snapshot, if no other command has changed the warehouse since it was opened.

    Returns:
        The tag of the new snapshot.

    Raises:
        ConflictError: Another command has changed the warehouse.
    """
    place = warehouse.place
    known = {"format": _FORMAT, **{name: getattr(snapshot, name) for name in ("run", "written_at", "writer", "dedup")}}
    data = orjson.dumps({**known, "tables": snapshot.versions}, option=orjson.OPT_INDENT_2) + b"\n"
    tag = file_storage.replace(place, SNAPSHOT, data, warehouse.tag)
    if tag is None:
        present = _read_snapshot(place)[0]
        raise ConflictError(place.address, f"{present.writer}, run {present.run}")
    return tag


def new_snapshot(run: str, versions: dict[str, int], dedup: dict[str, Any] | None) -> Snapshot:
    """Returns a snapshot with this process as its writer and the present time."""
    return Snapshot(
        run, datetime.now(UTC).isoformat(), f"process {os.getpid()} on {socket.gethostname()}", versions, dedup
    )


def _warehouse_at(place: Place, snapshot: Snapshot, tag: str | None, tables: dict[str, Any]) -> Warehouse:
    """Returns a warehouse with the files of its opened tables."""
    files = {stored.name: delta.files_of(tables[stored.name], stored) for stored in STORED_TABLES}
    return Warehouse(place, snapshot, tag, tables, files)


def _open_table(place: Place, stored: StoredTable, version: int | None) -> Any:
    """Opens a table of a warehouse at a version, by default the latest.

    Raises:
        OutputError: The table is missing or cannot be read.
    """
    table = delta.open_table(place, stored, version)
    if table is None:
        raise OutputError(
            f"{place.address} lacks its table {stored.folder}.", "Restore it, or load into a new warehouse."
        )
    return table


def _read_snapshot(place: Place) -> tuple[Snapshot, str | None]:
    """Reads the snapshot and its tag; returns the empty snapshot and None if there is none.

    Raises:
        OutputError: The snapshot is damaged, or a later version of this tool wrote it.
    """
    stored = file_storage.read_file(place, SNAPSHOT)
    if stored is None:
        return EMPTY_SNAPSHOT, None
    try:
        known = orjson.loads(stored.data)
        if known["format"] != _FORMAT:
            raise OutputError(f"{place.address} was written by a later version.", "Use that version, or a later one.")
        names = ("run", "written_at", "writer", "dedup")
        return Snapshot(versions=known["tables"], **{name: known[name] for name in names}), stored.tag
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise OutputError(f"{place.address}/{SNAPSHOT} is damaged: {error}", "Restore it from a backup.") from error


def _refuse_foreign(place: Place) -> None:
    """Refuses a folder without a snapshot that holds anything but the remains of a killed load.

    Raises:
        UsageError: The folder is refused.
    """
    folder = place.folder
    if folder is None or not folder.exists() or (folder / SNAPSHOT).exists():
        return
    ours = {stored.folder.partition("/")[0] for stored in STORED_TABLES} | {".staging"}
    foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in ours) if folder.is_dir() else [""]
    if foreign:
        raise UsageError(
            f"{place.address} holds {foreign[0]!r} and is not a warehouse.",
            "Name a folder that is empty or does not exist.",
        )


def scan(warehouse: str, table: str) -> pl.LazyFrame:
    """Scans a table as of the last finished load, even while another load is at work.

    Args:
        warehouse: A folder or an address of an object store.
        table: One of the four tables, or `loads`.

    Returns:
        The contract's columns and `received_date`, by which files can be skipped. The order of rows is not promised.

    Raises:
        UsageError: There is no such warehouse or table.
    """
    names = (*PUBLIC, "loads")
    if table not in names:
        raise UsageError(f"There is no table {table!r}.", choices(table, names, "The tables"))
    return scan_pinned(open_for_reading(warehouse), table)


def last_ruleset(warehouse: Warehouse) -> dict[str, Any] | None:
    """Returns name, digest and version of the rules of the last load; None if there is no load."""
    loads = warehouse.scan("loads").collect().sort("loaded_at", "digest")
    last = loads.tail(1).select("rules_version", name="ruleset", digest="ruleset_digest").to_dicts()
    return last[0] if last else None


def scan_pinned(warehouse: Warehouse, table: str) -> pl.LazyFrame:
    """Scans a table of a warehouse at the version of its snapshot, `received_date` included."""
    stored = BY_NAME[table]
    delta.library()
    rows = pl.scan_delta(warehouse.place.uri(stored.folder), version=warehouse.snapshot.versions[table])
    known = rows.collect_schema()  # a table of an earlier version lacks later columns
    return rows.select(
        pl.col(name).cast(dtype) if name in known else pl.lit(None, dtype).alias(name)
        for name, dtype in stored.schema.items()
    )
