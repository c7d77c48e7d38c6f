"""Writes and reads frames: Parquet for what others read, an Arrow stream for what only this run reads again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import polars as pl

from etl.errors import OutputError
from etl.schema import TABLES

#: No file has as many rows, so each file is one row group.
_ROWS_PER_GROUP: Final = 1_000_000

_BY_NAME: Final = {table.name: table for table in TABLES}


def write_table(rows: pl.DataFrame, path: Path, name: str | None = None) -> None:
    """Writes a frame as one Parquet file; the same frame gives the same bytes.

    Args:
        rows: The frame.
        path: The file.
        name: The table of the contract whose rows these are: the file describes each column by its meaning.

    Raises:
        OutputError: The disk is full, or the path cannot be written.
    """
    with _full_disk_is_told(path):
        rows.write_parquet(
            path,
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
    with _full_disk_is_told(path), path.open("wb") as file:
        rows.write_ipc_stream(file, compression="lz4", compat_level=pl.CompatLevel.oldest())


def read_stream(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Reads the named columns of an Arrow stream, or all."""
    return pl.read_ipc_stream(path.read_bytes(), columns=columns)


@contextmanager
def _full_disk_is_told(path: Path) -> Iterator[None]:
    """Raises an error of two lines where a file cannot be written."""
    try:
        yield
    except (OSError, pl.exceptions.ComputeError) as error:
        raise OutputError(f"{path} cannot be written: {error}", OutputError.NEEDS_ROOM) from error


def make_folders(out: Path) -> None:
    """Creates one folder for each table."""
    for table in TABLES:
        (out / table.name).mkdir(parents=True)


def written_rows(out: Path) -> dict[str, int]:
    """Counts the rows of each table in the files on disk."""
    return {
        table.name: int(scan_files(sorted((out / table.name).glob("*.parquet"))).select(pl.len()).collect().item())
        for table in TABLES
    }


def scan_files(paths: list[Path]) -> pl.LazyFrame:
    """Scans files, in their order; characters in a path are neither wildcards nor partitions."""
    return pl.scan_parquet(paths, glob=False, hive_partitioning=False)
