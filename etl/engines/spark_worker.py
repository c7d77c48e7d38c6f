"""What the workers of Spark run: tasks, and the steps of `Cluster.settle`. Rows come and go a batch at a time.

Only calls, reports and keys pass through Spark. Spark matches columns by position, and takes neither unsigned numbers
nor large texts; times pass as integers, so that no time zone of a session changes them.
"""

from __future__ import annotations

import gc
import hashlib
import pickle
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from etl.engines.local_pool import tune_memory
from etl.errors import AccountingError, EtlError
from etl.runner.engine import TaskContext
from etl.runner.pieces import MISSED, Piece
from etl.schema import INSTANT, INT, KEYS, MONEY, TEXT
from etl.sources.storage.store_paths import Folder
from etl.steps.deduplication import DUPLICATES, find_duplicates

#: The types by which columns pass, and Spark's names of these.
_TYPES: Final = {
    TEXT: (pa.string(), "string"),
    INT: (pa.int64(), "bigint"),
    INSTANT: (pa.int64(), "bigint"),
    pl.UInt64(): (pa.int64(), "bigint"),
    MONEY: (pa.decimal128(38, 9), "decimal(38, 9)"),
    pl.Binary(): (pa.binary(), "binary"),
}

#: The columns of each step's rows. A piece is named by `task` and `number`, a chunk of pieces by its number.
RESULTS: Final = pl.Schema({"number": INT, "result": pl.Binary()})
HASHES: Final = pl.Schema({"key_hash": pl.UInt64(), "chunk": INT})
SUSPECTED: Final = pl.Schema({**KEYS.schema, "task": INT, "number": INT})
LOSERS: Final = pl.Schema({**DUPLICATES, **{name: SUSPECTED[name] for name in (*MISSED[1:], "task", "number")}})
SETTLED: Final = pl.Schema({"task": INT, "number": INT})

#: The last column of rows that a step takes in an order: counts the rows of a group from 1.
PLACE: Final = "place"

#: Rows a batch that a step hands to Spark.
_BATCH_ROWS: Final = 8192

#: Tasks a chunk: what they share is sent once, and a worker unpickles one chunk for a task.
TASKS_PER_CHUNK: Final = 64

Batches = Iterator[pa.RecordBatch]


@cache
def package_digest() -> str:
    """Returns a digest of this package's source, which differs between any two versions."""
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def _prepare() -> None:
    """Sets a worker process up. Spark collects garbage after each task: 90 ms if it looks through all modules."""
    tune_memory()
    gc.freeze()


