"""Prints the first rows of each table of a run, with the columns that tell most at 80 characters."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

SHOWN = {
    "conversions": ("received_at", "integration", "match_type", "event", "value", "currency"),
    "items": ("position", "item_id", "name", "price", "quantity"),
    "passthroughs": ("position", "name", "value", "stored"),
    "rejections": ("received_at", "reason", "suggestion"),
}


def show(out: Path) -> None:
    """Prints five rows of each table under a folder."""
    with pl.Config(
        tbl_width_chars=80, fmt_str_lengths=22, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True
    ):
        for name, columns in SHOWN.items():
            rows = pl.scan_parquet(out / name / "*.parquet")
            count = rows.select(pl.len()).collect().item()
            first = rows.select(columns).head(5).collect()
            times = [pl.col(column).dt.strftime("%m-%d %H:%M:%S") for column in columns if column.endswith("_at")]
            amounts = [
                pl.col(column).cast(pl.Float64) for column in columns if column in ("value", "price", "quantity")
            ]
            numbers = amounts if name != "passthroughs" else []
            print(f"\n{out.name}/{name}: {count:,} rows\n{first.with_columns(*times, *numbers)}")


if __name__ == "__main__":
    show(Path(sys.argv[1]))
