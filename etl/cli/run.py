"""`run`: logs and dumps in, four tables out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from etl.cli import options, voice


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
    metrics: options.Metrics = None,
    openlineage: options.OpenLineage = None,
    jobs: options.Jobs = None,
    events: options.Events = options.EventsMode.TEXT,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Read logs or dumps and write the tables conversions, items, passthroughs and rejections."""
    from etl.cli.summary import say_summary, write_summary
    from etl.cli.watch import Telling, watched
    from etl.errors import UsageError
    from etl.job import run_job

    with watched("run", out, Telling(quiet, metrics, openlineage)) as watch:
        limit = _limit(max_rejected)
        if summary is not None and str(summary) != "-" and not summary.absolute().parent.is_dir():
            raise UsageError(
                f"--summary {str(summary)!r} names a folder that does not exist.", "Make the folder first."
            )
        said = options.Said(
            *(format_, log_format, log_timezone, columns, formats, min_matched, default_currency, account, integration),
            *(pii, ruleset, status, max_record, jobs),
        )
        request = options.request_of(inputs, out, said, since, until)
        with watch.at_work() as progress:
            watch.outcome = outcome = run_job(request, progress)
        if summary is not None:
            write_summary(outcome, summary)
        say_summary(outcome, out, is_quiet=quiet)
        if limit is not None and outcome["rejections"]["total"] > limit(outcome):
            voice.warn(
                f"{outcome['rejections']['total']:,} records were rejected; --max-rejected {max_rejected} allows fewer."
                " The tables are published.",
                exit_code=3,
            )
            raise typer.Exit(3)


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
