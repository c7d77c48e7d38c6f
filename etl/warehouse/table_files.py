"""Opens what holds tables, a warehouse, a run's folder or an export, as a list of files, and replaces some of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple, Never

import orjson
import polars as pl

from etl.errors import InputError, OutputError, UsageError
from etl.runner.parquet import scan_files, write_table
from etl.runner.publish import MANIFEST, Stage, check_destination, staged
from etl.warehouse import file_storage, snapshots
from etl.warehouse.delta import Addition, FileChanges
from etl.warehouse.export import check_export
from etl.warehouse.file_writer import write_rows
from etl.warehouse.row_changes import commit_all
from etl.warehouse.snapshots import Warehouse
from etl.warehouse.table_layout import BY_NAME, PUBLIC, RECEIVED_DATE, STORED_TABLES

#: The tables of a warehouse whose rows come from records. `keys` is the last: what changes there depends on the others.
OF_RECORDS: Final = ("conversions", "withheld", "items", "passthroughs", "rejections", "keys")

#: Adds the new rows of a file to what `TableFiles.publish` will publish.
Write = Callable[["TableFile", pl.DataFrame], None]


class TableFile(NamedTuple):
    """A file with rows of a table.

    Attributes:
        table: Name of the table.
        path: Its path from the folder or warehouse.
        rows: Scans its rows, without `received_date`.
        day: The day of its rows, in a warehouse; None without a day.
        bounds: The first and the last key; None if they are not known.
    """

    table: str
    path: str
    rows: pl.LazyFrame
    day: date | None = None
    bounds: tuple[str, str] | None = None

    @property
    def key(self) -> str:
        """The column of ids."""
        return BY_NAME[self.table].key

    def read(self, frame: pl.LazyFrame | None = None) -> pl.DataFrame:
        """Reads all rows, or what a query gives of them.

        Raises:
            InputError: The file cannot be read.
        """
        try:
            return (self.rows if frame is None else frame).collect()
        except (OSError, pl.exceptions.PolarsError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{self.path} cannot be read: {reason}", "Restore it from a backup.") from error


class TableFiles(NamedTuple):
    """The files of a warehouse, a run's folder or an export.

    Attributes:
        address: The folder or warehouse, as given.
        kind: `warehouse`, `run` or `export`.
        files: The files, by table in the order of `OF_RECORDS`.
        inputs: The inputs of the rows: digest, source and, of a warehouse, loaded_at.
        write: Adds the new rows of a file to what will be published.
        publish: Replaces the files that were written, all or none; its named arguments are what the log of a
            warehouse says of the change.
        manifest: The manifest of a folder, which may be changed before the files are published.
        warehouse: The opened warehouse, if it is one.
    """

    address: str
    kind: str
    files: list[TableFile]
    inputs: pl.DataFrame
    write: Write
    publish: Callable[..., None]
    manifest: dict[str, Any]
    warehouse: Warehouse | None = None


def _refuse(*_: Any, **__: Any) -> Never:
    """Stands for `write` and `publish` of files that are opened for reading.

    Raises:
        AssertionError: Always.
    """
    raise AssertionError("the files are open for reading")


@contextmanager
def open_tables(address: str, *, is_writing: bool, run: str = "") -> Iterator[TableFiles]:
    """Opens a warehouse, the folder of a run or an export.

    Args:
        address: The folder, or the address of a warehouse in an object store.
        is_writing: Locks it, so that no other command of this tool changes it.
        run: Name of the run, with which names of new files of a warehouse begin.

    Raises:
        UsageError: There are no tables of this tool.
        OutputError: Another command holds the lock.
    """
    folder = Path(os.path.abspath(address))  # noqa: PTH100 - keeps links
    if "://" in address or (folder / file_storage.SNAPSHOT).exists():
        if not is_writing:
            yield _of_warehouse(snapshots.open_for_reading(address), _refuse, _refuse)
            return
        snapshots.open_for_reading(address)
        with snapshots.open_for_writing(address) as warehouse:
            changes = _WarehouseChanges(warehouse, run)
            yield _of_warehouse(warehouse, changes.write, changes.publish)
        return
    manifest = _manifest(address, folder)
    if not is_writing:
        yield _of_folder(address, folder, manifest, _refuse, _refuse)
        return
    with staged(folder, check_export if "partitions" in manifest else check_destination) as stage:
        manifest = _manifest(address, folder)
        stage.new.mkdir()

        def write(file: TableFile, rows: pl.DataFrame) -> None:
            (stage.new / file.path).parent.mkdir(parents=True, exist_ok=True)
            write_table(rows, stage.new / file.path, file.path.partition("/")[0])

        yield _of_folder(address, folder, manifest, write, lambda *_, **__: _publish(stage, manifest))


def _of_warehouse(warehouse: Warehouse, write: Write, publish: Callable[..., None]) -> TableFiles:
    """Lists the files of a warehouse."""
    files = [file for name in OF_RECORDS for file in files_of_table(warehouse, name)]
    inputs = warehouse.scan("loads").select("digest", "source", "loaded_at").collect()
    return TableFiles(warehouse.place.address, "warehouse", files, inputs, write, publish, {}, warehouse)


def files_of_table(warehouse: Warehouse, name: str) -> list[TableFile]:
    """Lists the files of a table of a warehouse."""
    return [
        TableFile(
            name,
            f"{BY_NAME[name].folder}/{row['path']}",
            warehouse.scan(name, warehouse.files[name][number]),
            row["received_date"],
            (row["low"], row["high"]),
        )
        for number, row in enumerate(warehouse.files[name].iter_rows(named=True))
    ]


class _WarehouseChanges:
    """Collects the new files of a warehouse, and commits them."""

    def __init__(self, warehouse: Warehouse, run: str) -> None:
        self.warehouse, self.run = warehouse, run
        self.additions: dict[str, list[Addition]] = {stored.name: [] for stored in STORED_TABLES}
        self.removals = {stored.name: [warehouse.files[stored.name].clear()] for stored in STORED_TABLES}

    def write(self, file: TableFile, rows: pl.DataFrame) -> None:
        """Writes the new rows of a file into the staging folder."""
        stored = BY_NAME[file.table]
        if stored.is_dated:
            rows = rows.with_columns(pl.lit(file.day, RECEIVED_DATE.dtype).alias(RECEIVED_DATE.name))
        removed = self.removals[file.table]
        name = f"{self.run}-{file.table}-{len(removed):05d}"
        self.additions[file.table] += write_rows(stored, rows, self.warehouse.folder("new"), name)
        of_file = pl.col("path") == file.path.removeprefix(f"{stored.folder}/")
        removed.append(self.warehouse.files[file.table].filter(of_file))

    def publish(self, **properties: str) -> None:
        """Commits the new files as one change."""
        changes = {
            stored.name: FileChanges(self.additions[stored.name], pl.concat(self.removals[stored.name]))
            for stored in STORED_TABLES
        }
        commit_all(self.warehouse, self.run, changes, self.warehouse.snapshot.dedup, **properties)


def _manifest(address: str, folder: Path) -> dict[str, Any]:
    """Reads the manifest of a folder.

    Raises:
        UsageError: The folder holds no tables of this tool.
    """
    try:
        found: dict[str, Any] = orjson.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{address} is no folder of a run, no export and no warehouse.",
            "Name what run, export or load has written.",
        ) from error
    return found


def _of_folder(
    address: str, folder: Path, manifest: dict[str, Any], write: Write, publish: Callable[..., None]
) -> TableFiles:
    """Lists the files of the folder of a run or of an export."""
    files = [
        TableFile(name, str(path.relative_to(folder)), scan_files([path]))
        for name in OF_RECORDS
        if name in PUBLIC
        for path in sorted((folder / name).rglob("*.parquet"))
    ]
    inputs = pl.DataFrame(
        [(one["digest"], one["path"], None) for one in manifest.get("inputs", ()) if "same_as" not in one],
        schema={"digest": pl.String, "source": pl.String, "loaded_at": pl.Datetime("us", "UTC")},
        orient="row",
    )
    kind = "export" if "partitions" in manifest else "run"
    return TableFiles(address, kind, files, inputs, write, publish, manifest)


def _publish(stage: Stage, manifest: dict[str, Any]) -> None:
    """Links the files that stay into the new folder, and swaps the folders."""
    try:
        for path in sorted(stage.out.rglob("*")):
            target = stage.new / path.relative_to(stage.out)
            if path.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            elif not target.exists():
                _link(path, target)
    except OSError as error:
        raise OutputError(f"{stage.out} cannot be written: {error.strerror}", OutputError.NEEDS_ROOM) from error
    (stage.new / MANIFEST).unlink()
    stage.publish(manifest)


def _link(path: Path, target: Path) -> None:
    """Links a file, or copies it where the file system has no links."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copy2(path, target)
