"""What a worker does: functions of plain data, to be run anywhere the inputs and the stage can be reached.

First `transform_split` for every split; once all keys are known `pieces.find_suspects`, and `stage_late` for the splits
of which something turned out to be a duplicate that was not held back; at last `pieces.write_part` for each part of the
published tables.
"""

from __future__ import annotations

import resource
import sys
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from etl.options import Options
from etl.privacy.redaction import redact_raws
from etl.rules.ruleset import Ruleset
from etl.runner.engine import TaskContext
from etl.runner.parquet import write_table
from etl.runner.staged_parts import STAGED, Piece, late_path
from etl.sources.splits import Split, read_raws, read_split
from etl.transform.pipeline import Tables, transform

#: A piece is staged when it holds this many requests: what a worker keeps in memory.
ROWS_PER_PIECE: Final = 50_000


class Task(NamedTuple):
    """One split to transform: which, by what rules, staged where and as what number.

    Whether the raw records of all that can be a duplicate are kept; else what probably is one is held back.
    """

    split: Split
    ruleset: Ruleset
    options: Options
    stage: Path
    number: int
    keeps_raws: bool = False


#: Faults of records that no format has to match.
_BESIDE: Final = ("blank", "comment", "header")
_SHOWN: Final = 3


class Unmatched(NamedTuple):
    """How many records of how many candidates were not in their input's format; of the first record_no, raw, layout."""

    records: int
    candidates: int
    first: list[tuple[int, str, str | None]]

    def __add__(self, other: Unmatched) -> Unmatched:  # type: ignore[override]
        first = [*self.first, *other.first][:_SHOWN]
        return Unmatched(self.records + other.records, self.candidates + other.candidates, first)


class Report(NamedTuple):
    """What became of one split.

    Attributes:
        pieces: What was staged.
        records: Records read.
        skipped: Records skipped, by reason.
        unrecognised: Parameters that nothing reads, by name.
        unmatched: Records that were not in the input's format.
        peak_memory_bytes: The most memory this process has held so far.
    """

    pieces: list[Piece]
    records: int
    skipped: Counter[str]
    unrecognised: Counter[str]
    unmatched: Unmatched
    peak_memory_bytes: int


def transform_split(context: TaskContext, task: Task) -> Report:
    """Reads and transforms a split, and stages its tables in pieces.

    Raises:
        InputError: The input cannot be read to the split's end.
    """
    skipped: Counter[str] = Counter()
    unrecognised: Counter[str] = Counter()
    unmatched = Unmatched(0, 0, [])
    waiting: list[tuple[Tables, pl.DataFrame]] = []
    pieces: list[Piece] = []
    records = waiting_rows = 0
    for requests, size in read_split(task.split):
        tables = transform(requests, task.ruleset, task.options)
        skipped.update(dict(tables.skipped.iter_rows()))
        unrecognised.update(dict(tables.unrecognised.iter_rows()))
        unmatched += _unmatched(requests)
        waiting.append((tables, requests.select("record_no", "raw", "layout")))
        waiting_rows += requests.height
        records += requests.height
        context.meter(size, requests.height)
        if waiting_rows >= ROWS_PER_PIECE:
            pieces.append(_staged(context, task, len(pieces), waiting))
            waiting, waiting_rows = [], 0
    if waiting:
        pieces.append(_staged(context, task, len(pieces), waiting))
    return Report(pieces, records, skipped, unrecognised, unmatched, peak_memory_bytes())


def _staged(context: TaskContext, task: Task, number: int, waiting: list[tuple[Tables, pl.DataFrame]]) -> Piece:
    """Stages the tables of some requests, and the raw records of conversions that are, or can be, duplicates."""
    tables = {name: pl.concat([getattr(one, name) for one, _ in waiting]) for name in STAGED}
    raws = pl.concat([one for _, one in waiting])
    keys = tables["keys"]
    held = keys.clear() if task.keeps_raws else keys.filter(context.repeats(keys["key_hash"].to_numpy()))
    piece = Piece(task.number, number, raws.height, held.height)
    tables["raws"] = _redacted(keys if task.keeps_raws else held, raws, task)
    piece.stage(task.stage, tables, held["conversion_id"])
    return piece


def _redacted(keys: pl.DataFrame, raws: pl.DataFrame, task: Task) -> pl.DataFrame:
    """conversion_id and the redacted raw record of each of some conversions."""
    found = keys.select("conversion_id", "record_no").join(raws, on="record_no", maintain_order="left")
    return found.select("conversion_id", redact_raws(found["raw"], task.options.pii, task.ruleset, found["layout"]))


def _unmatched(requests: pl.DataFrame) -> Unmatched:
    fault = requests["fault"]
    unread = requests.select("record_no", "raw", "layout").filter(fault == "malformed_record")
    candidates = requests.height - int(fault.is_in(_BESIDE).sum())
    return Unmatched(unread.height, candidates, unread.head(_SHOWN).rows())


def stage_late(_context: TaskContext, task: Task, late: pl.DataFrame) -> None:
    """Reads the raw records of duplicates again that were not held back, and stages them, redacted, for their pieces.

    Args:
        task: Of their split.
        late: conversion_id, record_no and byte_offset of each.
    """
    raws = read_raws(task.split, late.select("record_no", "byte_offset"))
    write_table(_redacted(late, raws, task), late_path(task.stage, task.number))


def peak_memory_bytes() -> int:
    """The most memory this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
