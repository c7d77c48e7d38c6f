"""Writes the files of the published tables from staged pieces.

Once all keys are known, the duplicates are known. If the duplicates of a piece are exactly the conversions held back,
its staged files are final and are moved into place; else they are rebuilt. Both paths write identical bytes, so the
order in which workers report keys does not matter.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import polars as pl

from etl.runner.counts import Tally
from etl.runner.engine import TaskContext
from etl.runner.parquet import count_rows, read_stream, write_table
from etl.runner.partitions import PartitionBy, split_tables
from etl.runner.pieces import CONVERTED, Piece, missed_raws_path
from etl.schema import TABLES
from etl.sources.storage.store_paths import Folder
from etl.steps.rejections import reject_duplicates

#: The columns of final tables that `Tally` needs.
_COUNTED: Final = {
    "conversions": ["issues", "event", "currency", "value", "source", "received_at"],
    "items": ["position"],
    "passthroughs": ["position"],
}


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


def write_part(
    _context: TaskContext, pieces: list[Piece], stage: Folder, out: Folder, number: int, by: PartitionBy
) -> Tally:
    """Writes one file of each table and partition from staged pieces; duplicates become rejections.

    Args:
        pieces: In the order of (source_digest, record_no), each with the staged table `duplicates`.
        stage: The staging folder.
        out: The folder that holds one folder for each table.
        number: Number of the part; only the first part has files for tables without rows.
        by: The partitions.

    Returns:
        The counts of the written rows.
    """
    is_moved = len(pieces) == 1 and pieces[0].is_final and by == "none" and isinstance(stage, Path)
    parts = [_final_tables(piece, stage, _COUNTED) if is_moved else _rebuilt_tables(piece, stage) for piece in pieces]
    whole = {table.name: pl.concat([part[table.name] for part in parts] or [table.empty()]) for table in TABLES}
    for name, folders in split_tables(whole, by).items():
        for folder, rows in folders.items():
            target = out / name / f"{folder}/part-{number:05d}.parquet".removeprefix("/")
            if not rows.height and number > 0:
                continue
            if isinstance(target, Path):
                target.parent.mkdir(exist_ok=True)
            if is_moved and name in CONVERTED:
                _move(pieces[0].path(stage, name), target)
            else:
                write_table(rows, target, name, by_way_of=out.parent if isinstance(out, Path) else None)
    return Tally.of(whole)


def count_written(_context: TaskContext, paths: list[Any]) -> int:
    """Counts the rows of written files."""
    return count_rows(paths)


def _move(piece: Folder, target: Folder) -> None:
    """Moves the file of a piece to its place. Pieces may be on another disk than the tables, or in another place."""
    if isinstance(target, Path):
        shutil.move(str(piece), target)
    else:
        target.write_bytes(piece.read_bytes())


def _final_tables(piece: Piece, stage: Folder, columns: dict[str, list[str]]) -> dict[str, pl.DataFrame]:
    """Reads the tables of a final piece: the named columns of the tables of conversions, and all of the rejections."""
    conversions = piece.read_held(stage, "conversions")
    tables = {name: piece.read(stage, name, columns.get(name)) for name in CONVERTED}
    return {**tables, "rejections": _rejections(piece, stage, conversions)}


def _rebuilt_tables(piece: Piece, stage: Folder) -> dict[str, pl.DataFrame]:
    """Returns the tables of a piece without its duplicates, which become rejections."""
    if piece.is_final:
        return _final_tables(piece, stage, {})
    whole = {name: pl.concat([piece.read(stage, name), piece.read_held(stage, name)]) for name in CONVERTED}
    conversions = whole["conversions"].sort("source_digest", "record_no")
    kept = conversions.join(piece.read_duplicates(stage), on="conversion_id", how="anti", maintain_order="left")
    ids = kept.select("conversion_id")
    return {
        "conversions": kept,
        **{name: ids.join(whole[name], on="conversion_id", maintain_order="left_right") for name in CONVERTED[1:]},
        "rejections": _rejections(piece, stage, conversions),
    }


def _rejections(piece: Piece, stage: Folder, conversions: pl.DataFrame) -> pl.DataFrame:
    """Returns the rejections of a piece, with those of its conversions that are duplicates, in order."""
    rejections, duplicates = piece.read(stage, "rejections"), piece.read_duplicates(stage)
    raws = [piece.read(stage, "raws")]
    if (missed := missed_raws_path(stage, piece.task)).exists():
        raws.append(read_stream(missed))
    moved = conversions.join(duplicates, on="conversion_id", maintain_order="left")
    moved = moved.join(pl.concat(raws), on="conversion_id", maintain_order="left")
    return pl.concat([rejections, reject_duplicates(moved)]).sort("source_digest", "record_no")
