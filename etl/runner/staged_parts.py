"""Pieces: the tables of some consecutive requests as a worker stages them, and the files that become of them.

A conversion whose key came before most likely repeats an earlier one: it is held back, that is, staged apart. Once all
keys are known it is clear what is a duplicate. Where that is just what was held back, the staged tables are final and
only moved; elsewhere they are put together anew. Either way gives the same bytes, so that it plays no part in which
order workers come to their keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from etl.runner.counts import Tally
from etl.runner.engine import TaskContext
from etl.runner.parquet import write_table
from etl.schema import KEYS, TABLES
from etl.transform.rejections import reject_duplicates

#: The tables that say what became of conversions.
_CONVERTED: Final = ("conversions", "items", "passthroughs")

#: The frames of `pipeline.Tables` that are staged.
STAGED: Final = (*_CONVERTED, "rejections", "keys")

#: Of keys that may be duplicates: which piece they are of, and whether they are held back.
SUSPECTS: Final = pl.Schema({**KEYS.schema, "task": pl.Int64(), "number": pl.Int64(), "is_held": pl.Boolean()})

#: The staged table of the hashes of all that was held back.
REPEATED: Final = "repeated.parquet"

#: Of final tables, the columns that are counted.
_COUNTED: Final = {"conversions": ["issues", "currency", "value"], "items": ["position"], "passthroughs": ["position"]}


class Piece(NamedTuple):
    """Staged tables of some consecutive requests of a split.

    Attributes:
        task: The task's number.
        number: The piece's own within it.
        records: How many requests.
        held: How many conversions are held back.
        is_final: Whether the duplicates are exactly those.
    """

    task: int
    number: int
    records: int
    held: int = 0
    is_final: bool = False

    def path(self, stage: Path, name: str) -> Path:
        """Where one of its tables lies."""
        return stage / f"{self.task:06d}-{self.number:04d}.{name}.parquet"

    def read(self, stage: Path, name: str, columns: list[str] | None = None) -> pl.DataFrame:
        """One of its tables."""
        return pl.read_parquet(self.path(stage, name), columns=columns, glob=False)

    def read_held(self, stage: Path, name: str, columns: list[str] | None = None) -> pl.DataFrame:
        """What is held back of one of its tables."""
        if self.held:
            return self.read(stage, f"held.{name}", columns)
        return pl.read_parquet(self.path(stage, name), columns=columns, n_rows=0, glob=False)

    def stage(self, stage: Path, tables: dict[str, pl.DataFrame], held: pl.Series) -> None:
        """Stages its tables.

        Args:
            stage: Where.
            tables: `STAGED` and `raws`: conversion_id and raw.
            held: conversion_id of what is held back.
        """
        for name, rows in tables.items():
            kept = rows
            if self.held and name in (*_CONVERTED, "keys"):
                is_held = rows["conversion_id"].is_in(held.implode())
                write_table(rows.filter(is_held), self.path(stage, f"held.{name}"))
                kept = rows.filter(~is_held)
            write_table(kept, self.path(stage, name))


def find_suspects(_context: TaskContext, pieces: list[Piece], stage: Path) -> pl.DataFrame:
    """The keys of some pieces that share a hash with what any piece held back: rows of `SUSPECTS`.

    Args:
        pieces: Whose keys are staged.
        stage: Where they lie, and beside them as `REPEATED` the hashes of what was held back.
    """
    repeated = pl.read_parquet(stage / REPEATED, glob=False)["key_hash"].implode()
    suspects = []
    for piece in pieces:
        others = piece.read(stage, "keys").filter(pl.col("key_hash").is_in(repeated))
        for rows, is_held in ((others, False), (piece.read_held(stage, "keys"), True)):
            place = {"task": piece.task, "number": piece.number, "is_held": is_held}
            suspects.append(_detached(rows.with_columns(pl.lit(v, SUSPECTS[k]).alias(k) for k, v in place.items())))
    return pl.concat(suspects)


def _detached(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows without the texts of those that were there before a filter, which polars keeps."""
    return pl.DataFrame(pl.from_arrow(rows.to_arrow(compat_level=pl.CompatLevel.oldest())))


def parts_of(pieces: list[Piece], records: int) -> list[list[Piece]]:
    """The pieces of each file of the published tables, by their size alone, so that the machine plays no part.

    Args:
        pieces: In their order.
        records: What a part holds, unless its first piece alone holds more.
    """
    parts: list[list[Piece]] = []
    room = 0
    for piece in pieces:
        if piece.records > room:
            parts.append([])
            room = records
        parts[-1].append(piece)
        room -= piece.records
    return parts


def write_part(_context: TaskContext, pieces: list[Piece], stage: Path, out: Path, number: int) -> Tally:
    """Makes one file of each table of staged pieces, with their duplicates among the rejections.

    Args:
        pieces: In the order of (source_digest, record_no), each with `duplicates` beside it.
        stage: Where they lie.
        out: The folder with one folder a table.
        number: The part's number; only the first part has files for tables without rows.

    Returns:
        What was written, counted.
    """
    is_moved = len(pieces) == 1 and pieces[0].is_final
    parts = [_final(piece, stage, _COUNTED) if is_moved else _judged(piece, stage) for piece in pieces]
    whole = {table.name: pl.concat([part[table.name] for part in parts] or [table.empty()]) for table in TABLES}
    for name, rows in whole.items():
        target = out / name / f"part-{number:05d}.parquet"
        if not rows.height and number > 0:
            continue
        if is_moved and name in _CONVERTED:
            pieces[0].path(stage, name).rename(target)
        else:
            write_table(rows, target)
    return Tally.of(whole)


def _final(piece: Piece, stage: Path, columns: dict[str, list[str]]) -> dict[str, pl.DataFrame]:
    """The tables of a final piece; of what lies there already some columns."""
    conversions = piece.read_held(stage, "conversions")
    tables = {name: piece.read(stage, name, columns.get(name)) for name in _CONVERTED}
    return {**tables, "rejections": _rejections(piece, stage, conversions)}


def _judged(piece: Piece, stage: Path) -> dict[str, pl.DataFrame]:
    """The tables of any piece."""
    if piece.is_final:
        return _final(piece, stage, {})
    whole = {name: pl.concat([piece.read(stage, name), piece.read_held(stage, name)]) for name in _CONVERTED}
    conversions = whole["conversions"].sort("record_no")
    kept = conversions.join(piece.read(stage, "duplicates"), on="conversion_id", how="anti", maintain_order="left")
    ids = kept.select("conversion_id")
    return {
        "conversions": kept,
        **{name: ids.join(whole[name], on="conversion_id", maintain_order="left_right") for name in _CONVERTED[1:]},
        "rejections": _rejections(piece, stage, conversions),
    }


def _rejections(piece: Piece, stage: Path, conversions: pl.DataFrame) -> pl.DataFrame:
    """The rejections of a piece, with those of these conversions that are duplicates."""
    rejections, duplicates = piece.read(stage, "rejections"), piece.read(stage, "duplicates")
    raws = [piece.read(stage, "raws")]
    if (late := late_path(stage, piece.task)).exists():
        raws.append(pl.read_parquet(late, glob=False))
    moved = conversions.join(duplicates, on="conversion_id", maintain_order="left")
    moved = moved.join(pl.concat(raws), on="conversion_id", maintain_order="left")
    return pl.concat([rejections, reject_duplicates(moved)]).sort("source_digest", "record_no")


def late_path(stage: Path, task: int) -> Path:
    """Where conversion_id and raw lie of duplicates of a task that were not held back."""
    return stage / f"{task:06d}.late.parquet"
