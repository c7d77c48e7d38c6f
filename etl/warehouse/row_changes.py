"""Changes a warehouse: removes, moves, renames and adds rows in all tables, and commits the changes as one.

A file is rewritten only if some of its rows are removed or changed. Such files are found by their days and by the first
and last key of each file.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from etl.steps.rejections import reject_duplicates
from etl.warehouse import delta, file_storage
from etl.warehouse.delta import Addition, FileChanges
from etl.warehouse.file_writer import DETAILS, withheld_rows, write_rows
from etl.warehouse.load_duplicates import DuplicateChanges, StagedPieces, compare_keys, dedup_window
from etl.warehouse.snapshots import Warehouse, commit_snapshot, new_snapshot
from etl.warehouse.table_layout import (
    BY_NAME,
    STORED_TABLES,
    StoredTable,
    id_bounds,
    id_prefix,
    prefix_of,
    with_received_date,
)

#: One row is a row of a table: its key and its day.
_ROW_KEYS: Final = pl.Schema({"key": pl.String(), "received_date": pl.Date()})


@dataclass(frozen=True)
class Change:
    """A change of a warehouse.

    Attributes:
        run: Name of the run; the names of new files begin with it.
        removed: Digests of inputs whose rows are removed.
        renamed: Digest of an input -> the source that its rows get.
        files: By table, new files in the staging folder.
        replaced: Key and day of rejections to remove, because rows of `files` replace them.
        loads: Rows of `loads` to add; they replace rows with the same digests.
    """

    run: str
    removed: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, list[Addition]] = field(default_factory=dict)
    replaced: pl.DataFrame = field(default_factory=_ROW_KEYS.to_frame)
    loads: pl.DataFrame = field(default_factory=BY_NAME["loads"].table.empty)


@dataclass(frozen=True)
class TableEdit:
    """The rows to remove from and to add to one table.

    Attributes:
        removed_keys: Rows of `_ROW_KEYS`.
        added: New rows.
    """

    removed_keys: pl.DataFrame
    added: pl.DataFrame


def duplicate_changes(
    warehouse: Warehouse, staged: StagedPieces, removed: frozenset[str], dedup: dict[str, Any] | None
) -> DuplicateChanges:
    """Finds the duplicates that change when inputs are removed and staged keys are added.

    Args:
        warehouse: The warehouse before the change.
        staged: The pieces with new keys.
        removed: Digests of the removed inputs.
        dedup: Scope and window of the deduplication.
    """
    files = files_that_may_hold(BY_NAME["keys"], warehouse.files["keys"], _no_rows(), removed)
    return compare_keys(warehouse, staged, files, removed, dedup_window(dedup))


def files_that_may_hold(
    stored: StoredTable, files: pl.DataFrame, row_keys: pl.DataFrame, digests: frozenset[str]
) -> pl.DataFrame:
    """Selects the files that may hold given rows, or any row of given inputs.

    Args:
        stored: The table.
        files: Rows of `delta.FILES`.
        row_keys: `key` and `received_date` of the rows.
        digests: Digests of the inputs.
    """
    keys = sorted(row_keys["key"])
    days = set(row_keys["received_date"])
    bounds = [id_bounds(digest) for digest in digests]

    def holds(row: dict[str, Any]) -> bool:
        at = bisect_left(keys, row["low"])
        has_key = at < len(keys) and keys[at] <= row["high"] and (not stored.is_dated or row["received_date"] in days)
        return has_key or any(row["low"] <= last and first <= row["high"] for first, last in bounds)

    return files.filter([holds(row) for row in files.iter_rows(named=True)])


def apply(warehouse: Warehouse, change: Change, duplicates: DuplicateChanges, dedup: dict[str, Any] | None) -> None:
    """Applies a change to a warehouse, whole or not at all.

    Raises:
        ConflictError: Another command has changed the warehouse since it was opened.
        OutputError: The warehouse cannot be written.
    """
    edits = _edits(warehouse, change, duplicates)
    changes_by_table = {
        stored.name: _file_changes(warehouse, stored, edits[stored.name], change) for stored in STORED_TABLES
    }
    commit_all(warehouse, change.run, changes_by_table, dedup)


def commit_all(
    warehouse: Warehouse,
    run: str,
    changes_by_table: Mapping[str, FileChanges],
    dedup: dict[str, Any] | None,
    **properties: str,
) -> None:
    """Moves new files from the staging folder to their tables, commits each table, and writes the snapshot.

    Args:
        warehouse: The warehouse.
        run: Name of the run.
        changes_by_table: The files to add and to remove.
        dedup: Scope and window of the deduplication.
        **properties: What the log of each table says of the commit, beside the run.

    Raises:
        ConflictError: Another command has changed the warehouse since it was opened.
        OutputError: The warehouse cannot be written.
    """
    out = warehouse.folder("new")
    for stored in STORED_TABLES:
        for addition in changes_by_table[stored.name].additions:
            path = f"{stored.folder}/{addition.path}"
            file_storage.publish(warehouse.place, out / path, path)
    versions = dict(warehouse.snapshot.versions)
    for stored in STORED_TABLES:
        changes = changes_by_table[stored.name]
        if changes.additions or changes.removals.height:
            versions[stored.name] = delta.commit(
                warehouse.place, stored, warehouse.tables[stored.name], changes, {"run": run, **properties}
            )
    commit_snapshot(warehouse, new_snapshot(run, versions, dedup))


def _edits(warehouse: Warehouse, change: Change, duplicates: DuplicateChanges) -> dict[str, TableEdit]:
    """Works out the edit of each table: the rows that duplicates move between tables, and the rows of `loads`."""
    empty = {stored.name: pl.DataFrame(schema=stored.schema) for stored in STORED_TABLES}
    demoted, promoted = _row_keys(duplicates.demoted), _row_keys(duplicates.promoted)
    moved = _moved(warehouse, duplicates.promoted)
    loads = change.loads.select(key="digest").with_columns(received_date=pl.lit(None, pl.Date))
    demoted_conversions = _rows(warehouse, "conversions", demoted)
    details = {table.name: _rows(warehouse, table.name, demoted) for table in DETAILS}
    edits = {
        "keys": TableEdit(_no_rows(), empty["keys"]),
        "conversions": TableEdit(demoted, moved["conversions"]),
        **{table.name: TableEdit(demoted, moved[table.name]) for table in DETAILS},
        "withheld": TableEdit(promoted, withheld_rows(demoted_conversions, details)),
        "rejections": TableEdit(
            pl.concat([promoted, _row_keys(duplicates.changed), change.replaced.select(_ROW_KEYS.names())]),
            _rejected(warehouse, duplicates, demoted_conversions),
        ),
        "loads": TableEdit(pl.concat([loads, _removed_inputs(change)]), change.loads),
    }
    return {name: TableEdit(edit.removed_keys, _renamed(edit.added, change)) for name, edit in edits.items()}


def _rejected(warehouse: Warehouse, duplicates: DuplicateChanges, demoted_conversions: pl.DataFrame) -> pl.DataFrame:
    """Returns the new rows of `rejections`: for demoted conversions, and for duplicates that change."""
    demoted = _row_keys(duplicates.demoted)
    raws = _rows(warehouse, "keys", demoted).select("conversion_id", "raw")
    found = demoted_conversions.join(duplicates.demoted.drop("received_date"), on="conversion_id").join(
        raws, on="conversion_id"
    )
    now = duplicates.changed.select("duplicate_of", "duplicate_kind", rejection_id="conversion_id")
    before = _rows(warehouse, "rejections", _row_keys(duplicates.changed))
    changed = before.drop("duplicate_of", "duplicate_kind").join(now, on="rejection_id").select(before.columns)
    return with_received_date(pl.concat([reject_duplicates(found), changed]))


def _moved(warehouse: Warehouse, promoted: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Returns the rows of promoted duplicates, by table."""
    rows = with_received_date(_rows(warehouse, "withheld", _row_keys(promoted)))
    moved = {"conversions": rows.select(BY_NAME["conversions"].schema.names())}
    for table in DETAILS:
        lists = rows.select("received_date", table.name).filter(pl.col(table.name).list.len() > 0)
        moved[table.name] = (
            lists.explode(table.name).unnest(table.name).select(BY_NAME[table.name].schema.names())
            if lists.height
            else pl.DataFrame(schema=BY_NAME[table.name].schema)
        )
    return moved


