"""`run`: reads logs and dumps and writes the four tables."""

from __future__ import annotations

import enum
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from etl.cli import options

if TYPE_CHECKING:
    from etl.runner.stage_inputs import RunRequest


class EngineName(enum.StrEnum):
    """Where a run works."""

    LOCAL = "local"
    SPARK = "spark"


_SparkMaster = Annotated[
    str | None, typer.Option(metavar="URL", help="Where Spark runs, such as local[4]; else as spark-submit says.")
]
_SparkRemote = Annotated[
    str | None, typer.Option(metavar="URL", help="Server that speaks Spark Connect, such as sc://localhost:15002.")
]


class PartitionMode(enum.StrEnum):
    """The folders within the folder of each table."""

    NONE = "none"
    DAY = "day"
    MONTH = "month"


@options.with_options(*options.RUN)
def run(
    inputs: options.Inputs,
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder or s3:// of the four tables; replaced whole.")],
    dry_run: options.DryRun = False,
    *,
    typed: options.Typed,
    partition_by: Annotated[
        PartitionMode, typer.Option("--partition-by", help="Folders for each day or month of received_at.")
    ] = PartitionMode.NONE,
    records_per_file: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Records whose rows share a file; 400000 for terabytes. Default: 50000."),
    ] = None,
    max_rejected: options.MaxRejected = None,
    max_unread: options.MaxUnread = "1%",
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the summary as JSON; - is standard output.")
    ] = None,
    engine: Annotated[EngineName, typer.Option(help="Where to work: on this machine, or on Spark.")] = EngineName.LOCAL,
    spark_master: _SparkMaster = None,
    spark_remote: _SparkRemote = None,
    metrics: options.Metrics = None,
    openlineage: options.OpenLineage = None,
    events: options.Events = options.EventsMode.TEXT,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Read logs or dumps and write the tables conversions, items, passthroughs and rejections."""
    from etl.cli.run_context import Telling, watched
    from etl.cli.summary import say_plan, say_summary, write_summary
    from etl.errors import UsageError
    from etl.runner.rehearsal import rehearse_run
    from etl.runner.run import run_job
    from etl.sources.storage.store_paths import folder_of

    target = str(folder_of(out))
    with watched("run", target, Telling(quiet, metrics, openlineage, dry_run)) as watch:
        limit = options.read_limit(max_rejected)
        options.read_limit(max_unread, "--max-unread")
        if summary is not None and str(summary) != "-" and not summary.absolute().parent.is_dir():
            raise UsageError(
                f"--summary {str(summary)!r} names a folder that does not exist.", "Make the folder first."
            )
        request = replace(
            typed.request(inputs, out), partition_by=partition_by.value, records_per_file=records_per_file
        )
        if engine == EngineName.SPARK or spark_master or spark_remote:
            request = _on_spark(request, spark_master, spark_remote)
        with watch.at_work() as progress:
            watch.outcome = outcome = (rehearse_run if dry_run else run_job)(request, progress)
        options.warn_of_memory(outcome, request.max_memory)
        if summary is not None:
            write_summary(outcome, summary)
        if dry_run:
            say_plan(outcome)
            return
        say_summary(outcome, target, request.options.default_currency, is_quiet=quiet)
        rejected, judged = outcome["rejections"]["total"], outcome["records"] - outcome["skipped"]["total"]
        if limit and rejected > limit(judged):
            options.refuse_rejected(rejected, max_rejected, "The tables are published.")
        options.refuse_unread(outcome["inputs"], max_unread or "0", "The tables are published.")


def _on_spark(request: RunRequest, master: str | None, remote: str | None) -> RunRequest:
    """Returns the request of the same run on Spark.

    Raises:
        UsageError: An input cannot be read there, or two places are named.
    """
    from etl.engines.spark_sessions import check_inputs, spark_session
    from etl.errors import UsageError

    if master and remote:
        raise UsageError("--spark-master and --spark-remote name two places.", "Name one.")
    check_inputs(request.inputs)
    return replace(request, open_engine=partial(spark_session, master=master, remote=remote), jobs=1)
