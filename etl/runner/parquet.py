"""Writes and reads frames: Parquet for what others read, an Arrow stream for what only this run reads again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import polars as pl

from etl.errors import OutputError
from etl.schema import TABLES

#: No file has as many rows, so each file is one row group.
_ROWS_PER_GROUP: Final = 1_000_000

_BY_NAME: Final = {table.name: table for table in TABLES}


def write_table(rows: pl.DataFrame, path: Path, name: str | None = None, *, by_way_of: Path | None = None) -> None:
    """Writes a frame as one Parquet file; the same frame gives the same bytes.

    Args:
        rows: The frame.
        path: The file.
        name: The table of the contract whose rows these are: the file describes each column by its meaning.
        by_way_of: The folder that holds the file until it is whole, if not its own.

    Raises:
        OutputError: The disk is full, or the path cannot be written.
    """
    with _whole(path, by_way_of or path.parent) as unfinished:
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


def write_stream(rows: pl.DataFrame, path: Path) -> None:
    """Writes a frame as an Arrow stream: for small frames a tenth of the time of Parquet.

    The older layout of texts holds those of the rows alone. The newer one holds whole buffers, with personal values of
    raw records, which a killed run would leave behind.

    Raises:
        OutputError: The disk is full, or the path cannot be written.
    """
    with _whole(path, path.parent) as unfinished, unfinished.open("wb") as file:
        rows.write_ipc_stream(file, compression="lz4", compat_level=pl.CompatLevel.oldest())


def read_stream(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Reads the named columns of an Arrow stream, or all."""
    return pl.read_ipc_stream(path.read_bytes(), columns=columns)


@contextmanager
def _whole(path: Path, folder: Path) -> Iterator[Path]:
    """Yields another path, whose file gets its name when it is whole: of two tasks at once, neither sees half a file.

    Raises:
        OutputError: The file cannot be written.
    """
    unfinished = folder / f".{path.name}.{uuid4().hex}"
    try:
        yield unfinished
        unfinished.replace(path)
    except (OSError, pl.exceptions.ComputeError) as error:
        with suppress(OSError):
            unfinished.unlink()
        raise OutputError(f"{path} cannot be written: {error}", OutputError.NEEDS_ROOM) from error


def make_folders(out: Path) -> None:
    """Creates one folder for each table."""
    for table in TABLES:
        (out / table.name).mkdir(parents=True)


def count_rows(paths: list[Path]) -> int:
    """Counts the rows of files on disk."""
    return int(scan_files(paths).select(pl.len()).collect().item())


def scan_files(paths: list[Path]) -> pl.LazyFrame:
    """Scans files, in their order; characters in a path are neither wildcards nor partitions."""
    return pl.scan_parquet(paths, glob=False, hive_partitioning=False)
