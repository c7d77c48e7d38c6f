"""`run`: reads logs and dumps and writes the four tables."""

from __future__ import annotations

import enum
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from etl.cli import engines, limits, options


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
    max_rejected: limits.MaxRejected = None,
    max_unread: limits.MaxUnread = "1%",
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the summary as JSON; - is standard output.")
    ] = None,
    engine: engines.Engine = engines.EngineName.LOCAL,
    spark_master: engines.SparkMaster = None,
    spark_remote: engines.SparkRemote = None,
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
    with (
        watched("run", target, Telling(quiet, metrics, openlineage, dry_run)) as watch,
        engines.working_on(engine, spark_master, spark_remote) as on_engine,
    ):
        allowed = limits.Limits.of(max_rejected, max_unread)
        if summary is not None and str(summary) != "-" and not summary.absolute().parent.is_dir():
            raise UsageError(
                f"--summary {str(summary)!r} names a folder that does not exist.", "Make the folder first."
            )
        asked = typed.request(inputs, out)
        request = on_engine(replace(asked, partition_by=partition_by.value, records_per_file=records_per_file))
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
        allowed.enforce(rejected, judged, outcome["inputs"], "The tables are published.")
