"""The functions that workers run. Their arguments are plain data, so any process that reaches the files can run them.

`transform_split` runs for every split. Once all keys are known, `staged_parts.find_suspects` runs for every piece, and
`stage_missed_raws` for each split with duplicates that were not held back. `staged_parts.write_part` runs last, for
each part of the published tables.
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
from etl.runner.parquet import write_stream
from etl.runner.staged_parts import STAGED, Piece, missed_raws_path
from etl.sources.splits import Split, read_raws, read_split
from etl.steps.pipeline import Tables, transform

#: A worker stages a piece when it has read this many requests. This bounds its memory.
ROWS_PER_PIECE: Final = 50_000


class Task(NamedTuple):
    """A split to transform.

    Attributes:
        split: The split.
        ruleset: The rules.
        options: The options of the transform.
        stage: The staging folder.
        number: Number of the task.
        keeps_raws: Keep the raw text of every conversion with a transaction id (warehouse); otherwise only of likely
            duplicates, which are held back.
    """

    split: Split
    ruleset: Ruleset
    options: Options
    stage: Path
    number: int
    keeps_raws: bool = False


#: Faults of records that are not expected to match the format.
_NO_CANDIDATES: Final = ("blank", "comment", "header")
_SHOWN: Final = 3


class Unmatched(NamedTuple):
    """Counts the records of an input that do not match its format.

    Attributes:
        records: Records that do not match.
        candidates: Records that should match.
        first: record_no, raw and layout of the first few that do not match.
    """

    records: int
    candidates: int
    first: list[tuple[int, str, str | None]]

    def __add__(self, other: Unmatched) -> Unmatched:  # type: ignore[override]
        first = [*self.first, *other.first][:_SHOWN]
        return Unmatched(self.records + other.records, self.candidates + other.candidates, first)


class TaskReport(NamedTuple):
    """The results of one split.

    Attributes:
        pieces: The staged pieces.
        records: Number of records read.
        skipped: Skipped records by reason.
        unrecognised: Parameters that no rule reads, by name.
        unmatched: Records that do not match the input's format.
        peak_memory_bytes: Peak memory of the worker process so far.
    """

    pieces: list[Piece]
    records: int
    skipped: Counter[str]
    unrecognised: Counter[str]
    unmatched: Unmatched
    peak_memory_bytes: int


def transform_split(context: TaskContext, task: Task) -> TaskReport:
    """Reads and transforms a split, and stages its tables in pieces.

    Raises:
        InputError: The input cannot be read to the end of the split.
    """
    skipped: Counter[str] = Counter()
    unrecognised: Counter[str] = Counter()
    unmatched = Unmatched(0, 0, [])
    batches: list[tuple[Tables, pl.DataFrame]] = []
    pieces: list[Piece] = []
    records = batched_rows = 0
    for requests, size in read_split(task.split):
        tables = transform(requests, task.ruleset, task.options)
        skipped.update(dict(tables.skipped.iter_rows()))
        unrecognised.update(dict(tables.unrecognised.iter_rows()))
        unmatched += _unmatched(requests)
        batches.append((tables, requests.select("record_no", "raw", "layout")))
        batched_rows += requests.height
        records += requests.height
        context.meter(size, requests.height)
        if batched_rows >= ROWS_PER_PIECE:
            pieces.append(_stage_piece(context, task, len(pieces), batches))
            batches, batched_rows = [], 0
    if batches:
        pieces.append(_stage_piece(context, task, len(pieces), batches))
    return TaskReport(pieces, records, skipped, unrecognised, unmatched, peak_memory_bytes())


def _stage_piece(context: TaskContext, task: Task, number: int, batches: list[tuple[Tables, pl.DataFrame]]) -> Piece:
    """Stages the tables of batches as a piece, with the raw records of conversions that are, or may be, duplicates."""
    tables = {name: pl.concat([getattr(frames, name) for frames, _ in batches]) for name in STAGED}
    raws = pl.concat([records for _, records in batches])
    keys = tables["keys"]
    held = keys.clear() if task.keeps_raws else keys.filter(context.find_repeats(keys["key_hash"].to_numpy()))
    piece = Piece(task.number, number, raws.height, held.height)
    tables["raws"] = _redacted_raws(keys if task.keeps_raws else held, raws, task)
    piece.stage(task.stage, tables, held["conversion_id"])
    return piece


def _redacted_raws(keys: pl.DataFrame, raws: pl.DataFrame, task: Task) -> pl.DataFrame:
    """Returns conversion_id and the redacted raw record of conversions."""
    found = keys.select("conversion_id", "record_no").join(raws, on="record_no", maintain_order="left")
    return found.select("conversion_id", redact_raws(found["raw"], task.options.pii, task.ruleset, found["layout"]))


def _unmatched(requests: pl.DataFrame) -> Unmatched:
    """Counts malformed records, and the records that should match: all but blank, comment and header lines."""
    fault = requests["fault"]
    unread = requests.select("record_no", "raw", "layout").filter(fault.is_in(("malformed_record", "unread_postback")))
    candidates = requests.height - int(fault.is_in(_NO_CANDIDATES).sum())
    return Unmatched(unread.height, candidates, unread.head(_SHOWN).rows())


def stage_missed_raws(_context: TaskContext, task: Task, missed: pl.DataFrame) -> None:
    """Reads the raw records of duplicates that were not held back again, redacts and stages them.

    Args:
        task: The task of their split.
        missed: conversion_id, record_no and byte_offset of each duplicate.
    """
    raws = read_raws(task.split, missed.select("record_no", "byte_offset"))
    write_stream(_redacted_raws(missed, raws, task), missed_raws_path(task.stage, task.number))


def peak_memory_bytes() -> int:
    """Returns the peak memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
