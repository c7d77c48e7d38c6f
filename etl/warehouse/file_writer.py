"""New rows as files of the tables: what a worker does with the staged pieces of a load, once duplicates are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from etl.runner.counts import Tally
from etl.runner.parquet import write_table
from etl.runner.staged_parts import Piece
from etl.schema import ITEMS, PASSTHROUGHS
from etl.transform.rejections import reject_duplicates
from etl.warehouse.delta import Addition, path_of
from etl.warehouse.load_duplicates import as_stored
from etl.warehouse.table_layout import BY_NAME, PUBLIC, RECEIVED_DATE, WITHHELD, Kept, dated, id_prefix

#: The tables that hang on conversions.
DETAILS: Final = (ITEMS, PASSTHROUGHS)

#: The files of a load are made of pieces of about so many records.
RECORDS_PER_PART: Final = 100_000


class Counts(NamedTuple):
    """What an input brought, whatever other inputs make of it: by table or reason, and the bounds of received_at."""

    rows: Counter[str]
    first: datetime | None
    last: datetime | None

    def __add__(self, other: Counts) -> Counts:  # type: ignore[override]
        firsts, lasts = (self.first, other.first), (self.last, other.last)
        return Counts(
            self.rows + other.rows,
            min((one for one in firsts if one), default=None),
            max((one for one in lasts if one), default=None),
        )


class Part(NamedTuple):
    """What was written of some pieces: files by table, counts by the first digits of the inputs' digests, and in all.

    The counts of an input are what it brought; a conversion that is a duplicate is a rejection only in the tally.
    """

    files: dict[str, list[Addition]]
    counts: dict[str, Counts]
    tally: Tally


def write_part(pieces: list[Piece], stage: Path, out: Path, name: str) -> Part:
    """Writes the files of each table from staged pieces, with duplicates moved to `rejections` and `withheld`.

    Args:
        pieces: In the order of (source_digest, record_no).
        stage: Where they lie, with `duplicates.parquet`, rows of `duplicates.DUPLICATES`.
        out: Where the files go.
        name: What the files' names begin with.
    """
    duplicates = pl.read_parquet(stage / "duplicates.parquet")
    counts: list[dict[str, Counts]] = []
    judged: list[dict[str, pl.DataFrame]] = []
    for piece in pieces:
        names = ("conversions", "items", "passthroughs", "rejections", "keys", "raws")
        rows = {table: pl.read_parquet(piece.path(stage, table)) for table in names}
        counts.append(_counted(rows))
        judged.append(_without_duplicates(rows, duplicates))
    whole = {table: pl.concat(one[table] for one in judged) for table in judged[0]}
    files = {table: write_rows(BY_NAME[table], rows, out, name) for table, rows in whole.items()}
    return Part(files, _merged(counts), Tally.of({table: whole[table] for table in PUBLIC}))


def files_of_parts(parts: list[Part]) -> dict[str, list[Addition]]:
    """The files of some parts, by table."""
    files: dict[str, list[Addition]] = {}
    for part in parts:
        for table, written in part.files.items():
            files.setdefault(table, []).extend(written)
    return files


def counts_of_parts(parts: list[Part]) -> dict[str, Counts]:
    """What some parts hold of each input, by the first digits of its digest."""
    return _merged(part.counts for part in parts)


def _merged(counts: Iterable[dict[str, Counts]]) -> dict[str, Counts]:
    merged: dict[str, Counts] = {}
    for some in counts:
        for digest, found in some.items():
            merged[digest] = merged[digest] + found if digest in merged else found
    return merged


def write_rows(kept: Kept, rows: pl.DataFrame, out: Path, name: str) -> list[Addition]:
    """Writes rows as one file a day, in the order of their keys.

    Args:
        kept: The table.
        rows: Its rows, in any order; `received_date` beside them, if it is dated.
        out: The folder of folders of tables.
        name: What the files' names begin with; nothing in the table may have it.
    """
    days = rows.partition_by(RECEIVED_DATE.name) if kept.is_dated else [rows]
    return [_write(kept, day, out, f"{name}-{number:04d}") for number, day in enumerate(days) if day.height]


def _write(kept: Kept, rows: pl.DataFrame, out: Path, name: str) -> Addition:
    ordered = rows.sort(kept.key, maintain_order=True)
    day = ordered[RECEIVED_DATE.name][0] if kept.is_dated else None
    path = path_of(kept, day, f"{name}.parquet")
    target = out / kept.folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    write_table(ordered.select(kept.table.schema.names()), target)
    keys = ordered[kept.key]
    return Addition(path, ordered.height, target.stat().st_size, day, keys[0], keys[-1])


def withheld(conversions: pl.DataFrame, details: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Conversions with their items and passthroughs within: rows of `layout.WITHHELD`.

    Args:
        conversions: Rows of `schema.CONVERSIONS`, and perhaps more columns.
        details: By name, the rows of the tables that hang on them.
    """
    nested = conversions
    for table in DETAILS:
        rows = details[table.name].select("conversion_id", pl.struct(table.schema.names()).alias(table.name))
        lists = rows.group_by("conversion_id", maintain_order=True).agg(table.name)
        nested = nested.join(lists, on="conversion_id", how="left", maintain_order="left")
    return nested.select(pl.col(name).cast(dtype) for name, dtype in WITHHELD.schema.items())


def _without_duplicates(rows: dict[str, pl.DataFrame], duplicates: pl.DataFrame) -> dict[str, pl.DataFrame]:
    conversions = dated(rows["conversions"])
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
        "rejections": dated(pl.concat([rows["rejections"], reject_duplicates(moved)])),
        "withheld": withheld(moved, {table.name: rows[table.name] for table in DETAILS}),
        "keys": as_stored(rows["keys"]).join(rows["raws"], on="conversion_id", maintain_order="left"),
    }


def _counted(rows: dict[str, pl.DataFrame]) -> dict[str, Counts]:
    """What a piece holds, by its input."""
    found: dict[str, Counts] = {}
    names = {name: BY_NAME[name].key for name in ("conversions", "items", "passthroughs")}
    counted = [rows[name].select(digest=key, what=pl.lit(name)) for name, key in names.items()]
    counted.append(rows["rejections"].select(digest="rejection_id", what="reason"))
    totals = pl.concat(counted).with_columns(id_prefix("digest")).group_by("digest", "what").len()
    times = pl.concat([rows["conversions"]["received_at"], rows["rejections"]["received_at"]])
    first, last = times.min(), times.max()
    for digest, what, count in totals.iter_rows():
        before = found.get(digest, Counts(Counter(), first, last))  # type: ignore[arg-type]
        found[digest] = before._replace(rows=before.rows + Counter({what: count}))
    return found
