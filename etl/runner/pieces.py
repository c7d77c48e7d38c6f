"""Staged tables: what the workers of a run write for each other, in files of one folder.

If the hash of a conversion's key was seen before, the conversion probably repeats an earlier one. It is held back:
staged in files of its own.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from etl.runner.parquet import read_stream, read_table, write_stream, write_table
from etl.schema import KEYS
from etl.sources.storage.store_paths import Folder
from etl.steps.deduplication import DUPLICATES, NOT_SHARED, SHARED, keys_of

#: The tables of conversions and of their details. They are staged as Parquet files, which may be published as they are.
CONVERTED: Final = ("conversions", "items", "passthroughs")

#: The frames of `pipeline.Tables` that are staged.
STAGED: Final = (*CONVERTED, "rejections", "keys")

#: One row is a duplicate that was not held back, by which its raw record is read again.
MISSED: Final = ("conversion_id", "source_digest", "record_no", "byte_offset")


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

    def path(self, stage: Folder, name: str) -> Folder:
        """Returns the path of a table of this piece."""
        suffix = "parquet" if name in CONVERTED else "arrow"
        return stage / f"{self.task:06d}-{self.number:04d}.{name}.{suffix}"

    def read(self, stage: Folder, name: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Reads a table of this piece."""
        path = self.path(stage, name)
        return read_table(path, columns) if name in CONVERTED else read_stream(path, columns)

    def write(self, stage: Folder, name: str, rows: pl.DataFrame) -> None:
        """Writes a table of this piece; of keys only the columns that conversions do not have."""
        if name in CONVERTED:
            write_table(rows, self.path(stage, name), name)
        else:
            write_stream(rows.select(NOT_SHARED) if name in ("keys", "held.keys") else rows, self.path(stage, name))

    def read_hashes(self, stage: Folder, *, held: bool = False) -> pl.Series:
        """Reads the column `key_hash` of the keys that are held back, or of the others."""
        if held and not self.held:
            return KEYS.empty()["key_hash"]
        return read_stream(self.path(stage, "held.keys" if held else "keys"), ["key_hash"])["key_hash"]

    def read_keys(self, stage: Folder, hashes: pl.Series | None = None, *, held: bool = False) -> pl.DataFrame:
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

    def read_held(self, stage: Folder, name: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Reads the rows of a table that are held back."""
        if self.held:
            return self.read(stage, f"held.{name}", columns)
        return read_table(self.path(stage, name), columns, 0)

    def read_duplicates(self, stage: Folder) -> pl.DataFrame:
        """Reads which conversions of this piece are duplicates, and of what: rows of `deduplication.DUPLICATES`."""
        return self.read(stage, "duplicates") if self.path(stage, "duplicates").exists() else DUPLICATES.to_frame()

    def stage(self, stage: Folder, tables: dict[str, pl.DataFrame], held: pl.Series) -> None:
        """Writes the tables of this piece.

        Args:
            stage: The staging folder.
            tables: The frames of `STAGED`, and `raws` (conversion_id and raw).
            held: conversion_id of the conversions that are held back.
        """
        for name, rows in tables.items():
            kept = rows
            if self.held and name in (*CONVERTED, "keys"):
                is_held = rows["conversion_id"].is_in(held.implode())
                self.write(stage, f"held.{name}", rows.filter(is_held))
                kept = rows.filter(~is_held)
            self.write(stage, name, kept)


def missed_raws_path(stage: Folder, task: int) -> Folder:
    """Returns the path of conversion_id and raw of the duplicates of a task that were not held back."""
    return stage / f"{task:06d}.missed.arrow"
