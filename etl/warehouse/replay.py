"""`replay`: rejections of a warehouse judged again by other rules, from their kept raw records alone.

What passes is a conversion from then on, with the id and the lineage that it had, and is deduplicated as if it had been
loaded so. A rejection whose reason is another now says so. Every input that this touches says in `loads` by which rules
its rejections were judged; the rules that it was loaded by stay what they are, so that a later load still knows them.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import AccountingError, UsageError
from etl.options import Options
from etl.rules.page import REJECTIONS
from etl.rules.ruleset import Ruleset
from etl.runner.parquet import write_table
from etl.runner.stage_inputs import SILENT, Progress, run_id
from etl.runner.staged_parts import Piece, parts_of
from etl.schema import SUMMABLE
from etl.sources.reread import origin_of
from etl.warehouse import snapshots
from etl.warehouse.file_writer import RECORDS_PER_PART, Part, counts_of_parts, files_of_parts, write_part
from etl.warehouse.load_duplicates import Verdict, agreed_dedup
from etl.warehouse.load_history import as_counts
from etl.warehouse.rejudge import CHANGED, FATES, LEFT, PASSED, SAME, SKIPPED, rejudge
from etl.warehouse.row_changes import Change, apply, judged
from etl.warehouse.snapshots import Warehouse
from etl.warehouse.table_layout import LOADS, prefix_of

#: So many rejections are judged at once: what is kept in memory.
_ROWS: Final = 20_000

_DUPLICATE: Final = "duplicate_transaction"
_REASONS: Final = tuple(reason.code for reason in REJECTIONS if reason.code != _DUPLICATE)
_MOVED: Final = (PASSED.name, CHANGED.name, SKIPPED.name)
_COUNTED: Final = ("source_digest", "reason", "fate", "now")


class _Again(NamedTuple):
    """Rejections that were judged again.

    Attributes:
        folder: Where the tables of those that are otherwise now are staged.
        pieces: These tables.
        counts: How many there are: rows of `_COUNTED` with `count`.
        gone: key and received_date of the rejections that are otherwise now.
        verdict: Who is a duplicate of whom, once those that pass are there.
    """

    folder: Path
    pieces: list[Piece]
    counts: pl.DataFrame
    gone: pl.DataFrame
    verdict: Verdict


def replay(
    address: str,
    ruleset: Ruleset,
    reasons: Sequence[str] = (),
    *,
    is_dry_run: bool = False,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Judges the rejections of a warehouse again.

    Args:
        address: The warehouse.
        ruleset: The rules.
        reasons: Only rejections for these reasons; all by default. Duplicates are deduplication's business, always.
        is_dry_run: Nothing is written.
        progress: Where to tell how it gets on.

    Returns:
        The report: `run_id` (null if nothing was written), `warehouse`, `ruleset`; how many rejections were `judged`,
        how many of them `passed`, were `changed` or `skipped`, or stay the `same`; `left`, how many could not be judged
        and why; `inputs`: of each input and reason what passed, and its money by currency without `duplicates`; of
        earlier rows, how many were `demoted` to duplicates and `promoted` to conversions.

    Raises:
        UsageError: There is no such warehouse or reason, or the ruleset finds other duplicates.
        EtlError: It failed; the warehouse is as it was.
    """
    unknown = next((reason for reason in reasons if reason not in _REASONS), None)
    if unknown is not None:
        raise UsageError(f"--reason {unknown!r} is none that is replayed.", f"Known: {', '.join(_REASONS)}.")
    asked = reasons or _REASONS
    if is_dry_run or not snapshots.is_warehouse(address):
        with tempfile.TemporaryDirectory() as folder:
            warehouse = snapshots.viewed(address)
            return _report(warehouse, ruleset, _judged_again(warehouse, ruleset, asked, Path(folder), progress))
    with snapshots.written(address) as warehouse:
        again = _judged_again(warehouse, ruleset, asked, warehouse.folder("pieces"), progress)
        report = _report(warehouse, ruleset, again)
        if again.gone.height:
            progress.begin("publishing", 0)
            report["run_id"] = _carried_out(warehouse, ruleset, again)
        return report


