"""Tables as Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from etl.errors import OutputError
from etl.schema import TABLES

#: More rows than a part has: one row group a file.
_ROWS_PER_GROUP: Final = 1_000_000


def write_table(rows: pl.DataFrame, path: Path) -> None:
    """One frame as one file; the same frame gives the same bytes.

    Raises:
        OutputError: The disk is full, or the place cannot be written.
    """
    try:
        rows.write_parquet(path, compression="zstd", compression_level=1, row_group_size=_ROWS_PER_GROUP)
    except (OSError, pl.exceptions.ComputeError) as error:
        raise OutputError(f"{path} cannot be written: {error}", "Make room, or name another --out.") from error


def make_folders(out: Path) -> None:
    """One folder a table."""
    for table in TABLES:
        (out / table.name).mkdir(parents=True)


def written_rows(out: Path) -> dict[str, int]:
    """The rows of each table that the files on disk say they hold."""
    return {
        table.name: int(scan_files(sorted((out / table.name).glob("*.parquet"))).select(pl.len()).collect().item())
        for table in TABLES
    }


def scan_files(paths: list[Path]) -> pl.LazyFrame:
    """The rows of files, in their order; no mark in a path is taken for a pattern or a partition."""
    return pl.scan_parquet(paths, glob=False, hive_partitioning=False)
