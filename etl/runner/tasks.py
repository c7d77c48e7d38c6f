"""The functions that workers run. Their arguments are plain data, so any process that reaches the files can run them.

`transform_splits` runs for every bundle of tasks: a split each, or several small inputs together. Once the duplicates
are known, `stage_missed_raws` runs for the tasks with duplicates that were not held back. `staged_parts.write_part`
runs last, for each part of the published tables.
"""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import polars as pl

from etl.options import Options
from etl.privacy.redaction import redact_raws
from etl.rules.ruleset import Ruleset
from etl.runner.engine import TaskContext
from etl.runner.parquet import write_stream
from etl.runner.pieces import STAGED, Piece, missed_raws_path
from etl.schema import KEYS
from etl.sources.bundles import decompressed_once
from etl.sources.small_inputs import read_together
from etl.sources.splits import Split, read_raws, read_split
from etl.sources.storage.store_paths import Folder
from etl.steps.pipeline import Tables, transform

#: A worker stages a piece when it has read this many requests. This bounds its memory.
ROWS_PER_PIECE: Final = 50_000


class Task(NamedTuple):
    """Splits to transform.

    Attributes:
        splits: One split, or small inputs that share batches and pieces, in the order of their digests.
        ruleset: The rules.
        options: The options of the transform.
        stage: The staging folder.
        number: Number of the task.
        keeps_raws: Keep the raw text of every conversion with a transaction id (warehouse).
        holds_back: Hold likely duplicates back, and keep their raw text; needs an engine that knows repeats.
    """

    splits: tuple[Split, ...]
    ruleset: Ruleset
    options: Options
    stage: Folder
    number: int
    keeps_raws: bool = False
    holds_back: bool = True


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


ALL_MATCHED: Final = Unmatched(0, 0, [])


@dataclass
class InputReport:
    """What a task counted in an input.

    Attributes:
        records: Number of records read.
        skipped: Skipped records by reason.
        unrecognised: Parameters that no rule reads, by name.
        unmatched: Records that do not match the input's format.
    """

    records: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    unrecognised: Counter[str] = field(default_factory=Counter)
    unmatched: Unmatched = ALL_MATCHED


class TaskReport(NamedTuple):
    """The results of a task.

    Attributes:
        pieces: The staged pieces.
        counts: What was counted in each input, by its digest.
        peak_memory_bytes: Peak memory of the worker process so far.
    """

    pieces: list[Piece]
    counts: dict[str, InputReport]
    peak_memory_bytes: int


def transform_splits(context: TaskContext, tasks: list[Task]) -> list[TaskReport]:
    """Reads and transforms the splits of tasks, and stages their tables in pieces.

    Raises:
        InputError: An input cannot be read to the end of its split.
    """
    with decompressed_once([task.splits for task in tasks]) as opened:
        return [_transform(context, task._replace(splits=splits)) for task, splits in zip(tasks, opened, strict=True)]


def _transform(context: TaskContext, task: Task) -> TaskReport:
    """Reads and transforms the splits of a task, and stages their tables in pieces."""
    found = {split.source_digest: InputReport() for split in task.splits}
    batches: list[tuple[Tables, pl.DataFrame]] = []
    pieces: list[Piece] = []
    batched_rows = 0
    for requests, size in _batches(task.splits):
        _count_records(requests, found)
        tables = transform(requests, task.ruleset, task.options)
        for digest, reason, count in tables.skipped.iter_rows():
            found[digest].skipped[reason] += count
        for digest, name, count in tables.unrecognised.iter_rows():
            found[digest].unrecognised[name] += count
        batches.append((tables, requests.select("source_digest", "record_no", "raw", "layout")))
        batched_rows += requests.height
        context.meter(size, requests.height)
        if batched_rows >= ROWS_PER_PIECE:
            pieces.append(_stage_piece(context, task, len(pieces), batches))
            batches, batched_rows = [], 0
    if batches:
        pieces.append(_stage_piece(context, task, len(pieces), batches))
    if task.holds_back and not pieces:
        context.find_repeats(KEYS.empty()["key_hash"].to_numpy())  # other tasks wait until this one has asked
    return TaskReport(pieces, found, peak_memory_bytes())


