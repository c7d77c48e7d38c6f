"""The job on Spark, for notebooks and scripts that have a session; `run --engine spark` is the same job as a command.

Examples:
    Each table becomes a table of the platform by one line of the caller, for example::

        tables = etl.spark.run(spark, "/Volumes/main/raw/logs", "/Volumes/main/raw/postbacks/2024-05-01")
        tables.conversions.write.format("delta").mode("append").saveAsTable("main.postbacks.conversions")
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from etl.engines.spark_cluster import Cluster
from etl.engines.spark_sessions import check_inputs
from etl.given_options import Inputs, laid_out, make_request
from etl.options import RunOptions
from etl.reports.display import Summary
from etl.runner.engine import Engine, Meter
from etl.runner.published_tables import published_files
from etl.runner.run import run_job
from etl.runner.stage_inputs import RunRequest
from etl.schema import TABLES
from etl.warehouse.load import load as load_into

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class SparkTables(NamedTuple):
    """What a run on Spark has published.

    Attributes:
        summary: The summary, as `etl.run` returns it.
        conversions: A frame of Spark over the published table, and so are the others.
    """

    summary: Summary
    conversions: DataFrame
    items: DataFrame
    passthroughs: DataFrame
    rejections: DataFrame


def run(spark: SparkSession, inputs: Inputs, out: str | Path, **options: Any) -> SparkTables:
    """Reads logs and dumps on the workers of a session and publishes the four tables, as `etl.run` does.

    Args:
        spark: The session, classic or Connect; it stays open.
        inputs: Files, folders, globs or addresses that all workers see under the same names.
        out: The folder, or the address in an object store, that will hold the tables; all workers write there.
        **options: As for `etl.run`, but `jobs`. For terabytes give `records_per_file=400_000`.

    Raises:
        EtlError: The run failed; what was published before is as it was.
    """
    layout = {name: options.pop(name) for name in ("partition_by", "records_per_file") if name in options}
    request = _request(spark, inputs, options, out if "://" in str(out) else Path(out).absolute())
    summary = Summary(run_job(laid_out(request, **layout)))
    frames = (spark.read.parquet(*map(str, published_files(request.out, table.name))) for table in TABLES)
    return SparkTables(summary, *frames)


def load(spark: SparkSession, inputs: Inputs, into: str | Path, *, reload: bool = False, **options: Any) -> Summary:
    """Loads logs and dumps into a warehouse on the workers of a session, each once, as `etl.load` does.

    The workers write the new rows. This process compares the keys of these with the keys that lie in the warehouse.

    Args:
        spark: The session, classic or Connect; it stays open.
        inputs: Files, folders, globs or addresses that all workers see under the same names.
        into: The warehouse: a folder that all workers see, or an address of an object store.
        reload: Known inputs are read again, by the present rules.
        **options: As for `etl.load`, but `jobs`.

    Raises:
        EtlError: The load failed; the warehouse is as it was.
    """
    return Summary(load_into(_request(spark, inputs, options), str(into), is_reload=reload))


def _request(spark: SparkSession, inputs: Inputs, options: dict[str, Any], out: str | Path = "") -> RunRequest:
    """Returns the request of the same work on a session that stays open."""

    @contextmanager
    def opened(_jobs: int, _meter: Meter) -> Iterator[Engine]:
        yield Cluster(spark)

    known = [one.name for one in fields(RunOptions) if one.name != "jobs"]
    request = make_request(inputs, options, known, out)
    check_inputs(request.inputs)
    return replace(request, open_engine=opened, jobs=1, is_remote=True)
