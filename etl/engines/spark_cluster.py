"""Runs tasks on Spark, or on any server that speaks Spark Connect, such as Sail.

Workers read the inputs and write the tables themselves, on storage that all of them see. What crosses the network is
calls, reports and keys, never rows. Only calls of DataFrames are used, which Connect has too.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from etl.engines import spark_worker
from etl.engines.spark_worker import (
    HASHES,
    LOSERS,
    PLACE,
    RESULTS,
    SETTLED,
    SUSPECTED,
    TASKS_PER_CHUNK,
    ddl,
    package_digest,
)
from etl.errors import AccountingError, EtlError
from etl.rules.ruleset import Ruleset
from etl.runner.engine import Result, Settled
from etl.runner.pieces import Piece
from etl.sources.storage.store_paths import Folder

_PIECES_PER_CHUNK: Final = 16

#: Partitions of a step, at most: each costs Spark some 30 ms.
_MOST_PARTITIONS: Final = 2_000

#: Records whose keys a partition of `settle` holds. By itself Spark takes 200 partitions, however many keys there are.
_RECORDS_PER_PARTITION: Final = 2**20

#: Most bytes of a job's chunks of tasks: each partition receives all of them.
_JOB_BYTES: Final = 16 * 2**20

_SHOWN: Final = 300


class Cluster:
    """An engine that runs tasks on the workers of a Spark session, classic or Connect."""

    knows_repeats = False
    bundle_bytes = 64 * 2**20

    def __init__(self, spark: Any) -> None:
        self._spark = spark

    def map(
        self,
        function: Callable[..., Result],
        tasks: list[tuple[Any, ...]],
        threads: int | None = None,  # noqa: ARG002
    ) -> Iterator[Result]:
        """Yields the result of each task, in the order of the tasks; see `Engine.map`."""
        for chunks, count in _jobs_of(tasks):
            self._describe(function.__name__)
            step = _step("call_tasks", package_digest(), function, chunks)
            rows = self._collect(self._numbers(count).mapInArrow(step, ddl(RESULTS)))
            results = {row["number"]: row["result"] for row in rows}
            if (len(rows), len(results)) != (count, count):
                raise AccountingError(f"{len(rows)} results of {count} tasks came back from Spark.", "Report this.")
            for number in range(count):
                result = pickle.loads(bytes(results[number]))
                if isinstance(result, EtlError):
                    raise result
                yield result

    def settle(self, pieces: list[Piece], stage: Folder, ruleset: Ruleset) -> Settled:
        """Finds the duplicates and stages them; see `Engine.settle`.

        The hashes of keys come first. Only keys whose hash occurs twice follow, sorted, and `find_losers` judges them.
        """
        if not pieces:
            return Settled([], {})
        from pyspark.sql import Window
        from pyspark.sql import functions as F  # noqa: N812 - its usual name

        self._describe("settle")
        chunks = _chunks(pieces, max(_PIECES_PER_CHUNK, len(pieces) // _MOST_PARTITIONS))
        partitions = min(1 + sum(piece.records for piece in pieces) // _RECORDS_PER_PARTITION, _MOST_PARTITIONS)
        hashes = self._numbers(len(chunks)).mapInArrow(_step("read_hashes", stage, chunks), ddl(HASHES))
        times = F.count(F.lit(1)).over(Window.partitionBy("key_hash"))
        counted = hashes.repartition(partitions, "key_hash").withColumn("times", times)
        repeated = counted.where("times > 1").select("key_hash", "chunk")
        by_chunk = _ordered(repeated, len(chunks), ["chunk"], ["key_hash"])
        suspects = by_chunk.mapInArrow(_step("read_suspects", stage, chunks), ddl(SUSPECTED))
        key = ["key_hash", "account_id", "integration", "event", "transaction_key"]
        order = [F.col("received_at").asc_nulls_last(), "source_digest", "record_no"]
        by_key = _ordered(suspects, partitions, key, order)
        losers = by_key.mapInArrow(_step("find_losers", ruleset.dedup_window), ddl(LOSERS))
        by_piece = _ordered(losers, partitions, ["task", "number"], ["conversion_id"])
        missed: dict[int, list[int]] = {}
        rows = self._collect(by_piece.mapInArrow(_step("stage_losers", stage), ddl(SETTLED)))
        for task, number in sorted((row["task"], row["number"]) for row in rows):
            missed.setdefault(task, []).append(number)
        return Settled(pieces, missed)

    def _numbers(self, count: int) -> Any:
        """Returns a frame of the numbers from 0, in their order."""
        return self._spark.range(0, count, 1, min(count, _MOST_PARTITIONS))

    def _describe(self, step: str) -> None:
        """Names the jobs that follow in Spark's UI, where the session is classic."""
        context = getattr(self._spark, "sparkContext", None)
        if context is not None:
            context.setJobDescription(f"postback-etl: {step.strip('_')}")

    def _collect(self, frame: Any) -> list[Any]:
        """Collects a frame.

        Raises:
            EtlError: Spark failed.
        """
        try:
            return list(frame.collect())
        except EtlError:  # a signal
            raise
        except Exception as error:
            raise failure_of(error) from error


def _ordered(frame: Any, partitions: int, group: list[str], order: list[Any]) -> Any:
    """Returns the rows of each group one after another, in an order, with their `PLACE`, in so many partitions.

    The place is not for its own sake: a window has to sort, where a server may leave out a sort that nothing asks for.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F  # noqa: N812 - its usual name

    return frame.repartition(partitions, *group).withColumn(
        PLACE, F.row_number().over(Window.partitionBy(*group).orderBy(*order))
    )


def _step(name: str, *arguments: Any) -> Callable[[spark_worker.Batches], spark_worker.Batches]:
    """Returns a step of `spark_worker` as a function that Spark sends to its workers by value."""
    pickled = pickle.dumps(arguments)

    def run(batches: spark_worker.Batches) -> spark_worker.Batches:
        import os
        import pickle

        os.environ.setdefault("POLARS_MAX_THREADS", "1")  # before anything imports polars
        from etl.engines import spark_worker

        yield from getattr(spark_worker, name)(batches, *pickle.loads(pickled))

    return run


def _chunks(items: Sequence[Any], size: int) -> list[bytes]:
    """Pickles items in chunks: a worker never has to load all of them."""
    return [pickle.dumps(items[i : i + size]) for i in range(0, len(items), size)]


def _jobs_of(tasks: list[tuple[Any, ...]]) -> Iterator[tuple[list[bytes], int]]:
    """Yields chunks of tasks for one job after another, and the number of tasks in them."""
    chunks = _chunks(tasks, TASKS_PER_CHUNK)
    size = max(1, _JOB_BYTES // max(map(len, chunks), default=1))
    for i in range(0, len(chunks), size):
        yield chunks[i : i + size], min(size * TASKS_PER_CHUNK, len(tasks) - i * TASKS_PER_CHUNK)


def failure_of(error: Exception) -> EtlError:
    """Returns what Spark's error says, in two lines."""
    text = str(error)
    missing = re.search(r"(?:ModuleNotFound|Import)Error: ([^\n\\]+)", text)
    if missing:
        hint = "Install postback-etl with all that it needs for the Python of the workers."
        return EtlError(f"The workers of Spark cannot import this package: {missing[1]}.", hint)
    raised = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception): [^\n]+|details = \"[^\n]+", text, re.MULTILINE)
    said = (raised[-1:] or text.strip().splitlines() or [type(error).__name__])[0][:_SHOWN]
    return EtlError(f"Spark failed: {said}", "Look into the log of Spark; nothing was published.")