def count_splits(context: TaskContext, tasks: list[Task]) -> list[TaskReport]:
    """Reads the splits of tasks and counts their records; nothing is transformed, and nothing staged.

    Raises:
        InputError: An input cannot be read to the end of its split.
    """
    reports = []
    with decompressed_once([task.splits for task in tasks]) as opened:
        for splits in opened:
            found = {split.source_digest: InputReport() for split in splits}
            for requests, size in _batches(splits):
                _count_records(requests, found)
                context.meter(size, requests.height)
            reports.append(TaskReport([], found, peak_memory_bytes()))
    return reports


def _batches(splits: tuple[Split, ...]) -> Iterator[tuple[pl.DataFrame, int]]:
    """Yields the requests of splits, with the number of bytes read for them; those of several splits together."""
    if len(splits) == 1:
        yield from read_split(splits[0])
        return
    requests, size = read_together(splits)
    if requests is not None:
        yield requests, size


def _stage_piece(context: TaskContext, task: Task, number: int, batches: list[tuple[Tables, pl.DataFrame]]) -> Piece:
    """Stages the tables of batches as a piece, with the raw records of conversions that are, or may be, duplicates."""
    tables = {name: pl.concat([getattr(frames, name) for frames, _ in batches]) for name in STAGED}
    raws = pl.concat([records for _, records in batches])
    keys = tables["keys"]
    held = keys.filter(context.find_repeats(keys["key_hash"].to_numpy())) if task.holds_back else keys.clear()
    piece = Piece(task.number, number, raws.height, held.height)
    tables["raws"] = _redacted_raws(keys if task.keeps_raws else held, raws, task)
    piece.stage(task.stage, tables, held["conversion_id"])
    return piece


def _redacted_raws(keys: pl.DataFrame, raws: pl.DataFrame, task: Task) -> pl.DataFrame:
    """Returns conversion_id and the redacted raw record of conversions."""
    place = ("source_digest", "record_no") if len(task.splits) > 1 else ("record_no",)
    found = keys.select("conversion_id", *place).join(raws, on=place, maintain_order="left")
    return found.select("conversion_id", redact_raws(found["raw"], task.options.pii, task.ruleset, found["layout"]))


def _count_records(requests: pl.DataFrame, found: dict[str, InputReport]) -> None:
    """Counts the records of each input, and those that do not match its format."""
    is_unread = pl.col("fault").is_in(("malformed_record", "unread_postback")).fill_null(value=False)
    others = pl.col("fault").is_in(_NO_CANDIDATES).sum()
    counts = requests.group_by("source_digest").agg(pl.len(), others.alias("others"), unread=is_unread.sum())
    for digest, records, without, unread in counts.iter_rows():
        found[digest].records += records
        found[digest].unmatched += Unmatched(unread, records - without, [])
    if counts["unread"].sum():
        rows = requests.filter(is_unread).group_by("source_digest", maintain_order=True).head(_SHOWN)
        for digest, *first in rows.select("source_digest", "record_no", "raw", "layout").iter_rows():
            found[digest].unmatched += Unmatched(0, 0, [tuple(first)])


def stage_missed_raws(_context: TaskContext, tasks: list[Task], numbers: dict[int, list[int]]) -> None:
    """Reads the raw records of duplicates that were not held back again, redacts and stages them.

    Args:
        tasks: The tasks of their splits.
        numbers: By the number of a task, the numbers of its pieces beside which the table `missed` is staged.
    """
    with decompressed_once([task.splits for task in tasks]) as opened:
        for task, splits in zip(tasks, opened, strict=True):
            _stage_missed_raws(task._replace(splits=splits), numbers[task.number])


def _stage_missed_raws(task: Task, numbers: list[int]) -> None:
    """Stages the raw records of duplicates of a task."""
    missed = pl.concat(Piece(task.number, number, 0).read(task.stage, "missed") for number in numbers)
    by_input = missed.partition_by("source_digest", as_dict=True)
    raws = [
        read_raws(split, by_input[split.source_digest,].select("record_no", "byte_offset")).with_columns(
            source_digest=pl.lit(split.source_digest)
        )
        for split in task.splits
        if (split.source_digest,) in by_input
    ]
    write_stream(_redacted_raws(missed, pl.concat(raws), task), missed_raws_path(task.stage, task.number))


def peak_memory_bytes() -> int:
    """Returns the peak memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
