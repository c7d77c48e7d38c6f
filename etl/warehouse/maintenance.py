"""`compact` and `vacuum`: fewer and larger files, and none that nothing needs. Neither changes a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

import polars as pl

from etl.runner.stage_inputs import run_id
from etl.warehouse import delta, snapshots
from etl.warehouse.delta import Exchange
from etl.warehouse.file_writer import write_rows
from etl.warehouse.load_history import chosen
from etl.warehouse.row_changes import Change, apply, commit_all, judged
from etl.warehouse.snapshots import Warehouse
from etl.warehouse.table_layout import KEPT, Kept

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


def forget(named: str, warehouse_address: str) -> dict[str, Any]:
    """Takes an input out of a warehouse, and brings back what only it had made duplicates.

    Args:
        named: One of its names, or the beginning of its digest.
        warehouse_address: The warehouse.

    Returns:
        `run_id`, and of the input `digest` and `names`; how many earlier duplicates were `promoted`.

    Raises:
        UsageError: No input has that name, or several have.
        EtlError: It failed; the warehouse is as it was.
    """
    if not snapshots.is_warehouse(warehouse_address):
        snapshots.viewed(warehouse_address)
    with snapshots.written(warehouse_address) as warehouse:
        row = chosen(warehouse, named)
        change = Change(run_id(), removed=frozenset({row["digest"]}))
        verdict = judged(warehouse, [], change.removed, warehouse.snapshot.dedup)
        apply(warehouse, change, verdict, warehouse.snapshot.dedup)
        moved = {"promoted": verdict.promoted.height, "demoted": verdict.demoted.height}
        return {"run_id": change.run, "digest": row["digest"], "names": row["names"], **moved}
