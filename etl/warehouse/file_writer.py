"""Writes new rows as files of the tables, from staged pieces, once the duplicates are known. Workers run it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from etl.privacy.erasure import erase
from etl.runner.counts import Tally
from etl.runner.parquet import read_table, write_table
from etl.runner.pieces import Piece
from etl.schema import ITEMS, PASSTHROUGHS
from etl.sources.storage.store_paths import Folder
from etl.steps.rejections import reject_duplicates
from etl.warehouse.delta import Addition, path_of
from etl.warehouse.load_duplicates import as_stored
from etl.warehouse.table_layout import (
    BY_NAME,
    PUBLIC,
    RECEIVED_DATE,
    WITHHELD,
    StoredTable,
    id_prefix,
    prefix_of,
    with_received_date,
)

#: The tables whose rows belong to conversions.
DETAILS: Final = (ITEMS, PASSTHROUGHS)

#: Name of the file with the ids of records that `forget-person` has emptied: they stay empty.
EMPTIED: Final = "emptied.parquet"

#: The staged duplicates among new rows.
NEW_DUPLICATES: Final = "duplicates.parquet"

#: Records a part, about: a part becomes one file of each table and day.
RECORDS_PER_PART: Final = 100_000


class InputCounts(NamedTuple):
    """The rows of one input, as if it were the only input.

    Attributes:
        rows: Rows by table, and rejections by reason.
        first: The earliest received_at.
        last: The latest received_at.
    """

    rows: Counter[str]
    first: datetime | None
    last: datetime | None

    def __add__(self, other: InputCounts) -> InputCounts:  # type: ignore[override]
        firsts, lasts = (self.first, other.first), (self.last, other.last)
        return InputCounts(
            self.rows + other.rows,
            min((time for time in firsts if time), default=None),
            max((time for time in lasts if time), default=None),
        )


class WrittenPart(NamedTuple):
    """The files written from some pieces.

    Attributes:
        files: New files by table.
        counts: By the first digits of an input's digest, its rows; duplicates count as conversions here.
        tally: Counts of the written rows; duplicates count as rejections here.
    """

    files: dict[str, list[Addition]]
    counts: dict[str, InputCounts]
    tally: Tally


def write_part(pieces: list[Piece], stage: Folder, out: Folder, name: str) -> WrittenPart:
    """Writes the files of each table from staged pieces; duplicates go to `rejections` and `withheld`.

    Args:
        pieces: In the order of (source_digest, record_no).
        stage: The staging folder, with NEW_DUPLICATES, rows of `deduplication.DUPLICATES`; it may hold EMPTIED.
        out: The folder of the new files.
        name: The files' names begin with it.
    """
    duplicates = read_table(stage / NEW_DUPLICATES)
    counts: list[dict[str, InputCounts]] = []
    judged: list[dict[str, pl.DataFrame]] = []
    for piece in pieces:
        names = ("conversions", "items", "passthroughs", "rejections", "raws")
        rows = {table: piece.read(stage, table) for table in names} | {"keys": piece.read_keys(stage)}
        counts.append(_counted(rows))
        judged.append(_without_duplicates(rows, duplicates))
    whole = {table: pl.concat(rows[table] for rows in judged) for table in judged[0]}
    if (stage / EMPTIED).exists():
        whole = _emptied(whole, read_table(stage / EMPTIED)["id"])
    files = {table: write_rows(BY_NAME[table], rows, out, name) for table, rows in whole.items()}
    return WrittenPart(files, _merged(counts), Tally.of({table: whole[table] for table in PUBLIC}))


def _emptied(tables: dict[str, pl.DataFrame], ids: pl.Series) -> dict[str, pl.DataFrame]:
    """Empties what is personal in the rows of records with given ids."""
    if not len(ids):
        return tables
    return {name: erase(rows, rows[BY_NAME[name].key].is_in(ids.implode())).rows for name, rows in tables.items()}


def files_of_parts(parts: list[WrittenPart]) -> dict[str, list[Addition]]:
    """Collects the files of parts, by table."""
    files: dict[str, list[Addition]] = {}
    for part in parts:
        for table, written in part.files.items():
            files.setdefault(table, []).extend(written)
    return files


def counts_of_parts(parts: list[WrittenPart]) -> dict[str, InputCounts]:
    """Adds up the counts of parts, by the first digits of the inputs' digests."""
    return _merged(part.counts for part in parts)