def _rows(warehouse: Warehouse, name: str, row_keys: pl.DataFrame) -> pl.DataFrame:
    """Reads the rows of a table with given keys, without `received_date`."""
    stored = BY_NAME[name]
    if not row_keys.height:
        return stored.table.empty()
    files = files_that_may_hold(stored, warehouse.files[name], row_keys, frozenset())
    return warehouse.scan(name, files).filter(pl.col(stored.key).is_in(row_keys["key"].implode())).collect()


def _file_changes(warehouse: Warehouse, stored: StoredTable, edit: TableEdit, change: Change) -> FileChanges:
    """Writes the new files of a table's commit, and lists the files that they replace."""
    out = warehouse.folder("new")
    name = f"{change.run}-{stored.name}"
    additions = [*change.files.get(stored.name, []), *write_rows(stored, edit.added, out, f"{name}-moved")]
    removals = []
    has_source = "source_digest" in stored.table.schema
    concerned = change.removed | (frozenset(change.renamed) if has_source else frozenset())
    files = files_that_may_hold(stored, warehouse.files[stored.name], edit.removed_keys, concerned)
    for number, file in enumerate(files.iter_rows(named=True)):
        before = warehouse.scan(stored.name, files[number]).collect()
        near = edit.removed_keys.filter(pl.col("key").is_between(pl.lit(file["low"]), pl.lit(file["high"])))["key"]
        after = _renamed(_without(before, stored, near, change.removed), change)
        if not after.equals(before):
            removals.append(files[number])
            if stored.is_dated:
                after = after.with_columns(received_date=pl.lit(file["received_date"], pl.Date))
            additions += write_rows(stored, after, out, f"{name}-{number:05d}")
    return FileChanges(additions, pl.concat(removals) if removals else files.clear())


