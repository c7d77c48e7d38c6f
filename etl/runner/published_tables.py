"""Opens published tables as lazy frames, so that reports can read tables of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import polars as pl

from etl.errors import InputError, UsageError
from etl.runner.parquet import files_of, scan_files
from etl.runner.publish import MANIFEST
from etl.schema import LATER_COLUMNS, TABLES, Table
from etl.sources.storage.store_paths import Folder, StorePath

_NO_TABLES: Final = "Name the folder that `run --out` or `export` wrote, or a warehouse."


class Published(NamedTuple):
    """The manifest and the four tables of a store, such as a published folder; no rows have been read yet."""

    store: str
    manifest: dict[str, Any]
    conversions: pl.LazyFrame
    items: pl.LazyFrame
    passthroughs: pl.LazyFrame
    rejections: pl.LazyFrame

    @property
    def tables(self) -> list[pl.LazyFrame]:
        """The tables in the order of `schema.TABLES`."""
        return [self.conversions, self.items, self.passthroughs, self.rejections]


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads the manifest of a folder that `run` or `export` wrote.

    Raises:
        InputError: The folder does not exist or cannot be read.
        UsageError: The folder holds no tables of this tool.
    """
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} is not a folder.", _NO_TABLES)
    try:
        manifest: dict[str, Any] = orjson.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise UsageError(f"{str(folder)!r} holds no {MANIFEST}: no tables were published there.", _NO_TABLES) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{str(folder / MANIFEST)!r} cannot be read.", "Run again into a new folder.") from error
    return manifest


def open_folder(folder: Path, manifest: dict[str, Any]) -> Published:
    """Opens the tables in a folder that `run` published.

    Raises:
        InputError: A table cannot be read.
        UsageError: The folder lacks a table, or holds tables of an earlier version.
    """
    return Published(str(folder), {"notes": [], **manifest}, *(_scan(folder, table) for table in TABLES))


def read(frame: pl.LazyFrame) -> pl.DataFrame:
    """Collects a query over published tables with the streaming engine.

    Raises:
        InputError: A file is damaged, or was replaced meanwhile.
    """
    try:
        return frame.collect(engine="streaming")
    except (OSError, pl.exceptions.ComputeError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InputError(f"The tables cannot be read: {reason}", "Run again into a new folder.") from error


def read_stored_manifest(folder: StorePath) -> dict[str, Any] | None:
    """Reads the manifest of a folder of a store that `run` wrote; None if there is none.

    Raises:
        InputError: The store cannot be read.
    """
    try:
        place = folder / MANIFEST
        return orjson.loads(place.read_bytes()) if place.exists() else None
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} cannot be read: {error}", "Check the credentials and the endpoint.") from error


def published_files(folder: Folder, table: str) -> list[Any]:
    """Lists the files of a table that a run has published.

    Raises:
        InputError: The store cannot be read.
    """
    if isinstance(folder, Path):
        return files_of(folder, table)
    manifest = read_stored_manifest(folder) or {"files": {table: []}}
    return [folder / name for name in manifest["files"][table]]


def open_stored(folder: StorePath, manifest: dict[str, Any]) -> Published:
    """Opens the tables in a folder of a store that `run` published: the files that the manifest lists.

    Raises:
        InputError: A table cannot be read.
        UsageError: The folder holds tables of an earlier version.
    """
    tables = (scan_table([f"{folder}/{name}" for name in manifest["files"][table.name]], table) for table in TABLES)
    return Published(str(folder), {"notes": [], **manifest}, *tables)


def _scan(folder: Path, table: Table) -> pl.LazyFrame:
    """Scans a table of a published folder."""
    paths = files_of(folder, table.name)
    if not paths:
        raise UsageError(f"{str(folder)!r} holds no table {table.name!r}.", _NO_TABLES)
    return scan_table(paths, table)


def scan_table(paths: list[Any], table: Table) -> pl.LazyFrame:
    """Scans the files of a table, and checks that all columns are there.

    Raises:
        InputError: A file cannot be read.
        UsageError: An earlier version wrote the table.
    """
    try:
        frame = scan_files(paths)
        found = frame.collect_schema()
    except (OSError, pl.exceptions.ComputeError) as error:
        raise InputError(f"{str(paths[0])!r} is not a Parquet file.", "Run again into a new folder.") from error
    later = {name: pl.lit(None, table.schema[name]) for name in LATER_COLUMNS & table.schema.keys() - found.keys()}
    missing = [name for name in table.schema if name not in found and name not in later]
    if missing:
        folder = str(paths[0]).rpartition("/")[0]
        raise UsageError(
            f"{folder!r} was written by an earlier version: {table.name} has no column {missing[0]!r}.",
            "Run again on the same inputs.",
        )
    return frame.with_columns(**later).select(table.schema.names())