def _merged(counts: Iterable[dict[str, InputCounts]]) -> dict[str, InputCounts]:
    """Adds up counts, by the first digits of the inputs' digests."""
    merged: dict[str, InputCounts] = {}
    for some in counts:
        for digest, found in some.items():
            merged[digest] = merged[digest] + found if digest in merged else found
    return merged


def write_rows(stored: StoredTable, rows: pl.DataFrame, out: Folder, name: str) -> list[Addition]:
    """Writes rows as one file for each day, in the order of their keys.

    Args:
        stored: The table.
        rows: Its rows, in any order, with `received_date` if the table is dated.
        out: The folder that holds the tables' folders.
        name: The files' names begin with it; no file of the table may have such a name.
    """
    days = rows.partition_by(RECEIVED_DATE.name) if stored.is_dated else [rows]
    return [_write(stored, day, out, f"{name}-{number:04d}") for number, day in enumerate(days) if day.height]


def _write(stored: StoredTable, rows: pl.DataFrame, out: Folder, name: str) -> Addition:
    """Writes rows of one day as one file."""
    ordered = rows.sort(stored.key, maintain_order=True)
    day = ordered[RECEIVED_DATE.name][0] if stored.is_dated else None
    path = path_of(stored, day, f"{name}.parquet")
    target = out / stored.folder / path
    if isinstance(target, Path):
        target.parent.mkdir(parents=True, exist_ok=True)
    write_table(ordered.select(stored.table.schema.names()), target)
    size = target.stat().st_size if isinstance(target, Path) else target.size()
    keys = ordered[stored.key]
    return Addition(path, ordered.height, size, day, keys[0], keys[-1])


def withheld_rows(conversions: pl.DataFrame, details: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Nests items and passthroughs into their conversions: rows of `table_layout.WITHHELD`.

    Args:
        conversions: Rows of `schema.CONVERSIONS`; further columns are dropped.
        details: By table name, rows of `DETAILS`.
    """
    nested = conversions
    for table in DETAILS:
        rows = details[table.name].select("conversion_id", pl.struct(table.schema.names()).alias(table.name))
        lists = rows.group_by("conversion_id", maintain_order=True).agg(table.name)
        nested = nested.join(lists, on="conversion_id", how="left", maintain_order="left")
    return nested.select(pl.col(name).cast(dtype) for name, dtype in WITHHELD.schema.items())


def _without_duplicates(rows: dict[str, pl.DataFrame], duplicates: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Returns the rows of a piece by warehouse table, with duplicates moved to `rejections` and `withheld`."""
    conversions = with_received_date(rows["conversions"])
    moved = conversions.join(duplicates, on="conversion_id", maintain_order="left").join(
        rows["raws"], on="conversion_id", maintain_order="left"
    )
    days = conversions.select("conversion_id", RECEIVED_DATE.name)
    details = {table.name: rows[table.name].join(days, on="conversion_id", maintain_order="left") for table in DETAILS}
    kept = {
        name: table.join(duplicates, on="conversion_id", how="anti", maintain_order="left")
        for name, table in {"conversions": conversions, **details}.items()
    }
    return {
        **kept,
        "rejections": with_received_date(pl.concat([rows["rejections"], reject_duplicates(moved)])),
        "withheld": withheld_rows(moved, {table.name: rows[table.name] for table in DETAILS}),
        "keys": as_stored(rows["keys"]).join(rows["raws"], on="conversion_id", maintain_order="left"),
    }


def _counted(rows: dict[str, pl.DataFrame]) -> dict[str, InputCounts]:
    """Counts the rows of a piece by the first digits of its input's digest."""
    found: dict[str, InputCounts] = {}
    names = {name: BY_NAME[name].key for name in ("conversions", "items", "passthroughs")}
    counted = [rows[name].select(digest=key, what=pl.lit(name)) for name, key in names.items()]
    counted.append(rows["rejections"].select(digest="rejection_id", what="reason"))
    totals = pl.concat(counted).with_columns(id_prefix("digest")).group_by("digest", "what").len()
    times = pl.concat([rows[name].select("source_digest", "received_at") for name in ("conversions", "rejections")])
    moments = times.group_by("source_digest").agg(first=pl.col("received_at").min(), last=pl.col("received_at").max())
    for digest, first, last in moments.iter_rows():
        found[prefix_of(digest)] = InputCounts(Counter(), first, last)
    for digest, what, count in totals.iter_rows():
        found[digest].rows[what] += count
    return found