def _judged_again(
    warehouse: Warehouse, ruleset: Ruleset, reasons: Sequence[str], folder: Path, progress: Progress
) -> _Again:
    dedup = agreed_dedup(warehouse, ruleset)
    size, records = warehouse.files["rejections"].select("bytes", "records").sum().row(0)
    progress.begin("reading", size)
    pieces: list[Piece] = []
    counts, gone = [pl.DataFrame(schema={**_counted_schema(), "count": pl.UInt32})], [_gone(FATES.to_frame())]
    for rows, reading in _batches(warehouse, reasons):
        known = json.loads(reading)
        found = rejudge(rows, origin_of(known), ruleset, Options(**known["options"]))
        counts.append(found.fates.group_by(_COUNTED).agg(count=pl.len()))
        moved = found.fates.filter(pl.col("fate").is_in(_MOVED))
        gone.append(_gone(moved))
        if moved.height:
            pieces.append(Piece(len(pieces), 0, moved.height))
            for name, table in {**found.tables, "fates": moved}.items():
                write_table(table, pieces[-1].path(folder, name))
        progress.advance(size * rows.height // records, rows.height)
    verdict = judged(warehouse, [piece.path(folder, "keys") for piece in pieces], frozenset(), dedup)
    verdict.new.write_parquet(folder / "duplicates.parquet")
    totals = pl.concat(counts).group_by(_COUNTED).agg(pl.col("count").sum()).sort(_COUNTED, nulls_last=True)
    return _Again(folder, pieces, totals, pl.concat(gone), verdict)


def _batches(warehouse: Warehouse, reasons: Sequence[str]) -> Iterator[tuple[pl.DataFrame, str]]:
    """Rejections, some at a time, of inputs that were read alike, and how those were read."""
    loads = warehouse.scan("loads").select("reading", source_digest="digest").collect()
    chosen = warehouse.scan("rejections").filter(pl.col("reason").is_in(reasons))
    for batch in chosen.collect_batches(chunk_size=_ROWS):
        together = batch.join(loads, on="source_digest", how="left", maintain_order="left")
        for rows in together.partition_by("reading", maintain_order=True):
            yield rows.drop("reading"), rows["reading"][0]


def _carried_out(warehouse: Warehouse, ruleset: Ruleset, again: _Again) -> str:
    """Writes the rows that are otherwise now, and gives the run's name."""
    run = run_id()
    out = warehouse.folder("new")
    parts = [
        write_part(pieces, again.folder, out, f"{run}-{number:05d}")
        for number, pieces in enumerate(parts_of(again.pieces, RECORDS_PER_PART))
    ]
    change = Change(
        run,
        files=files_of_parts(parts),
        loads=_entries(warehouse, ruleset, again, parts, run),
        replaced=again.gone,
    )
    apply(warehouse, change, again.verdict, warehouse.snapshot.dedup)
    return run


def _entries(warehouse: Warehouse, ruleset: Ruleset, again: _Again, parts: list[Part], run: str) -> pl.DataFrame:
    """The rows of `loads` of the inputs that are touched, with what they hold now.

    Raises:
        AccountingError: Their records are not all accounted for.
    """
    moved = again.counts.filter(pl.col("fate").is_in(_MOVED))
    brought = counts_of_parts(parts)
    now = {"run_id": run, "replayed_at": datetime.now(UTC), "ruleset": ruleset.name, "ruleset_digest": ruleset.digest}
    rows = []
    concerned = warehouse.scan("loads").filter(pl.col("digest").is_in(moved["source_digest"].implode())).collect()
    for row in concerned.iter_rows(named=True):
        fates = moved.filter(pl.col("source_digest") == row["digest"])
        counts = {name: fates.filter(pl.col("fate") == name)["count"].sum() for name in _MOVED}
        found = brought[prefix_of(row["digest"])].rows if prefix_of(row["digest"]) in brought else Counter[str]()
        rejected, skipped = Counter(_as_counter(row["rejections"])), Counter(_as_counter(row["skipped"]))
        for reason, fate, reason_now, count in fates.select("reason", "fate", "now", "count").iter_rows():
            rejected[reason] -= count
            if fate != PASSED.name:
                (rejected if fate == CHANGED.name else skipped)[reason_now] += count
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
    return int(entry["conversions"] + sum(one["count"] for one in (*entry["rejections"], *entry["skipped"])))


def _as_counter(counts: list[dict[str, Any]]) -> dict[str, int]:
    return {one["reason"]: one["count"] for one in counts}


def _report(warehouse: Warehouse, ruleset: Ruleset, again: _Again) -> dict[str, Any]:
    totals = Counter(dict(again.counts.group_by("fate").agg(pl.col("count").sum()).rows()))
    fates = (PASSED, CHANGED, SKIPPED, SAME)
    return {
        "run_id": None,
        "warehouse": warehouse.place.address,
        "ruleset": {"name": ruleset.name, "digest": ruleset.digest},
        "judged": sum(totals[fate.name] for fate in fates),
        **{fate.name: totals[fate.name] for fate in fates},
        "left": [{"count": totals[fate.name], "why": fate.why} for fate in LEFT if totals[fate.name]],
        "duplicates": again.verdict.new.height,
        "demoted": again.verdict.demoted.height,
        "promoted": again.verdict.promoted.height,
        "inputs": _inputs(warehouse, again),
    }


def _inputs(warehouse: Warehouse, again: _Again) -> list[dict[str, Any]]:
    """Of each input and reason what passed, what of that is a duplicate, and the money of the rest by currency."""
    names = warehouse.scan("loads").select("source", source_digest="digest").collect()
    found = [pl.DataFrame(schema=_MONEY), *(_money(again, piece) for piece in again.pieces)]
    by = ("source_digest", "reason", "currency")
    sums = pl.concat(found).group_by(by).agg(pl.col("count", "value").sum()).sort(by)
    kept = sums.group_by("source_digest", "reason", maintain_order=True).agg(
        "currency", "value", unique=pl.col("count").sum()
    )
    passed = again.counts.filter(pl.col("fate") == PASSED.name).join(names, on="source_digest", how="left")
    told = passed.join(kept, on=("source_digest", "reason"), how="left").sort("source", "source_digest", "reason")
    return [
        {
            "path": row["source"],
            "digest": row["source_digest"],
            "reason": row["reason"],
            "passed": row["count"],
            "duplicates": row["count"] - (row["unique"] or 0),
            "value_total": {
                currency: _plain(f"{value:f}")
                for currency, value in zip(row["currency"] or (), row["value"] or (), strict=True)
                if value is not None
            },
        }
        for row in told.iter_rows(named=True)
    ]


_MONEY: Final = pl.Schema(
    {
        "source_digest": pl.String(),
        "reason": pl.String(),
        "currency": pl.String(),
        "count": pl.Int64(),
        "value": pl.Decimal(38, 9),
    }
)


def _money(again: _Again, piece: Piece) -> pl.DataFrame:
    """What of a piece becomes a conversion: how many and how much, by input, reason and currency."""
    columns = ["conversion_id", "currency", "value"]
    conversions = pl.read_parquet(piece.path(again.folder, "conversions"), columns=columns)
    fates = pl.read_parquet(piece.path(again.folder, "fates"), columns=["rejection_id", "source_digest", "reason"])
    kept = conversions.join(again.verdict.new, on="conversion_id", how="anti")
    told = kept.join(fates, left_on="conversion_id", right_on="rejection_id")
    value = pl.when(pl.col("value").abs() < SUMMABLE).then("value")
    sums = told.group_by("source_digest", "reason", pl.col("currency").fill_null("")).agg(
        count=pl.len().cast(pl.Int64), value=value.sum()
    )
    return sums.select(pl.col(name).cast(dtype) for name, dtype in _MONEY.items())


def _plain(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _counted_schema() -> dict[str, Any]:
    return {name: FATES[name] for name in _COUNTED}


def _gone(fates: pl.DataFrame) -> pl.DataFrame:
    return fates.select("received_date", key="rejection_id")
