"""The four tables as Parquet files, cut at a fixed number of rows, so that the same rows give the same bytes."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final, Self

import polars as pl

from etl.errors import OutputError
from etl.schema import TABLES, Table

ROWS_PER_FILE: Final = 250_000
ROWS_PER_GROUP: Final = 125_000


class TableWriter:
    """Appends frames to one table's folder; files are `part-00000.parquet`, `part-00001.parquet`, …

    An empty table is one file without rows.
    """

    def __init__(self, table: Table, folder: Path) -> None:
        self.table = table
        self.folder = folder
        self.rows = 0
        self._files = 0
        self._pending: list[pl.DataFrame] = []
        self._pending_rows = 0
        folder.mkdir(parents=True)

    def append(self, rows: pl.DataFrame) -> None:
        """Adds rows, which have the table's columns."""
        self._pending.append(rows.select(self.table.schema.names()))
        self._pending_rows += rows.height
        self.rows += rows.height
        while self._pending_rows >= ROWS_PER_FILE:
            self._write(ROWS_PER_FILE)

    def close(self) -> None:
        """Writes what is left."""
        if self._pending_rows or not self._files:
            self._write(self._pending_rows)

    def _write(self, rows: int) -> None:
        gathered = pl.concat([self.table.empty(), *self._pending])
        path = self.folder / f"part-{self._files:05d}.parquet"
        try:
            gathered.head(rows).write_parquet(
                path, compression="zstd", compression_level=1, row_group_size=ROWS_PER_GROUP
            )
        except (OSError, pl.exceptions.ComputeError) as error:
            raise OutputError(f"{path} cannot be written: {error}", "Make room or name another --out.") from error
        rest = gathered.tail(self._pending_rows - rows)
        self._pending, self._pending_rows = [rest] if rest.height else [], rest.height
        self._files += 1


class TablesWriter:
    """The writers of all four tables under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_name = {table.name: TableWriter(table, folder / table.name) for table in TABLES}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if kind is None:
            for writer in self.by_name.values():
                writer.close()

    def append(self, name: str, rows: pl.DataFrame) -> None:
        """Adds rows to one table."""
        self.by_name[name].append(rows)

    def written_rows(self) -> dict[str, int]:
        """The rows of each table that the files on disk say they hold."""
        return {
            name: int(pl.scan_parquet(self.folder / name / "*.parquet").select(pl.len()).collect().item())
            for name in self.by_name
        }