def call_tasks(batches: Batches, digest: str, function: Any, chunks: list[bytes]) -> Batches:
    """Calls a function for each numbered task; an `EtlError` is a result, since Spark would repeat what raises."""
    _prepare()
    context = TaskContext(lambda size, records: None, lambda hashes: np.zeros(len(hashes), np.bool_), is_remote=True)
    for number in _numbers(batches):
        try:
            _check_version(digest)
            task = pickle.loads(chunks[number // TASKS_PER_CHUNK])[number % TASKS_PER_CHUNK]
            result: Any = function(context, *task)
        except EtlError as error:
            result = error
        yield from _sent(pl.DataFrame({"number": [number], "result": [pickle.dumps(result)]}, RESULTS), RESULTS)


def _check_version(digest: str) -> None:
    """Checks that this worker has the version of the process that leads the run.

    Raises:
        EtlError: It has another.
    """
    own = package_digest()
    if digest != own:
        raise EtlError(
            f"The workers of Spark have another version of this package ({own}) than the command ({digest}).",
            "Install the same version on all of them.",
        )


def read_hashes(batches: Batches, stage: Folder, chunks: list[bytes]) -> Batches:
    """Yields the hashes of the staged keys of numbered chunks of pieces: rows of `HASHES`."""
    for chunk in _numbers(batches):
        for piece in pickle.loads(chunks[chunk]):
            yield from _sent(piece.read_hashes(stage).to_frame().with_columns(chunk=chunk), HASHES)


def read_suspects(batches: Batches, stage: Folder, chunks: list[bytes]) -> Batches:
    """Takes hashes in the order of their chunks, and yields the staged keys that have them: rows of `SUSPECTED`."""
    for (chunk,), hashes in _groups(batches, HASHES, "chunk"):
        repeated = hashes["key_hash"].unique()
        for piece in pickle.loads(chunks[chunk]):
            keys = piece.read_keys(stage, repeated)
            yield from _sent(keys.with_columns(task=piece.task, number=piece.number), SUSPECTED)


def find_losers(batches: Batches, window: timedelta | None) -> Batches:
    """Takes keys sorted by key and time, and yields those that repeat an earlier one: rows of `LOSERS`.

    The kept row of the key that a batch ends with is carried over to the next batch. So a key may have any number of
    rows, and memory stays constant.
    """
    carried = SUSPECTED.to_frame()
    for batch in _in_order(batches, SUSPECTED, "key_hash"):
        rows = pl.concat([carried, batch])
        found = find_duplicates(rows, window)
        last = rows["conversion_id"][-1]
        kept = dict(found.select("conversion_id", "duplicate_of").iter_rows()).get(last, last)
        carried = rows.filter(pl.col("conversion_id") == kept)
        yield from _sent(found.join(rows.select(*MISSED, "task", "number"), on="conversion_id"), LOSERS)


def stage_losers(batches: Batches, stage: Folder) -> Batches:
    """Takes losers in the order of their pieces, stages them beside these, and yields the pieces: rows of `SETTLED`."""
    for (task, number), losers in _groups(batches, LOSERS, "task", "number"):
        piece, ordered = Piece(task, number, 0), losers.sort("conversion_id")
        piece.write(stage, "duplicates", ordered.select(DUPLICATES.names()))
        piece.write(stage, "missed", ordered.select(MISSED))
        yield from _sent(pl.DataFrame({"task": [task], "number": [number]}), SETTLED)


def ddl(schema: pl.Schema) -> str:
    """Returns the columns as Spark declares them."""
    return ", ".join(f"{name} {_TYPES[dtype][1]}" for name, dtype in schema.items())


def _numbers(batches: Batches) -> Iterator[int]:
    """Yields the numbers in the only column."""
    for batch in batches:
        yield from batch.column(0).to_pylist()


def _groups(batches: Batches, schema: pl.Schema, *names: str) -> Iterator[tuple[tuple[int, ...], pl.DataFrame]]:
    """Yields the rows of each group of neighbours with the same numbers; a group may reach over many batches."""
    parts = (
        part for rows in _in_order(batches, schema, *names) for part in rows.partition_by(names, maintain_order=True)
    )
    for key, some in groupby(parts, lambda part: tuple(part[name][0] for name in names)):
        yield key, pl.concat(some)


def _in_order(batches: Batches, schema: pl.Schema, *names: str) -> Iterator[pl.DataFrame]:
    """Yields rows that come group after group, each group in its order.

    Raises:
        AccountingError: They came in another order.
    """
    place = pl.col(PLACE)
    is_next = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in names) & (place == place.shift(1) + 1)
    last: pl.DataFrame | None = None
    for batch in batches:
        rows = _received(batch, pl.Schema({**schema, PLACE: INT}))
        if rows.height:
            known = rows if last is None else pl.concat([last, rows])
            in_order = known.select((place == 1) | is_next.fill_null(value=False)).to_series()
            if not in_order[known.height - rows.height :].all():
                raise AccountingError("Spark handed rows over in another order than it was asked for.", "Report this.")
            last = rows.tail(1)
            yield rows.drop(PLACE)


def _sent(rows: pl.DataFrame, schema: pl.Schema) -> Batches:
    """Yields rows as Spark takes them."""
    signed = [pl.col(name).reinterpret(signed=True) for name, dtype in schema.items() if dtype == pl.UInt64]
    numbers = [pl.col(name).to_physical() for name, dtype in schema.items() if dtype == INSTANT]
    table = rows.select(schema.names()).with_columns(*signed, *numbers).to_arrow(compat_level=pl.CompatLevel.oldest())
    yield from table.cast(_passed(schema)).to_batches(_BATCH_ROWS)


def _received(batch: pa.RecordBatch, schema: pl.Schema) -> pl.DataFrame:
    """Returns rows that Spark hands over."""
    rows: Any = pl.from_arrow(pa.Table.from_batches([batch]).rename_columns(schema.names()).cast(_passed(schema)))
    unsigned = [pl.col(name).reinterpret(signed=False) for name, dtype in schema.items() if dtype == pl.UInt64]
    times = [pl.col(name).cast(INSTANT) for name, dtype in schema.items() if dtype == INSTANT]
    return rows.with_columns(*unsigned, *times)  # type: ignore[no-any-return]


def _passed(schema: pl.Schema) -> pa.Schema:
    """Returns the columns as they pass through Spark."""
    return pa.schema((name, _TYPES[dtype][0]) for name, dtype in schema.items())
