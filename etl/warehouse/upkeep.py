"""`compact` and `vacuum`: fewer and larger files, and none that nothing needs. Neither changes a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

import polars as pl

from etl.reading import run_id
from etl.warehouse import delta, snapshots
from etl.warehouse.changes import commit_all
from etl.warehouse.delta import Exchange
from etl.warehouse.layout import KEPT, Kept
from etl.warehouse.parts import write_rows
from etl.warehouse.snapshots import Warehouse

#: Files of half that size and less are put together, up to it.
TARGET_BYTES: Final = 64 * 2**20

#: A reader of a version that old may find its files gone: a week.
KEPT_HOURS: Final = 168


class Compacted(NamedTuple):
    """How many files a table had, and has."""

    table: str
    before: int
    after: int


def compact(address: str) -> list[Compacted]:
    """Puts small files of the same table and day together.

    Raises:
        UsageError: There is no such warehouse.
        EtlError: It failed; the warehouse is as it was.
    """
    snapshots.viewed(address)
    with snapshots.written(address) as warehouse:
        run = run_id()
        exchanges = {kept.name: _compacted(warehouse, kept, f"{run}-{kept.name}") for kept in KEPT}
        commit_all(warehouse, run, exchanges, warehouse.snapshot.dedup)
        return [
            Compacted(name, before, before - exchange.removals.height + len(exchange.additions))
            for name, exchange in exchanges.items()
            for before in [warehouse.files[name].height]
        ]


def _compacted(warehouse: Warehouse, kept: Kept, name: str) -> Exchange:
    additions, removals = [], [warehouse.files[kept.name].clear()]
    for number, files in enumerate(_groups(warehouse.files[kept.name])):
        rows = warehouse.scan(kept.name, files).collect()
        if kept.is_dated:
            rows = rows.with_columns(received_date=pl.lit(files["received_date"][0], pl.Date))
        additions += write_rows(kept, rows, warehouse.folder("new"), f"{name}-{number:05d}")
        removals.append(files)
    return Exchange(additions, pl.concat(removals))


def _groups(files: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Two small files of a day and more, which together are of about the size that files should have."""
    small = files.filter(pl.col("bytes") <= TARGET_BYTES // 2).sort("received_date", "low", "path")
    together = (pl.col("bytes").cum_sum().over("received_date") // TARGET_BYTES).alias("together")
    for group in small.with_columns(together).partition_by("received_date", "together"):
        if group.height > 1:
            yield group.drop("together")


def vacuum(address: str, hours: int = KEPT_HOURS, *, is_dry_run: bool = False, is_safe: bool = True) -> list[str]:
    """Removes files that no version of the last hours has: of earlier versions, and of commands that were killed.

    Args:
        address: The warehouse.
        hours: How long what is not needed is kept, for readers and writers at work.
        is_dry_run: Nothing is removed.
        is_safe: Less than a week is refused.

    Returns:
        The files, by their paths from the warehouse's root.

    Raises:
        UsageError: There is no such warehouse.
        OutputError: It cannot be written, or the time is too short.
    """
    snapshots.viewed(address)
    with snapshots.written(address) as warehouse:
        removed, versions = [], dict(warehouse.snapshot.versions)
        for kept in KEPT:
            table = warehouse.tables[kept.name]
            paths, versions[kept.name] = delta.vacuum(
                warehouse.place, kept, table, delta.Vacuuming(hours, is_dry_run, is_safe)
            )
            removed += [f"{kept.folder}/{path}" for path in paths]
        if versions != warehouse.snapshot.versions:
            snapshots.put(warehouse, replace(warehouse.snapshot, versions=versions))
        return sorted(removed)
