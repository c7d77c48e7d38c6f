"""A change of a warehouse: rows taken out, moved, renamed and put in, in all tables, committed as one.

Files are rewritten only where rows of theirs go or change, found by their days and the first and last key of each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from etl.transform.rejections import reject_duplicates
from etl.warehouse import delta, file_storage
from etl.warehouse.delta import Addition, Exchange
from etl.warehouse.file_writer import DETAILS, withheld, write_rows
from etl.warehouse.load_duplicates import Verdict, judge, window_of
from etl.warehouse.snapshots import Warehouse, put, signed
from etl.warehouse.table_layout import BY_NAME, KEPT, Kept, dated, id_bounds, id_prefix, prefix_of

#: Keys of rows that go, and the day of each.
_GONE: Final = pl.Schema({"key": pl.String(), "received_date": pl.Date()})


@dataclass(frozen=True)
class Change:
    """What happens to a warehouse.

    Attributes:
        run: Names the command, and the files that it writes.
        removed: Digests of inputs whose rows go.
        renamed: Digest -> the name that the input's rows bear from now on.
        files: By table, new files in the staging folder.
        replaced: Key and day of rejections that go, because rows of `files` take their place.
        loads: Rows of `loads` that come, or take the place of those of their digests.
    """

    run: str
    removed: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, list[Addition]] = field(default_factory=dict)
    replaced: pl.DataFrame = field(default_factory=_GONE.to_frame)
    loads: pl.DataFrame = field(default_factory=BY_NAME["loads"].table.empty)


@dataclass(frozen=True)
class Edit:
    """What happens to the rows of one table: keys that go, rows that come."""

    gone: pl.DataFrame
    added: pl.DataFrame


def judged(warehouse: Warehouse, keys: list[Path], removed: frozenset[str], dedup: dict[str, Any] | None) -> Verdict:
    """Who wins once the inputs are removed and the staged keys are there; see `winners.judge`."""
    files = may_hold(BY_NAME["keys"], warehouse.files["keys"], _nothing(), removed)
    return judge(warehouse, keys, files, removed, window_of(dedup))


def may_hold(kept: Kept, files: pl.DataFrame, gone: pl.DataFrame, digests: frozenset[str]) -> pl.DataFrame:
    """The files that can hold rows of some keys, or of some inputs.

    Args:
        kept: The table.
        files: Rows of `delta.FILES`.
        gone: `key` and `received_date` of rows.
        digests: Inputs.
    """
    keys = sorted(gone["key"])
    days = set(gone["received_date"])
    bounds = [id_bounds(digest) for digest in digests]

    def holds(row: dict[str, Any]) -> bool:
        at = bisect_left(keys, row["low"])
        has_key = at < len(keys) and keys[at] <= row["high"] and (not kept.is_dated or row["received_date"] in days)
        return has_key or any(row["low"] <= last and first <= row["high"] for first, last in bounds)

    return files.filter([holds(row) for row in files.iter_rows(named=True)])


def apply(warehouse: Warehouse, change: Change, verdict: Verdict, dedup: dict[str, Any] | None) -> None:
    """Makes a change, whole or not at all.

    Raises:
        ConflictError: Somebody else has changed the warehouse since it was opened.
        OutputError: It cannot be written.
    """
    edits = _edits(warehouse, change, verdict)
    exchanges = {kept.name: _exchange(warehouse, kept, edits[kept.name], change) for kept in KEPT}
    commit_all(warehouse, change.run, exchanges, dedup)


def commit_all(warehouse: Warehouse, run: str, exchanges: Mapping[str, Exchange], dedup: dict[str, Any] | None) -> None:
    """Moves new files from the staging folder to their tables, commits table by table, and makes it count.

    Raises:
        ConflictError: Somebody else has changed the warehouse since it was opened.
        OutputError: It cannot be written.
    """
    out = warehouse.folder("new")
    for kept in KEPT:
        for one in exchanges[kept.name].additions:
            path = f"{kept.folder}/{one.path}"
            file_storage.publish(warehouse.place, out / path, path)
    versions = dict(warehouse.snapshot.versions)
    for kept in KEPT:
        exchange = exchanges[kept.name]
        if exchange.additions or exchange.removals.height:
            versions[kept.name] = delta.commit(warehouse.place, kept, warehouse.tables[kept.name], exchange, run)
    put(warehouse, signed(run, versions, dedup))


def _edits(warehouse: Warehouse, change: Change, verdict: Verdict) -> dict[str, Edit]:
    """The rows that move between tables, by table."""
    empty = {kept.name: pl.DataFrame(schema=kept.schema) for kept in KEPT}
    demoted, promoted = _gone(verdict.demoted), _gone(verdict.promoted)
    moved = _moved(warehouse, verdict.promoted)
    loads = change.loads.select(key="digest").with_columns(received_date=pl.lit(None, pl.Date))
    losers = _rows(warehouse, "conversions", demoted)
    details = {table.name: _rows(warehouse, table.name, demoted) for table in DETAILS}
    edits = {
        "keys": Edit(_nothing(), empty["keys"]),
        "conversions": Edit(demoted, moved["conversions"]),
        **{table.name: Edit(demoted, moved[table.name]) for table in DETAILS},
        "withheld": Edit(promoted, withheld(losers, details)),
        "rejections": Edit(
            pl.concat([promoted, _gone(verdict.changed), change.replaced.select(_GONE.names())]),
            _rejected(warehouse, verdict, losers),
        ),
        "loads": Edit(pl.concat([loads, _gone_inputs(change)]), change.loads),
    }
    return {name: Edit(edit.gone, _renamed(edit.added, change)) for name, edit in edits.items()}


def _rejected(warehouse: Warehouse, verdict: Verdict, losers: pl.DataFrame) -> pl.DataFrame:
    """Conversions that are duplicates now, and duplicates of others than before: rows of `rejections`."""
    demoted = _gone(verdict.demoted)
    raws = _rows(warehouse, "keys", demoted).select("conversion_id", "raw")
    found = losers.join(verdict.demoted.drop("received_date"), on="conversion_id").join(raws, on="conversion_id")
    now = verdict.changed.select("duplicate_of", "duplicate_kind", rejection_id="conversion_id")
    before = _rows(warehouse, "rejections", _gone(verdict.changed))
    changed = before.drop("duplicate_of", "duplicate_kind").join(now, on="rejection_id").select(before.columns)
    return dated(pl.concat([reject_duplicates(found), changed]))


def _moved(warehouse: Warehouse, promoted: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Duplicates that are conversions now: their rows of each table."""
    rows = dated(_rows(warehouse, "withheld", _gone(promoted)))
    moved = {"conversions": rows.select(BY_NAME["conversions"].schema.names())}
    for table in DETAILS:
        lists = rows.select("received_date", table.name).filter(pl.col(table.name).list.len() > 0)
        moved[table.name] = (
            lists.explode(table.name).unnest(table.name).select(BY_NAME[table.name].schema.names())
            if lists.height
            else pl.DataFrame(schema=BY_NAME[table.name].schema)
        )
    return moved


