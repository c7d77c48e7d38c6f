"""`run`: logs and dumps in, four tables out."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etl.cli.options import (
    DEFAULT_MAX_RECORD,
    Account,
    Columns,
    Debug,
    DefaultCurrency,
    FormatName,
    Formats,
    Inputs,
    Integration,
    Jobs,
    LogFormat,
    LogTimezone,
    MaxRecord,
    MinMatched,
    Pii,
    PiiMode,
    RulesetName,
    read_currency,
    read_instant,
    read_reading,
    read_ruleset,
    read_share,
    read_statuses,
)

if TYPE_CHECKING:
    from etl.job import Progress, Request


def run(
    inputs: Inputs,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the four tables; replaced whole.")],
    format_: FormatName = "auto",
    log_format: LogFormat = None,
    log_timezone: LogTimezone = "UTC",
    columns: Columns = None,
    formats: Formats = None,
    min_matched: MinMatched = None,
    default_currency: DefaultCurrency = None,
    account: Account = None,
    integration: Integration = None,
    pii: Pii = PiiMode.HASH,
    ruleset: RulesetName = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only what was received at or after it.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only what was received before it.")] = None,
    status: Annotated[str | None, typer.Option(metavar="CODES", help="Only requests answered so: 2xx,304.")] = None,
    max_rejected: Annotated[
        str | None, typer.Option(metavar="N|P%", help="Exit 3 if more records are rejected.")
    ] = None,
    max_record: MaxRecord = DEFAULT_MAX_RECORD,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the summary as JSON; - is standard output.")
    ] = None,
    jobs: Jobs = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary on the terminal.")] = False,
    debug: Debug = False,
) -> None:
    """Read logs or dumps and write the tables conversions, items, passthroughs and rejections."""
    from etl.cli.progress import silent, told
    from etl.cli.summary import print_summary, write_summary
    from etl.errors import InterruptedRunError, UsageError
    from etl.job import Request, run_job
    from etl.options import Options

    limit = _limit(max_rejected)
    if summary is not None and str(summary) != "-" and not summary.absolute().parent.is_dir():
        raise UsageError(f"--summary {str(summary)!r} names a folder that does not exist.", "Make the folder first.")
    reading = read_reading(format_, log_format, log_timezone, columns, formats, max_record)
    request: Request = Request(
        inputs=tuple(inputs),
        out=Path(os.path.abspath(out)),
        ruleset=read_ruleset(ruleset),
        options=Options(
            default_currency=read_currency(default_currency),
            account=account,
            integration=integration,
            pii=pii.value,
            since=read_instant("--since", since),
            until=read_instant("--until", until),
            statuses=read_statuses(status),
        ),
        format=reading.format,
        log_format=reading.log_format,
        settings=reading.settings,
        min_matched=read_share(min_matched),
        max_record_bytes=reading.max_record_bytes,
        jobs=jobs or os.cpu_count() or 1,
    )
    try:
        with silent() if quiet else told() as progress:
            outcome = run_job(request, _beyond_recall(progress))
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


def _beyond_recall(progress: Progress) -> Progress:
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