def _without(rows: pl.DataFrame, stored: StoredTable, removed_keys: pl.Series, removed: frozenset[str]) -> pl.DataFrame:
    """Removes rows with given keys, and all rows of given inputs."""
    prefixes = [prefix_of(digest) for digest in removed]
    is_gone = pl.col(stored.key).is_in(removed_keys.implode())
    return rows.filter(~is_gone & ~id_prefix(stored.key).is_in(prefixes))


def _renamed(rows: pl.DataFrame, change: Change) -> pl.DataFrame:
    """Gives the rows of renamed inputs their new source."""
    if not change.renamed or not {"source", "source_digest"} <= set(rows.columns):
        return rows
    names = pl.col("source_digest").replace_strict(dict(change.renamed), default=None, return_dtype=pl.String)
    return rows.with_columns(source=pl.coalesce(names, "source"))


def _row_keys(moves: pl.DataFrame) -> pl.DataFrame:
    """Returns the keys of moved rows: rows of `_ROW_KEYS`."""
    return moves.select("received_date", key="conversion_id").select(_ROW_KEYS.names())


def _removed_inputs(change: Change) -> pl.DataFrame:
    """Returns the keys of the rows of `loads` of the removed inputs."""
    return pl.DataFrame({"key": sorted(change.removed)}, schema={"key": pl.String}).with_columns(
        received_date=pl.lit(None, pl.Date)
    )


def _no_rows() -> pl.DataFrame:
    """Returns a frame of `_ROW_KEYS` without rows."""
    return pl.DataFrame(schema=_ROW_KEYS)
