"""What a worker does: functions of plain data, to be run anywhere the inputs and the stage can be reached.

First `transform_split` for every split; then, once all keys are known, `stage_duplicates` for the splits that hold
repetitions; at last `write_part` for every part of the published tables.
"""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple, Self

import polars as pl

from etl.options import Options
from etl.pipeline import Tables, transform
from etl.redaction import redact_raws
from etl.rejections import reject_duplicates
from etl.ruleset import Ruleset
from etl.schema import TABLES
from etl.sinks.parquet import write_table
from etl.sources.splits import Split, read_raws, read_split

#: A piece is staged when it holds this many requests: what a worker keeps in memory.
ROWS_PER_PIECE: Final = 50_000

#: The frames of `pipeline.Tables` that are staged.
STAGED: Final = ("conversions", "items", "passthroughs", "rejections", "keys")

#: Told of progress: bytes of the input as it lies there, records.
Meter = Callable[[int, int], None]


class Task(NamedTuple):
    """One split to transform: which, by what rules, staged where and as what number; whether its raws are kept."""

    split: Split
    ruleset: Ruleset
    options: Options
    stage: Path
    number: int
    keeps_raws: bool = False


class Piece(NamedTuple):
    """Staged tables of some consecutive requests of a split: the task's number, its own, how many requests."""

    task: int
    number: int
    records: int

    def path(self, stage: Path, name: str) -> Path:
        """Where one of its tables lies."""
        return stage / f"{self.task:06d}-{self.number:04d}.{name}.parquet"


#: Faults of records that no format has to match.
_BESIDE: Final = ("blank", "comment", "header")
_SHOWN: Final = 3


class Unmatched(NamedTuple):
    """How many records of how many candidates were not in their input's format, and the first, redacted."""

    records: int
    candidates: int
    first: list[tuple[int, str]]

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


def transform_split(task: Task, meter: Meter) -> Report:
    """Reads and transforms a split, and stages its tables in pieces.

    Raises:
        InputError: The input cannot be read to the split's end.
    """
    skipped: Counter[str] = Counter()
    unrecognised: Counter[str] = Counter()
    unmatched = Unmatched(0, 0, [])
    waiting: list[Tables] = []
    raws: list[pl.DataFrame] = []
    pieces: list[Piece] = []
    records = waiting_rows = 0

    def stage() -> None:
        pieces.append(Piece(task.number, len(pieces), waiting_rows))
        for name in STAGED:
            rows = pl.concat([getattr(tables, name) for tables in waiting])
            write_table(rows, pieces[-1].path(task.stage, name))
        waiting.clear()
        if task.keeps_raws:
            write_table(pl.concat(raws), pieces[-1].path(task.stage, "raws"))
            raws.clear()

    for requests, size in read_split(task.split):
        tables = transform(requests, task.ruleset, task.options)
        skipped.update(dict(tables.skipped.iter_rows()))
        unrecognised.update(dict(tables.unrecognised.iter_rows()))
        unmatched += _unmatched(requests, task)
        waiting.append(tables)
        if task.keeps_raws:
            raws.append(_raws_of(tables.keys, requests, task))
        waiting_rows += requests.height
        records += requests.height
        meter(size, requests.height)
        if waiting_rows >= ROWS_PER_PIECE:
            stage()
            waiting_rows = 0
    if waiting:
        stage()
    return Report(pieces, records, skipped, unrecognised, unmatched, peak_memory_bytes())


def _raws_of(keys: pl.DataFrame, requests: pl.DataFrame, task: Task) -> pl.DataFrame:
    """conversion_id and the redacted raw record of each conversion that can repeat another."""
    raws = keys.select("conversion_id", "record_no").join(
        requests.select("record_no", "raw", "layout"), on="record_no", maintain_order="left"
    )
    return raws.select("conversion_id", redact_raws(raws["raw"], task.options.pii, task.ruleset, raws["layout"]))


def _unmatched(requests: pl.DataFrame, task: Task) -> Unmatched:
    fault = requests["fault"]
    unread = requests.select("record_no", "raw", "layout").filter(fault == "malformed_record")
    first = unread.head(_SHOWN)
    shown = redact_raws(first["raw"], task.options.pii, task.ruleset, first["layout"])
    candidates = requests.height - int(fault.is_in(_BESIDE).sum())
    return Unmatched(unread.height, candidates, list(zip(first["record_no"], shown, strict=True)))


