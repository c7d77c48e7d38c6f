"""Stages the tables of a run in pieces, and writes the files of the published tables from the pieces.

If the hash of a conversion's key was seen before, the conversion probably repeats an earlier one. It is held back:
staged in files of its own. Once all keys are known, the duplicates are known. If the duplicates of a piece are exactly
the conversions held back, its staged files are final and are moved into place; else they are rebuilt. Both paths write
identical bytes, so the order in which workers report keys does not matter.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from etl.columnar.string_buffers import series_of
from etl.runner.counts import Tally
from etl.runner.engine import TaskContext
from etl.runner.parquet import read_stream, write_stream, write_table
from etl.schema import KEYS, TABLES
from etl.steps.deduplication import NOT_SHARED, SHARED, keys_of
from etl.steps.rejections import reject_duplicates

#: The tables of conversions and of their details. They are staged as Parquet files, which may be published as they are.
_CONVERTED: Final = ("conversions", "items", "passthroughs")

#: The frames of `pipeline.Tables` that are staged.
STAGED: Final = (*_CONVERTED, "rejections", "keys")

#: One row is a key that may be a duplicate, with its piece, and whether its conversion is held back.
SUSPECTS: Final = pl.Schema({**KEYS.schema, "task": pl.Int64(), "number": pl.Int64(), "is_held": pl.Boolean()})

#: The staged file with the key hashes of all conversions that are held back.
REPEATED: Final = "repeated.arrow"

#: The columns of final tables that `Tally` needs.
_COUNTED: Final = {
    "conversions": ["issues", "event", "currency", "value", "source", "received_at"],
    "items": ["position"],
    "passthroughs": ["position"],
}


class Piece(NamedTuple):
    """Staged tables of some consecutive requests of a task.

    Attributes:
        task: Number of the task.
        number: Number of the piece within the task.
        records: Number of requests.
        held: Number of conversions that are held back.
        is_final: The duplicates are exactly the conversions that are held back.
    """

    task: int
    number: int
    records: int
    held: int = 0
    is_final: bool = False

    def path(self, stage: Path, name: str) -> Path:
        """Returns the path of a table of this piece."""
        suffix = "parquet" if name in _CONVERTED else "arrow"
        return stage / f"{self.task:06d}-{self.number:04d}.{name}.{suffix}"

    def read(self, stage: Path, name: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Reads a table of this piece."""
        path = self.path(stage, name)
        return pl.read_parquet(path, columns=columns, glob=False) if name in _CONVERTED else read_stream(path, columns)

    def write(self, stage: Path, name: str, rows: pl.DataFrame) -> None:
        """Writes a table of this piece; of keys only the columns that conversions do not have."""
        if name in _CONVERTED:
            write_table(rows, self.path(stage, name), name)
        else:
            write_stream(rows.select(NOT_SHARED) if name in ("keys", "held.keys") else rows, self.path(stage, name))

    def read_hashes(self, stage: Path, *, held: bool = False) -> pl.Series:
        """Reads the column `key_hash` of the keys that are held back, or of the others."""
        if held and not self.held:
            return KEYS.empty()["key_hash"]
        return read_stream(self.path(stage, "held.keys" if held else "keys"), ["key_hash"])["key_hash"]

    def read_keys(self, stage: Path, hashes: pl.Series | None = None, *, held: bool = False) -> pl.DataFrame:
        """Reads the keys that are held back, or the others: rows of `schema.KEYS`.

        Args:
            stage: The staging folder.
            hashes: Only keys with one of these hashes.
            held: Which keys.
        """
        if held and not self.held:
            return KEYS.empty()
        prefix = "held." if held else ""
        keys = self.read(stage, f"{prefix}keys")
        if hashes is not None:
            keys = keys.filter(keys["key_hash"].is_in(hashes.implode()))
        return keys_of(self.read(stage, f"{prefix}conversions", SHARED), keys) if keys.height else KEYS.empty()

    def read_held(self, stage: Path, name: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Reads the rows of a table that are held back."""
        if self.held:
            return self.read(stage, f"held.{name}", columns)
        return pl.read_parquet(self.path(stage, name), columns=columns, n_rows=0, glob=False)

    def stage(self, stage: Path, tables: dict[str, pl.DataFrame], held: pl.Series) -> None:
        """Writes the tables of this piece.

        Args:
            stage: The staging folder.
            tables: The frames of `STAGED`, and `raws` (conversion_id and raw).
            held: conversion_id of the conversions that are held back.
        """
        for name, rows in tables.items():
            kept = rows
            if self.held and name in (*_CONVERTED, "keys"):
                is_held = rows["conversion_id"].is_in(held.implode())
                self.write(stage, f"held.{name}", rows.filter(is_held))
                kept = rows.filter(~is_held)
            self.write(stage, name, kept)


def find_suspects(_context: TaskContext, pieces: list[Piece], stage: Path) -> pl.DataFrame:
    """Finds the keys that share a hash with any conversion that is held back: rows of `SUSPECTS`.

    Args:
        pieces: The pieces whose keys are searched.
        stage: The staging folder, which holds the pieces and the file `REPEATED`.
    """
    repeated = read_stream(stage / REPEATED)["key_hash"]
    suspects = []
    for piece in pieces:
        for rows, is_held in ((piece.read_keys(stage, repeated), False), (piece.read_keys(stage, held=True), True)):
            place = {"task": piece.task, "number": piece.number, "is_held": is_held}
            suspects.append(_compacted(rows.with_columns(pl.lit(v, SUSPECTS[k]).alias(k) for k, v in place.items())))
    return pl.concat(suspects)


def _compacted(rows: pl.DataFrame) -> pl.DataFrame:
    """Copies rows into new memory, since polars keeps the texts of rows that a filter dropped (see bench/README.md)."""
    oldest = pl.CompatLevel.oldest()
    return pl.DataFrame([series_of(column.to_arrow(compat_level=oldest)).alias(column.name) for column in rows])


def parts_of(pieces: list[Piece], records: int) -> list[list[Piece]]:
    """Groups pieces into parts, by their numbers of records alone; each part becomes one file of each table.

    Args:
        pieces: The pieces, in order.
        records: Most records of a part, unless its first piece alone has more.
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
    """Writes one file of each table from staged pieces; duplicates become rejections.

    Args:
        pieces: In the order of (source_digest, record_no), each with the staged table `duplicates`.
        stage: The staging folder.
        out: The folder that holds one folder for each table.
        number: Number of the part; only the first part has files for tables without rows.

    Returns:
        The counts of the written rows.
    """
    is_moved = len(pieces) == 1 and pieces[0].is_final
    parts = [_final_tables(piece, stage, _COUNTED) if is_moved else _rebuilt_tables(piece, stage) for piece in pieces]
    whole = {table.name: pl.concat([part[table.name] for part in parts] or [table.empty()]) for table in TABLES}
    for name, rows in whole.items():
        target = out / name / f"part-{number:05d}.parquet"
        if not rows.height and number > 0:
            continue
        if is_moved and name in _CONVERTED:
            shutil.move(pieces[0].path(stage, name), target)  # the pieces may be on another disk
        else:
            write_table(rows, target, name)
    return Tally.of(whole)


def _final_tables(piece: Piece, stage: Path, columns: dict[str, list[str]]) -> dict[str, pl.DataFrame]:
    """Reads the tables of a final piece: the named columns of the tables of conversions, and all of the rejections."""
    conversions = piece.read_held(stage, "conversions")
    tables = {name: piece.read(stage, name, columns.get(name)) for name in _CONVERTED}
    return {**tables, "rejections": _rejections(piece, stage, conversions)}


def _rebuilt_tables(piece: Piece, stage: Path) -> dict[str, pl.DataFrame]:
    """Returns the tables of a piece without its duplicates, which become rejections."""
    if piece.is_final:
        return _final_tables(piece, stage, {})
    whole = {name: pl.concat([piece.read(stage, name), piece.read_held(stage, name)]) for name in _CONVERTED}
    conversions = whole["conversions"].sort("source_digest", "record_no")
    kept = conversions.join(piece.read(stage, "duplicates"), on="conversion_id", how="anti", maintain_order="left")
    ids = kept.select("conversion_id")
    return {
        "conversions": kept,
        **{name: ids.join(whole[name], on="conversion_id", maintain_order="left_right") for name in _CONVERTED[1:]},
        "rejections": _rejections(piece, stage, conversions),
    }


def _rejections(piece: Piece, stage: Path, conversions: pl.DataFrame) -> pl.DataFrame:
    """Returns the rejections of a piece, with those of its conversions that are duplicates, in order."""
    rejections, duplicates = piece.read(stage, "rejections"), piece.read(stage, "duplicates")
    raws = [piece.read(stage, "raws")]
    if (missed := missed_raws_path(stage, piece.task)).exists():
        raws.append(read_stream(missed))
    moved = conversions.join(duplicates, on="conversion_id", maintain_order="left")
    moved = moved.join(pl.concat(raws), on="conversion_id", maintain_order="left")
    return pl.concat([rejections, reject_duplicates(moved)]).sort("source_digest", "record_no")


def missed_raws_path(stage: Path, task: int) -> Path:
    """Returns the path of conversion_id and raw of the duplicates of a task that were not held back."""
    return stage / f"{task:06d}.missed.arrow"
