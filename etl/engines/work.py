"""What a worker does with one split: pure functions of plain data, to be run anywhere the input and the stage are."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from etl.options import Options
from etl.pipeline import Tables, transform
from etl.redaction import redact_raws
from etl.ruleset import Ruleset
from etl.sources.splits import Split, read_raws, read_split

#: A piece is staged when it holds this many requests: what a worker keeps in memory.
ROWS_PER_PIECE: Final = 100_000

#: The frames of `pipeline.Tables` that are staged.
STAGED: Final = ("conversions", "items", "passthroughs", "rejections", "keys")

#: Told of progress: bytes of the input as it lies there, records.
Meter = Callable[[int, int], None]


class Task(NamedTuple):
    """One split to transform: which, by what rules, staged where and as what number."""

    split: Split
    ruleset: Ruleset
    options: Options
    stage: Path
    number: int


class Report(NamedTuple):
    """What became of one split.

    Attributes:
        number: The task's number.
        pieces: How many pieces were staged.
        records: Records read.
        skipped: Records skipped, by reason.
        unrecognised: Parameters that nothing reads, by name.
        peak_memory_bytes: The most memory this process has held so far.
    """

    number: int
    pieces: int
    records: int
    skipped: dict[str, int]
    unrecognised: dict[str, int]
    peak_memory_bytes: int


def transform_split(task: Task, meter: Meter) -> Report:
    """Reads and transforms a split, and stages its tables in pieces.

    Raises:
        InputError: The input cannot be read to the split's end.
    """
    skipped: dict[str, int] = {}
    unrecognised: dict[str, int] = {}
    waiting: list[Tables] = []
    records = pieces = waiting_rows = reached = 0
    for requests, position in read_split(task.split):
        tables = transform(requests, task.ruleset, task.options)
        _add(skipped, tables.skipped)
        _add(unrecognised, tables.unrecognised)
        waiting.append(tables)
        waiting_rows += requests.height
        records += requests.height
        meter(max(0, position - max(reached, task.split.start)), requests.height)
        reached = max(reached, position)
        if waiting_rows >= ROWS_PER_PIECE:
            _stage(waiting, task, pieces)
            waiting, waiting_rows, pieces = [], 0, pieces + 1
    if waiting:
        _stage(waiting, task, pieces)
        pieces += 1
    return Report(task.number, pieces, records, skipped, unrecognised, peak_memory_bytes())


def reread_raws(split: Split, record_nos: list[int], ruleset: Ruleset, options: Options) -> pl.DataFrame:
    """The raw text of some records of a split, redacted: `record_no`, `raw`."""
    raws = read_raws(split, record_nos)
    return raws.with_columns(redact_raws(raws["raw"], options.pii, ruleset))


def piece_path(stage: Path, number: int, piece: int, name: str) -> Path:
    """Where a piece of a split's table is staged."""
    return stage / f"{number:06d}-{piece:04d}.{name}.arrow"


def peak_memory_bytes() -> int:
    """The most memory this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _stage(waiting: list[Tables], task: Task, piece: int) -> None:
    for name in STAGED:
        rows = pl.concat([getattr(tables, name) for tables in waiting])
        rows.write_ipc(piece_path(task.stage, task.number, piece, name), compression="lz4")


def _add(counts: dict[str, int], more: pl.DataFrame) -> None:
    for name, count in more.iter_rows():
        counts[name] = counts.get(name, 0) + count
