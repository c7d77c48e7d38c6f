"""`replay` applies a ruleset to the rejections of a warehouse, from their kept raw records alone.

A rejection that the ruleset accepts becomes a conversion with the same id and the same source, and is deduplicated like
a loaded conversion. Other rejections get their new reason. The row of an input in `loads` records each replay; its
`ruleset` stays that of the load, so that a later load still recognises the input.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import AccountingError, UsageError, choices
from etl.options import Options
from etl.rules.page import REJECTIONS
from etl.rules.ruleset import Ruleset
from etl.runner.parquet import write_table
from etl.runner.pieces import Piece
from etl.runner.run import value_sums
from etl.runner.stage_inputs import SILENT, Progress, run_id
from etl.runner.staged_parts import parts_of
from etl.schema import SUMMABLE
from etl.sources.reread import origin_of
from etl.sources.storage.store_paths import Folder
from etl.warehouse import snapshots
from etl.warehouse.file_writer import (
    NEW_DUPLICATES,
    RECORDS_PER_PART,
    WrittenPart,
    counts_of_parts,
    files_of_parts,
    write_part,
)
from etl.warehouse.load_duplicates import DuplicateChanges, StagedPieces, checked_dedup_settings
from etl.warehouse.load_history import as_counts
from etl.warehouse.rejudge import CHANGED, NOT_JUDGED, OUTCOMES, PASSED, SAME, SKIPPED, rejudge
from etl.warehouse.row_changes import Change, apply, duplicate_changes
from etl.warehouse.snapshots import Warehouse
from etl.warehouse.table_layout import LOADS, prefix_of

#: Rejections in a batch. This bounds the memory of a replay.
_ROWS: Final = 20_000

_DUPLICATE: Final = "duplicate_transaction"
_REASONS: Final = tuple(reason.code for reason in REJECTIONS if reason.code != _DUPLICATE)
_NO_LONGER_SAME: Final = (PASSED.name, CHANGED.name, SKIPPED.name)
_COUNTED: Final = ("source_digest", "reason", "outcome", "now")


class _Rejudged(NamedTuple):
    """The results of a replay, before they are applied.

    Attributes:
        folder: The folder of the staged tables.
        pieces: The staged tables of rejections that change.
        counts: Rows of `_COUNTED` with `count`.
        removed_keys: key and received_date of the rejections that change.
        duplicates: The duplicates that change.
    """

    folder: Folder
    pieces: list[Piece]
    counts: pl.DataFrame
    removed_keys: pl.DataFrame
    duplicates: DuplicateChanges


def replay(
    address: str,
    ruleset: Ruleset,
    reasons: Sequence[str] = (),
    *,
    is_dry_run: bool = False,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Applies a ruleset to the rejections of a warehouse.

    Args:
        address: The warehouse.
        ruleset: The rules.
        reasons: Only rejections for these reasons; by default all reasons except duplicates, which cannot be replayed.
        is_dry_run: Write nothing.
        progress: Receives the progress.

    Returns:
        The report: `run_id` (null if nothing was written), `warehouse` and `ruleset`. Numbers of rejections that were
        `judged`, and of these that `passed`, were `changed` or `skipped`, or stay the `same`; `left`, the numbers that
        could not be judged, and why. `inputs`: by input and reason the number that passed, the `duplicates` among
        these, and `value_total` and `value_by_event` of the others. Numbers of earlier rows that were `demoted` to
        duplicates and `promoted` to conversions.

    Raises:
        UsageError: There is no such warehouse or reason, or the ruleset has other deduplication settings.
        EtlError: It failed; the warehouse is unchanged.
    """
    unknown = next((reason for reason in reasons if reason not in _REASONS), None)
    if unknown is not None:
        raise UsageError(
            f"--reason {unknown!r} is not a reason that can be replayed.", choices(unknown, _REASONS, "Known")
        )
    asked = reasons or _REASONS
    if is_dry_run or not snapshots.is_warehouse(address):
        with tempfile.TemporaryDirectory() as folder:
            warehouse = snapshots.open_for_reading(address)
            return _report(warehouse, ruleset, _rejudge_all(warehouse, ruleset, asked, Path(folder), progress))
    with snapshots.open_for_writing(address) as warehouse:
        rejudged = _rejudge_all(warehouse, ruleset, asked, warehouse.folder("pieces"), progress)
        report = _report(warehouse, ruleset, rejudged)
        if rejudged.removed_keys.height:
            progress.begin("publishing", 0)
            report["run_id"] = _apply_changes(warehouse, ruleset, rejudged)
        return report