def stage_duplicates(task: Task, duplicates: pl.DataFrame) -> None:
    """Reads the raw records of a split's duplicates again and stages them, redacted, for its parts.

    Args:
        task: The split.
        duplicates: Rows of `duplicates.DUPLICATES`, with `record_no` and `byte_offset`.
    """
    raws = read_raws(task.split, duplicates.select("record_no", "byte_offset"))
    redacted = raws.select("record_no", redact_raws(raws["raw"], task.options.pii, task.ruleset, raws["layout"]))
    write_table(
        duplicates.drop("byte_offset").join(redacted, on="record_no"), _duplicates_path(task.stage, task.number)
    )


def write_part(pieces: list[Piece], stage: Path, out: Path, number: int) -> Tally:
    """Writes one file of each table from staged pieces, with their duplicates moved to rejections.

    Args:
        pieces: In the order of (source_digest, record_no).
        stage: Where they lie.
        out: The folder with one folder a table.
        number: The part's number; only the first part has files for tables without rows.

    Returns:
        What was written, counted.
    """
    tables = [_without_duplicates(piece, stage) for piece in pieces]
    whole = {table.name: pl.concat([table.empty(), *(part[table.name] for part in tables)]) for table in TABLES}
    for name, rows in whole.items():
        if rows.height or number == 0:
            write_table(rows, out / name / f"part-{number:05d}.parquet")
    return Tally.of(whole)


def _without_duplicates(piece: Piece, stage: Path) -> dict[str, pl.DataFrame]:
    tables = {table.name: pl.read_parquet(piece.path(stage, table.name), glob=False) for table in TABLES}
    path = _duplicates_path(stage, piece.task)
    if not path.exists():
        return tables
    duplicates = pl.read_parquet(path, glob=False).drop("record_no")
    moved = tables["conversions"].join(duplicates, on="conversion_id", maintain_order="left")
    kept = {
        name: tables[name].join(duplicates, on="conversion_id", how="anti", maintain_order="left")
        for name in ("conversions", "items", "passthroughs")
    }
    rejections = pl.concat([tables["rejections"], reject_duplicates(moved)]).sort("source_digest", "record_no")
    return {**kept, "rejections": rejections}


def _duplicates_path(stage: Path, task: int) -> Path:
    return stage / f"{task:06d}.duplicates.parquet"


#: Values up to here can be summed within Decimal(38, 9) a hundred million times over.
_SUMMABLE: Final = 10**20


@dataclass
class Tally:
    """What was written, counted.

    Attributes:
        rows: By table.
        reasons: Rejections by reason.
        issues: By code.
        unlogged: POST requests without a logged body, by source.
        values: The sum of the conversions' values by currency; "" where there is none.
    """

    rows: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    issues: Counter[str] = field(default_factory=Counter)
    unlogged: Counter[str] = field(default_factory=Counter)
    values: dict[str, Decimal] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: dict[str, pl.DataFrame]) -> Self:
        """The counts of tables."""
        rejections, conversions = tables["rejections"], tables["conversions"]
        unlogged = rejections.filter(pl.col("reason") == "body_not_logged")["source"]
        codes = conversions["issues"].explode(empty_as_null=False).struct.field("code")
        rows = Counter({name: rows.height for name, rows in tables.items()})
        tally = cls(rows, _counted(rejections["reason"]), _counted(codes), _counted(unlogged))
        tally._add_values(_sums(conversions))
        return tally

    def __iadd__(self, other: Tally) -> Self:
        for name in ("rows", "reasons", "issues", "unlogged"):
            getattr(self, name).update(getattr(other, name))
        self._add_values(other.values.items())
        return self

    def _add_values(self, values: Iterable[tuple[str, Decimal]]) -> None:
        for currency, value in values:
            self.values[currency] = self.values.get(currency, Decimal(0)) + value


def _counted(texts: pl.Series) -> Counter[str]:
    return Counter(dict(texts.value_counts().iter_rows()))


def _sums(conversions: pl.DataFrame) -> Iterable[tuple[str, Decimal]]:
    is_small = pl.col("value").abs() < _SUMMABLE
    valued = conversions.drop_nulls("value").select(pl.col("currency").fill_null(""), "value")
    yield from valued.filter(is_small).group_by("currency").agg(pl.col("value").sum()).iter_rows()
    yield from valued.filter(~is_small).iter_rows()


def peak_memory_bytes() -> int:
    """The most memory this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
