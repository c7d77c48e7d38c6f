"""`compact` merges small files, `vacuum` removes unneeded files, and `forget` removes an input.

The rows that readers see are changed by `forget` alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

import polars as pl

from etl.runner.stage_inputs import SILENT, Progress, run_id
from etl.warehouse import delta, snapshots
from etl.warehouse.delta import FileChanges
from etl.warehouse.file_writer import write_rows
from etl.warehouse.load_duplicates import NOTHING_STAGED
from etl.warehouse.load_history import find_load
from etl.warehouse.row_changes import Change, apply, commit_all, duplicate_changes
from etl.warehouse.snapshots import Warehouse
from etl.warehouse.table_layout import STORED_TABLES, StoredTable

#: `compact` merges files of up to half this size into files of about this size.
TARGET_BYTES: Final = 64 * 2**20

#: `vacuum` keeps the files of all versions of the last week, for readers that are still at work.
KEPT_HOURS: Final = 168


class Compacted(NamedTuple):
    """Number of files of a table before and after."""

    table: str
    before: int
    after: int


def compact(address: str, progress: Progress = SILENT) -> list[Compacted]:
    """Merges small files of the same table and day.

    Args:
        address: The warehouse.
        progress: Receives the phase in which the warehouse changes.

    Raises:
        UsageError: There is no such warehouse.
        EtlError: It failed; the warehouse is unchanged.
    """
    snapshots.open_for_reading(address)
    with snapshots.open_for_writing(address) as warehouse:
        run = run_id()
        changes_by_table = {
            stored.name: _compact_table(warehouse, stored, f"{run}-{stored.name}") for stored in STORED_TABLES
        }
        progress.begin("publishing", 0)
        commit_all(warehouse, run, changes_by_table, warehouse.snapshot.dedup)
        return [
            Compacted(
                name,
                before=warehouse.files[name].height,
                after=warehouse.files[name].height - changes.removals.height + len(changes.additions),
            )
            for name, changes in changes_by_table.items()
        ]


def _compact_table(warehouse: Warehouse, stored: StoredTable, name: str) -> FileChanges:
    """Writes the merged files of a table, and lists the files that they replace."""
    additions, removals = [], [warehouse.files[stored.name].clear()]
    for number, files in enumerate(_small_file_groups(warehouse.files[stored.name])):
        rows = warehouse.scan(stored.name, files).collect()
        if stored.is_dated:
            rows = rows.with_columns(received_date=pl.lit(files["received_date"][0], pl.Date))
        additions += write_rows(stored, rows, warehouse.folder("new"), f"{name}-{number:05d}")
        removals.append(files)
    return FileChanges(additions, pl.concat(removals))


def _small_file_groups(files: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yields groups of two or more small files of a day, which together have about the target size."""
    small = files.filter(pl.col("bytes") <= TARGET_BYTES // 2).sort("received_date", "low", "path")
    together = (pl.col("bytes").cum_sum().over("received_date") // TARGET_BYTES).alias("together")
    for group in small.with_columns(together).partition_by("received_date", "together"):
        if group.height > 1:
            yield group.drop("together")


def vacuum(address: str, hours: int = KEPT_HOURS, *, is_dry_run: bool = False, is_safe: bool = True) -> list[str]:
    """Removes files that no version of the last hours has: of earlier versions, and of killed commands.

    Args:
        address: The warehouse.
        hours: How long to keep files that are no longer needed, for readers and writers at work.
        is_dry_run: List the files, but remove none.
        is_safe: Refuse less than a week.

    Returns:
        The paths of the files, from the warehouse's root.

    Raises:
        UsageError: There is no such warehouse.
        OutputError: The warehouse cannot be written, or the time is too short.
    """
    snapshots.open_for_reading(address)
    with snapshots.open_for_writing(address) as warehouse:
        removed, versions = [], dict(warehouse.snapshot.versions)
        for stored in STORED_TABLES:
            table = warehouse.tables[stored.name]
            paths, versions[stored.name] = delta.vacuum(
                warehouse.place, stored, table, delta.VacuumOptions(hours, is_dry_run, is_safe)
            )
            removed += [f"{stored.folder}/{path}" for path in paths]
        if versions != warehouse.snapshot.versions:
            snapshots.commit_snapshot(warehouse, replace(warehouse.snapshot, versions=versions))
        return sorted(removed)


def forget(named: str, warehouse_address: str, progress: Progress = SILENT) -> dict[str, Any]:
    """Removes an input from a warehouse, and restores conversions that were duplicates only because of it.

    Args:
        named: A name of the input, or the beginning of its digest.
        warehouse_address: The warehouse.
        progress: Receives the phase in which the warehouse changes.

    Returns:
        `run_id`, the input's `digest` and `names`, and how many earlier rows were `promoted` and `demoted`.

    Raises:
        UsageError: No input has that name, or several have it.
        EtlError: It failed; the warehouse is unchanged.
    """
    if not snapshots.is_warehouse(warehouse_address):
        snapshots.open_for_reading(warehouse_address)
    with snapshots.open_for_writing(warehouse_address) as warehouse:
        row = find_load(warehouse, named)
        change = Change(run_id(), removed=frozenset({row["digest"]}))
        duplicates = duplicate_changes(warehouse, NOTHING_STAGED, change.removed, warehouse.snapshot.dedup)
        progress.begin("publishing", 0)
        apply(warehouse, change, duplicates, warehouse.snapshot.dedup)
        moved = {"promoted": duplicates.promoted.height, "demoted": duplicates.demoted.height}
        return {"run_id": change.run, "digest": row["digest"], "names": row["names"], **moved}
