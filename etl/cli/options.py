"""Options that several commands take, each once: its name, its help, and how its text is read."""

from __future__ import annotations

import enum
import os
import re
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from etl.cli.messages import JSON

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl.rules.ruleset import Ruleset
    from etl.runner.stage_inputs import Request
    from etl.sources.planning import Reading


class EventsMode(enum.StrEnum):
    """Whom standard error speaks to."""

    TEXT = "text"
    JSON = "json"


class PiiMode(enum.StrEnum):
    """What becomes of personal values."""

    HASH = "hash"
    KEEP = "keep"
    DROP = "drop"


Inputs = Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files, folders, globs, s3:// addresses, or -.")]
FormatName = Annotated[str, typer.Option("--format", metavar="NAME", help="What the inputs are; found out by default.")]
LogFormat = Annotated[str | None, typer.Option(metavar="STRING", help="An nginx log_format or Apache LogFormat.")]
LogTimezone = Annotated[str, typer.Option(metavar="ZONE", help="Zone of times that say none.")]
Columns = Annotated[str | None, typer.Option(metavar="ROLE=NAME,...", help="Columns or keys, such as payload=body.")]
Formats = Annotated[Path | None, typer.Option(metavar="FILE", help="Formats of your own, as TOML.")]
MinMatched = Annotated[
    str | None, typer.Option(metavar="P%", help="Refuse an input of which fewer records are in its format.")
]
DefaultCurrency = Annotated[str | None, typer.Option(metavar="CODE", help="Currency of conversions that send none.")]
Account = Annotated[str | None, typer.Option(metavar="ID", help="Account of payloads without a path.")]
Integration = Annotated[str | None, typer.Option(metavar="SLUG", help="Integration of payloads without a path.")]
Pii = Annotated[PiiMode, typer.Option(help="What becomes of personal values.")]
RulesetName = Annotated[
    str | None, typer.Option(metavar="NAME|FILE", help="A shop's rules, such as shopify, or your own as TOML.")
]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Only what was received at or after it.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only what was received before it.")]
MaxRejected = Annotated[str | None, typer.Option(metavar="N|P%", help="Exit 3 if more records are rejected.")]
Status = Annotated[str | None, typer.Option(metavar="CODES", help="Only requests answered so: 2xx,304.")]
MaxRecord = Annotated[str, typer.Option(metavar="SIZE", help="Longest record read, such as 4MB.")]
Jobs = Annotated[int | None, typer.Option(min=1, metavar="N", help="Processes; one a core by default.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary on the terminal.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
Events = Annotated[
    EventsMode, typer.Option("--events", help="Standard error for people, or a JSON object a line for programs.")
]
Metrics = Annotated[
    Path | None, typer.Option("--metrics", metavar="FILE", help="Write metrics of this run for Prometheus.")
]
OpenLineage = Annotated[
    str | None, typer.Option("--openlineage", metavar="URL|FILE", help="Send OpenLineage events there.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

DEFAULT_MAX_RECORD = "4MB"


class Said(NamedTuple):
    """What was said of inputs and rules, by the options above, as it was said."""

    format: str
    log_format: str | None
    log_timezone: str
    columns: str | None
    formats: Path | None
    min_matched: str | None
    default_currency: str | None
    account: str | None
    integration: str | None
    pii: PiiMode
    ruleset: str | None
    status: str | None
    max_record: str
    jobs: int | None


def request_of(inputs: list[str], out: Path, said: Said, since: str | None = None, until: str | None = None) -> Request:
    """What was said, checked.

    Raises:
        UsageError: An option makes no sense.
    """
    from etl.engines.local_pool import workers
    from etl.options import Options
    from etl.runner.stage_inputs import Request

    return Request(
        inputs=tuple(inputs),
        out=Path(os.path.abspath(out)),
        open_engine=workers,
        ruleset=read_ruleset(said.ruleset),
        options=Options(
            default_currency=read_currency(said.default_currency),
            account=said.account,
            integration=said.integration,
            pii=said.pii.value,
            since=read_instant("--since", since),
            until=read_instant("--until", until),
            statuses=read_statuses(said.status),
        ),
        reading=read_reading(
            said.format, said.log_format, said.log_timezone, said.columns, said.formats, said.max_record
        ),
        min_matched=read_share(said.min_matched),
        jobs=said.jobs or os.cpu_count() or 1,
    )


def read_reading(
    format_: str,
    log_format: str | None,
    log_timezone: str,
    columns: str | None,
    formats: Path | None,
    max_record: str = DEFAULT_MAX_RECORD,
) -> Reading:
    """How the inputs are to be read.

    Raises:
        UsageError: One of the options cannot be read.
    """
    from etl.sources.planning import Reading
    from etl.sources.settings import make_settings

    log_format = None if log_format == JSON else log_format  # which asks for events, see `voice`
    return Reading(format_, log_format, make_settings(log_timezone, read_columns(columns), formats), _size(max_record))


def read_ruleset(text: str | None) -> Ruleset:
    """The ruleset that is meant; the page where none is.

    Raises:
        RulesetError: There is none of that name.
    """
    from etl.rules.ruleset import Ruleset
    from etl.rules.vendors import find_ruleset

    return find_ruleset(text) if text is not None else Ruleset()


def read_currency(code: str | None) -> str | None:
    """The code in upper case."""
    from etl.errors import UsageError

    if code is not None and not re.fullmatch("[A-Za-z]{3}", code):
        raise UsageError(f"--default-currency {code!r} is not three letters.", "Give a code such as EUR.")
    return code.upper() if code else None


def read_instant(option: str, text: str | None) -> datetime | None:
    """The instant that an option says."""
    from etl.errors import UsageError
    from etl.rules.value_parsing import read_iso8601

    instant = read_iso8601(text) if text else None
    if text and instant is None:
        raise UsageError(
            f"{option} {text!r} is no time.",
            "Give 2024-05-01 or 2024-05-01T12:00:00+02:00; without a zone it is UTC.",
        )
    return instant


def read_day(option: str, text: str) -> date:
    """The day that an option says."""
    from etl.errors import UsageError

    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is no day.", "Give one such as 2024-05-01.") from error


def read_statuses(text: str | None) -> tuple[range, ...]:
    """The statuses of a list of codes and classes."""
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


def read_columns(text: str | None) -> dict[str, str]:
    """Role -> name of an option such as `received_at=created,payload=body`."""
    from etl.errors import UsageError

    pairs = [part.partition("=") for part in (text or "").split(",") if part.strip()]
    if any(not mark or not name.strip() for _, mark, name in pairs):
        raise UsageError(f"--columns {text!r} is no list of role=name.", "Give received_at=created,payload=body.")
    return {role.strip(): name.strip() for role, _, name in pairs}


def read_share(text: str | None) -> float | None:
    """A share from 0 to 1, written so or in percent."""
    from etl.errors import UsageError

    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(%?)", text.strip())
    share = float(match[1]) / (100 if match[2] else 1) if match else 2.0
    if not 0 <= share <= 1:
        raise UsageError(f"--min-matched {text!r} is no share.", "Give 90% or 0.9.")
    return share


def read_limit(text: str | None) -> Callable[[int], float] | None:
    """How many of so many judged records may be rejected, as `--max-rejected` says it; None: all."""
    from etl.errors import UsageError

    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(%?)", text.strip())
    if not match or not (match[2] or match[1].isdigit()):
        raise UsageError(f"--max-rejected {text!r} is neither a number nor a share.", "Give 100 or 2.5%.")
    number = float(match[1])
    return lambda judged: number / 100 * judged if match[2] else number


def refuse_rejected(rejected: int, max_rejected: str | None, what: str) -> None:
    """Warns that more was rejected than `--max-rejected` allows, and ends the command with the contract's exit code.

    Args:
        rejected: How many records were.
        max_rejected: As it was said.
        what: What is done all the same.
    """
    from etl.cli import messages

    messages.warn(
        f"{rejected:,} records were rejected; --max-rejected {max_rejected} allows fewer. {what}", exit_code=3
    )
    raise typer.Exit(3)


def _size(text: str) -> int:
    from etl.errors import UsageError

    match = re.fullmatch(r"([0-9]+)\s*(|k|m|g)(i?b)?", text.strip().lower())
    size = int(match[1]) * 1024 ** " kmg".index(match[2] or " ") if match else 0
    if not 1024 <= size <= 2**30:
        raise UsageError(f"--max-record {text!r} is no size from 1KB to 1GB.", "Give a size such as 4MB.")
    return size
