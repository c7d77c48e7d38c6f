"""`run`: logs and dumps in, four tables out."""

from __future__ import annotations

import enum
import os
import re
import signal
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from etl.reading import Progress, Request


class PiiMode(enum.StrEnum):
    """What becomes of personal values."""

    HASH = "hash"
    KEEP = "keep"
    DROP = "drop"


def run(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Files, folders, globs, s3:// addresses, or -.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the four tables; replaced whole.")],
    format_: Annotated[
        str, typer.Option("--format", metavar="NAME", help="What the inputs are; found out by default.")
    ] = "auto",
    log_format: Annotated[
        str | None, typer.Option(metavar="STRING", help="An nginx log_format or Apache LogFormat.")
    ] = None,
    log_timezone: Annotated[str, typer.Option(metavar="ZONE", help="Zone of times that say none.")] = "UTC",
    columns: Annotated[
        str | None, typer.Option(metavar="ROLE=NAME,...", help="Columns or keys, such as payload=body.")
    ] = None,
    formats: Annotated[Path | None, typer.Option(metavar="FILE", help="Formats of your own, as TOML.")] = None,
    min_matched: Annotated[
        str | None, typer.Option(metavar="P%", help="Refuse an input of which fewer records are in its format.")
    ] = None,
    default_currency: Annotated[
        str | None, typer.Option(metavar="CODE", help="Currency of conversions that send none.")
    ] = None,
    account: Annotated[str | None, typer.Option(metavar="ID", help="Account of payloads without a path.")] = None,
    integration: Annotated[
        str | None, typer.Option(metavar="SLUG", help="Integration of payloads without a path.")
    ] = None,
    pii: Annotated[PiiMode, typer.Option(help="What becomes of personal values.")] = PiiMode.HASH,
    ruleset: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="A shop's rules, such as shopify, or your own as TOML.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only what was received at or after it.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only what was received before it.")] = None,
    status: Annotated[str | None, typer.Option(metavar="CODES", help="Only requests answered so: 2xx,304.")] = None,
    max_rejected: Annotated[
        str | None, typer.Option(metavar="N|P%", help="Exit 3 if more records are rejected.")
    ] = None,
    max_record: Annotated[str, typer.Option(metavar="SIZE", help="Longest record read, such as 4MB.")] = "4MB",
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the summary as JSON; - is standard output.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Processes; one a core by default.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary on the terminal.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Read logs or dumps and write the tables conversions, items, passthroughs and rejections."""
    from etl.cli.progress import silent, told
    from etl.cli.summary import print_summary, write_summary
    from etl.errors import InterruptedRunError, UsageError
    from etl.job import run_job
    from etl.options import Options
    from etl.reading import Request
    from etl.ruleset import Ruleset
    from etl.rulesets import find_ruleset
    from etl.sources.settings import make_settings

    limit = _limit(max_rejected)
    if summary is not None and str(summary) != "-" and not summary.absolute().parent.is_dir():
        raise UsageError(f"--summary {str(summary)!r} names a folder that does not exist.", "Make the folder first.")
    request: Request = Request(
        inputs=tuple(inputs),
        out=Path(os.path.abspath(out)),
        ruleset=find_ruleset(ruleset) if ruleset is not None else Ruleset(),
        options=Options(
            default_currency=_currency(default_currency),
            account=account,
            integration=integration,
            pii=pii.value,
            since=_instant("--since", since),
            until=_instant("--until", until),
            statuses=_statuses(status),
        ),
        format=format_,
        log_format=log_format,
        settings=make_settings(log_timezone, _columns(columns), formats),
        min_matched=_share(min_matched),
        max_record_bytes=_size(max_record),
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


def _currency(code: str | None) -> str | None:
    from etl.errors import UsageError

    if code is not None and not re.fullmatch("[A-Za-z]{3}", code):
        raise UsageError(f"--default-currency {code!r} is not three letters.", "Give a code such as EUR.")
    return code.upper() if code else None


def _instant(option: str, text: str | None) -> datetime | None:
    from etl.errors import UsageError
    from etl.values import read_iso8601

    instant = read_iso8601(text) if text else None
    if text and instant is None:
        raise UsageError(
            f"{option} {text!r} is no time.",
            "Give 2024-05-01 or 2024-05-01T12:00:00+02:00; without a zone it is UTC.",
        )
    return instant


def _statuses(text: str | None) -> tuple[range, ...]:
    from etl.errors import UsageError

    spans = []
    for part in (text or "").split(","):
        word = part.strip().lower()
        if re.fullmatch("[1-5]xx", word):
            spans.append(range(int(word[0]) * 100, int(word[0]) * 100 + 100))
        elif re.fullmatch("[0-9]{3}", word):
            spans.append(range(int(word), int(word) + 1))
        elif text:
            raise UsageError(f"--status {text!r} is no list of statuses.", "Give codes or classes, such as 2xx,304.")
    return tuple(spans)


def _columns(text: str | None) -> dict[str, str]:
    from etl.errors import UsageError

    pairs = [part.partition("=") for part in (text or "").split(",") if part.strip()]
    if any(not mark or not name.strip() for _, mark, name in pairs):
        raise UsageError(f"--columns {text!r} is no list of role=name.", "Give received_at=created,payload=body.")
    return {role.strip(): name.strip() for role, _, name in pairs}


def _share(text: str | None) -> float | None:
    from etl.errors import UsageError

    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(%?)", text.strip())
    share = float(match[1]) / (100 if match[2] else 1) if match else 2.0
    if not 0 <= share <= 1:
        raise UsageError(f"--min-matched {text!r} is no share.", "Give 90% or 0.9.")
    return share


def _size(text: str) -> int:
    from etl.errors import UsageError

    match = re.fullmatch(r"([0-9]+)\s*(|k|m|g)(i?b)?", text.strip().lower())
    size = int(match[1]) * 1024 ** " kmg".index(match[2] or " ") if match else 0
    if not 1024 <= size <= 2**30:
        raise UsageError(f"--max-record {text!r} is no size from 1KB to 1GB.", "Give a size such as 4MB.")
    return size


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