def _rejudge_all(
    warehouse: Warehouse, ruleset: Ruleset, reasons: Sequence[str], folder: Folder, progress: Progress
) -> _Rejudged:
    """Applies a ruleset to all rejections for some reasons, stages the rows that change, and finds the duplicates."""
    dedup = checked_dedup_settings(warehouse, ruleset)
    size, records = warehouse.files["rejections"].select("bytes", "records").sum().row(0)
    progress.begin("reading", size)
    pieces: list[Piece] = []
    counts, removed_keys = (
        [pl.DataFrame(schema={**_counted_schema(), "count": pl.UInt32})],
        [_row_keys(OUTCOMES.to_frame())],
    )
    for rows, reading in _batches(warehouse, reasons):
        known = json.loads(reading)
        found = rejudge(rows, origin_of(known), ruleset, Options(**known["options"]))
        counts.append(found.outcomes.group_by(_COUNTED).agg(count=pl.len()))
        moved = found.outcomes.filter(pl.col("outcome").is_in(_NO_LONGER_SAME))
        removed_keys.append(_row_keys(moved))
        if moved.height:
            pieces.append(Piece(len(pieces), 0, moved.height))
            for name, table in {**found.tables, "outcomes": moved}.items():
                pieces[-1].write(folder, name, table)
        progress.advance(size * rows.height // records, rows.height)
    duplicates = duplicate_changes(warehouse, StagedPieces(pieces, folder), frozenset(), dedup)
    write_table(duplicates.new, folder / NEW_DUPLICATES)
    totals = pl.concat(counts).group_by(_COUNTED).agg(pl.col("count").sum()).sort(_COUNTED, nulls_last=True)
    return _Rejudged(folder, pieces, totals, pl.concat(removed_keys), duplicates)


def _batches(warehouse: Warehouse, reasons: Sequence[str]) -> Iterator[tuple[pl.DataFrame, str]]:
    """Yields batches of rejections of inputs that were read by the same settings, and these settings as JSON."""
    loads = warehouse.scan("loads").select("reading", source_digest="digest").collect()
    chosen = warehouse.scan("rejections").filter(pl.col("reason").is_in(reasons))
    for batch in chosen.collect_batches(chunk_size=_ROWS):
        together = batch.join(loads, on="source_digest", how="left", maintain_order="left")
        for rows in together.partition_by("reading", maintain_order=True):
            yield rows.drop("reading"), rows["reading"][0]


def _apply_changes(warehouse: Warehouse, ruleset: Ruleset, rejudged: _Rejudged) -> str:
    """Writes and commits the rows that change, and returns the run id."""
    run = run_id()
    out = warehouse.folder("new")
    parts = [
        write_part(pieces, rejudged.folder, out, f"{run}-{number:05d}")
        for number, pieces in enumerate(parts_of(rejudged.pieces, RECORDS_PER_PART))
    ]
    change = Change(
        run,
        files=files_of_parts(parts),
        loads=_updated_loads(warehouse, ruleset, rejudged, parts, run),
        replaced=rejudged.removed_keys,
    )
    apply(warehouse, change, rejudged.duplicates, warehouse.snapshot.dedup)
    return run


def _updated_loads(
    warehouse: Warehouse, ruleset: Ruleset, rejudged: _Rejudged, parts: list[WrittenPart], run: str
) -> pl.DataFrame:
    """Returns the rows of `loads` of the inputs that change, with their new counts.

    Raises:
        AccountingError: Records of an input are not accounted for.
    """
    moved = rejudged.counts.filter(pl.col("outcome").is_in(_NO_LONGER_SAME))
    brought = counts_of_parts(parts)
    now = {"run_id": run, "replayed_at": datetime.now(UTC), "ruleset": ruleset.name, "ruleset_digest": ruleset.digest}
    rows = []
    concerned = warehouse.scan("loads").filter(pl.col("digest").is_in(moved["source_digest"].implode())).collect()
    for row in concerned.iter_rows(named=True):
        outcomes = moved.filter(pl.col("source_digest") == row["digest"])
        counts = {name: outcomes.filter(pl.col("outcome") == name)["count"].sum() for name in _NO_LONGER_SAME}
        found = brought[prefix_of(row["digest"])].rows if prefix_of(row["digest"]) in brought else Counter[str]()
        rejected, skipped = Counter(_as_counter(row["rejections"])), Counter(_as_counter(row["skipped"]))
        for reason, outcome, reason_now, count in outcomes.select("reason", "outcome", "now", "count").iter_rows():
            rejected[reason] -= count
            if outcome != PASSED.name:
                (rejected if outcome == CHANGED.name else skipped)[reason_now] += count
        entry = {
            **row,
            **{name: row[name] + found[name] for name in ("conversions", "items", "passthroughs")},
            "rejections": as_counts(+rejected),
            "skipped": as_counts(skipped),
            "replays": [*row["replays"], {**now, **counts}],
        }
        if found["conversions"] != counts[PASSED.name] or row["records"] != _accounted(entry):
            raise AccountingError(
                f"{row['source']} has {row['records']} records, but {_accounted(entry)} are accounted for.",
                "Nothing was replayed; report this.",
            )
        rows.append(entry)
    return pl.DataFrame(rows, schema=LOADS.schema)


def _accounted(entry: dict[str, Any]) -> int:
    """Returns the number of records that a row of `loads` accounts for."""
    return int(entry["conversions"] + sum(row["count"] for row in (*entry["rejections"], *entry["skipped"])))


def _as_counter(counts: list[dict[str, Any]]) -> dict[str, int]:
    """Turns counts by reason of `loads` into a dict."""
    return {row["reason"]: row["count"] for row in counts}


def _report(warehouse: Warehouse, ruleset: Ruleset, rejudged: _Rejudged) -> dict[str, Any]:
    """Returns the report of a replay that has not been written."""
    totals = Counter(dict(rejudged.counts.group_by("outcome").agg(pl.col("count").sum()).rows()))
    outcomes = (PASSED, CHANGED, SKIPPED, SAME)
    return {
        "run_id": None,
        "warehouse": warehouse.place.address,
        "ruleset": {"name": ruleset.name, "digest": ruleset.digest},
        "judged": sum(totals[outcome.name] for outcome in outcomes),
        **{outcome.name: totals[outcome.name] for outcome in outcomes},
        "left": [{"count": totals[outcome.name], "why": outcome.why} for outcome in NOT_JUDGED if totals[outcome.name]],
        "duplicates": rejudged.duplicates.new.height,
        "demoted": rejudged.duplicates.demoted.height,
        "promoted": rejudged.duplicates.promoted.height,
        "inputs": _inputs(warehouse, rejudged),
    }


def _inputs(warehouse: Warehouse, rejudged: _Rejudged) -> list[dict[str, Any]]:
    """Returns, for each input and reason, the rejections that passed, their duplicates, and the value of the others."""
    names = warehouse.scan("loads").select("source", source_digest="digest").collect()
    found = [pl.DataFrame(schema=_VALUE_SUMS), *(_value_sums(rejudged, piece) for piece in rejudged.pieces)]
    by = ("source_digest", "reason", "event", "currency")
    sums = pl.concat(found).group_by(by).agg(pl.col("count", "value").sum()).sort(by)
    kept = sums.group_by("source_digest", "reason", maintain_order=True).agg(
        "event", "currency", "value", unique=pl.col("count").sum()
    )
    passed = rejudged.counts.filter(pl.col("outcome") == PASSED.name).join(names, on="source_digest", how="left")
    rows = passed.join(kept, on=("source_digest", "reason"), how="left").sort("source", "source_digest", "reason")
    return [
        {
            "path": row["source"],
            "digest": row["source_digest"],
            "reason": row["reason"],
            "passed": row["count"],
            "duplicates": row["count"] - (row["unique"] or 0),
            **value_sums(_values(row)),
        }
        for row in rows.iter_rows(named=True)
    ]


def _values(row: dict[str, Any]) -> dict[tuple[str, str], Decimal]:
    """Returns the values in a row of lists, by event and currency."""
    lists = zip(row["event"] or (), row["currency"] or (), row["value"] or (), strict=True)
    return {(event, currency): value for event, currency, value in lists if value is not None}


_VALUE_SUMS: Final = pl.Schema(
    {
        "source_digest": pl.String(),
        "reason": pl.String(),
        "event": pl.String(),
        "currency": pl.String(),
        "count": pl.Int64(),
        "value": pl.Decimal(38, 9),
    }
)


def _value_sums(rejudged: _Rejudged, piece: Piece) -> pl.DataFrame:
    """Returns the number and value of the conversions that a piece adds, by input, reason, event and currency."""
    conversions = piece.read(rejudged.folder, "conversions", ["conversion_id", "event", "currency", "value"])
    outcomes = piece.read(rejudged.folder, "outcomes", ["rejection_id", "source_digest", "reason"])
    kept = conversions.join(rejudged.duplicates.new, on="conversion_id", how="anti")
    rows = kept.join(outcomes, left_on="conversion_id", right_on="rejection_id")
    value = pl.when(pl.col("value").abs() < SUMMABLE).then("value")
    sums = rows.group_by("source_digest", "reason", "event", pl.col("currency").fill_null("")).agg(
        count=pl.len().cast(pl.Int64), value=value.sum()
    )
    return sums.select(pl.col(name).cast(dtype) for name, dtype in _VALUE_SUMS.items())


def _counted_schema() -> dict[str, Any]:
    """Returns the schema of `_COUNTED`."""
    return {name: OUTCOMES[name] for name in _COUNTED}


def _row_keys(outcomes: pl.DataFrame) -> pl.DataFrame:
    """Returns key and received_date of rejections."""
    return outcomes.select("received_date", key="rejection_id")
