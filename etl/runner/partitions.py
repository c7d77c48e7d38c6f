"""Where the files of a table lie in the folder of a run: in the table's folder, or in a folder for each day or month.

    DIR/conversions/part-00000.parquet                    none
    DIR/conversions/day=2024-05-01/part-00000.parquet     day of received_at, UTC
    DIR/conversions/day=unknown/part-00000.parquet        rows without a time

An item or a passthrough lies where its conversion lies.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

import polars as pl

from etl.errors import UsageError, choices

PartitionBy = Literal["none", "day", "month"]

_TIMES: Final[dict[PartitionBy, str]] = {"day": "day=%Y-%m-%d", "month": "month=%Y-%m"}
_FILE: Final = re.compile(r"(?:(?:day|month)=[\d-]+/|(?:day|month)=unknown/)?part-[^/]*\.parquet")


def check_partition_by(given: str) -> PartitionBy:
    """Returns the name of a partition.

    Raises:
        UsageError: There is none of this name.
    """
    known: tuple[PartitionBy, ...] = ("none", *_TIMES)
    for name in known:
        if name == given:
            return name
    raise UsageError(f"partition_by {given!r} is unknown.", choices(given, known, "The partitions"))


def split_tables(tables: dict[str, pl.DataFrame], by: PartitionBy) -> dict[str, dict[str, pl.DataFrame]]:
    """Splits the rows of tables by their folders.

    Args:
        tables: The tables by name.
        by: How.

    Returns:
        The rows by name of the table, then by folder within it; each table has at least one folder. The order stays.
    """
    if by == "none":
        return {name: {"": rows} for name, rows in tables.items()}
    unknown = f"{by}=unknown"
    folder = pl.col("received_at").dt.strftime(_TIMES[by]).fill_null(unknown).alias("folder")
    conversions = tables["conversions"].select("conversion_id", folder)

    def split(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
        placed = (
            rows.with_columns(folder)
            if "received_at" in rows.columns
            else rows.join(conversions, on="conversion_id", maintain_order="left")
        )
        parts = placed.partition_by("folder", as_dict=True, maintain_order=True, include_key=False)
        return {str(name): part for (name,), part in parts.items()} or {unknown: rows}

    return {name: split(rows) for name, rows in tables.items()}


def table_files(folder: Path) -> list[Path]:
    """Lists the Parquet files in the folder of a table, in whatever folders they are."""
    return sorted(folder.rglob("*.parquet"))


def foreign_files(folder: Path) -> list[Path]:
    """Lists what is in the folder of a table and was not written by a run."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if not (_FILE.fullmatch(path.relative_to(folder).as_posix()) or _is_partition(path))
    ]


def _is_partition(path: Path) -> bool:
    """Returns whether a path is a folder with files, which are judged by themselves."""
    return path.is_dir() and not path.is_symlink() and any(path.iterdir())
