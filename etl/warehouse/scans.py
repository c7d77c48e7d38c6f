"""One consistent state of a warehouse for readers: a table at the version that the snapshot pins."""

from __future__ import annotations

import polars as pl

from etl.errors import UsageError
from etl.warehouse import delta, snapshots
from etl.warehouse.layout import BY_NAME, PUBLIC
from etl.warehouse.snapshots import Warehouse


def scan(warehouse: str, table: str) -> pl.LazyFrame:
    """A table as of the last load that was done, whole, while another may be at work.

    Args:
        warehouse: A folder or an address of an object store.
        table: One of the four tables, or `loads`.

    Returns:
        The contract's columns and `received_date`, by which files are passed over; the order of rows is not promised.

    Raises:
        UsageError: There is no such warehouse or table.
    """
    names = (*PUBLIC, "loads")
    if table not in names:
        raise UsageError(f"There is no table {table!r}.", f"The tables are {', '.join(names)}.")
    return pinned(snapshots.viewed(warehouse), table)


def pinned(warehouse: Warehouse, table: str) -> pl.LazyFrame:
    """A table of a warehouse at the version of its snapshot, `received_date` included."""
    kept = BY_NAME[table]
    delta.library()
    rows = pl.scan_delta(warehouse.place.uri(kept.folder), version=warehouse.snapshot.versions[table])
    return rows.select(pl.col(name).cast(dtype) for name, dtype in kept.schema.items())
