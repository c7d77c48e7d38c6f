"""`run`: logs and dumps in, four tables out."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only what was received at or after it.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only what was received before it.")] = None,
    status: options.Status = None,
    max_rejected: Annotated[
        str | None, typer.Option(metavar="N|P%", help="Exit 3 if more records are rejected.")
    ] = None,
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

    limit = _limit(max_rejected)
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
    if limit is not None and outcome["rejections"]["total"] > limit(outcome):
        typer.echo(
            f"warning: {outcome['rejections']['total']:,} records were rejected; --max-rejected {max_rejected} allows"
            " fewer. The tables are published.",
            err=True,
        )
        raise typer.Exit(3)


def beyond_recall(progress: Progress) -> Progress:
    """The progress of a run that no signal interrupts once it publishes: "nothing was published" would be untrue."""

    def begin(phase: str, total: int) -> None:
        if phase == "publishing":
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
        progress.begin(phase, total)

    return progress._replace(begin=begin)


def _limit(text: str | None) -> Any:
    """How many records may be rejected, as a function of the summary."""
    from etl.errors import UsageError

    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(%?)", text.strip())
    if not match or not (match[2] or match[1].isdigit()):
        raise UsageError(f"--max-rejected {text!r} is neither a number nor a share.", "Give 100 or 2.5%.")
    number = float(match[1])
    if match[2]:
        return lambda outcome: number / 100 * (outcome["records"] - outcome["skipped"]["total"])
    return lambda outcome: number
