"""Writes and reads frames: Parquet for what others read, an Arrow stream for what only this run reads again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final
from uuid import uuid4

import polars as pl

from etl.errors import OutputError
from etl.runner.partitions import table_files
from etl.schema import TABLES
from etl.sources.storage.locations import open_location
from etl.sources.storage.object_stores import StoredObject
from etl.sources.storage.store_paths import Folder, StorePath

#: No file has as many rows, so each file is one row group.
_ROWS_PER_GROUP: Final = 1_000_000

_BY_NAME: Final = {table.name: table for table in TABLES}


def write_table(rows: pl.DataFrame, path: Folder, name: str | None = None, *, by_way_of: Folder | None = None) -> None:
    """Writes a frame as one Parquet file; the same frame gives the same bytes.

    Args:
        rows: The frame.
        path: The file.
        name: The table of the contract whose rows these are: the file describes each column by its meaning.
        by_way_of: The folder that holds the file until it is whole, if not its own.

    Raises:
        OutputError: The disk is full, or the path cannot be written.
    """
    with _whole(path, by_way_of) as unfinished:
        rows.write_parquet(
            unfinished,
            compression="zstd",
            compression_level=1,
            row_group_size=_ROWS_PER_GROUP,
            arrow_schema=_described(name) if name and rows.columns == _BY_NAME[name].names else None,
        )


@cache
def _described(name: str) -> Any:
    """Returns the Arrow schema of a table; each field has the column's meaning as its metadata `description`."""
    import pyarrow as pa

    table = _BY_NAME[name]
    meanings = {column.name: column.meaning for column in table.columns}
    fields = table.empty().to_arrow().schema
    return pa.schema(field.with_metadata({"description": meanings[field.name]}) for field in fields)


def write_stream(rows: pl.DataFrame, path: Folder) -> None:
    """Writes a frame as an Arrow stream: for small frames a tenth of the time of Parquet.

    The older layout of texts holds those of the rows alone. The newer one holds whole buffers, with personal values of
    raw records, which a killed run would leave behind.

    Raises:
        OutputError: The disk is full, or the path cannot be written.
    """
    with _whole(path) as unfinished, _opened(unfinished) as file:
        rows.write_ipc_stream(file, compression="lz4", compat_level=pl.CompatLevel.oldest())


def _opened(unfinished: Path | BytesIO) -> AbstractContextManager[IO[bytes]]:
    """Opens an unfinished file for writing."""
    return unfinished.open("wb") if isinstance(unfinished, Path) else nullcontext(unfinished)


def read_table(path: Folder, columns: list[str] | None = None, n_rows: int | None = None) -> pl.DataFrame:
    """Reads the named columns of a Parquet file, or all, and the first rows, or all."""
    source = path if isinstance(path, Path) else BytesIO(path.read_bytes())
    return pl.read_parquet(source, columns=columns, n_rows=n_rows, glob=False)


def read_stream(path: Folder, columns: list[str] | None = None) -> pl.DataFrame:
    """Reads the named columns of an Arrow stream, or all."""
    return pl.read_ipc_stream(path.read_bytes(), columns=columns)


@contextmanager
def _whole(path: Folder, folder: Folder | None = None) -> Iterator[Path | BytesIO]:
    """Yields another path, whose file gets its name when it is whole: of two tasks at once, neither sees half a file.

    What goes to a store is written into memory, and stored in one step.

    Raises:
        OutputError: The file cannot be written.
    """
    buffer = BytesIO()
    unfinished = None
    try:
        if isinstance(path, StorePath):
            yield buffer
            path.write_bytes(buffer.getvalue())
            return
        unfinished = (folder if isinstance(folder, Path) else path.parent) / f".{path.name}.{uuid4().hex}"
        yield unfinished
        unfinished.replace(path)
    except (OSError, pl.exceptions.ComputeError) as error:
        if unfinished:
            with suppress(OSError):
                unfinished.unlink()
        raise OutputError(f"{path} cannot be written: {error}", OutputError.NEEDS_ROOM) from error


def make_folders(out: Folder) -> None:
    """Creates one folder for each table; a store has none."""
    for table in TABLES:
        if isinstance(out, Path):
            (out / table.name).mkdir(parents=True)


def files_of(out: Folder, table: str) -> list[Any]:
    """Lists the files of a table, in their order."""
    return table_files(out / table) if isinstance(out, Path) else (out / table).files()


def count_rows(paths: list[Any]) -> int:
    """Counts the rows of files on disk or in a store."""
    if isinstance(paths[0], Path):
        return int(scan_files(paths).select(pl.len()).collect().item())
    import pyarrow.parquet

    rows = 0
    for path in paths:
        with open_location(StoredObject(path.store, path.path, 0)) as file:
            rows += pyarrow.parquet.read_metadata(file).num_rows
    return rows


def scan_files(paths: list[Any]) -> pl.LazyFrame:
    """Scans files, in their order; characters in a path are neither wildcards nor partitions."""
    return pl.scan_parquet(paths, glob=False, hive_partitioning=False)