def _rows(warehouse: Warehouse, name: str, gone: pl.DataFrame) -> pl.DataFrame:
    """The rows of a table with some keys, without `received_date`."""
    kept = BY_NAME[name]
    if not gone.height:
        return kept.table.empty()
    files = may_hold(kept, warehouse.files[name], gone, frozenset())
    return warehouse.scan(name, files).filter(pl.col(kept.key).is_in(gone["key"].implode())).collect()


def _exchange(warehouse: Warehouse, kept: Kept, edit: Edit, change: Change) -> Exchange:
    """Writes what a table's commit puts in, and says what it takes out."""
    out = warehouse.folder("new")
    name = f"{change.run}-{kept.name}"
    additions = [*change.files.get(kept.name, []), *write_rows(kept, edit.added, out, f"{name}-moved")]
    removals = []
    has_source = "source_digest" in kept.table.schema
    concerned = change.removed | (frozenset(change.renamed) if has_source else frozenset())
    files = may_hold(kept, warehouse.files[kept.name], edit.gone, concerned)
    for number, file in enumerate(files.iter_rows(named=True)):
        before = warehouse.scan(kept.name, files[number]).collect()
        near = edit.gone.filter(pl.col("key").is_between(pl.lit(file["low"]), pl.lit(file["high"])))["key"]
        after = _renamed(_without(before, kept, near, change.removed), change)
        if not after.equals(before):
            removals.append(files[number])
            if kept.is_dated:
                after = after.with_columns(received_date=pl.lit(file["received_date"], pl.Date))
            additions += write_rows(kept, after, out, f"{name}-{number:05d}")
    return Exchange(additions, pl.concat(removals) if removals else files.clear())


def _without(rows: pl.DataFrame, kept: Kept, gone: pl.Series, removed: frozenset[str]) -> pl.DataFrame:
    prefixes = [prefix_of(digest) for digest in removed]
    is_gone = pl.col(kept.key).is_in(gone.implode())
    return rows.filter(~is_gone & ~id_prefix(kept.key).is_in(prefixes))


def _renamed(rows: pl.DataFrame, change: Change) -> pl.DataFrame:
    if not change.renamed or not {"source", "source_digest"} <= set(rows.columns):
        return rows
    names = pl.col("source_digest").replace_strict(dict(change.renamed), default=None, return_dtype=pl.String)
    return rows.with_columns(source=pl.coalesce(names, "source"))


def _gone(moves: pl.DataFrame) -> pl.DataFrame:
    return moves.select("received_date", key="conversion_id").select(_GONE.names())


def _gone_inputs(change: Change) -> pl.DataFrame:
    return pl.DataFrame({"key": sorted(change.removed)}, schema={"key": pl.String}).with_columns(
        received_date=pl.lit(None, pl.Date)
    )


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(schema=_GONE)
