"""Finds the duplicates of a run on one machine: each task reads the keys of some pieces, this process compares them."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.columnar.string_buffers import series_of
from etl.rules.ruleset import Ruleset
from etl.runner.engine import Engine, Settled, TaskContext
from etl.runner.parquet import read_stream, write_stream
from etl.runner.pieces import MISSED, Piece
from etl.schema import KEYS
from etl.sources.storage.store_paths import Folder
from etl.steps.deduplication import DUPLICATES, find_duplicates

#: One row is a key that may be a duplicate, with its piece, and whether its conversion is held back.
SUSPECTS: Final = pl.Schema({**KEYS.schema, "task": pl.Int64(), "number": pl.Int64(), "is_held": pl.Boolean()})

#: The staged file with the key hashes of all conversions that are held back.
_REPEATED: Final = "repeated.arrow"

#: Pieces a task of `find_suspects`: each task reads the hashes of the conversions that were held back once.
_PIECES_PER_CALL: Final = 4

#: Suspects that are sorted at a time. This bounds the memory of deduplication (see bench/README.md).
_SUSPECTS_PER_GROUP: Final = 50_000


def settle_here(engine: Engine, pieces: list[Piece], stage: Folder, ruleset: Ruleset) -> Settled:
    """Finds the duplicates among the conversions that share a key hash with one that is held back.

    A piece whose duplicates are exactly the conversions held back is final.
    """
    if not any(piece.held for piece in pieces):
        return Settled([piece._replace(is_final=True) for piece in pieces], {})
    held = pl.concat([KEYS.empty()["key_hash"], *(piece.read_hashes(stage, held=True) for piece in pieces)])
    write_stream(held.unique(maintain_order=True).to_frame(), stage / _REPEATED)
    calls = [(pieces[i : i + _PIECES_PER_CALL], stage) for i in range(0, len(pieces), _PIECES_PER_CALL)]
    suspects = pl.concat([SUSPECTS.to_frame(), *engine.map(find_suspects, calls)])
    groups = range(suspects.height // _SUSPECTS_PER_GROUP + 1)
    found = [_duplicates(suspects.filter(pl.col("key_hash") % len(groups) == i), ruleset) for i in groups]
    by_piece = pl.concat(found).partition_by("task", "number", as_dict=True)
    checked: list[Piece] = []
    missed: dict[int, list[int]] = {}
    for piece in pieces:
        duplicates = by_piece.get((piece.task, piece.number), found[0].clear())
        not_held = duplicates.filter(~pl.col("is_held"))
        if duplicates.height:
            piece.write(stage, "duplicates", duplicates.select(DUPLICATES.names()))
        if not_held.height:
            piece.write(stage, "missed", not_held.select(MISSED))
            missed.setdefault(piece.task, []).append(piece.number)
        checked.append(piece._replace(is_final=not not_held.height and duplicates.height == piece.held))
    return Settled(checked, missed)


def _duplicates(suspects: pl.DataFrame, ruleset: Ruleset) -> pl.DataFrame:
    """Finds the duplicates among suspects: rows of `DUPLICATES` with the piece and the position of each record."""
    places = suspects.select(*MISSED, "task", "number", "is_held")
    return find_duplicates(suspects, ruleset.dedup_window).join(places, on="conversion_id")


def find_suspects(_context: TaskContext, pieces: list[Piece], stage: Folder) -> pl.DataFrame:
    """Finds the keys that share a hash with any conversion that is held back: rows of `SUSPECTS`.

    Args:
        pieces: The pieces whose keys are searched.
        stage: The staging folder, which holds the pieces and the file `_REPEATED`.
    """
    repeated = read_stream(stage / _REPEATED)["key_hash"]
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
