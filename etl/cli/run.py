"""`run`: logs and dumps in, four tables out."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from etl.cli import options

if TYPE_CHECKING:
    from etl.reading import Progress


def run(
    inputs: options.Inputs,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the four tables; replaced whole.")],
    format_: options.FormatName = "auto",
    log_format: options.LogFormat = None,
    log_timezone: options.LogTimezone = "UTC",
    columns: options.Columns = None,
    formats: options.Formats = None,
    min_matched: options.MinMatched = None,
    default_currency: options.DefaultCurrency = None,
    account: options.Account = None,
    integration: options.Integration = None,
    pii: options.Pii = options.PiiMode.HASH,
    ruleset: options.RulesetName = None,
    since: options.Since = None,
    until: options.Until = None,
    status: options.Status = None,
    max_rejected: options.MaxRejected = None,
    max_record: options.MaxRecord = options.DEFAULT_MAX_RECORD,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the summary as JSON; - is standard output.")
    ] = None,
    jobs: options.Jobs = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Read logs or dumps and write the tables conversions, items, passthroughs and rejections."""
    from etl.cli.progress import silent, told
    from etl.cli.summary import print_summary, write_summary
    from etl.errors import InterruptedRunError, UsageError
    from etl.job import run_job

    limit = options.read_limit(max_rejected)
    if summary is not None and str(summary) != "-" and not summary.absolute().parent.is_dir():
        raise UsageError(f"--summary {str(summary)!r} names a folder that does not exist.", "Make the folder first.")
    said = options.Said(
        *(format_, log_format, log_timezone, columns, formats, min_matched, default_currency, account, integration),
        *(pii, ruleset, status, max_record, jobs),
    )
    request = options.request_of(inputs, out, said, since, until)
    try:
        with silent() if quiet else told() as progress:
            outcome = run_job(request, beyond_recall(progress))
    except KeyboardInterrupt as error:  # polars raises it whatever the handler, if it is at work when the signal comes
        raise InterruptedRunError from error
    if summary is not None:
        write_summary(outcome, summary)
    if not quiet:
        print_summary(outcome, out)
    rejected, judged = outcome["rejections"]["total"], outcome["records"] - outcome["skipped"]["total"]
    if limit and rejected > limit(judged):
        options.refuse_rejected(rejected, max_rejected, "The tables are published.")


def beyond_recall(progress: Progress) -> Progress:
    """The progress of a run that no signal interrupts once it publishes: "nothing was published" would be untrue."""

    def begin(phase: str, total: int) -> None:
        if phase == "publishing":
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
        progress.begin(phase, total)

    return progress._replace(begin=begin)
